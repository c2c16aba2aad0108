"""Episodes to a LeRobotDataset v3 and back, in parallel processes; a run that was cut off goes on where it was."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from tutelage_core.contract import RobotContract, load_contract
from tutelage_core.episodes import messages
from tutelage_core.episodes.labels import judge, read_labels
from tutelage_core.episodes.lerobot import features
from tutelage_core.episodes.lerobot.assemble import ExportTotals, assemble, check_contracts, check_output
from tutelage_core.episodes.lerobot.dataset import Dataset, open_dataset
from tutelage_core.episodes.lerobot.episode_export import export_episode, rewards_of
from tutelage_core.episodes.lerobot.importing import (
    STAGING_FOLDER,
    ImportSettings,
    check_fit,
    contract_of,
    import_episode,
    plan_import,
)
from tutelage_core.episodes.lerobot.layout import ExportSettings
from tutelage_core.episodes.lerobot.piece import LOCK_FILE, partial_folder
from tutelage_core.episodes.lerobot.video import check_size
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, EpisodeError, UnknownNameError
from tutelage_core.parallel import each


@dataclass(frozen=True)
class ExportConfig:
    """Settings of an export.

    Attributes:
        dataset: folder of the episodes.
        output: folder of the LeRobot data set; it must not exist. Until it is whole it is called `<output>.partial`.
        episodes: names of the episodes, in their order; all finished ones if none is named.
        processes: parallel processes.
        settings: how the data set is written.
    """

    dataset: tyro.conf.Positional[Path]
    output: tyro.conf.Positional[Path]
    episodes: tuple[str, ...] = ()
    processes: int = 2
    settings: ExportSettings = field(default_factory=ExportSettings)


@dataclass(frozen=True)
class ImportConfig:
    """Settings of an import.

    Attributes:
        dataset: folder of the LeRobot data set.
        output: folder of the episodes; those that are there already are skipped, and nothing is overwritten.
        robot: robot, or YAML file with its contract, that a data set fits which was not exported by this program.
        as_foreign: take a data set of ours for another's, because it was changed since.
        processes: parallel processes.
        settings: how episodes are made of it.
    """

    dataset: tyro.conf.Positional[Path]
    output: tyro.conf.Positional[Path]
    robot: str = ""
    as_foreign: bool = False
    processes: int = 2
    settings: ImportSettings = field(default_factory=ImportSettings)


@dataclass(frozen=True)
class ImportTotals:
    """How many episodes were made, and how many were there already."""

    imported: int
    skipped: int


def export(config: ExportConfig) -> ExportTotals:
    """Export episodes to a LeRobotDataset v3.0.

    Raises:
        ConfigurationError: a setting is out of range, the output exists, or another export is writing it.
        ContractMismatchError: the episodes do not fit into one data set.
        EpisodeError: there is no episode, or one is damaged.
        UnknownNameError: an episode or a reward model is unknown.
    """
    _check_processes(config.processes)
    check_output(config.output)
    names = _checked_names(config)
    partial = partial_folder(config.output)
    jobs = [(config.dataset, name, config.output, config.settings) for name in names]
    with _locked(partial):
        for _ in each(_export_one, jobs, config.processes, title="export", prepare=_prepare):
            pass
        return assemble(config.output, names, config.settings)


def import_(config: ImportConfig) -> ImportTotals:
    """Make episodes of a LeRobotDataset v3.

    Raises:
        ConfigurationError: a setting is out of range, no robot is named, or another import is writing there.
        ContractMismatchError: the data set does not fit the robot.
        EpisodeError: the data set is damaged, or an episode of the same name is another one.
    """
    _check_processes(config.processes)
    dataset = open_dataset(config.dataset, as_foreign=config.as_foreign)
    contract = contract_of(dataset, load_contract(config.robot) if config.robot else None)
    check_fit(dataset, contract, config.settings)
    plan = plan_import(dataset, config.output, contract, config.settings)
    with _locked(config.output / STAGING_FOLDER):
        told = (dataset, config.output, contract, config.settings)
        prepare = functools.partial(_prepare, told)
        for _ in each(_import_one, tuple(plan.names), config.processes, title="import", prepare=prepare):
            pass
        shutil.rmtree(config.output / STAGING_FOLDER)
    return ImportTotals(len(plan.names), plan.skipped)


def _check_processes(processes: int) -> None:
    if processes < 1:
        raise ConfigurationError(f"processes must be at least 1, got {processes}")


def _checked_names(config: ExportConfig) -> tuple[str, ...]:
    """Return the episodes to export; all that can be known without opening a recording is checked here."""
    store = EpisodeStore(config.dataset)
    known = store.names()
    names = config.episodes or known
    if not names:
        raise EpisodeError(f"{config.dataset}: no finished episode to export, {len(store.partial())} partial")
    if len(set(names)) != len(names):
        raise ConfigurationError("an episode is named twice; a data set holds each one once")
    for name in names:
        if name not in known:
            raise UnknownNameError("episode", name, known, str(config.dataset))
    manifests = {name: store.manifest(name) for name in names}
    contracts = {name: manifest.metadata.contract for name, manifest in manifests.items()}
    check_contracts(contracts)
    contract = contracts[names[0]]
    features.whole_fps(contract)
    for camera in features.camera_keys(contract):
        check_size(contract.cameras[camera].width, contract.cameras[camera].height, config.settings, camera)
        for name, manifest in manifests.items():
            if camera not in {messages.camera_of(topic) for topic in manifest.messages}:
                raise EpisodeError(f"{config.dataset / name}: has no images of camera '{camera}', which its robot has")
    _check_rewards(config, {name: manifest.messages[messages.EXECUTED_TOPIC] for name, manifest in manifests.items()})
    return names


def _check_rewards(config: ExportConfig, periods: dict[str, int]) -> None:
    model = config.settings.reward_model
    if not model:
        return
    found: set[str] = set()
    for name, length in periods.items():
        judgement = judge(read_labels(config.dataset, name))
        rewards_of(judgement, model, length, name)
        found |= set(judgement.rewards)
    if model not in found:
        raise UnknownNameError("reward model", model, found, f"the labels of {config.dataset}")


def _export_one(job: tuple[Path, str, Path, ExportSettings]) -> bool:
    return export_episode(*job)


_told: list[tuple[Dataset, Path, RobotContract, ImportSettings]] = []
"""In a worker: what to import from and where to, sent once, for it may be large."""


def _import_one(index: int) -> bool:
    dataset, output, contract, settings = _told[0]
    import_episode(dataset, index, output, contract, settings)
    return True


def _prepare(told: tuple[Dataset, Path, RobotContract, ImportSettings] | None = None) -> None:
    os.environ.setdefault("SVT_LOG", "1")  # errors only; else it tells its settings for each video
    _told.clear()
    if told is not None:
        _told.append(told)


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Make `folder` and keep other runs out of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"{folder}: another run is writing here; wait for it to end") from error
        yield
