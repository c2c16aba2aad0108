"""Trains behaviour cloning on a folder of recorded episodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from policies.bc.config import BcConfig
from policies.bc.train import POLICY_FOLDER, Demonstrated, train
from tutelage_core.contract import load_contract
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.windows import load_windows
from tutelage_core.errors import ConfigurationError, ContractMismatchError, UnknownNameError


@dataclass(frozen=True)
class TrainBcConfig:
    """One training run.

    Attributes:
        dataset: folder of episodes.
        output: folder of the run; the policy comes to stand in its subfolder `policy`.
        robot: robot that the policy is for, by name or YAML file; the episodes must have been recorded on such a one.
        cameras: cameras that the policy looks through; all of the robot's if empty.
        target: imitate the expert's clean steps, where there are any, or what was executed.
        successes_only: leave out episodes that did not succeed.
        resume: go on with the run in `output`.
        threads: torch threads; what torch chooses if None.
        bc: every number of the training.
    """

    dataset: Path
    output: Path
    robot: str = "twin"
    cameras: tuple[str, ...] = ()
    target: Literal["expert", "executed"] = "expert"
    successes_only: bool = True
    resume: bool = False
    threads: int | None = None
    bc: BcConfig = field(default_factory=BcConfig)


def train_bc(config: TrainBcConfig) -> Path:
    """Train, and return the folder of the checkpoint.

    Raises:
        ConfigurationError: robot, cameras, episodes and settings do not belong together, or no episode is left.
        EpisodeError: an episode is damaged.
    """
    contract = load_contract(config.robot)
    cameras = config.cameras or tuple(contract.cameras)
    for name in cameras:
        if name not in contract.cameras:
            raise UnknownNameError("camera", name, contract.cameras, f"robot '{contract.name}'")
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    store = EpisodeStore(config.dataset)
    manifests = {name: store.manifest(name) for name in store.names()}
    names = [name for name, manifest in manifests.items() if manifest.result.success or not config.successes_only]
    if not names:
        raise ConfigurationError(
            f"{config.dataset}: {len(manifests)} finished episodes, none of them to learn from"
            + (" (successes_only is on)" if config.successes_only else "")
        )
    model = config.bc.model
    windows = load_windows(
        store, cameras, model.state_keys, model.history, model.chunk, target=config.target, names=names, progress=True
    )
    recorded = windows.contract
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
        raise ContractMismatchError(f"dataset {config.dataset}", f"robot '{contract.name}'", differences)
    tasks = tuple(sorted({manifests[name].metadata.task for name in names}))
    demonstrated = Demonstrated(contract.action, contract.control_rate_hz, tasks)
    train(windows, config.bc, demonstrated, config.output, resume=config.resume)
    return config.output / POLICY_FOLDER
