"""Which frames of recorded episodes show success: from a person's word on each episode, or from ground truth.

A person says whether an episode succeeded. The last `positive_s` of a successful one are then success, what lies
`margin_s` before them is unknown, and all before that, and every frame of a failed one, is none: also the moments just
short of the goal, which are the ones that a classifier must not fall for. A person who wants to say it frame by frame
adds a label with rewards of the model `FRAME_LABELS`: 1, 0, or None for unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reward_models.success_classifier.config import LabellingConfig
from tutelage_core.contract import RobotContract
from tutelage_core.episodes.labels import Judgement, judge, read_labels
from tutelage_core.episodes.reader import Episode
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, EpisodeError
from tutelage_core.types import ImageArray

FRAME_LABELS = "success"
"""Name under which labels of single frames are kept among an episode's rewards."""

SUCCESS, NONE, UNKNOWN = 1, 0, -1
"""What a frame's label may be."""

FrameLabels = NDArray[np.int8]
"""One of `SUCCESS`, `NONE` and `UNKNOWN` for each control period, shape (T,)."""


@dataclass(frozen=True)
class LabelledEpisode:
    """The pictures of an episode of T control periods, and what they show.

    Attributes:
        name: of the episode, after the name of its folder of episodes.
        scene: task, room and seed, which say what stood where; the episode's name where that is not known.
        images: camera name to RGB pixels, shape (T, height, width, 3), uint8.
        labels: shape (T,).
        truth: ground truth of each frame, shape (T,), with the label `UNKNOWN` where none was recorded.
        contract: of the robot.
        task: name of the task.
    """

    name: str
    scene: str
    images: dict[str, ImageArray]
    labels: FrameLabels
    truth: FrameLabels
    contract: RobotContract
    task: str


def labelled_frames_of(
    store: EpisodeStore, names: Sequence[str], cameras: tuple[str, ...], config: LabellingConfig
) -> Iterator[LabelledEpisode]:
    """Read episodes one after the other, and label their frames.

    Args:
        store: the recordings.
        names: the episodes.
        cameras: cameras to read.
        config: how frames are labelled.

    Raises:
        EpisodeError: an episode is damaged, or a label is none.
        ConfigurationError: an episode has no outcome or no ground truth, whichever is asked for.
        UnknownNameError: a camera was not recorded.
    """
    for name in names:
        episode = store.read(name, cameras)
        metadata = episode.metadata
        label = f"{store.root.name}/{name}"
        # without a room, the seed does not say what stood where
        scene = f"{metadata.task} {metadata.room} {metadata.seed}" if metadata.room else label
        yield LabelledEpisode(
            label,
            scene,
            episode.images,
            labels_of(episode, judge(read_labels(store.root, name)), config),
            truth_of(episode),
            metadata.contract,
            metadata.task,
        )


def labels_of(episode: Episode, judgement: Judgement, config: LabellingConfig) -> FrameLabels:
    """Return the labels that training sees.

    Raises:
        EpisodeError: labels of single frames are not one for each, or not 1, 0 or None.
        ConfigurationError: truth is asked for, and none was recorded.
    """
    period_s = 1.0 / episode.metadata.contract.control_rate_hz
    margin = round(config.margin_s / period_s)
    if config.labels == "truth":
        truth = truth_of(episode)
        if (truth == UNKNOWN).any():
            raise ConfigurationError(
                f"episode '{episode.name}': labels 'truth' need the simulator's ground truth, and it was not recorded; "
                "label the episode with 'tutelage data label' and take labels 'outcome'"
            )
        return with_margin(truth, margin)
    values = judgement.rewards.get(FRAME_LABELS)
    if values is not None:
        return _of_frames(episode, values)
    success = episode.result.success if judgement.success is None else judgement.success
    labels = np.full(len(episode), NONE, np.int8)
    if success:
        labels[-max(1, round(config.positive_s / period_s)) :] = SUCCESS
    return with_margin(labels, margin)


def truth_of(episode: Episode) -> FrameLabels:
    """Return the ground truth of each frame; `UNKNOWN` for all where the recording has none."""
    if not np.isfinite(episode.progress).all():
        return np.full(len(episode), UNKNOWN, np.int8)
    return np.where(episode.success, SUCCESS, NONE).astype(np.int8)


def with_margin(labels: FrameLabels, margin: int) -> FrameLabels:
    """Return the labels with up to `margin` frames before each first frame of success made `UNKNOWN`."""
    found = labels.copy()
    for first in np.flatnonzero((labels == SUCCESS) & (np.concatenate([[NONE], labels[:-1]]) != SUCCESS)).tolist():
        before = found[max(0, first - margin) : first]
        before[before == NONE] = UNKNOWN
    return found


def _of_frames(episode: Episode, values: Sequence[float | None]) -> FrameLabels:
    if len(values) != len(episode):
        raise EpisodeError(
            f"episode '{episode.name}': {len(values)} labels of frames ('{FRAME_LABELS}') for {len(episode)} control "
            "periods; label it again"
        )
    wrong = [value for value in values if value is not None and value not in (SUCCESS, NONE)]
    if wrong:
        raise EpisodeError(
            f"episode '{episode.name}': a label of a frame ('{FRAME_LABELS}') is {wrong[0]}; legal: 1 for success, "
            "0 for none, None for unknown"
        )
    return np.array([UNKNOWN if value is None else int(value) for value in values], np.int8)
