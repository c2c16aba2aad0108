"""The lock-step graph and the one-process loop are the same thing, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from running_graph import launched

from hardware.safety.gate import make_gate
from policies.registry import load_policy
from sim.twin import Twin
from tutelage.drivers import PolicyDriver
from tutelage.loop import EpisodeOptions, run_episode
from tutelage_core.contract import load_contract
from tutelage_core.episodes.reader import read_episode
from tutelage_core.types import EpisodeStep

pytestmark = pytest.mark.ros
SEEDS = (1_000_000, 1_000_001)
STEPS = 30


def run_in_loop(policy: Path, seed: int) -> list[EpisodeStep]:
    contract = load_contract("twin")
    twin = Twin(contract)
    torch.set_num_threads(1)
    steps: list[EpisodeStep] = []
    run_episode(
        twin,
        PolicyDriver(load_policy(policy)),
        make_gate(contract),
        contract,
        EpisodeOptions(seed, max_steps=STEPS),
        listener=steps.append,
    )
    twin.close()
    return steps


def test_graph_in_lockstep_sees_and_does_what_the_loop_sees_and_does(small_policy, domain, tmp_path):
    with launched(domain, {"clock": "lockstep", "policy": str(small_policy), "folder": str(tmp_path)}) as graph:
        outcomes = graph.run_episodes(
            "--episodes",
            str(len(SEEDS)),
            "--first-seed",
            str(SEEDS[0]),
            "--max-steps",
            str(STEPS),
            "--prefix",
            "parity",
        )
    assert [outcome["steps"] for outcome in outcomes] == [STEPS] * len(SEEDS)
    for seed in SEEDS:
        episode = read_episode(tmp_path / f"parity-{seed}")
        steps = run_in_loop(small_policy, seed)
        assert len(episode.stamps_ns) == len(steps) == STEPS
        np.testing.assert_array_equal(np.diff(episode.stamps_ns), np.diff([s.observation.stamp_ns for s in steps]))
        for index, step in enumerate(steps):
            for name, image in step.observation.images.items():
                np.testing.assert_array_equal(episode.images[name][index], image, err_msg=f"{name} at step {index}")
            for key, value in step.observation.state.items():
                np.testing.assert_array_equal(episode.state[key][index], value, err_msg=f"{key} at step {index}")
            np.testing.assert_array_equal(episode.executed[index], step.executed.executed, err_msg=f"step {index}")
        assert np.abs(episode.executed[:, :6]).max() > 1e-4, "a policy that does not move proves nothing"
