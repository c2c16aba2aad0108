"""Trains a Robot Utility Model on a folder of recorded episodes, and chooses among its last states by rollouts."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from policies import processes
from policies.checkpoint import read_checkpoint, save_checkpoint
from policies.rum.data_filters import POSE, FilterSettings, filtered
from policies.rum.policy import needed_state
from policies.rum.train import CREATED_BY, train
from policies.rum.train_config import RumConfig
from policies.training_run import POLICY_FOLDER
from tutelage.runs.collect import EVALUATION_SEEDS_FROM
from tutelage.runs.demonstrations import Target, Wanted, load_demonstrations
from tutelage.runs.evaluate import EvaluateConfig, evaluate
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError

ROLLOUT_SEEDS_FROM = EVALUATION_SEEDS_FROM - 50_000
"""Scenes of the rollouts: neither demonstrated, unless somebody collects so many, nor evaluated."""

CHOICE = "choice.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainRumConfig:
    """One training run. For several GPUs or machines: `torchrun ... --no-python tutelage train rum ...`.

    Attributes:
        dataset: folder of episodes.
        output: folder of the run; the policy comes to stand in its subfolder `policy`.
        robot: robot that the policy is for, by name or YAML file; the episodes must have been recorded on such a one.
        cameras: cameras that the policy looks through; RUM's is the one at the wrist.
        target: imitate the expert's clean steps, where there are any, or what was executed.
        successes_only: leave out episodes that did not succeed.
        filter: leave out still frames and episodes that jump, as RUM's data do.
        filters: when a frame is still, and what a jump is.
        rollouts: episodes in the twin of each candidate and task; the one that succeeds most often is kept. With 0 it
            is the last one: there is no twin of your robot.
        rooms: split of the rollouts' rooms; those of `test` and `held_out` are kept for evaluation.
        processes: parallel processes of the rollouts.
        resume: go on with the run in `output`.
        threads: torch threads of each process; what torch chooses if None.
        device: `auto` takes a GPU if there is one.
        rum: every number of the training.
    """

    dataset: Path
    output: Path
    robot: str = "twin"
    cameras: tuple[str, ...] = ("wrist",)
    target: Target = "expert"
    successes_only: bool = True
    filter: bool = True
    filters: FilterSettings = field(default_factory=FilterSettings)
    rollouts: int = 20
    rooms: Literal["lab", "train"] = "train"
    processes: int = 2
    resume: bool = False
    threads: int | None = None
    device: str = "auto"
    rum: RumConfig = field(default_factory=RumConfig)


@dataclass(frozen=True)
class Candidate:
    """What the rollouts say of a state of the training.

    Attributes:
        name: of its checkpoint under `candidates/`.
        successes: rollouts that succeeded.
        rollouts: in all.
    """

    name: str
    successes: int
    rollouts: int


@dataclass(frozen=True)
class TrainedRum:
    """What came of a run.

    Attributes:
        policy: folder of the checkpoint; None in a process that does not lead.
        candidates: the oldest first; empty where none was rolled out.
        chosen: name of the one that was kept.
    """

    policy: Path | None
    candidates: tuple[Candidate, ...]
    chosen: str

    def summary(self) -> str:
        """Return some lines for a person."""
        lines = [f"{c.name}: {c.successes} of {c.rollouts} rollouts succeeded" for c in self.candidates]
        return "\n".join([*lines, f"checkpoint: {self.policy} ({self.chosen})"])


def train_rum(config: TrainRumConfig) -> TrainedRum:
    """Train, choose, and return where the policy stands.

    Raises:
        ConfigurationError: robot, cameras, episodes and settings do not belong together, or no episode is left.
        ContractMismatchError: the episodes were recorded on another robot.
        EpisodeError: an episode is damaged.
    """
    contract = load_contract(config.robot)
    if config.rollouts < 0 or config.processes < 1:
        raise ConfigurationError(
            f"rollouts must not be negative, processes at least 1, got {config.rollouts}, {config.processes}"
        )
    if config.rollouts and contract.arm.driver != "twin":
        raise ConfigurationError(f"rollouts need the twin, and robot '{contract.name}' is none: use --rollouts 0")
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = processes.device_named(config.device)
    model = config.rum.model
    keys = tuple(dict.fromkeys([*needed_state(model), *(POSE if config.filter else ())]))
    wanted = Wanted(
        config.dataset,
        config.cameras,
        keys,
        model.history,
        model.chunk,
        config.target,
        successes_only=config.successes_only,
    )
    windows, demonstrated = load_demonstrations(wanted, contract)
    frames = windows
    with processes.joined(device):
        leads = processes.rank() == 0
        if config.filter:
            frames, report = filtered(windows, keys, config.filters, adds_up=config.target == "executed")
            if leads:
                jumping = f"; left out, for they jump: {', '.join(report.jumping)}" if report.jumping else ""
                _log.info("%d frames, %d of them still and left out%s", report.frames, report.still, jumping)
        places = train(frames, config.rum, keys, demonstrated, config.output, device=device, resume=config.resume)
    if not leads:
        return TrainedRum(None, (), "")
    tried = tuple(_rolled_out(place, demonstrated.tasks, config) for place in places) if config.rollouts else ()
    best = max(reversed(tried), key=lambda candidate: candidate.successes).name if tried else places[-1].name
    policy = config.output / POLICY_FOLDER
    save_checkpoint(policy, read_checkpoint(places[0].with_name(best)), created_by=CREATED_BY)
    choice = {"chosen": best, "rooms": config.rooms, "seeds_from": ROLLOUT_SEEDS_FROM}
    told = [vars(candidate) for candidate in tried]
    (config.output / CHOICE).write_text(json.dumps({**choice, "candidates": told}, indent=1), encoding="utf-8")
    return TrainedRum(policy, tried, best)


def _rolled_out(place: Path, tasks: tuple[str, ...], config: TrainRumConfig) -> Candidate:
    settings = EvaluateConfig(
        policy=str(place),
        robot=config.robot,
        episodes=config.rollouts,
        first_seed=ROLLOUT_SEEDS_FROM,
        processes=config.processes,
        rooms=config.rooms,
    )
    successes = sum(evaluate(replace(settings, task=task)).successes for task in tasks)
    return Candidate(place.name, successes, config.rollouts * len(tasks))
