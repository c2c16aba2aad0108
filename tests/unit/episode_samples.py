"""Small episodes for the tests of `tutelage_core.episodes`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tutelage_core.contract import ArmContract, CameraContract, RobotContract
from tutelage_core.episodes.manifest import EpisodeMetadata
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.limits import SafetyLimits
from tutelage_core.types import ArmState, EpisodeResult, ExecutedStep, Frame, Pose, Source, TaskStatus

SIZE = (12, 16)
"""Height and width of the sample images [px]."""

PERIOD_NS = 100_000_000

CONTRACT = RobotContract(
    name="twin",
    control_rate_hz=10.0,
    action="tcp_step",
    arm=ArmContract("twin", tuple(f"joint{i}" for i in range(7)), (0.0,) * 7),
    cameras={name: CameraContract(SIZE[1], SIZE[0], 10.0, "twin") for name in ("front", "wrist")},
    state_keys=("tcp_position", "gripper_opening"),
    safety=SafetyLimits((0.25, -0.35, 0.01), (0.75, 0.35, 0.5)),
)

METADATA = EpisodeMetadata(
    contract=CONTRACT,
    task="reach",
    instruction="reach the red cube",
    seed=3,
    start_stamp_ns=0,
    policy="bc",
    policy_sha256="ab" * 32,
    versions={"tutelage": "0.1"},
)

RESULT = EpisodeResult(success=True, steps=1, termination="success", interventions=2, stage_ms={"policy": 1.5})


def frame(stamp_ns: int, value: int | None = None) -> Frame:
    """Return an image full of `value`, or of noise that depends on the stamp."""
    if value is not None:
        return Frame(np.full((*SIZE, 3), value, np.uint8), stamp_ns, value)
    return Frame(np.random.default_rng(stamp_ns).integers(0, 256, (*SIZE, 3), dtype=np.uint8), stamp_ns, 0)


def state(stamp_ns: int, value: float = 0.0) -> ArmState:
    """Return an arm state whose TCP stands at x = `value`."""
    pose = Pose(np.array([value, 0.1, 0.2]), np.array([0.0, 0.0, 0.0, 1.0]))
    return ArmState(
        stamp_ns, np.arange(7.0) + value, np.arange(7.0) - value, pose, np.arange(6.0), np.arange(6.0) / 10, value
    )


def executed(stamp_ns: int, value: float = 0.01, source: Source = Source.POLICY) -> ExecutedStep:
    """Return an executed step with `value` in each place; twice as much was requested."""
    return ExecutedStep(stamp_ns, stamp_ns // PERIOD_NS, source, np.full(7, 2 * value), np.full(7, value))


def record(
    root: Path,
    name: str,
    steps: int,
    metadata: EpisodeMetadata = METADATA,
    *,
    expert_every: int = 0,
    offset: int = 0,
    camera_step: int = 0,
) -> Path:
    """Record `steps` control periods whose images, states and steps hold `offset` + their number; return the folder.

    The images of each further camera are lighter by `camera_step` levels, so that a test can tell cameras apart.
    """
    with EpisodeWriter(root, name, metadata) as writer:
        for number in range(steps):
            stamp = (number + 1) * PERIOD_NS
            for place, (camera, contract) in enumerate(metadata.contract.cameras.items()):
                level = offset + number + place * camera_step
                image = np.full((contract.height, contract.width, 3), level, np.uint8)
                writer.image(camera, Frame(image, stamp, number))
            writer.state(state(stamp, float(offset + number)))
            writer.status(stamp, TaskStatus(number == steps - 1, number / steps))
            if expert_every and number % expert_every == 0:
                writer.expert(stamp, np.full(7, 100.0 + offset + number))
            writer.executed(executed(stamp, float(offset + number)))
        return writer.close(replace(RESULT, steps=steps))
