"""Captioned scenes of the twin: every sentence is true of its picture, and nothing depends on how they are drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reward_models.image_text.captioned_frames import CaptionedFrames
from reward_models.image_text.tower_network import TowerShape
from reward_models.image_text.tower_training import TowerConfig
from reward_models.image_text.twin_tower import CARD, TwinTower
from sim.held_things import held_thing
from sim.twin import Twin
from tutelage.attempt_drivers import Kind
from tutelage.runs.captioned_scenes import AFTER_SUCCESS, ScenesConfig, captioned_episode, captioned_scenes
from tutelage.runs.train_tower import LOG, TrainTowerConfig, train
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError, UnknownNameError

pytestmark = pytest.mark.sim

CONTRACT = load_contract("twin")
SCENES = ScenesConfig(tasks=("PickCube", "CloseDrawer"), first_room=5, episodes=3, moments=4)


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(CONTRACT, "PickCube", 5, rooms="train")


def test_expert_s_episode_ends_in_success_and_says_so(twin: Twin) -> None:
    frames = captioned_episode(twin, CONTRACT, Kind.EXPERT, 5, 100)
    assert frames.cameras == ("front", "wrist")
    assert frames.sentences[frames.wishes[0]] == twin.instruction
    assert frames.success[-1]
    assert not frames.success[0]
    assert int(frames.success.sum()) == AFTER_SUCCESS + 1, "it goes on for a moment"
    held = [any(held_thing(text) == "the red cube" for text in frames.said_of(i)) for i in range(len(frames))]
    assert not held[0]
    assert held[-1]
    assert "the red cube is lifted off the table" in frames.said_of(len(frames) - 1)


def test_same_seed_is_the_same_episode_whatever_the_twin_did_before(twin: Twin) -> None:
    first = captioned_episode(twin, CONTRACT, Kind.STOPPED, 6, 4)
    captioned_episode(twin, CONTRACT, Kind.WANDERING, 7, 4)
    again = captioned_episode(twin, CONTRACT, Kind.STOPPED, 6, 4)
    np.testing.assert_array_equal(first.images, again.images)
    assert first.sentences == again.sentences
    assert not first.success.any(), "an expert that stops on its way"


def test_scenes_are_drawn_once_and_the_same_in_several_processes(tmp_path: Path) -> None:
    alone = captioned_scenes(SCENES, tmp_path / "one", 1)
    file = tmp_path / "one" / "PickCube-000000.npz"
    stamp = file.stat().st_mtime_ns
    assert same(captioned_scenes(SCENES, tmp_path / "one", 1), alone)
    assert file.stat().st_mtime_ns == stamp
    assert same(captioned_scenes(SCENES, tmp_path / "two", 2), alone)
    assert set(alone.kinds) == set(SCENES.tasks)
    assert len(np.unique(alone.episodes)) == 3
    with pytest.raises(ConfigurationError, match="names other settings"):
        captioned_scenes(replace(SCENES, moments=5), tmp_path / "one", 1)


def same(here: CaptionedFrames, there: CaptionedFrames) -> bool:
    said = all(here.said_of(i) == there.said_of(i) for i in range(len(here)))
    return said and np.array_equal(here.images, there.images)


def test_scenes_that_cannot_be_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="'Juggle'"):
        ScenesConfig(tasks=("Juggle",))
    with pytest.raises(ConfigurationError, match="at least 1 episode"):
        ScenesConfig(episodes=0)


def test_tower_is_trained_by_one_command_and_tells_its_card(tmp_path: Path) -> None:
    shape = TowerShape(("twin_trunk",), channels=16, blocks=1, queries=2, features=16, hidden=32)
    tower = TowerConfig(shape, epochs=3, batch=8, warmup=2, held_out=0.34)
    config = TrainTowerConfig(tmp_path / "run", scenes=SCENES, tower=tower, threads=1)
    folder = train(config)
    assert TwinTower.load(folder).spec.shape == shape
    card = (folder / CARD).read_text()
    assert "3 episodes of each of 2 tasks" in card
    assert "auroc_" in card
    assert str(tmp_path) not in card, "no folder of the machine that trained"
    assert (tmp_path / "run" / LOG).read_text().count("loss") >= 1
    with pytest.raises(ConfigurationError, match="holds a trained tower"):
        train(config)
