"""What goes wrong only in the long run."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from bring_up import NODES, bring_up
from running_graph import launched
from scoreboard import Scoreboard
from session_client import Person, person

pytestmark = [pytest.mark.faults, pytest.mark.ros, pytest.mark.slow]
BRING_UPS = 200


@pytest.mark.timeout(3600)
def test_graph_is_brought_up_and_torn_down_two_hundred_times(
    scoreboard: Scoreboard, small_policy: Path, domain: int, tmp_path: Path
) -> None:
    """Fault 19."""
    bring_up(BRING_UPS, domain, {"policy": str(small_policy), "folder": str(tmp_path)})
    scoreboard.note(19, "brought up and torn down", clock="counted", tries=BRING_UPS, left_behind=0)


@pytest.mark.timeout(3 * 3600)
def test_hours_of_episodes_leak_nothing_and_stop_for_nothing(
    scoreboard: Scoreboard, small_policy: Path, domain: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Fault 20, in lock-step: simulated time runs as fast as the machine lets it, every tenth episode is recorded."""
    minutes = float(request.config.getoption("--soak-minutes"))
    arguments = {"clock": "lockstep", "policy": str(small_policy), "folder": str(tmp_path / "episodes")}
    with launched(domain, arguments) as graph, person(domain) as operator:
        for name in NODES:
            graph.wait_until_printed(f"[{name}]: ready")
        watch = ProcessWatch({name: process.pid for name, process in graph.runner.processes.items()})
        steps, false_stops = soak(operator, watch, minutes * 60.0, tmp_path / "episodes")
    slopes = watch.mb_per_hour()
    scoreboard.note(
        20,
        f"{minutes:g} minutes of episodes in lock-step",
        clock="counted",
        simulated_hours=steps * 0.1 / 3600.0,
        false_stops=false_stops,
        mb_per_h=max(slopes.values()),
        rate_drift=watch.rate_drift(),
        message=", ".join(f"{name} {slope:+.2f} MB/h ({watch.told(name)})" for name, slope in slopes.items()),
    )
    assert false_stops == 0
    assert max(slopes.values()) < 1.0, slopes
    assert watch.rate_drift() < 0.1


def soak(operator: Person, watch: ProcessWatch, seconds: float, folder: Path) -> tuple[int, int]:
    """Run episodes for so long [s]; return all steps, and how many episodes ended for no reason."""
    end_s = time.monotonic() + seconds
    steps = false_stops = number = 0
    while time.monotonic() < end_s:
        recorded = number % 10 == 0
        goal = {"task": "PickCube", "seed": 1_000_000 + number, "max_steps": 100, "record": recorded}
        result = operator.result(operator.begin(**goal, episode=f"soak-{number}" if recorded else ""))
        false_stops += result.termination not in ("success", "time_limit")
        steps += result.steps
        number += 1
        shutil.rmtree(folder / f"soak-{number - 1}", ignore_errors=True)
        watch.sample(steps)
    return steps, false_stops


class ProcessWatch:
    """Memory and computing time of processes, over time."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        """Watch processes by their names."""
        self._pids = dict(pids)
        self._rows: list[tuple[float, float, int, dict[str, float]]] = []

    def sample(self, steps: int) -> None:
        """Note memory and computing time after so many steps."""
        memory = {name: self._private_mb(pid) for name, pid in self._pids.items()}
        computed = sum(self._cpu_s(pid) for pid in self._pids.values())
        self._rows.append((time.monotonic() / 3600.0, computed, steps, memory))

    def mb_per_hour(self) -> dict[str, float]:
        """Return the slope of each process's private memory after the first third [MB/h]."""
        late = self._rows[len(self._rows) // 3 :]
        hours = np.array([row[0] for row in late])
        return {n: float(np.polyfit(hours - hours[0], [row[3][n] for row in late], 1)[0]) for n in self._pids}

    def told(self, name: str) -> str:
        """Return what a process took, as medians of the tenths of the time [MB]: a jump is seen that no slope shows."""
        parts = np.array_split([row[3][name] for row in self._rows], 10)
        return " ".join(f"{np.median(part):.0f}" for part in parts if len(part))

    def rate_drift(self) -> float:
        """Return by how much the last quarter computes longer for a step than the second one, as a part of it."""
        quarter = len(self._rows) // 4
        costs = [self._cost(k * quarter, (k + 1) * quarter - 1) for k in (1, 3)]
        return costs[1] / costs[0] - 1.0

    def _cost(self, first: int, last: int) -> float:
        begin, end = self._rows[first], self._rows[last]
        return (end[1] - begin[1]) / (end[2] - begin[2])

    @staticmethod
    def _private_mb(pid: int) -> float:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        return sum(int(row.split()[1]) for row in rows if row.startswith("Private_")) / 1024.0

    @staticmethod
    def _cpu_s(pid: int) -> float:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
