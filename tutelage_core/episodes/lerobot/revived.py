"""Writes an episode again from arrays, control period by control period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tutelage_core.episodes.labels import Label
from tutelage_core.episodes.manifest import EpisodeMetadata
from tutelage_core.episodes.messages import ImageFormat
from tutelage_core.episodes.topics import IntArray
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.types import (
    ActionChunk,
    ArmState,
    EpisodeResult,
    ExecutedStep,
    Frame,
    ImageArray,
    Pose,
    Source,
    TaskStatus,
)


@dataclass(frozen=True)
class EpisodeContent:
    """All of an episode but its images.

    Attributes:
        metadata: what was known at the start.
        result: how it ended.
        labels: what was said of it.
        stamps_ns: stamps of its control periods, shape (T,) [ns].
        periods: the columns of `tutelage_core.episodes.lerobot.origin.periods_table`.
    """

    metadata: EpisodeMetadata
    result: EpisodeResult
    labels: tuple[Label, ...]
    stamps_ns: IntArray
    periods: Mapping[str, Any]


def record(
    root: Path, name: str, content: EpisodeContent, images: Mapping[str, ImageArray], image_format: ImageFormat
) -> Path:
    """Record the episode and return its folder.

    Phrases are part of a policy's chunks. Those are not kept in a data set, so each period of an episode with phrases
    gets a chunk of one step, the requested one.

    Args:
        root: folder of the episodes.
        name: of this one.
        content: what it holds.
        images: camera to images, shape (T, height, width, 3).
        image_format: how pixels are kept.

    Raises:
        EpisodeError: the name is taken, or something does not fit into an episode.
    """
    periods = content.periods
    phrases: Sequence[str] = periods["phrase"]
    policy = content.metadata.policy or "unknown"
    with EpisodeWriter(root, name, content.metadata, image_format) as writer:
        for number, stamp in enumerate(content.stamps_ns.tolist()):
            for camera, pictures in images.items():
                writer.image(camera, Frame(pictures[number], stamp, number))
            writer.state(_state(periods, number, stamp))
            success, progress = bool(periods["success"][number]), float(periods["progress"][number])
            if success or np.isfinite(progress):
                writer.status(stamp, TaskStatus(success, progress))
            if not np.isnan(periods["expert"][number]).all():
                writer.expert(stamp, periods["expert"][number])
            requested = periods["requested"][number]
            if any(phrases):
                period_ns = content.metadata.contract.period_ns
                writer.chunk(ActionChunk(stamp, period_ns, requested[None], phrases[number]), policy, 0.0)
            source = Source(int(periods["source"][number]))
            reasons = tuple(periods["reasons"][number])
            writer.executed(ExecutedStep(stamp, number, source, requested, periods["executed"][number], reasons))
        return writer.close(content.result)


def _state(periods: Mapping[str, Any], number: int, stamp_ns: int) -> ArmState:
    def row(key: str) -> Any:
        return periods[key][number]

    return ArmState(
        stamp_ns=stamp_ns,
        joint_positions=row("joint_positions"),
        joint_velocities=row("joint_velocities"),
        T_base_tcp=Pose(row("tcp_position"), row("tcp_quaternion_xyzw")),
        tcp_velocity=row("tcp_velocity"),
        wrench=row("wrench"),
        gripper_opening=float(row("gripper_opening")[0]),
    )
