"""The whole graph with the Franka driver: the twin's world behind the robot's own protocol, its cameras beside it."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
from running_graph import launched
from session_client import person

from tutelage_core.episodes.reader import read_episode
from tutelage_core.types import Source
from tutelage_nodes import topics

pytestmark = pytest.mark.ros

PATIENT = {"camera_pause_s": "5.0", "camera_end_s": "20.0", "policy_silence_s": "5.0"}
"""Nothing here is about how fast this machine is."""

NONSENSE = {
    "NOT_FINITE",
    "WRONG_SHAPE",
    "STEP_TOO_LARGE",
    "OTHER_SENDER",
    "NOT_ARMED",
    "OUT_OF_ORDER",
    "STATE_NOT_FINITE",
}
"""What the gate may never have to say here; that a busy machine is late, or that the robot stopped itself, it may."""


def free_host() -> str:
    """Return a loopback address at which no robot is served."""
    for last in range(100, 250):
        with socket.socket() as probe:
            try:
                probe.bind((f"127.0.0.{last}", 1337))
            except OSError:
                continue
            return f"127.0.0.{last}"
    raise AssertionError("no loopback address is free")


@pytest.mark.timeout(240)
def test_shipped_policy_works_through_the_driver(domain: int, tmp_path: Path) -> None:
    pytest.importorskip("franky", reason="franky-control is not installed")
    pytest.importorskip("pinocchio", reason="franky-sim needs pin to serve")
    arguments = {"robot": "franka_twin", "folder": str(tmp_path), "arm_host": free_host()}
    names = ("franka-1000000", "franka-1000001")
    with launched(domain, {**arguments, **PATIENT}) as graph, person(domain) as operator:
        for node in ("twin_node", "arm_node", "policy_node", "recorder_node", "session_node"):
            graph.wait_until_printed(f"[{node}]: ready", limit_s=90.0)
        operator.wait(lambda: operator.press(topics.SESSION_ARM).success, "the check-list")
        for name in names:  # the second begins with the way home from where the first one ended
            goal = {"task": "PickCube", "seed": int(name[-7:]), "max_steps": 60, "record": True, "episode": name}
            result = operator.result(operator.begin(**goal))
            assert result.termination in ("success", "time_limit", "stopped"), (result, graph.output.getvalue())
            if result.termination == "stopped":  # by the robot's own reflex, which has its say here as on a robot
                operator.wait(lambda: operator.press(topics.SESSION_RESET).success, "the stop to be cleared")
    for name in names:
        episode = read_episode(tmp_path / name)
        assert set(episode.sources.tolist()) <= {int(Source.POLICY), int(Source.HOLD)}
        assert not {reason for reasons in episode.reasons for reason in reasons} & NONSENSE
        tcp = episode.state["tcp_position"]
        assert np.linalg.norm(tcp[0] - [0.45, 0.0, 0.25]) < 0.03  # home
        assert tcp[:, 2].min() < 0.15  # down to the table, where the cube is
        assert episode.progress.max() > episode.progress[0] + 0.1
        seen = np.abs(episode.images["wrist"][-1].astype(int) - episode.images["wrist"][0]).mean()
        assert seen > 5.0  # the picture is of the arm that moves


def test_served_robot_keeps_real_time_only(domain: int, tmp_path: Path) -> None:
    with launched(domain, {"robot": "franka_twin", "clock": "lockstep", "folder": str(tmp_path)}) as graph:
        graph.wait_until_printed("robot 'franka_twin' keeps its own time: launch with clock:=realtime")
