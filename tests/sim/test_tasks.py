"""What every task of the twin promises, whatever it is about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np
import pytest

from sim.rooms import Room
from sim.screening import try_expert
from sim.tasks import TASKS, make_task
from sim.tasks.task import Task
from sim.twin import Twin
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError, UnknownNameError

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


@pytest.fixture(scope="module", params=sorted(TASKS))
def twin(request: pytest.FixtureRequest) -> Iterator[Twin]:
    twin = Twin(load_contract("twin"), request.param, rooms="test")
    yield twin
    twin.close()


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_keeps_the_protocol(name: str) -> None:
    task = make_task(name)
    assert isinstance(task, Task)
    assert task.name == name
    assert len(set(task.instructions)) >= 4
    assert len(set(task.failures) - {"timeout"}) >= 2
    assert "timeout" in task.failures


@pytest.mark.parametrize("name", sorted(TASKS))
def test_an_inverse_undoes_and_is_undone_in_the_same_scene(name: str) -> None:
    task = make_task(name)
    if not task.inverse:
        return
    other = make_task(task.inverse)
    assert other.inverse == name
    assert other.scene == task.scene
    assert other.styles == task.styles


def test_an_unknown_task_is_refused_with_the_legal_names() -> None:
    with pytest.raises(UnknownNameError, match="PickCube"):
        make_task("PickCub")


def test_the_expert_solves_a_room_of_every_split(twin: Twin) -> None:
    for split in ("lab", "train", "test", "held_out"):
        trial = try_expert(twin, 11, Room(split, 11))
        assert trial.success, trial
        assert trial.force_n > 0.0


def test_words_fill_the_places_of_every_instruction(twin: Twin) -> None:
    twin.reset(3)
    for sentence in twin.task.instructions:
        assert "{" not in sentence.format(**twin.task.words(twin.world))
    assert "{" not in twin.instruction


def test_an_episode_starts_undone_and_at_rest(twin: Twin) -> None:
    for seed in (3, 4):
        twin.reset(seed)
        status = twin.task_status()
        assert not status.success
        assert status.failure == ""
        assert 0.0 <= status.progress < 0.6
        before = twin.points()
        for _ in range(3):
            twin.advance(None)
        for name, point in twin.points().items():
            assert np.linalg.norm(point - before[name]) < 0.01, name
        assert not twin.task_status().success


def test_nothing_starts_inside_something_else(twin: Twin) -> None:
    for seed in (3, 4, 5):
        twin.reset(seed)
        mujoco.mj_forward(twin.world.model, twin.world.data)
        contacts = twin.world.data.contact
        assert all(contacts.dist > -0.004), seed


def test_captions_change_when_the_task_is_done(twin: Twin) -> None:
    trial = try_expert(twin, 5)
    assert trial.success, trial
    after = twin.captions()
    twin.reset(5)
    before = twin.captions()
    assert len(before) >= 2
    assert len(after) >= 2
    assert not set(before) & set(after)


def test_points_are_finite_and_in_reach(twin: Twin) -> None:
    twin.reset(6)
    points = twin.points()
    assert len(points) >= 2
    for point in points.values():
        assert point.shape == (3,)
        assert np.isfinite(point).all()
        assert -0.2 < point[0] < 1.0


def test_the_same_seed_gives_the_same_states_and_pictures_twice(twin: Twin) -> None:
    def play() -> list[bytes]:
        twin.reset(8)
        seen = []
        for _ in range(6):
            step = twin.expert_step()
            seen += [step.tobytes(), twin.world.data.qpos.tobytes(), twin.render("front").tobytes()]
            twin.advance(None)
        return seen

    first = play()
    twin.reset(9)
    assert play() == first


def test_another_scene_cannot_follow() -> None:
    twin = Twin(load_contract("twin"), "PickCube")
    with pytest.raises(ConfigurationError, match="scene"):
        twin.follow("PushButton", 0)
    assert twin.task.name == "PickCube"
    twin.close()


def test_the_reference_names_every_task_with_its_failures_and_picture() -> None:
    text = (REFERENCE / "tasks.md").read_text(encoding="utf-8")
    for name in TASKS:
        missing = [kind for kind in make_task(name).failures if f"`{kind}`" not in text]
        assert not missing, f"{name}: {missing}"
        assert f"(../images/task-{name}.jpg)" in text
        assert (REFERENCE.parent / "images" / f"task-{name}.jpg").is_file()
