"""Makes episodes of ours from a LeRobotDataset v3. Images come out of its videos: not the pixels that went in."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tutelage_core.contract import RobotContract
from tutelage_core.episodes import messages
from tutelage_core.episodes.labels import add_label
from tutelage_core.episodes.lerobot import features, layout, paths
from tutelage_core.episodes.lerobot.assemble import check_contracts
from tutelage_core.episodes.lerobot.dataset import Dataset, image_size
from tutelage_core.episodes.lerobot.foreign import foreign_content
from tutelage_core.episodes.lerobot.origin import rows_of
from tutelage_core.episodes.lerobot.revived import EpisodeContent, record
from tutelage_core.episodes.lerobot.stored import StoredEpisode
from tutelage_core.episodes.manifest import PARTIAL_SUFFIX, check_name, read_manifest, sync_folder
from tutelage_core.errors import ConfigurationError, ContractMismatchError, EpisodeError, UnknownNameError

Driver = Literal["human", "policy", "expert"]

STAGING_FOLDER = ".importing"
"""Below the folder of the episodes; an episode is made here and renamed when its labels are there too."""


@dataclass(frozen=True)
class ImportSettings:
    """How episodes are made of a data set.

    Attributes:
        cameras: our camera to the data set's feature, where that is not `observation.images.<camera>`.
        prefix: of the names of episodes that have none of ours; a number follows.
        source: who drove, where the data set does not say.
        success: whether an episode succeeded, where the data set does not say.
        image_format: how pixels are kept: raw, jpeg or png.
    """

    cameras: Mapping[str, str] = field(default_factory=dict[str, str])
    prefix: str = "lerobot"
    source: Driver = "human"
    success: bool = False
    image_format: messages.ImageFormat = "raw"


@dataclass(frozen=True)
class ImportPlan:
    """What is to be imported under which name, and how many episodes were there already."""

    names: Mapping[int, str]
    skipped: int


def contract_of(dataset: Dataset, given: RobotContract | None) -> RobotContract:
    """Return the contract of the robot that the data set was recorded on.

    Raises:
        ConfigurationError: it does not carry one, and none is given.
    """
    if given is not None:
        return given
    if not dataset.origins:
        raise ConfigurationError(
            f"{dataset.root}: says nothing of its robot's contract (robot_type '{dataset.robot_type}'); name the robot "
            "that it fits, or a YAML file with its contract"
        )
    return dataset.origins[0].metadata.contract


def check_fit(dataset: Dataset, contract: RobotContract, settings: ImportSettings) -> None:
    """Refuse a data set that is not of this robot.

    Raises:
        ContractMismatchError: cameras, their sizes, rate, state or action differ; both sides are named.
        UnknownNameError: the settings name a camera that the robot has not.
    """
    for camera in settings.cameras:
        if camera not in contract.cameras:
            raise UnknownNameError("camera", camera, contract.cameras, f"robot '{contract.name}'")
    have = dataset.features
    differences: list[str] = []
    if abs(dataset.fps - contract.control_rate_hz) > 1e-6:
        differences.append(f"rate: {dataset.fps:g} frames a second, the robot has {contract.control_rate_hz:g} Hz")
    there = [key for key, feature in have.items() if feature["dtype"] in ("video", "image")]
    for camera, key in feature_of_cameras(contract, settings).items():
        size = contract.cameras[camera]
        if key not in there:
            differences.append(
                f"camera '{camera}': the robot has it, '{key}' is not among {', '.join(there) or 'none'}"
            )
        elif image_size(have[key]) != (size.height, size.width):
            height, width = image_size(have[key])
            differences.append(
                f"camera '{camera}': {width}x{height} px in '{key}', the robot gives {size.width}x{size.height} px"
            )
    sizes = {layout.ACTION: len(features.ACTION_NAMES), layout.STATE: len(features.state_names(contract))}
    for key, size in sizes.items():
        shape = list(have[key]["shape"]) if key in have else None
        if shape != [size] and not (size == 0 and shape is None):
            differences.append(f"{key}: shape {shape or 'none'}, the robot's has {[size]}")
        names = have[key].get("names") if key in have else None
        ours = features.ACTION_NAMES if key == layout.ACTION else features.state_names(contract)
        if dataset.origins and shape == [size] and list(names or ()) != list(ours):
            differences.append(f"{key}: {names}, the robot's are {list(ours)}")
    if differences:
        raise ContractMismatchError(f"data set {dataset.root}", f"robot '{contract.name}'", differences)
    if dataset.origins:
        own = {origin.name: origin.metadata.contract for origin in dataset.origins}
        check_contracts({contract.name: replace(contract, name=dataset.origins[0].metadata.robot)} | own)


def feature_of_cameras(contract: RobotContract, settings: ImportSettings) -> dict[str, str]:
    """Return the data set's feature for each of the robot's cameras."""
    return {camera: settings.cameras.get(camera, key) for camera, key in features.camera_keys(contract).items()}


def episode_name(dataset: Dataset, index: int, settings: ImportSettings) -> str:
    """Return what an episode is called here: its own name if it is one of ours, else prefix and number."""
    return check_name(dataset.origins[index].name if dataset.origins else f"{settings.prefix}-{index:06d}")


def plan_import(dataset: Dataset, output: Path, contract: RobotContract, settings: ImportSettings) -> ImportPlan:
    """Return what is not there yet. An episode of the same name, origin and length counts as imported.

    Raises:
        EpisodeError: a name is taken by something else.
    """
    names: dict[int, str] = {}
    for stored in dataset.episodes:
        name = episode_name(dataset, stored.index, settings)
        if (output / (name + PARTIAL_SUFFIX)).exists():
            raise EpisodeError(f"{output / (name + PARTIAL_SUFFIX)}: an unfinished episode has this name; move it away")
        if not (output / name).exists():
            names[stored.index] = name
            continue
        manifest = read_manifest(output / name)
        content = _content(dataset, stored, contract, settings)
        same = (manifest.metadata, manifest.result) == (content.metadata, content.result)
        if not same or manifest.messages.get(messages.EXECUTED_TOPIC) != stored.length:
            raise EpisodeError(
                f"{output / name}: another episode has this name ('{manifest.metadata.instruction}', "
                f"{manifest.messages.get(messages.EXECUTED_TOPIC)} periods; episode {stored.index} of {dataset.root}: "
                f"'{content.metadata.instruction}', {stored.length}); choose another folder, nothing is overwritten"
            )
    return ImportPlan(names, len(dataset.episodes) - len(names))


def import_episode(
    dataset: Dataset, index: int, output: Path, contract: RobotContract, settings: ImportSettings
) -> Path:
    """Make one episode; it appears in `output` with its labels, all at once. Return its folder.

    Raises:
        EpisodeError: the data are damaged, were changed since our export, or the name is taken.
    """
    stored = dataset.episodes[index]
    name = episode_name(dataset, index, settings)
    content = _content(dataset, stored, contract, settings)
    images = {camera: dataset.images(stored, key) for camera, key in feature_of_cameras(contract, settings).items()}
    work = output / STAGING_FOLDER
    shutil.rmtree(work / name, ignore_errors=True)
    shutil.rmtree(work / (name + PARTIAL_SUFFIX), ignore_errors=True)
    made = record(work, name, content, images, settings.image_format)
    for label in content.labels:
        add_label(work, name, label)
    final = output / name
    if final.exists():
        raise EpisodeError(f"{final}: appeared while it was imported; nothing is overwritten")
    made.rename(final)
    sync_folder(output)
    return final


def _content(
    dataset: Dataset, stored: StoredEpisode, contract: RobotContract, settings: ImportSettings
) -> EpisodeContent:
    rows = dataset.rows(stored)
    if not dataset.origins:
        return foreign_content(dataset, stored, rows, contract, settings.source, settings.success)
    origin = dataset.origins[stored.index]
    path = paths.file_in(dataset.root, layout.PERIODS_FILE)
    exact = _exact(path, stored, origin.metadata.contract)
    _check_unchanged(path, stored, rows, exact, contract)
    return EpisodeContent(
        origin.metadata, origin.result, origin.labels, np.array(origin.stamps_ns, dtype=np.int64), exact
    )


def _exact(path: Path, stored: StoredEpisode, contract: RobotContract) -> Mapping[str, Any]:
    try:
        with pq.ParquetFile(path) as file:
            groups = file.metadata.num_row_groups
            length = file.metadata.row_group(stored.index).num_rows if stored.index < groups else 0
            if length != stored.length:
                raise EpisodeError(
                    f"{path}: {length} rows for episode {stored.index}, the data set says {stored.length}; it "
                    "is not of this data set"
                )
            table = file.read_row_group(stored.index)
    except (OSError, pa.ArrowException) as error:
        raise EpisodeError(f"{path}: episode {stored.index} is not readable: {error}") from error
    return rows_of(table, contract, f"{path}: episode {stored.index}")


def _check_unchanged(
    path: Path, stored: StoredEpisode, rows: Mapping[str, Any], exact: Mapping[str, Any], contract: RobotContract
) -> None:
    pairs = {layout.ACTION: exact["executed"], layout.SOURCE: exact["source"][:, None]}
    if contract.state_keys:
        pairs[layout.STATE] = np.concatenate([exact[key] for key in contract.state_keys], axis=1)
    for key, ours in pairs.items():
        theirs = rows.get(key, np.empty(0))
        if not np.array_equal(theirs, ours.astype(theirs.dtype), equal_nan=True):
            raise EpisodeError(
                f"episode {stored.index}: '{key}' in {stored.data_file} is not what {path} says; the data set was "
                "changed since it was exported: import it as foreign"
            )
