"""The graph brought up and taken down, as often as asked; `tests/faults` does it too."""

from __future__ import annotations

from collections.abc import Mapping

from running_graph import launched, processes_in_domain, shared_memory_files, shared_memory_in_use

NODES = ("twin_node", "arm_node", "policy_node", "session_node", "recorder_node")


def bring_up(times: int, domain: int, arguments: Mapping[str, str]) -> None:
    """Launch all nodes `times` times; every one gets ready and ends with 0, and no process or memory stays behind."""
    before = shared_memory_files()
    for turn in range(times):
        with launched(domain, {"clock": "lockstep", **arguments}) as graph:
            for name in NODES:
                graph.wait_until_printed(f"[{name}]: ready")
            exit_code = graph.runner.shutdown()
        codes = {name: process.returncode for name, process in graph.runner.processes.items()}
        assert exit_code == 0, f"turn {turn}: {graph.output.getvalue()}"
        assert codes == dict.fromkeys(NODES, 0), f"turn {turn}: {graph.output.getvalue()}"
    assert processes_in_domain(domain) == []
    # another graph on this machine may have come meanwhile: what nobody uses is what was left behind
    left = shared_memory_files() - before - shared_memory_in_use()
    assert left == set(), f"left in shared memory (a killed node of another graph leaves some too): {sorted(left)}"
