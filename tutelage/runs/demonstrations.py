"""What every training on recorded episodes does first: choose those to learn from, and compare them with the robot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from policies.training_run import Demonstrated
from tutelage_core.contract import RobotContract
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.windows import Windows, load_windows
from tutelage_core.errors import ConfigurationError, ContractMismatchError, UnknownNameError

Target = Literal["expert", "executed"]


@dataclass(frozen=True)
class Wanted:
    """What a training asks of a dataset.

    Attributes:
        dataset: folder of episodes.
        cameras: cameras to load; all of the robot's if empty.
        state_keys: state in the order in which it is concatenated.
        history: observations in a window.
        chunk: steps in a chunk.
        target: imitate the expert's clean steps, where there are any, or what was executed.
        successes_only: leave out episodes that did not succeed.
    """

    dataset: Path
    cameras: tuple[str, ...]
    state_keys: tuple[str, ...]
    history: int
    chunk: int
    target: Target = "expert"
    successes_only: bool = True


def load_demonstrations(wanted: Wanted, contract: RobotContract) -> tuple[Windows, Demonstrated]:
    """Load them.

    Raises:
        ConfigurationError: a camera is unknown, or no episode is left.
        ContractMismatchError: they were recorded on a robot that differs from `contract` in what matters here.
        EpisodeError: an episode is damaged.
    """
    cameras = wanted.cameras or tuple(contract.cameras)
    for name in cameras:
        if name not in contract.cameras:
            raise UnknownNameError("camera", name, contract.cameras, f"robot '{contract.name}'")
    store = EpisodeStore(wanted.dataset)
    manifests = {name: store.manifest(name) for name in store.names()}
    names = [name for name, manifest in manifests.items() if manifest.result.success or not wanted.successes_only]
    if not names:
        raise ConfigurationError(
            f"{wanted.dataset}: {len(manifests)} finished episodes, none of them to learn from"
            + (" (successes_only is on)" if wanted.successes_only else "")
        )
    windows = load_windows(
        store,
        cameras,
        wanted.state_keys,
        wanted.history,
        wanted.chunk,
        target=wanted.target,
        names=names,
        progress=True,
    )
    _compare(windows.contract, contract, cameras, wanted.dataset)
    tasks = tuple(sorted({manifests[name].metadata.task for name in names}))
    return windows, Demonstrated(contract.action, contract.control_rate_hz, tasks)


def _compare(recorded: RobotContract, contract: RobotContract, cameras: tuple[str, ...], dataset: Path) -> None:
    differences = [
        f"camera '{name}': {getattr(recorded.cameras[name], side)} px {side} recorded, "
        f"{getattr(contract.cameras[name], side)} px on the robot"
        for name in cameras
        for side in ("width", "height")
        if getattr(recorded.cameras[name], side) != getattr(contract.cameras[name], side)
    ]
    if recorded.action != contract.action:
        differences.append(f"action: {recorded.action} recorded, {contract.action} on the robot")
    if abs(recorded.control_rate_hz - contract.control_rate_hz) > 1e-6:
        differences.append(
            f"control rate: {recorded.control_rate_hz:g} Hz recorded, {contract.control_rate_hz:g} Hz on the robot"
        )
    if differences:
        raise ContractMismatchError(f"dataset {dataset}", f"robot '{contract.name}'", differences)
