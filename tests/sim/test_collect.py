"""Demonstrations of the twin's expert."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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


@pytest.mark.parametrize("pace", [0.0, -0.5, 1.1, float("nan")])
def test_pace_out_of_range_is_refused(tmp_path: Path, pace: float) -> None:
    with pytest.raises(ConfigurationError, match=r"pace must be in \(0, 1\]"):
        collect(CollectConfig(output=tmp_path / "none", pace=pace))
    assert not (tmp_path / "none").exists()
