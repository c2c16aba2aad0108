"""What a picture costs with open_clip's ViT-B-32, by each backend. Weights are random: times do not depend on them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children

NAME = "ViT-B-32"
CALLS, WARM_UP_CALLS = 14, 4
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@measures(
    Figure(
        "open_clip_fastest_ratio",
        6,
        "times",
        2.0,
        Direction.AT_LEAST,
        False,
        f"open_clip {NAME}, one 224x224 picture on one core: processor time of plain torch in float32 over that of the "
        "fastest backend, in turn in one process",
    ),
)
def ratio(_: Settings) -> Mapping[str, Measurement]:
    """Time each backend."""
    (spent,) = measure_in_children(picture_ms, [()], pin=True)
    found = spent["torch"] / min(spent.values())
    return {"open_clip_fastest_ratio": Measurement(found, CALLS - WARM_UP_CALLS, extra=spent)}


def picture_ms() -> dict[str, float]:
    """Return the median processor time of one picture on one thread [ms], preparation included, by backend."""
    import numpy as np
    import torch

    from reward_models.image_text.open_clip_model import BACKENDS, OpenClipModel

    torch.set_num_threads(1)
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    with TemporaryDirectory() as folder:
        write_model(Path(folder))
        models = {name: OpenClipModel(Path(folder), channels_last=False, backend=name) for name in BACKENDS}
        models["torch, channels last"] = OpenClipModel(Path(folder))
    spent: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(CALLS):
        for name, model in models.items():
            begun = time.process_time()
            model.embed_images([image])
            spent[name].append(1e3 * (time.process_time() - begun))
    return {name: float(np.median(times[WARM_UP_CALLS:])) for name, times in spent.items()}


def write_model(folder: Path) -> None:
    """Write the model with random weights, as open_clip writes models."""
    import json

    import torch
    from safetensors.torch import save_file

    from reward_models.image_text.open_clip_model import CONFIG, WEIGHTS
    from tutelage_core.encoders.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    import open_clip

    torch.manual_seed(0)
    model = open_clip.create_model(NAME)
    config = {"model_cfg": open_clip.get_model_config(NAME), "preprocess_cfg": {"size": 224, "mean": MEAN, "std": STD}}
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS[0])
