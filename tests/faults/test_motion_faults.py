"""What goes wrong while the arm moves: it stops, says why, and does not go on by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from running_graph import Graph
from scenario import kill, play
from scoreboard import Scoreboard

from tutelage_core.contract import load_contract
from tutelage_core.types import Source

pytestmark = [pytest.mark.faults, pytest.mark.ros, pytest.mark.slow]
"""In real time: they want a machine that does nothing else, and so are no part of `make test`."""

LIMITS = load_contract("twin").safety


@pytest.mark.parametrize("mode", ["garbage", "wrong"])
def test_policy_that_sends_nonsense_moves_nothing_and_its_episode_ends(
    scoreboard: Scoreboard, small_policy: Path, domain: int, tmp_path: Path, mode: str
) -> None:
    """Faults 4 and 5: NaN, and steps of 50 times the limit."""
    found = play(domain, tmp_path, small_policy, [(0.5, "inject", f"policy {mode}")], fault_at=0, seconds=4.0)
    found.note(scoreboard, {"garbage": 4, "wrong": 5}[mode], f"policy sends {mode} on the graph", LIMITS.max_step_m)
    assert found.report["finite"]
    assert found.longest_step_m <= LIMITS.max_step_m * (1 + 1e-9)
    assert found.report["result"]["termination"] == "error"
    assert {"garbage": "not finite", "wrong": "times the limit"}[mode] in found.report["result"]["message"]
    assert found.moved_after_m < 0.005


def test_killed_policy_stops_the_arm(scoreboard: Scoreboard, small_policy: Path, domain: int, tmp_path: Path) -> None:
    """Fault 6."""
    found = play(domain, tmp_path, small_policy, [], on_moving=lambda graph: kill(graph, "policy_node"))
    found.note(scoreboard, 6, "policy node killed on the graph", LIMITS.max_step_m)
    assert found.state_ms("PAUSED") < 400, "time on a busy machine; the scoreboard has the figure"
    assert "policy_node" in found.said("PAUSED")
    assert found.moved_after_m < 0.005


def test_camera_that_is_off_pauses_and_then_ends_the_episode(
    scoreboard: Scoreboard, small_policy: Path, domain: int, tmp_path: Path
) -> None:
    """Fault 1."""
    found = play(domain, tmp_path, small_policy, [(0.5, "inject", "camera/front off")], fault_at=0)
    found.note(scoreboard, 1, "camera off on the graph", LIMITS.max_step_m)
    assert "camera front: no picture" in found.said("PAUSED")
    assert found.report["result"]["termination"] == "aborted"
    assert "camera front" in found.report["result"]["message"]


def test_frozen_camera_is_found_though_its_stamps_are_fresh(
    scoreboard: Scoreboard, small_policy: Path, domain: int, tmp_path: Path
) -> None:
    """Fault 2."""
    script = [(0.3, "inject", "camera/wrist stuck")]
    found = play(domain, tmp_path, small_policy, script, fault_at=0, seconds=5.0, expect="frozen")
    found.note(scoreboard, 2, "camera stuck on the graph", LIMITS.max_step_m)
    assert "camera wrist" in found.said("PAUSED")
    assert "frozen" in found.said("PAUSED")


def test_lost_pictures_are_no_reason_to_stop(
    scoreboard: Scoreboard, small_policy: Path, domain: int, tmp_path: Path
) -> None:
    """Fault 3."""
    found = play(domain, tmp_path, small_policy, [(0.3, "inject", "camera/front intermittent")], fault_at=0)
    found.note(scoreboard, 3, "every third picture lost on the graph", LIMITS.max_step_m)
    assert found.state_ms("PAUSED") == float("inf")
    assert found.driven(Source.POLICY) > 10


def test_stop_in_motion_latches_until_it_is_cleared_and_started_again(
    scoreboard: Scoreboard, small_policy: Path, domain: int, tmp_path: Path
) -> None:
    """Fault 16: clearing alone moves nothing."""
    script = [(0.5, "event", "STOP"), (1.5, "event", "START"), (1.6, "event", "CLEAR_STOP"), (1.9, "event", "START")]
    found = play(domain, tmp_path, small_policy, script, fault_at=0, seconds=3.0)
    found.note(scoreboard, 16, "stop on the graph, cleared and started too early", LIMITS.max_step_m)
    assert found.report["result"]["termination"] == "stopped"
    answers = [(accepted, state) for _, accepted, state, _ in found.report["answers"]]
    assert answers[0] == (True, "STOPPED")
    assert answers[1] == (False, "STOPPED")
    assert answers[2] == (True, "PAUSED")
    assert answers[3] == (False, "PAUSED"), "no episode runs: nothing starts by itself"
    assert found.moved_after_m < 0.005
    assert any(tmp_path.glob("stop-*/record.json")), "the black box was sealed"


def test_hand_takes_over_and_letting_go_pauses(small_policy: Path, domain: int, tmp_path: Path) -> None:
    script = [(0.2, "key", "up"), (0.5, "key", "down"), (1.2, "key", "up")]
    found = play(domain, tmp_path, small_policy, script, fault_at=2, seconds=2.5)
    states = [state for _, state, _ in found.report["session"]]
    assert "CORRECTING" in states
    assert states.index("CORRECTING") < len(states) - 1 - states[::-1].index("PAUSED")
    assert found.driven(Source.POLICY) == 0, "it did not go back to the policy"
    assert any(by == Source.HUMAN for _, by, _, _ in found.report["executed"])


def test_hand_that_falls_silent_pauses_and_never_goes_back_to_the_policy(
    scoreboard: Scoreboard, small_policy: Path, domain: int, tmp_path: Path
) -> None:
    """Fault 15: the page or the device is gone while the key was held."""
    script = [(0.2, "key", "up"), (0.5, "key", "down"), (1.2, "key", "silent")]
    found = play(domain, tmp_path, small_policy, script, fault_at=2, seconds=2.5)
    found.note(scoreboard, 15, "hand falls silent on the graph", LIMITS.max_step_m)
    assert "no word from probe" in found.said("PAUSED")
    assert found.driven(Source.POLICY) == 0
    assert found.moved_after_m < 0.005


def test_killed_arm_node_leaves_a_standing_arm(
    scoreboard: Scoreboard, small_policy: Path, domain: int, tmp_path: Path
) -> None:
    """Fault 7, first half: nobody commands the twin any more. The probe hears no arm, so the graph's output is read."""

    def kill_it(graph: Graph) -> int:
        return kill(graph, "arm_node")

    found = play(domain, tmp_path, small_policy, [], on_moving=kill_it)
    found.note(scoreboard, 7, "arm node killed on the graph", LIMITS.max_step_m)
    late = [row for row in found.report["executed"] if row[0] > found.fault_ns + 200_000_000]
    assert not late
