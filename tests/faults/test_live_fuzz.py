"""Malformed messages on the topics of a running graph, while episodes run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bring_up import NODES
from running_graph import launched
from scoreboard import Scoreboard

from tutelage_core.contract import load_contract

pytestmark = [pytest.mark.faults, pytest.mark.ros, pytest.mark.slow]
MESSAGES = 10_000
MAX_STEP_M = load_contract("twin").safety.max_step_m


@pytest.mark.timeout(400)
def test_ten_thousand_malformed_messages_end_no_node_and_move_nothing_too_far(
    scoreboard: Scoreboard, small_policy: Path, domain: int, tmp_path: Path
) -> None:
    """Fault 14: commands, pictures, chunks and hands that make no sense."""
    arguments = {"clock": "realtime", "policy": str(small_policy), "folder": str(tmp_path)}
    with launched(domain, arguments, tmp_path / "black_box") as graph:
        for name in NODES:
            graph.wait_until_printed(f"[{name}]: ready")
        done = graph.program("fuzz_probe", "--messages", str(MESSAGES), "--seed", "0", limit_s=300)
        printed = graph.output.getvalue()
    assert done.returncode == 0, f"{done.stderr}\n{printed[-4000:]}"
    report = json.loads(done.stdout.splitlines()[-1])
    crashes = printed.count(" died: ")
    too_long = report["longest_step_m"] > MAX_STEP_M * (1 + 1e-9)
    scoreboard.note(
        14,
        f"{MESSAGES} malformed messages on the graph's topics",
        clock="counted",
        tries=report["sent"],
        crashes=crashes,
        unsafe_cmds=float(too_long or not report["finite"]),
        episodes=report["episodes"],
        executed=report["executed"],
    )
    assert report["sent"] == MESSAGES
    assert (crashes, report["silent"]) == (0, []), printed[-4000:]
    assert report["finite"]
    assert not too_long
    assert report["executed"] > 100
    assert report["episodes"] > 0
