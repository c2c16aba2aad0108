"""Reward models by what names them on a command line or in a launch file: `KIND`, or `KIND:PLACE`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reward_models.image_text.open_clip_model import OpenClipModel
from reward_models.reward_model import RewardModel
from reward_models.success_classifier.classifier import SuccessClassifier
from reward_models.success_classifier.reward import SuccessReward
from reward_models.vlm_rm.vlm_rm import VlmRm, VlmRmConfig
from tutelage_core.config import load_yaml
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.sealed_folder import MANIFEST


@dataclass(frozen=True)
class Loaded:
    """A reward model and how it was named.

    Attributes:
        name: as it was asked for.
        model: the model.
        threshold: a reward of at least this says success; None where it has none.
    """

    name: str
    model: RewardModel
    threshold: float | None = None


@dataclass(frozen=True)
class VlmRmFile:
    """What a settings file of VLM-RM says.

    Attributes:
        open_clip: folder of the model, from the file's own folder on.
        reward: how it is asked.
        threshold: a reward of at least this says success; None where nobody has chosen one.
    """

    open_clip: str
    reward: VlmRmConfig = field(default_factory=VlmRmConfig)
    threshold: float | None = None


def load_reward_model(name: str) -> Loaded:
    """Return the reward model of this name.

    Args:
        name: `open_clip:FOLDER`, VLM-RM on that model with the task's own sentence; `vlm_rm:FILE`, with the settings in
            a YAML file; `success_classifier:FOLDER`.

    Raises:
        UnknownNameError: there is no such kind; the legal ones are listed.
        ConfigurationError: its place is missing or holds no such model.
        CheckpointError: what is there is damaged.
    """
    kind, _, place = name.partition(":")
    if kind not in KINDS:
        raise UnknownNameError("reward model", kind, KINDS, f"'{name}'")
    if not place:
        raise ConfigurationError(f"reward model '{name}': say where it is: {kind}:PLACE")
    return KINDS[kind](name, Path(place))


def _open_clip(name: str, place: Path) -> Loaded:

    return Loaded(name, VlmRm(OpenClipModel(place), VlmRmConfig()))


def _vlm_rm(name: str, place: Path) -> Loaded:

    said = load_yaml(place, VlmRmFile)
    return Loaded(name, VlmRm(OpenClipModel(place.parent / said.open_clip), said.reward), said.threshold)


def _success_classifier(name: str, place: Path) -> Loaded:

    classifier = SuccessClassifier.load(place)
    digest = hashlib.sha256((place / MANIFEST).read_bytes()).hexdigest()
    return Loaded(name, SuccessReward(classifier, digest), 0.5)


KINDS: Mapping[str, Callable[[str, Path], Loaded]] = {
    "open_clip": _open_clip,
    "vlm_rm": _vlm_rm,
    "success_classifier": _success_classifier,
}
"""Kind of reward model to what loads it."""
