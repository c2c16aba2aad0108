"""Reward models by what names them on a command line or in a launch file: `KIND`, or `KIND:PLACE`."""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reward_models.golden import check_golden
from reward_models.image_text.image_text_model import ImageTextModel
from reward_models.image_text.open_clip_model import OpenClipModel
from reward_models.image_text.twin_tower import TwinTower, shipped_tower
from reward_models.reward_model import RewardModel
from reward_models.success_classifier.classifier import SuccessClassifier
from reward_models.success_classifier.reward import SuccessReward
from reward_models.vlm_rm.vlm_rm import VlmRm, VlmRmConfig
from tutelage_core.config import load_yaml
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.sealed_folder import MANIFEST

TOWER, CLIP, CLIP_OPENVINO = "twin_tower", "open_clip", "open_clip_openvino"
_BACKENDS = {CLIP: "torch", CLIP_OPENVINO: "openvino"}
TWIN_CAMERAS = ("front", "wrist")
"""The twin tower looks through both cameras that it learnt with."""


@dataclass(frozen=True)
class Loaded:
    """A reward model and how it was named.

    Attributes:
        name: as it was asked for.
        model: the model.
        threshold: a reward of at least this says success; None where it has none.
        likely: a probability of success of at least this says success, for a model that knows one.
    """

    name: str
    model: RewardModel
    threshold: float | None = None
    likely: float = 0.5


@dataclass(frozen=True)
class VlmRmFile:
    """What a settings file of VLM-RM says.

    Attributes:
        model: `twin_tower`, the one that comes with the project, `twin_tower:FOLDER`, `open_clip:FOLDER` or
            `open_clip_openvino:FOLDER`; folders are from the file's own folder on.
        reward: how it is asked.
        threshold: a reward of at least this says success; None where nobody has chosen one.
    """

    model: str
    reward: VlmRmConfig = field(default_factory=VlmRmConfig)
    threshold: float | None = None


def load_reward_model(name: str) -> Loaded:
    """Return the reward model of this name.

    Args:
        name: `twin_tower`, `twin_tower:FOLDER`, `open_clip:FOLDER` or `open_clip_openvino:FOLDER`: VLM-RM on that
            model with the task's own sentence; `vlm_rm:FILE`, with the settings in a YAML file;
            `success_classifier:FOLDER`; `python:MODULE:FUNCTION`, what your own function returns.

    Raises:
        UnknownNameError: there is no such kind; the legal ones are listed.
        ConfigurationError: its place is missing or holds no such model.
        CheckpointError: what is there is damaged.
    """
    kind, _, place = name.partition(":")
    if kind not in KINDS:
        raise UnknownNameError("reward model", kind, KINDS, f"'{name}'")
    if not place and kind != TOWER:
        raise ConfigurationError(f"reward model '{name}': say where it is: {kind}:PLACE")
    return KINDS[kind](name, place_of(name))


def place_of(name: str) -> Path:
    """Return the folder or settings file of the reward model of this name."""
    _, _, place = name.partition(":")
    return Path(place) if place else shipped_tower()


def load_served(name: str, *, golden: bool) -> tuple[RewardModel, float | None]:
    """Return a reward model and its threshold, for a process that serves it.

    Args:
        name: see `load_reward_model`.
        golden: compare its answer to the golden picture with the one that was written down.

    Raises:
        UnknownNameError, ConfigurationError, CheckpointError: see `load_reward_model` and `check_golden`.
    """
    loaded = load_reward_model(name)
    if golden:
        check_golden(loaded.model, place_of(name))
    return loaded.model, loaded.threshold


def load_image_text_model(name: str, start: Path = Path()) -> ImageTextModel:
    """Return the model of images and text of this name.

    Args:
        name: `twin_tower`, `twin_tower:FOLDER`, `open_clip:FOLDER`, or `open_clip_openvino:FOLDER` for the same model
            run by OpenVINO.
        start: where folders begin.

    Raises:
        UnknownNameError: there is no such kind.
        ConfigurationError: its place is missing or holds no such model.
        CheckpointError: what is there is damaged.
    """
    kind, _, place = name.partition(":")
    if kind != TOWER and kind not in _BACKENDS:
        raise UnknownNameError("model of images and text", kind, (TOWER, *_BACKENDS), f"'{name}'")
    if kind == TOWER:
        return TwinTower.load(start / place if place else shipped_tower())
    if not place:
        raise ConfigurationError(f"model '{name}': say where it is: {kind}:FOLDER")
    return OpenClipModel(start / place, backend=_BACKENDS[kind])


def _open_clip(name: str, place: Path) -> Loaded:
    del place  # the name says it
    return Loaded(name, VlmRm(load_image_text_model(name), VlmRmConfig()))


def _twin_tower(name: str, place: Path) -> Loaded:
    tower = TwinTower.load(place)
    return Loaded(
        name, VlmRm(tower, VlmRmConfig(cameras=TWIN_CAMERAS)), None if math.isnan(tower.spec.done) else tower.spec.done
    )


def _vlm_rm(name: str, place: Path) -> Loaded:
    said = load_yaml(place, VlmRmFile)
    return Loaded(name, VlmRm(load_image_text_model(said.model, place.parent), said.reward), said.threshold)


def _success_classifier(name: str, place: Path) -> Loaded:
    classifier = SuccessClassifier.load(place)
    digest = hashlib.sha256((place / MANIFEST).read_bytes()).hexdigest()
    return Loaded(name, SuccessReward(classifier, digest), 0.5, classifier.spec.rule.high)


def _python(name: str, place: Path) -> Loaded:
    module, _, function = str(place).partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"reward model '{name}': there is no such function: {error}") from error
    made = make()
    if not isinstance(made, RewardModel):
        raise ConfigurationError(f"reward model '{name}': what it returned is no RewardModel: {type(made).__name__}")
    return Loaded(name, made)


KINDS: Mapping[str, Callable[[str, Path], Loaded]] = {
    TOWER: _twin_tower,
    CLIP: _open_clip,
    CLIP_OPENVINO: _open_clip,
    "vlm_rm": _vlm_rm,
    "success_classifier": _success_classifier,
    "python": _python,
}
"""Kind of reward model to what loads it."""
