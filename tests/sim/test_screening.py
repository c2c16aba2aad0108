"""Screening: rooms that the expert cannot solve are named and left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from sim.rooms import Room
from sim.screening import screen, solvable_seeds, try_expert
from sim.twin import Twin
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import FloatArray


@pytest.fixture
def twin() -> Iterator[Twin]:
    twin = Twin(load_contract("twin"), rooms="test")
    yield twin
    twin.close()


def give_up_when(twin: Twin, monkeypatch: pytest.MonkeyPatch, odd: bool) -> None:
    expert = twin.task.expert_step

    def idle(*args: object) -> FloatArray:
        step = expert(*args)  # type: ignore[arg-type]
        return np.append(np.zeros(6), 1.0) if twin.room.number % 2 == odd else step

    monkeypatch.setattr(twin.task, "expert_step", idle)


def test_rooms_that_the_expert_cannot_solve_are_rejected_with_a_reason(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up_when(twin, monkeypatch, odd=True)
    found = screen(twin, range(4))
    assert found.solved == (0, 2)
    assert found.rejected == {1: "timeout", 3: "timeout"}
    assert "2 of 4 rooms rejected (50.0 %)" in found.summary()


def test_solvable_seeds_skip_what_is_rejected(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    give_up_when(twin, monkeypatch, odd=True)
    seeds, found = solvable_seeds(twin, 10, 3)
    assert seeds == (10, 12, 14)
    assert len(found.trials) == 5


def test_a_task_that_nobody_solves_is_refused(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin.task, "expert_step", lambda *_: np.append(np.zeros(6), 1.0))
    with pytest.raises(ConfigurationError, match="at least half"):
        solvable_seeds(twin, 0, 2)


def test_a_layout_that_is_not_possible_is_a_rejected_room(twin: Twin) -> None:
    trial = try_expert(twin, 0, Room("test", 0, (("cube.half_m", 0.5),)))
    assert not trial.success
    assert "legal: 0.018 to 0.022 m" in trial.failure
