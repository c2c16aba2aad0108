"""The graph comes up and goes down, again and again, and leaves nothing behind."""

from __future__ import annotations

import pytest
from bring_up import NODES, bring_up
from running_graph import launched

pytestmark = pytest.mark.ros
TIMES = 20


@pytest.mark.timeout(420)
def test_graph_comes_up_and_goes_down_twenty_times_without_leaving_anything(small_policy, domain, tmp_path):
    bring_up(TIMES, domain, {"policy": str(small_policy), "folder": str(tmp_path)})


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
