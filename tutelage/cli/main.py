"""`tutelage VERB ...`: one verb, one dataclass of settings, one function."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tutelage.cli import show, show_data, show_incident, show_learning, show_sim
from tutelage.cli.show_data import DataConfig
from tutelage.runs.collect import CollectConfig
from tutelage.runs.evaluate import EvaluateConfig
from tutelage.runs.graph import RunConfig
from tutelage.runs.replay_incident import ReplayIncidentConfig
from tutelage.runs.scenes import SimConfig
from tutelage.runs.ship import ShipConfig
from tutelage.runs.train_bc import TrainBcConfig
from tutelage.runs.train_hil_serl import TrainHilSerlConfig
from tutelage.runs.train_trunk import TrainTrunkConfig
from tutelage_core.errors import TutelageError


@dataclass(frozen=True)
class DemoConfig:
    """Watch a shipped policy at work in the twin, through the whole graph, in lock-step.

    Attributes:
        policy: name of a shipped checkpoint, or the folder of one.
        task: task to do.
        episodes: episodes to run.
        output: folder for recordings, film strips and the report page.
    """

    policy: str = "bc_pick_cube"
    task: str = "PickCube"
    episodes: int = 5
    output: Path = Path("runs/demo")


@dataclass(frozen=True)
class LiveConfig:
    """The same graph in real time, episode after episode, until Ctrl-C.

    Attributes:
        policy: name of a shipped checkpoint, or the folder of one.
        task: task to do.
        output: folder for the graph's log.
    """

    policy: str = "bc_pick_cube"
    task: str = "PickCube"
    output: Path = Path("runs/live")


@dataclass(frozen=True)
class DoctorConfig:
    """Say what works on this machine, and what to do about the rest."""


Command = (
    Annotated[CollectConfig, tyro.conf.subcommand("collect", description="record demonstrations of the expert")]
    | Annotated[TrainBcConfig, tyro.conf.subcommand("train", description="train a policy (behaviour cloning)")]
    | Annotated[
        TrainTrunkConfig, tyro.conf.subcommand("train-trunk", description="train an image trunk; also: train trunk")
    ]
    | Annotated[
        TrainHilSerlConfig, tyro.conf.subcommand("train-hil-serl", description="learn online; also: train hil-serl")
    ]
    | Annotated[EvaluateConfig, tyro.conf.subcommand("eval", description="success over seeded episodes, in the loop")]
    | Annotated[ShipConfig, tyro.conf.subcommand("ship", description="put a trained policy under models/")]
    | Annotated[RunConfig, tyro.conf.subcommand("run", description="run a policy in the ROS graph")]
    | Annotated[DemoConfig, tyro.conf.subcommand("demo", description="five episodes in the graph, with a report page")]
    | Annotated[LiveConfig, tyro.conf.subcommand("live", description="the graph in real time, until Ctrl-C")]
    | Annotated[
        ReplayIncidentConfig, tyro.conf.subcommand("replay-incident", description="what a blown-up simulation did")
    ]
    | Annotated[DataConfig, tyro.conf.subcommand("data", description="recorded episodes: list, show, repair, export")]
    | Annotated[SimConfig, tyro.conf.subcommand("sim", description="look at the twin: rooms, tasks and experts")]
    | Annotated[DoctorConfig, tyro.conf.subcommand("doctor", description="what works on this machine")]
)


def main() -> None:
    """Run the command line; exit 0 when it worked, 1 when it was refused or failed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    command: Command = tyro.cli(
        Command,
        prog="tutelage",
        description="A robot arm that learns. See docs/.",
        args=joined_verbs(sys.argv[1:]),
        config=(tyro.conf.OmitSubcommandPrefixes,),
    )  # type: ignore[arg-type]
    try:
        code = _run(command)
    except TutelageError as error:
        print(f"tutelage: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("tutelage: stopped", file=sys.stderr)
        code = 130
    sys.exit(code)


def joined_verbs(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with a verb of two words, such as `train trunk`, written as one."""
    if tuple(arguments[:2]) in {("train", "trunk"), ("train", "hil-serl")}:
        return [f"train-{arguments[1]}", *arguments[2:]]
    return list(arguments)


def _run(command: Command) -> int:
    match command:
        case CollectConfig():
            return show.collect(command)
        case TrainBcConfig():
            return show.train(command)
        case TrainTrunkConfig():
            return show.train_trunk(command)
        case TrainHilSerlConfig():
            return show_learning.train_hil_serl(command)
        case EvaluateConfig():
            return show.evaluate(command)
        case ShipConfig():
            return show.ship(command)
        case RunConfig():
            return show.run(command)
        case DemoConfig():
            return show.demo(command.policy, command.task, command.episodes, command.output)
        case LiveConfig():
            return show.live(command.policy, command.task, command.output)
        case ReplayIncidentConfig():
            return show_incident.replay_incident(command)
        case DataConfig():
            return show_data.data_command(command)
        case SimConfig():
            return show_sim.sim(command)
        case DoctorConfig():
            return show.doctor()
