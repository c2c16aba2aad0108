"""A fault scenario: the production launch files on the twin in real time, a script of faults, and what is measured."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from running_graph import Graph, launched
from scoreboard import Scoreboard

from tutelage.launch import packages

STILL_RAD_S = 0.01
"""Joint speed below which the arm counts as stopped [rad/s]."""

WORKSPACE_SLACK_M = 0.002
"""The arm may swing this far beyond the box of its targets [m]: a compliant controller overshoots a little."""


@dataclass(frozen=True)
class Measured:
    """What the probe saw, when the fault began (steady clock) [ns], and words of the pause that it makes."""

    report: Mapping[str, Any]
    fault_ns: int
    printed: str
    expect: str = ""

    @property
    def stop_ms(self) -> float:
        """From the fault until the joints stand still, and stay so for 300 ms; infinite if they never do [ms]."""
        rows = [row for row in self.report["speeds"] if row[0] >= self.fault_ns]
        stamps, speeds = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
        for index in np.flatnonzero(speeds < STILL_RAD_S):
            after = speeds[(stamps >= stamps[index]) & (stamps <= stamps[index] + 300_000_000)]
            if (after < STILL_RAD_S).all():
                return (stamps[index] - self.fault_ns) / 1e6
        return float("inf")

    @property
    def moved_after_m(self) -> float:
        """How far the TCP went from half a second after the fault on [m]."""
        places = np.array([row[2:5] for row in self.report["speeds"] if row[0] >= self.fault_ns + 500_000_000])
        return float(np.linalg.norm(places - places[0], axis=1).max()) if len(places) else float("nan")

    def state_ms(self, state: str) -> float:
        """Return how long after the fault the session said this state; infinite if never [ms]."""
        session = self.report["session"]
        times = [at for at, said, why in session if said == state and at >= self.fault_ns and self.expect in why]
        return (times[0] - self.fault_ns) / 1e6 if times else float("inf")

    def said(self, state: str) -> str:
        """Return the reason that the session gave for this state after the fault."""
        reasons = [why for at, said, why in self.report["session"] if said == state and at >= self.fault_ns]
        return next((why for why in reasons if self.expect in why), reasons[0] if reasons else "")

    def reasons(self) -> set[str]:
        """Return the gate's reasons after the fault."""
        return {reason for at, _, _, reasons in self.report["executed"] for reason in reasons if at >= self.fault_ns}

    def driven(self, source: int) -> int:
        """Return how many steps this source drove after the fault."""
        return sum(1 for at, by, _, _ in self.report["executed"] if by == source and at >= self.fault_ns)

    def note(self, board: Scoreboard, fault: int, scenario: str, max_step_m: float) -> None:
        """Note what was seen; real times have names of their own, for the bounds are those of simulated ones.

        Args:
            board: takes it.
            fault: its number.
            scenario: a few words.
            max_step_m: the longest legal step; longer executed ones are counted [m].
        """
        steps = [length for _, _, length, _ in self.report["executed"]]
        unsafe = sum(not length <= max_step_m * (1 + 1e-9) for length in steps)
        moved = {} if math.isnan(self.moved_after_m) else {"moved_after_mm": 1e3 * self.moved_after_m}
        board.note(
            fault,
            scenario,
            clock="real",
            **moved,
            real_detect_ms=min(self.state_ms("PAUSED"), self.state_ms("STOPPED")),
            unsafe_cmds=unsafe + (not self.report.get("finite", True)),
            message=self.said("PAUSED") or str(self.report.get("result", {}).get("message", "")),
        )

    @property
    def longest_step_m(self) -> float:
        """The longest executed step of the whole run [m]."""
        return max((length for _, _, length, _ in self.report["executed"]), default=0.0)


def play(
    domain: int,
    folder: Path,
    policy: Path,
    script: list[tuple[float, str, str]],
    *,
    fault_at: int | None = None,
    seconds: float = 2.5,
    on_moving: Callable[[Graph], int] | None = None,
    expect: str = "",
) -> Measured:
    """Run one scenario.

    Args:
        domain: ROS domain.
        folder: for report and recordings.
        policy: checkpoint that drives.
        script: `(seconds after the first motion, what, word)`, see `fault_probe`.
        fault_at: index of the script's line that is the fault; None if `on_moving` makes it.
        seconds: how long to watch after the first motion [s].
        on_moving: called once the arm moves; returns when the fault was made (steady clock) [ns].
        expect: words of the pause that the fault makes; a pause for want of computing time is ended and does not count.
    """
    out = folder / "report.json"
    os.environ["TUTELAGE_FAULTS"] = "1"
    try:
        with launched(domain, {"clock": "realtime", "policy": str(policy), "folder": str(folder)}, folder) as graph:
            for name in ("twin_node", "arm_node", "policy_node", "session_node"):
                graph.wait_until_printed(f"[{name}]: ready")
            path = packages.executable("tutelage_nodes", "fault_probe", dict(graph.environment))
            arguments = [
                "--out",
                str(out),
                "--seconds",
                str(seconds),
                "--script",
                json.dumps(script),
                "--expect",
                expect,
            ]
            probe = subprocess.Popen(
                ["timeout", "-k", "5", "60", str(path), *arguments],
                env=dict(graph.environment),
                stdout=subprocess.PIPE,
                text=True,
            )
            fault_ns = 0
            assert probe.stdout is not None
            for line in probe.stdout:
                if line.startswith("MOVING") and on_moving is not None:
                    fault_ns = on_moving(graph)
            assert probe.wait(60) == 0, graph.output.getvalue()
            printed = graph.output.getvalue()
    finally:
        del os.environ["TUTELAGE_FAULTS"]
    report = json.loads(out.read_text(encoding="utf-8"))
    if fault_at is not None:
        fault_ns = report["script"][fault_at][0]
    return Measured(report, fault_ns, printed, expect)


def kill(graph: Graph, node: str) -> int:
    """Kill a node without warning, in the middle of a motion; return when (steady clock) [ns]."""
    time.sleep(0.3)
    found = re.findall(rf"{node} started, pid (\d+)", graph.output.getvalue())
    os.kill(int(found[-1]), signal.SIGKILL)
    return time.monotonic_ns()
