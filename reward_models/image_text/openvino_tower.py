"""The image tower of a torch model, run by OpenVINO in half precision on the CPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tutelage_core.errors import ConfigurationError

PACKAGE, VERSION = "openvino", "2026.4.1"
"""What must be installed, and the version that was tested."""

REMEDY = f"run: pip install --no-deps {PACKAGE}=={VERSION}"
"""Without its dependency `openvino-telemetry`, which would report to the network what is converted."""


class _Tower(nn.Module):
    """OpenVINO converts modules."""

    def __init__(self, see: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._see = see

    def forward(self, pixels: Tensor) -> Tensor:
        return self._see(pixels)


def openvino_tower(see: Callable[[Tensor], Tensor], height: int, width: int) -> Callable[[Tensor], Tensor]:
    """Return what gives the same as `see`, for any number of pictures.

    It uses as many threads as torch, and bfloat16 where the processor has it: there the vectors of open_clip's ViT-B-32
    with random weights have a cosine of 0.9999 with torch's, and cosines with sentences are off by 0.001 at most.

    Args:
        see: pixels of shape (n, 3, height, width) to features of shape (n, F).
        height: of the pictures [px].
        width: the same.

    Raises:
        ConfigurationError: OpenVINO is not installed, or cannot run this model.
    """
    try:
        openvino: Any = importlib.import_module(PACKAGE)
    except ImportError as error:
        raise ConfigurationError(f"OpenVINO cannot be imported ({error}); {REMEDY}") from error
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    try:
        with torch.inference_mode():
            model = openvino.convert_model(_Tower(see), example_input=torch.zeros(1, 3, height, width))
        model.reshape([-1, 3, height, width])
        compiled = openvino.Core().compile_model(model, "CPU", settings)
    except Exception as error:  # torch's tracing and OpenVINO each raise their own
        raise ConfigurationError(f"OpenVINO cannot run this model: {error}; take `open_clip` instead") from error

    def run(pixels: Tensor) -> Tensor:
        return torch.from_numpy(compiled(pixels.contiguous().numpy())[0].copy())

    return run
