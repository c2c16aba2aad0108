"""Reads one finished episode into arrays that are aligned by control period."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage_core.contract import STATE_KEYS, RobotContract, state_vectors
from tutelage_core.episodes import messages, pictures
from tutelage_core.episodes.manifest import EPISODE_FILE, EpisodeMetadata, read_checked, read_manifest
from tutelage_core.episodes.topics import IntArray, Topic, read_topics
from tutelage_core.errors import EpisodeError, UnknownNameError
from tutelage_core.types import STEP_SIZE, EpisodeResult, ExecutedStep, FloatArray, ImageArray

JOIN_TOLERANCE_NS = 300_000_000
"""So old may a picture be that belongs to a control period: the age at which the graph pauses the policy [ns]."""


@dataclass(frozen=True)
class Episode:
    """One episode of T control periods; row t of each array belongs to period t.

    Attributes:
        name: name of the episode, which is that of its folder.
        stamps_ns: time of each period's observation, shape (T,) [ns].
        images: camera name to RGB pixels, shape (T, height, width, 3), uint8.
        state: state key to vectors, shape (T, size), float64, units as in `tutelage_core.contract.STATE_KEYS`.
        requested: steps that were asked, shape (T, 7) [m, rad, 0..1]; may hold anything, NaN included.
        executed: steps that were carried out, shape (T, 7) [m, rad, 0..1].
        expert: what the expert would have done, shape (T, 7) [m, rad, 0..1]; NaN where it was not asked.
        sources: who drove, shape (T,), the numbers of `tutelage_core.types.Source`.
        reasons: for each period, the SafetyGate's reasons.
        phrases: for each period, the language motion that the policy followed; empty where it followed none.
        success: ground truth before the step, shape (T,); False where there is none.
        progress: ground truth before the step, shape (T,), 0..1; NaN where there is none.
        metadata: what was known at the start.
        result: how it ended.
    """

    name: str
    stamps_ns: IntArray
    images: dict[str, ImageArray]
    state: dict[str, FloatArray]
    requested: FloatArray
    executed: FloatArray
    expert: FloatArray
    sources: NDArray[np.int8]
    reasons: tuple[tuple[str, ...], ...]
    phrases: tuple[str, ...]
    success: NDArray[np.bool_]
    progress: FloatArray
    metadata: EpisodeMetadata
    result: EpisodeResult

    def __len__(self) -> int:
        """Return the number of control periods."""
        return len(self.stamps_ns)


def read_episode(folder: Path, cameras: tuple[str, ...] | None = None, tolerance_ns: int | None = None) -> Episode:
    """Read the finished episode in `folder`.

    Images and state of a control period are those that the policy's chunk of its stamp was thought from, where there is
    one that says so, or, where one of them was lost, the newest before it (`health.examine` tells). Else, and for the
    status, it is the newest message that is not later than the period. None is more than `tolerance_ns` older. An
    expert step belongs to the period with its very stamp.

    Args:
        folder: the episode's folder.
        cameras: the cameras to decode; all that were recorded if None.
        tolerance_ns: how old an image, state or status may be [ns]; `JOIN_TOLERANCE_NS` or one control period,
            whichever is more, if None.

    Raises:
        EpisodeError: the episode is unfinished, damaged, foreign, or a period has no image or state; the file is named.
        UnknownNameError: a camera was not recorded.
    """
    manifest = read_manifest(folder)
    path = folder / EPISODE_FILE
    topics, recorded = read_topics(path, read_checked(folder, manifest, EPISODE_FILE), cameras)
    wanted = recorded if cameras is None else cameras
    for camera in wanted:
        if camera not in recorded:
            raise UnknownNameError("camera", camera, recorded, str(path))
    contract = manifest.metadata.contract
    tolerance = max(JOIN_TOLERANCE_NS, contract.period_ns) if tolerance_ns is None else tolerance_ns
    try:
        steps = _executed(path, topics)
        stamps = np.array([step.stamp_ns for step in steps], dtype=np.int64)
        success, progress = _statuses(topics, stamps, tolerance)
        chunks = _Chunks(topics.get(messages.CHUNK_TOPIC))
        images = {
            camera: _images(_image_topic(path, topics, camera), chunks.frame_stamps(camera, stamps), tolerance)
            for camera in wanted
        }
        _check_sizes(path, images, contract)
        return Episode(
            name=folder.name,
            stamps_ns=stamps,
            images=images,
            state=_states(path, topics, chunks.state_stamps(stamps), tolerance),
            requested=np.stack([step.requested for step in steps]),
            executed=np.stack([step.executed for step in steps]),
            expert=_expert(topics, stamps),
            sources=np.array([step.source for step in steps], dtype=np.int8),
            reasons=tuple(step.reasons for step in steps),
            phrases=chunks.phrases(stamps),
            success=success,
            progress=progress,
            metadata=manifest.metadata,
            result=manifest.result,
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise EpisodeError(f"{path}: its messages are not defined as this program expects: {error}") from error


def _executed(path: Path, topics: dict[str, Topic]) -> list[ExecutedStep]:
    topic = topics.get(messages.EXECUTED_TOPIC)
    if topic is None:
        raise EpisodeError(f"{path}: no messages on {messages.EXECUTED_TOPIC}, so it has no control periods")
    if (np.diff(topic.stamps_ns) == 0).any():
        raise EpisodeError(f"{path}: two messages on {messages.EXECUTED_TOPIC} have the same stamp")
    steps = [messages.to_executed(message) for message in topic.messages]
    if not all(np.isfinite(step.executed).all() for step in steps):
        raise EpisodeError(f"{path}: {messages.EXECUTED_TOPIC}: an executed step is not finite")
    return steps


class _Chunks:
    """What the policy's chunks say of the control periods that they were thought for."""

    def __init__(self, topic: Topic | None) -> None:
        self._topic = topic
        found = [messages.to_inputs(message) for message in topic.messages] if topic is not None else []
        stamps = topic.stamps_ns.tolist() if topic is not None else []
        self._inputs = {stamp: inputs for stamp, inputs in zip(stamps, found, strict=True) if inputs is not None}

    def frame_stamps(self, camera: str, stamps_ns: IntArray) -> IntArray:
        """Return the stamp up to which a frame of `camera` may be taken for each control period [ns]."""
        taken = (self._inputs.get(stamp) for stamp in stamps_ns.tolist())
        wanted = [
            stamp if t is None else t.frame_stamps_ns.get(camera, stamp)
            for t, stamp in zip(taken, stamps_ns, strict=True)
        ]
        return np.array(wanted, dtype=np.int64)

    def state_stamps(self, stamps_ns: IntArray) -> IntArray:
        """Return the stamp up to which an arm state may be taken for each control period [ns]."""
        taken = (self._inputs.get(stamp) for stamp in stamps_ns.tolist())
        wanted = [stamp if t is None else t.state_stamp_ns for t, stamp in zip(taken, stamps_ns, strict=True)]
        return np.array(wanted, dtype=np.int64)

    def phrases(self, stamps_ns: IntArray) -> tuple[str, ...]:
        """Return the phrase of the chunk that reaches to each control period; empty where there is none."""
        if self._topic is None:
            return ("",) * len(stamps_ns)
        found: list[str] = []
        reached = self._topic.join(stamps_ns, np.iinfo(np.int64).max)
        for stamp, message in zip(stamps_ns.tolist(), reached, strict=True):
            chunk = None if message is None else messages.to_chunk(message)
            lasts = chunk is not None and stamp < chunk.stamp_ns + len(chunk.steps) * chunk.period_ns
            found.append(chunk.phrase if chunk is not None and lasts else "")
        return tuple(found)


def _image_topic(path: Path, topics: dict[str, Topic], camera: str) -> Topic:
    kinds = [
        topics[name] for name in (messages.image_topic(camera), messages.image_topic(camera, "jpeg")) if name in topics
    ]
    if len(kinds) != 1:
        raise EpisodeError(f"{path}: camera '{camera}' was recorded both raw and compressed; remove one of its topics")
    return kinds[0]


def _images(topic: Topic, stamps_ns: IntArray, tolerance_ns: int) -> ImageArray:
    pixels = [_pixels(topic, message) for message in topic.join_all(stamps_ns, tolerance_ns)]
    shapes = {image.shape for image in pixels}
    if len(shapes) > 1:
        raise EpisodeError(f"{topic.path}: {topic.name}: the images have different sizes: {sorted(shapes)}")
    return np.stack(pixels)


def _check_sizes(path: Path, images: dict[str, ImageArray], contract: RobotContract) -> None:
    for camera, pixels in images.items():
        told = contract.cameras.get(camera)
        if told is not None and pixels.shape[1:] != (told.height, told.width, 3):
            raise EpisodeError(
                f"{path}: camera '{camera}': images of {pixels.shape[2]}x{pixels.shape[1]} px, the contract of robot "
                f"'{contract.name}' says {told.width}x{told.height} px"
            )


def _pixels(topic: Topic, message: Any) -> ImageArray:
    try:
        return pictures.to_image(message)
    except EpisodeError as error:
        raise EpisodeError(f"{topic.path}: {topic.name}: {error}") from error


def _states(path: Path, topics: dict[str, Topic], stamps_ns: IntArray, tolerance_ns: int) -> dict[str, FloatArray]:
    topic = topics.get(messages.ARM_STATE_TOPIC)
    if topic is None:
        raise EpisodeError(f"{path}: no messages on {messages.ARM_STATE_TOPIC}")
    keys = tuple(STATE_KEYS)
    rows = [state_vectors(messages.to_state(message), keys) for message in topic.join_all(stamps_ns, tolerance_ns)]
    return {key: np.stack([row[key] for row in rows]) for key in keys}


def _expert(topics: dict[str, Topic], stamps_ns: IntArray) -> FloatArray:
    expert = np.full((len(stamps_ns), STEP_SIZE), np.nan)
    topic = topics.get(messages.EXPERT_TOPIC)
    if topic is not None:
        for row, message in enumerate(topic.join(stamps_ns, 0)):
            if message is not None:
                expert[row] = message.step
    return expert


def _statuses(topics: dict[str, Topic], stamps_ns: IntArray, tolerance_ns: int) -> tuple[NDArray[np.bool_], FloatArray]:
    success = np.zeros(len(stamps_ns), dtype=np.bool_)
    progress = np.full(len(stamps_ns), np.nan)
    topic = topics.get(messages.STATUS_TOPIC)
    if topic is not None:
        for row, message in enumerate(topic.join(stamps_ns, tolerance_ns)):
            if message is not None:
                success[row], progress[row] = message.success, message.progress
    return success, progress
