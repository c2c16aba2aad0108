"""Demonstrations of the twin's expert."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tutelage.runs.attempts import AttemptsConfig, collect_attempts
from tutelage.runs.collect import CollectConfig, collect
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.sim

PACE = 0.5


def lengths_of_steps(folder: Path, pace: float) -> list[np.ndarray]:
    """Return the length of each executed translation, for each episode [m]."""
    store = collect(CollectConfig(output=folder, episodes=2, processes=1, disturbance=0.0, pace=pace))
    episodes = [store.read(name, ()) for name in store.names()]
    assert all(store.manifest(name).result.success for name in store.names())
    return [np.linalg.norm(episode.executed[:, :3], axis=1) for episode in episodes]


def test_slower_pace_takes_shorter_steps_and_more_of_them(tmp_path: Path) -> None:
    fast, slow = lengths_of_steps(tmp_path / "fast", 1.0), lengths_of_steps(tmp_path / "slow", PACE)
    assert max(steps.max() for steps in slow) == pytest.approx(PACE * max(steps.max() for steps in fast))
    for quick, steady in zip(fast, slow, strict=True):
        assert len(steady) > 1.3 * len(quick)


def test_attempts_end_in_every_way_and_go_on_where_they_were_cut_off(tmp_path: Path) -> None:
    config = AttemptsConfig(tmp_path / "attempts", stopped=2, wandering=1, hindered=1, room=7)
    store = collect_attempts(config)
    assert sorted(store.names()) == [
        "hindered-0330000",
        "stopped-0310000",
        "stopped-0310001",
        "wandering-0320000",
    ]
    assert not store.manifest("wandering-0320000").result.success
    assert store.manifest("hindered-0330000").result.success
    assert {store.manifest(name).metadata.room for name in store.names()} == {"lab:7"}
    before = (tmp_path / "attempts" / "stopped-0310000" / "manifest.json").stat().st_mtime_ns
    assert len(collect_attempts(replace(config, stopped=3))) == 5
    assert (tmp_path / "attempts" / "stopped-0310000" / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "wrong", [{"stopped": -1}, {"stopped": 0, "wandering": 0}, {"first_seed": 999_999}, {"extra_steps": -1}]
)
def test_attempts_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="attempts"):
        collect_attempts(replace(AttemptsConfig(tmp_path / "none"), **wrong))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("pace", [0.0, -0.5, 1.1, float("nan")])
def test_pace_out_of_range_is_refused(tmp_path: Path, pace: float) -> None:
    with pytest.raises(ConfigurationError, match=r"pace must be in \(0, 1\]"):
        collect(CollectConfig(output=tmp_path / "none", pace=pace))
    assert not (tmp_path / "none").exists()


def test_attempts_happen_in_rooms_and_a_policy_plays_some_of_them(tmp_path: Path) -> None:
    config = AttemptsConfig(tmp_path / "a", stopped=1, wandering=0, rooms="train", policy="bc_pick_cube", played=1)
    store = collect_attempts(config)
    assert sorted(store.names()) == ["policy-0340000", "stopped-0310000"]
    rooms = [store.manifest(name).metadata.room for name in store.names()]
    assert all(room.startswith("train:") for room in rooms)
    for changes in ({"room": 3, "rooms": "train"}, {"policy": "bc_pick_cube"}, {"played": 2}):
        with pytest.raises(ConfigurationError, match="attempts"):
            AttemptsConfig(tmp_path / "b", **changes)
