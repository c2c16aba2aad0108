"""What an update of the HIL-SERL learner costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children

if TYPE_CHECKING:
    from policies.hil_serl.batch import ObservationShape
    from policies.hil_serl.config import HilSerlConfig

CYCLES, WARM_UP_CYCLES = 40, 6
"""Calls of the learner, each of one critic-only and one full update."""
CAMERAS = ("front", "wrist")
CHANNELS = 64
"""Of the twin's trunk."""
POOL = 16
"""Batches that are drawn beforehand; each is used again, but the caches hold no two of them."""


class Variant(NamedTuple):
    """Arguments of `update_ms`: preset, grid of the stored maps (None: its own), type of the products, encodings."""

    preset_name: str = "hil_serl"
    grid: tuple[int, int] | None = None
    precision: str = "float32"
    one_next: bool = False


VARIANTS = {
    "grid_8x8": Variant(grid=(8, 8)),
    "one_next_encoding": Variant(one_next=True),
    "grid_8x8_one_next_encoding": Variant(grid=(8, 8), one_next=True),
    "bfloat16": Variant(precision="bfloat16"),
    "rlpd": Variant("rlpd"),
}
"""Measured beside the figure, to read it."""


@measures(
    Figure(
        "hil_serl_update_ms",
        5,
        "ms",
        30.0,
        Direction.AT_MOST,
        False,
        "an update of HIL-SERL, mean over critic:actor 2: default preset, batch 256, stored maps of 2 cameras, 1 core",
    )
)
def updates(_: Settings) -> Mapping[str, Measurement]:
    """Time the default preset, and beside it other settings, one after the other on one pinned core."""
    from policies.hil_serl.config import EncoderConfig

    extra: dict[str, object] = {"grid": list(EncoderConfig().grid or ()), "batch": 256, "cameras": len(CAMERAS)}
    (own,) = measure_in_children(update_ms, [Variant()], pin=True)
    for name, variant in VARIANTS.items():
        (found,) = measure_in_children(update_ms, [variant], pin=True)
        extra |= {f"{name}_ms": found["median_ms"], f"{name}_least_ms": found["least_ms"]}
    extra |= {"least_ms": own["least_ms"], "processor_ms": own["processor_ms"], "updates": own["updates"]}
    return {"hil_serl_update_ms": Measurement(own["median_ms"], extra=extra)}


def update_ms(preset_name: str, grid: tuple[int, int] | None, precision: str, one_next: bool) -> dict[str, float]:
    """Return what an update costs on one thread: median and least wall time, and median processor time [ms].

    Taking the drawn arrays over is part of it, drawing them is not.
    """
    import numpy as np
    import torch

    from policies.hil_serl.batch import Batch
    from policies.hil_serl.learner import Learner

    torch.set_num_threads(1)
    config = configuration(preset_name, grid, precision, one_next)
    shape = observation_shape(config)
    learner = Learner(config, shape)
    ratio = config.learner.critic_actor_ratio
    rng = np.random.default_rng(0)
    pool = [drawn(rng, shape, config.learner.batch_size) for _ in range(POOL)]
    wall: list[float] = []
    processor: list[float] = []
    cycles = max(3, CYCLES * 2 // ratio)
    for cycle in range(WARM_UP_CYCLES + cycles):
        mine = [pool[(cycle * ratio + i) % POOL] for i in range(ratio)]
        begun, begun_processor = time.perf_counter(), time.thread_time()
        learner.update([Batch.from_arrays(**arrays) for arrays in mine])
        wall.append((time.perf_counter() - begun) / ratio * 1e3)
        processor.append((time.thread_time() - begun_processor) / ratio * 1e3)
    measured = wall[WARM_UP_CYCLES:]
    return {
        "median_ms": statistics.median(measured),
        "least_ms": min(measured),
        "processor_ms": statistics.median(processor[WARM_UP_CYCLES:]),
        "updates": float(cycles * ratio),
    }


def configuration(preset_name: str, grid: tuple[int, int] | None, precision: str, one_next: bool) -> HilSerlConfig:
    """Return a preset with these changes; None leaves its grid."""
    from policies.hil_serl.presets import preset

    config = preset(preset_name)
    encoder = config.model.encoder if grid is None else replace(config.model.encoder, grid=grid)
    return replace(
        config,
        model=replace(config.model, encoder=encoder),
        loss=replace(config.loss, one_next_encoding=one_next),
        learner=replace(config.learner, precision=precision),
    )


def observation_shape(config: HilSerlConfig) -> ObservationShape:
    """Return the shape of what a replay stores for this configuration, maps already averaged to its grid."""
    from policies.hil_serl.batch import ObservationShape
    from tutelage_core.contract import STATE_KEYS

    grid = config.model.encoder.grid
    assert grid is not None
    state = sum(STATE_KEYS[key] for key in config.model.state_keys)
    return ObservationShape(dict.fromkeys(CAMERAS, (CHANNELS, *grid)), state)


def drawn(rng: Any, shape: ObservationShape, batch: int) -> dict[str, Any]:
    """Return a batch of random transitions, as a replay draws it."""
    import numpy as np

    def maps() -> dict[str, Any]:
        return {name: rng.normal(size=(batch, *size)).astype(np.float16) for name, size in shape.images.items()}

    return {
        "images": maps(),
        "next_images": maps(),
        "state": rng.normal(size=(batch, shape.state)).astype(np.float32),
        "next_state": rng.normal(size=(batch, shape.state)).astype(np.float32),
        "action": rng.uniform(-1, 1, (batch, 6)).astype(np.float32),
        "gripper": rng.integers(0, 3, batch).astype(np.int8),
        "reward": (rng.random(batch) < 0.05).astype(np.float32),
        "grasp_penalty": np.where(rng.random(batch) < 0.1, -0.02, 0.0).astype(np.float32),
        "mask": (rng.random(batch) < 0.95).astype(np.float32),
    }
