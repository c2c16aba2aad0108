"""The graph comes up and goes down, again and again, and leaves nothing behind."""

from __future__ import annotations

import pytest
from running_graph import launched, processes_in_domain, shared_memory_files, shared_memory_in_use

pytestmark = pytest.mark.ros
TIMES = 20
NODES = ("twin_node", "arm_node", "policy_node", "session_node", "recorder_node")


@pytest.mark.timeout(420)
def test_graph_comes_up_and_goes_down_twenty_times_without_leaving_anything(small_policy, domain, tmp_path):
    before = shared_memory_files()
    for turn in range(TIMES):
        with launched(domain, {"clock": "lockstep", "policy": str(small_policy), "folder": str(tmp_path)}) as graph:
            for name in NODES:
                graph.wait_until_printed(f"[{name}]: ready")
            exit_code = graph.runner.shutdown()
        codes = {name: process.returncode for name, process in graph.runner.processes.items()}
        assert exit_code == 0, f"turn {turn}: {graph.output.getvalue()}"
        assert codes == dict.fromkeys(NODES, 0), f"turn {turn}: {graph.output.getvalue()}"
    assert processes_in_domain(domain) == []
    # another graph on this machine may have come meanwhile: what nobody uses is what was left behind
    assert shared_memory_files() - before - shared_memory_in_use() == set()


def test_second_graph_in_the_same_domain_is_refused_and_the_first_goes_on(small_policy, domain, tmp_path):
    arguments = {"clock": "lockstep", "policy": str(small_policy), "folder": str(tmp_path)}
    with launched(domain, arguments) as first:
        for name in NODES:
            first.wait_until_printed(f"[{name}]: ready")
        with launched(domain, arguments) as second:
            second.wait_until_printed(f"another '/arm_node' runs in ROS domain {domain}")
            second.wait_until_printed("arm_node died")
            assert "[arm_node]: ready" not in second.output.getvalue()
        outcomes = first.run_episodes("--episodes", "1", "--max-steps", "5")
    assert outcomes[0]["steps"] == 5
