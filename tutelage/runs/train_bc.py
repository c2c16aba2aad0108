"""Trains behaviour cloning on a folder of recorded episodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from policies.bc.config import BcConfig
from policies.bc.train import train
from policies.training_run import POLICY_FOLDER
from tutelage.runs.demonstrations import Target, Wanted, load_demonstrations
from tutelage_core.contract import load_contract


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
    target: Target = "expert"
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
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    model = config.bc.model
    wanted = Wanted(
        config.dataset,
        config.cameras,
        model.state_keys,
        model.history,
        model.chunk,
        config.target,
        successes_only=config.successes_only,
    )
    windows, demonstrated = load_demonstrations(wanted, contract)
    train(windows, config.bc, demonstrated, config.output, resume=config.resume)
    return config.output / POLICY_FOLDER
