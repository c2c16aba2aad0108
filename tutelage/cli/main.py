"""`tutelage VERB ...`: one verb, one dataclass of settings, one function."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from policies.hil_serl.presets import preset
from tutelage.cli import show, show_data, show_incident, show_learning, show_reward, show_sim
from tutelage.cli.show_data import DataConfig
from tutelage.learning.settings import hg_dagger_settings
from tutelage.runs.attempts import AttemptsConfig
from tutelage.runs.collect import CollectConfig
from tutelage.runs.evaluate import EvaluateConfig
from tutelage.runs.evaluate_retry import EvaluateRetryConfig
from tutelage.runs.evaluate_rewards import EvaluateRewardsConfig
from tutelage.runs.graph import RunConfig
from tutelage.runs.page import PageConfig
from tutelage.runs.replay_incident import ReplayIncidentConfig
from tutelage.runs.scenes import SimConfig
from tutelage.runs.score_episodes import GoldenConfig, ScoreEpisodesConfig
from tutelage.runs.ship import ShipConfig
from tutelage.runs.train_bc import TrainBcConfig
from tutelage.runs.train_hil_serl import TrainHilSerlConfig
from tutelage.runs.train_rum import TrainRumConfig
from tutelage.runs.train_success_classifier import TrainSuccessClassifierConfig
from tutelage.runs.train_tower import TrainTowerConfig
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


def _online(name: str) -> TrainHilSerlConfig:
    """Return what `train NAME` begins with."""
    settings = hg_dagger_settings() if name == "hg_dagger" else preset(name)
    return TrainHilSerlConfig(tyro.MISSING, hil_serl=settings)


TWO_WORDS = {
    "train": ("rum", "trunk", "hil-serl", "rlpd", "wsrl", "hg-dagger", "success-classifier", "tower"),
    "eval": ("retry",),
    "reward": ("evaluate", "score", "golden"),
}
"""Verbs of two words: the first one, and what may follow it."""

Command = (
    Annotated[CollectConfig, tyro.conf.subcommand("collect", description="record demonstrations of the expert")]
    | Annotated[
        AttemptsConfig, tyro.conf.subcommand("collect-attempts", description="record attempts that mostly fail")
    ]
    | Annotated[TrainBcConfig, tyro.conf.subcommand("train", description="train a policy (behaviour cloning)")]
    | Annotated[TrainRumConfig, tyro.conf.subcommand("train-rum", description="train a utility model; also: train rum")]
    | Annotated[
        TrainTrunkConfig, tyro.conf.subcommand("train-trunk", description="train an image trunk; also: train trunk")
    ]
    | Annotated[
        TrainHilSerlConfig, tyro.conf.subcommand("train-hil-serl", description="learn online; also: train hil-serl")
    ]
    | Annotated[
        TrainHilSerlConfig,
        tyro.conf.subcommand("train-rlpd", default=_online("rlpd"), description="the same with RLPD's numbers"),
    ]
    | Annotated[
        TrainHilSerlConfig,
        tyro.conf.subcommand("train-wsrl", default=_online("wsrl"), description="the same with WSRL's; see --start"),
    ]
    | Annotated[
        TrainHilSerlConfig,
        tyro.conf.subcommand(
            "train-hg-dagger", default=_online("hg_dagger"), description="the same loop, imitating people"
        ),
    ]
    | Annotated[
        TrainSuccessClassifierConfig,
        tyro.conf.subcommand(
            "train-success-classifier", description="see whether the task is done; also: train success-classifier"
        ),
    ]
    | Annotated[
        TrainTowerConfig,
        tyro.conf.subcommand("train-tower", description="train the model of images and text; also: train tower"),
    ]
    | Annotated[EvaluateConfig, tyro.conf.subcommand("eval", description="success over seeded episodes, in the loop")]
    | Annotated[
        EvaluateRetryConfig,
        tyro.conf.subcommand("eval-retry", description="the same with a verifier and retries; also: eval retry"),
    ]
    | Annotated[ShipConfig, tyro.conf.subcommand("ship", description="put a trained policy under models/")]
    | Annotated[RunConfig, tyro.conf.subcommand("run", description="run a policy in the ROS graph")]
    | Annotated[DemoConfig, tyro.conf.subcommand("demo", description="five episodes in the graph, with a report page")]
    | Annotated[PageConfig, tyro.conf.subcommand("page", description="see, take over, say and judge in a browser")]
    | Annotated[LiveConfig, tyro.conf.subcommand("live", description="the graph in real time, until Ctrl-C")]
    | Annotated[
        ReplayIncidentConfig, tyro.conf.subcommand("replay-incident", description="what a blown-up simulation did")
    ]
    | Annotated[DataConfig, tyro.conf.subcommand("data", description="recorded episodes: list, show, repair, export")]
    | Annotated[
        EvaluateRewardsConfig,
        tyro.conf.subcommand("reward-evaluate", description="compare reward models; also: reward evaluate"),
    ]
    | Annotated[
        ScoreEpisodesConfig,
        tyro.conf.subcommand("reward-score", description="score recorded episodes; also: reward score"),
    ]
    | Annotated[
        GoldenConfig,
        tyro.conf.subcommand("reward-golden", description="note a model's golden answer; also: reward golden"),
    ]
    | Annotated[SimConfig, tyro.conf.subcommand("sim", description="look at the twin: rooms, tasks and experts")]
    | Annotated[DoctorConfig, tyro.conf.subcommand("doctor", description="what works on this machine")]
)


def main() -> None:
    """Run the command line; exit 0 when it worked, 1 when it was refused or failed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    command = parsed(sys.argv[1:])
    try:
        code = _run(command)
    except TutelageError as error:
        print(f"tutelage: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("tutelage: stopped", file=sys.stderr)
        code = 130
    sys.exit(code)


def parsed(arguments: Sequence[str]) -> Command:
    """Return the settings that a command line asks for; one that asks for nothing sensible ends the program, with 2."""
    return tyro.cli(  # type: ignore[return-value]
        Command,  # type: ignore[arg-type]
        prog="tutelage",
        description="A robot arm that learns. See docs/.",
        args=joined_verbs(arguments),
        config=(tyro.conf.OmitSubcommandPrefixes,),
    )


def joined_verbs(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with a verb of two words, such as `train trunk`, written as one."""
    if len(arguments) > 1 and arguments[1] in TWO_WORDS.get(arguments[0], ()):
        return [f"{arguments[0]}-{arguments[1]}", *arguments[2:]]
    return list(arguments)


def _run(command: Command) -> int:
    match command:
        case CollectConfig():
            return show.collect(command)
        case AttemptsConfig():
            return show.collect_attempts(command)
        case TrainBcConfig():
            return show.train(command)
        case TrainRumConfig():
            return show.train_rum(command)
        case TrainTrunkConfig():
            return show.train_trunk(command)
        case TrainHilSerlConfig():
            return show_learning.train_hil_serl(command)
        case TrainSuccessClassifierConfig():
            return show_learning.train_success_classifier(command)
        case TrainTowerConfig():
            return show_learning.train_tower(command)
        case EvaluateConfig():
            return show.evaluate(command)
        case EvaluateRetryConfig():
            return show.evaluate_retry(command)
        case ShipConfig():
            return show.ship(command)
        case RunConfig():
            return show.run(command)
        case DemoConfig():
            return show.demo(command.policy, command.task, command.episodes, command.output)
        case LiveConfig():
            return show.live(command.policy, command.task, command.output)
        case PageConfig():
            return show.page(command)
        case ReplayIncidentConfig():
            return show_incident.replay_incident(command)
        case DataConfig():
            return show_data.data_command(command)
        case EvaluateRewardsConfig():
            return show_reward.evaluate(command)
        case ScoreEpisodesConfig():
            return show_reward.score(command)
        case GoldenConfig():
            return show_reward.golden(command)
        case SimConfig():
            return show_sim.sim(command)
        case DoctorConfig():
            return show.doctor()
