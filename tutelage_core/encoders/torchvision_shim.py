"""Makes `import torchvision` work where its compiled part does not match the installed torch.

torchvision's wheel is built for CUDA; beside a CPU build of torch its library does not load, and the import dies
because two operators have no schema when their fake kernels are registered. Only `import` is repaired: the compiled
operators stay unusable, and nothing in this project calls them.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_MISSING_OPERATORS = ("nms", "qnms")
_kept: list[torch.library.Library] = []
"""The library that holds the schemas; torch forgets them when it is collected."""


def ensure_torchvision() -> ModuleType:
    """Import torchvision, defining the two missing schemas only if the plain import fails for want of them.

    Call it before anything that imports torchvision (timm, open_clip). Calling it again costs nothing.

    Returns:
        The imported module `torchvision`.

    Raises:
        RuntimeError: torchvision fails to import for another reason.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        message = str(error)
        if "torchvision::" not in message or "does not exist" not in message:
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    if not _kept:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in _MISSING_OPERATORS:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)
    return importlib.import_module("torchvision")
