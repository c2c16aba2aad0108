"""What the graph records is what it did, whole, and readable without ROS."""

from __future__ import annotations

import numpy as np
import pytest
from running_graph import launched

from tutelage_core.episodes.parity import check_parity
from tutelage_core.episodes.reader import read_episode
from tutelage_core.types import Source

pytestmark = pytest.mark.ros


def test_lockstep_recording_holds_every_step_and_every_frame(small_policy, domain, tmp_path):
    with launched(domain, {"clock": "lockstep", "policy": str(small_policy), "folder": str(tmp_path)}) as graph:
        outcomes = graph.run_episodes("--episodes", "2", "--max-steps", "40", "--prefix", "whole")
        refused = graph.program("run_episodes", "--episodes", "1", "--task", "NoSuchTask")
        twice = graph.program("run_episodes", "--episodes", "1", "--max-steps", "3", "--prefix", "whole")
    for outcome in outcomes:
        episode = read_episode(tmp_path / str(outcome["episode"]))
        assert len(episode.stamps_ns) == outcome["steps"] == 40
        assert set(np.diff(episode.stamps_ns)) == {100_000_000}
        assert set(episode.sources) == {int(Source.POLICY)}
        assert all(images.std() > 1.0 for images in episode.images.values()), "the pictures are empty"
        assert np.isfinite(episode.executed).all()
        assert episode.metadata.seed == outcome["seed"]
        assert (episode.metadata.policy, len(episode.metadata.policy_sha256)) == ("bc", 64)
        assert episode.metadata.room.startswith("lab:")
        assert episode.metadata.versions["numpy"]
        parity = check_parity(tmp_path / str(outcome["episode"]))
        assert parity.same == parity.chunks >= 5
    assert "unknown task 'NoSuchTask'" in refused.stdout + refused.stderr
    assert "an episode of this name exists" in twice.stdout + twice.stderr


@pytest.mark.parametrize("clock", ["realtime", "fast"])
def test_running_clock_keeps_the_control_period_and_is_recorded(small_policy, domain, tmp_path, clock):
    """Mechanism only: the latency figures are the benchmark's. A busy machine is no fault here, so patience is long."""
    patience = {"camera_pause_s": "5.0", "camera_end_s": "10.0", "policy_silence_s": "5.0"}
    arguments = {"clock": clock, "policy": str(small_policy), "folder": str(tmp_path), **patience}
    with launched(domain, arguments) as graph:
        outcome = graph.run_episodes("--episodes", "1", "--max-steps", "30", "--prefix", "live")[0]
    episode = read_episode(tmp_path / str(outcome["episode"]))
    gaps_ns = np.diff(episode.stamps_ns)
    assert abs(np.median(gaps_ns) - 100_000_000) < 10_000_000
    assert (episode.sources == int(Source.POLICY)).mean() > 0.8
    parity = check_parity(tmp_path / str(outcome["episode"]))
    assert parity.same == parity.chunks > 3, "each observation that the policy saw is in the recording, byte for byte"
