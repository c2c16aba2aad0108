"""Trains the success classifier that gives HIL-SERL its sparse reward, from folders of labelled episodes.

The run's folder holds `report.json` (every figure, the fold of each episode, labels, settings, seed, versions), also of
a run that is refused, and the sealed classifier `classifier/`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from reward_models.success_classifier.calibration import Calibration
from reward_models.success_classifier.classifier import SuccessClassifier, SuccessSpec, trunk_digest
from reward_models.success_classifier.config import SuccessClassifierConfig
from reward_models.success_classifier.detections import DetectionFigures, ScoredEpisode, figures_of
from reward_models.success_classifier.doubts import doubts_of, label_errors
from reward_models.success_classifier.labels import (
    NONE,
    SUCCESS,
    UNKNOWN,
    FrameLabels,
    LabelledEpisode,
    labelled_frames_of,
    with_margin,
)
from reward_models.success_classifier.model import frozen_trunk
from reward_models.success_classifier.train import HeldOutScores, train
from reward_models.success_classifier.views import EpisodeMaps, encoded
from sim.tasks.task import WatchedTask
from tutelage_core.config import to_mapping
from tutelage_core.contract import CameraNeed, RobotContract, load_contract
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, ContractMismatchError, UnknownNameError
from tutelage_core.versions import versions

CREATED_BY = "tutelage train success-classifier"
CLASSIFIER_FOLDER = "classifier"
REPORT = "report.json"

TRUTH_MARGIN = WatchedTask.hold_periods - 1
"""Control periods before the twin says success in which its goal is reached already; a detection there is right."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainSuccessClassifierConfig:
    """One training run.

    Attributes:
        datasets: folders of labelled episodes: demonstrations that go on for a moment after success, and failures,
            best such that end just short of it.
        output: folder of the run; the classifier comes to stand in its subfolder `classifier`.
        evaluation: folders of episodes with the simulator's ground truth, that nothing is learnt or chosen from.
        robot: robot that the classifier is for, by name or YAML file.
        cameras: cameras that it looks through; all of the robot's if empty.
        threads: torch threads; what torch chooses if None.
        classifier: every number of it.
    """

    datasets: tuple[Path, ...]
    output: Path
    evaluation: tuple[Path, ...] = ()
    robot: str = "twin"
    cameras: tuple[str, ...] = ()
    threads: int | None = None
    classifier: SuccessClassifierConfig = field(default_factory=SuccessClassifierConfig)


@dataclass(frozen=True)
class TrainedSuccessClassifier:
    """What came of a run.

    Attributes:
        folder: the sealed classifier.
        calibration: its rule, and figures on the episodes that were held out of each network, by their labels.
        truth: the same figures by ground truth; None where none was recorded.
        evaluation: figures on the evaluation episodes, by ground truth; None without any.
        warnings: what is to be mended before it is relied on.
    """

    folder: Path
    calibration: Calibration
    truth: DetectionFigures | None
    evaluation: DetectionFigures | None
    warnings: tuple[str, ...]

    def summary(self) -> str:
        """Return some lines for a person."""
        lines = [f"held out: {self.calibration.figures.summary()}"]
        lines += [] if self.truth is None else [f"held out, by ground truth: {self.truth.summary()}"]
        lines += [] if self.evaluation is None else [f"evaluation: {self.evaluation.summary()}"]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def train_success_classifier(config: TrainSuccessClassifierConfig) -> TrainedSuccessClassifier:
    """Train, choose the threshold, evaluate and store the classifier.

    Raises:
        ConfigurationError: robot, cameras, episodes and settings do not belong together; there is nothing to learn or
            too little to hold out; or the classifier would never fire, or not precisely enough. Says what to do.
        EpisodeError: an episode is damaged.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    if (config.output / REPORT).exists():
        raise ConfigurationError(f"{config.output} holds another run; choose another folder")
    contract = load_contract(config.robot)
    cameras = _cameras(contract, config.cameras)
    settings = config.classifier
    trunk = frozen_trunk(settings.model, cameras)
    names = tuple(cameras)
    episodes: list[EpisodeMaps] = []
    tasks: set[str] = set()
    for episode in _labelled(config.datasets, cameras, contract, settings):
        episodes.append(encoded(episode, trunk, names, settings.model, settings.training))
        tasks.add(episode.task)
    held_out = train(episodes, settings)
    report: dict[str, object] = {
        "config": _plain(config),
        "seed": settings.training.seed,
        "versions": versions(),
        "episodes": [_told(episode, fold) for episode, fold in zip(episodes, held_out.folds, strict=True)],
        "label_errors": dict(zip(("early", "missed"), label_errors(episodes, TRUTH_MARGIN), strict=True)),
    }
    try:
        calibration = held_out.calibrate(settings, contract.control_rate_hz)
    except ConfigurationError as error:
        _write(config.output, {**report, "refused": str(error)})
        raise ConfigurationError(f"{error}. All figures: {config.output / REPORT}") from error
    spec = SuccessSpec(
        tuple(sorted(tasks)),
        cameras,
        contract.control_rate_hz,
        settings.model,
        trunk_digest(trunk),
        settings.training.folds,
        calibration.rule,
    )
    classifier = SuccessClassifier(spec, held_out.ensemble.state_dict())
    warnings = tuple(doubts_of(episodes, calibration, settings, TRUTH_MARGIN))
    for warning in warnings:
        _log.warning("success classifier: %s", warning)
    trained = TrainedSuccessClassifier(
        config.output / CLASSIFIER_FOLDER,
        calibration,
        _by_truth(held_out, episodes, calibration, contract.control_rate_hz),
        evaluate_success_classifier(classifier, config.evaluation) if config.evaluation else None,
        warnings,
    )
    report |= {"calibration": calibration, "truth": trained.truth, "evaluation": trained.evaluation}
    classifier.save(trained.folder, created_by=CREATED_BY, card=_card(trained, config))
    _write(config.output, {**report, "warnings": warnings})
    return trained


def evaluate_success_classifier(classifier: SuccessClassifier, datasets: Sequence[Path]) -> DetectionFigures:
    """Return the figures of a classifier on episodes with the simulator's ground truth.

    Raises:
        ConfigurationError: there is no episode, or one has no ground truth.
        ContractMismatchError: an episode was recorded with other cameras or at another rate.
        EpisodeError: an episode is damaged.
    """
    spec = classifier.spec
    scored: list[ScoredEpisode] = []
    for store, name in _stored(datasets):
        manifest = store.manifest(name)
        classifier.check_fits(manifest.metadata.contract)
        settings = SuccessClassifierConfig()
        for episode in labelled_frames_of(store, (name,), tuple(spec.cameras), settings.labelling):
            if (episode.truth == UNKNOWN).any():
                raise ConfigurationError(
                    f"{store.root / name}: no ground truth was recorded, so nothing can be measured"
                )
            probabilities = classifier.probabilities(episode.images)
            scored.append(ScoredEpisode(episode.name, probabilities, _judged(episode.truth)))
    return figures_of(scored, spec.rule, spec.control_rate_hz)


def _cameras(contract: RobotContract, wanted: tuple[str, ...]) -> dict[str, CameraNeed]:
    for name in wanted:
        if name not in contract.cameras:
            raise UnknownNameError("camera", name, contract.cameras, f"robot '{contract.name}'")
    names = wanted or tuple(contract.cameras)
    return {name: CameraNeed(contract.cameras[name].width, contract.cameras[name].height) for name in names}


def _stored(datasets: Sequence[Path]) -> list[tuple[EpisodeStore, str]]:
    called = [folder.resolve().name for folder in datasets]
    if len(set(called)) < len(called):
        raise ConfigurationError(f"two datasets have the same name, of {', '.join(called)}: rename or join them")
    found: list[tuple[EpisodeStore, str]] = []
    for folder in datasets:
        store = EpisodeStore(folder)
        names = store.names()
        if not names:
            raise ConfigurationError(f"{folder}: no finished episode to learn from or to measure with")
        found += [(store, name) for name in names]
    return found


def _labelled(
    datasets: Sequence[Path], cameras: dict[str, CameraNeed], contract: RobotContract, settings: SuccessClassifierConfig
) -> Iterator[LabelledEpisode]:
    for store, name in tqdm(_stored(datasets), desc="encode episodes", unit="episode", disable=None):
        recorded = store.manifest(name).metadata.contract
        differences = [
            f"camera '{camera}': {need.width}x{need.height} px on the robot, not so recorded"
            for camera, need in cameras.items()
            if camera not in recorded.cameras
            or (recorded.cameras[camera].width, recorded.cameras[camera].height) != (need.width, need.height)
        ]
        if abs(recorded.control_rate_hz - contract.control_rate_hz) > 1e-6:
            rates = f"{recorded.control_rate_hz:g} Hz recorded, {contract.control_rate_hz:g} Hz on the robot"
            differences.append(f"control rate: {rates}")
        if differences:
            raise ContractMismatchError(f"episode {store.root / name}", f"robot '{contract.name}'", differences)
        yield from labelled_frames_of(store, (name,), tuple(cameras), settings.labelling)


def _judged(truth: FrameLabels) -> FrameLabels:
    return with_margin(truth, TRUTH_MARGIN)


def _by_truth(
    held_out: HeldOutScores, episodes: Sequence[EpisodeMaps], calibration: Calibration, rate_hz: float
) -> DetectionFigures | None:
    if any((episode.truth == UNKNOWN).any() for episode in episodes):
        return None
    scores = [
        ScoredEpisode(scored.name, scored.probabilities, _judged(episode.truth))
        for scored, episode in zip(held_out.scores, episodes, strict=True)
    ]
    return figures_of(scores, calibration.rule, rate_hz)


def _told(episode: EpisodeMaps, fold: int) -> dict[str, object]:
    counts = {word: int((episode.labels == v).sum()) for word, v in (("success", SUCCESS), ("none", NONE))}
    return {"name": episode.name, "scene": episode.scene, "fold": fold, "frames": len(episode.labels), **counts}


def _plain(config: TrainSuccessClassifierConfig) -> dict[str, object]:
    paths = {name: [str(path) for path in getattr(config, name)] for name in ("datasets", "evaluation")}
    return {**to_mapping(config), **paths, "output": str(config.output)}


def _write(folder: Path, report: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({key: to_mapping(value) for key, value in report.items()}, indent=1, allow_nan=False)
    (folder / REPORT).write_text(text + "\n", encoding="utf-8")


def _card(trained: TrainedSuccessClassifier, config: TrainSuccessClassifierConfig) -> str:
    return (
        "# Success classifier\n\n"
        f"- Script: `{CREATED_BY}` with the settings below, seed {config.classifier.training.seed}.\n"
        f"- Data: {', '.join(folder.name for folder in config.datasets)}.\n"
        "- Score:\n\n"
        + "".join(f"  - {line}\n" for line in trained.summary().splitlines())
        + "- Limits: knows the scenes, cameras and failures that it was shown; measure before you trust it on others.\n"
        f"\n```json\n{json.dumps(_plain(config), indent=1)}\n```\n"
    )
