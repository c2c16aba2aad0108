"""Verbs of the command line and what they begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.hil_serl.presets import preset
from reward_models.serving.success_vote import VoteSettings
from tutelage.cli.main import Command, parsed
from tutelage.learning.judge import RewardChoice
from tutelage.learning.settings import default_settings, hg_dagger_settings
from tutelage.runs.evaluate_rewards import EvaluateRewardsConfig
from tutelage.runs.page import PageConfig, serve_page
from tutelage.runs.score_episodes import GoldenConfig, ScoreEpisodesConfig
from tutelage.runs.train_bc import TrainBcConfig
from tutelage.runs.train_hil_serl import TrainHilSerlConfig
from tutelage.runs.train_success_classifier import TrainSuccessClassifierConfig
from tutelage.runs.train_tower import TrainTowerConfig
from tutelage.runs.train_trunk import TrainTrunkConfig
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit


def online(*arguments: str) -> TrainHilSerlConfig:
    command = parsed(["train", *arguments, "--output", "runs/x"])
    assert isinstance(command, TrainHilSerlConfig)
    assert command.output == Path("runs/x")
    return command


@pytest.mark.parametrize(
    ("verb", "settings"),
    [
        ("hil-serl", default_settings()),
        ("rlpd", preset("rlpd")),
        ("wsrl", preset("wsrl")),
        ("hg-dagger", hg_dagger_settings()),
    ],
)
def test_relatives_of_hil_serl_differ_in_their_numbers_only(verb: str, settings: object) -> None:
    command = online(verb, "--seed", "3")
    assert command.hil_serl == settings
    assert command == TrainHilSerlConfig(Path("runs/x"), seed=3, hil_serl=command.hil_serl)


def test_a_relative_s_numbers_can_be_changed_one_by_one() -> None:
    command = online("wsrl", "--start", "runs/pick", "--hil-serl.schedule.warmup-steps", "100")
    assert command.start == Path("runs/pick")
    assert command.hil_serl.schedule.warmup_steps == 100
    assert command.hil_serl.learner == preset("wsrl").learner


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["train", "--dataset", "a", "--output", "b"], TrainBcConfig),
        (["train", "trunk", "--output", "b"], TrainTrunkConfig),
        (["train", "success-classifier", "--datasets", "a", "c", "--output", "b"], TrainSuccessClassifierConfig),
        (["reward", "evaluate", "--datasets", "a", "c", "--models", "open_clip:b"], EvaluateRewardsConfig),
        (["reward", "evaluate", "--datasets", "a"], EvaluateRewardsConfig),
        (["reward", "score", "--datasets", "a", "b", "--processes", "2"], ScoreEpisodesConfig),
        (["reward", "golden", "--model", "vlm_rm:mine.yaml"], GoldenConfig),
        (["train", "tower", "--output", "b", "--scenes.tasks", "PickCube", "OpenDoor"], TrainTowerConfig),
    ],
)
def test_verbs_of_two_words(arguments: list[str], kind: type[Command]) -> None:
    assert isinstance(parsed(arguments), kind)


def test_reward_to_learn_from_is_named_with_its_shaping() -> None:
    command = online("hil-serl", "--reward.model", "twin_tower", "--reward.shaping", "0.5", "--reward.votes.of", "4")
    assert command.reward == RewardChoice("twin_tower", 0.5, VoteSettings(3, 4))


def test_online_learning_without_a_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(["train", "wsrl"])
    assert "--output" in capsys.readouterr().err


def test_page_has_a_verb_and_an_open_door_is_refused_before_anything_starts() -> None:
    command = parsed(["page", "--host", "0.0.0.0"])
    assert isinstance(command, PageConfig)
    opened: list[str] = []
    with pytest.raises(ConfigurationError, match="token"):
        serve_page(command, opened.append)
    assert not opened
