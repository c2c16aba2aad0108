"""How well image trunks see a cube, and what they cost: the same small head on each, in rooms never seen before."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PICTURES = Path(__file__).resolve().parent.parent / "runs" / "bench_trunk"
"""Folder that keeps the rendered pictures from run to run."""

CAMERA, POINT = "front", "cube"
HEAD_ROOMS, HEAD_FIRST_ROOM = 9000, 800_000
"""Rooms of split `train` that heads learn from; trunks are trained on rooms far below."""
TEST_ROOMS = 250
MOMENTS_PER_ROOM = 4
OWN_TRUNK = "twin_trunk"
EPISODE_TRUNK = "episode_trunk"
IMAGENET = "lite0"
RESAMPLES = 2000
COST_CALLS = 100


@measures(
    Figure(
        "trunk_cube_exact_mm",
        2,
        "mm",
        3.0,
        Direction.AT_MOST,
        True,
        "frozen twin_trunk: cube in the plane from the front camera, test rooms, cameras exactly mounted, median",
    ),
    Figure(
        "trunk_cube_jittered_of_lite0",
        2,
        "of Lite0's",
        0.75,
        Direction.AT_MOST,
        True,
        "the same with mounting errors, median as a share of frozen Lite0's",
    ),
    Figure(
        "trunk_episodes_cube_exact_mm",
        2,
        "mm",
        None,
        Direction.AT_MOST,
        True,
        "frozen episode_trunk (inverse dynamics, no labels): the same error, cameras exactly mounted",
    ),
    Figure(
        "lite0_cube_exact_mm",
        2,
        "mm",
        None,
        Direction.AT_MOST,
        True,
        "frozen Lite0: the same error, cameras exactly mounted",
    ),
)
def trunks(_: Settings) -> Mapping[str, Measurement]:
    """Measure all trunks on the same pictures; both kinds of cameras at once."""
    exact, jittered = measure_in_children(errors, [("exact",), ("jittered",)], pin=False)
    nothing = Measurement(float("nan"))
    ratio = jittered.get(OWN_TRUNK, nothing).value / jittered[IMAGENET].value
    every = {
        f"{name}_{kind}_mm": m.value
        for kind, of in (("exact", exact), ("jittered", jittered))
        for name, m in of.items()
    }
    return {
        "trunk_cube_exact_mm": exact.get(OWN_TRUNK, nothing),
        "trunk_cube_jittered_of_lite0": Measurement(ratio, jittered[IMAGENET].episodes, range(TEST_ROOMS), extra=every),
        "trunk_episodes_cube_exact_mm": exact.get(EPISODE_TRUNK, nothing),
        "lite0_cube_exact_mm": exact[IMAGENET],
    }


def errors(cameras: str) -> dict[str, Measurement]:
    """Train a head on each frozen trunk with `cameras` mounted so, and return the median errors."""
    import numpy as np
    import torch

    from policies.trunk.localisation import LocaliserConfig, localisation_errors
    from tutelage_core.encoders.image import build_image_encoder, shipped_trunks

    torch.set_num_threads(1)
    learn, test = pictures(cameras, "train"), pictures(cameras, "test")
    measured: dict[str, Measurement] = {}
    for name in (*sorted(shipped_trunks()), IMAGENET):
        encoder = build_image_encoder(name, *learn[0].shape[1:3])
        found = localisation_errors(encoder, learn, test, LocaliserConfig()) * 1e3
        drawn = np.random.default_rng(0).choice(found, (RESAMPLES, len(found)))
        low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
        about = {"p90_mm": float(np.percentile(found, 90)), "head_images": len(learn[0])}
        measured[name] = Measurement(
            float(np.median(found)), len(found), range(TEST_ROOMS), (float(low), float(high)), about
        )
        print(f"{name}, cameras {cameras}: {measured[name].value:.2f} mm", flush=True)
    return measured


@measures(
    Figure(
        "trunk_cost_of_lite0",
        2,
        "of Lite0's",
        0.2,
        Direction.AT_MOST,
        False,
        "twin_trunk's processor time for a 128x128 image on one thread, as a share of Lite0's",
    ),
)
def costs(_: Settings) -> Mapping[str, Measurement]:
    """Time the trunks, one after the other."""
    (spent,) = measure_in_children(costs_ms, [()], pin=True)
    ratio = spent.get(OWN_TRUNK, float("nan")) / spent[IMAGENET]
    return {"trunk_cost_of_lite0": Measurement(ratio, extra={f"{name}_ms": ms for name, ms in spent.items()})}


def costs_ms() -> dict[str, float]:
    """Return what each trunk costs for one image, one thread [ms]."""
    import torch

    from tutelage_core.encoders.image import shipped_trunks

    torch.set_num_threads(1)
    return {name: cost_ms(name) for name in (*sorted(shipped_trunks()), IMAGENET)}


def pictures(cameras: str, split: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the front camera's images in which the cube is visible, and its places in the plane [m]."""
    import numpy as np

    from tutelage.runs.labelled_frames import FramesConfig, labelled_frames

    config = FramesConfig(
        split=split,
        first_room=HEAD_FIRST_ROOM if split == "train" else 0,
        rooms=HEAD_ROOMS if split == "train" else TEST_ROOMS,
        moments_per_room=MOMENTS_PER_ROOM,
        exact_cameras=1.0 if cameras == "exact" else 0.0,
        at_rest=True,
    )
    frames = labelled_frames(config, PICTURES / f"{split}_{cameras}", processes=1)
    camera, point = frames.cameras.index(CAMERA), frames.names.index(POINT)
    rows = frames.visible[:, camera, point]
    return np.ascontiguousarray(frames.images[rows, camera]), frames.points[rows, camera, point, :2].copy()


def cost_ms(name: str) -> float:
    """Return the median processor time of one image on one thread [ms], two images at once as a policy asks."""
    import numpy as np
    import torch

    from tutelage_core.encoders.image import build_image_encoder

    encoder = build_image_encoder(name, 128, 128)
    images = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    spent: list[float] = []
    with torch.inference_mode():
        for _ in range(COST_CALLS):
            begun = time.process_time()
            encoder(images)
            spent.append((time.process_time() - begun) / len(images) * 1e3)
    return float(np.median(spent[10:]))
