"""What fault scenarios measured: noted by tests, kept as JSON lines, judged fault by fault."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fault_table import FAULTS, Fault

CLOCKS = ("simulated", "real", "counted")
"""How a scenario measures time: in simulated time, in real time on a machine that may be busy, or not at all."""

NEVER = "never"
"""Stands for an infinite time."""


@dataclass(frozen=True)
class Finding:
    """What one scenario found about one fault.

    Attributes:
        fault: number of the fault.
        scenario: name of the scenario; several findings of one name are tries of the same thing.
        clock: one of `CLOCKS`.
        measured: numbers and words, with units in their names (`t_stop_ms`); `never` is an infinite time.
        passed: whether the test that noted it passed.
    """

    fault: int
    scenario: str
    clock: str
    measured: Mapping[str, float | str] = field(default_factory=dict[str, float | str])
    passed: bool = False


class Scoreboard:
    """Takes the notes of one test."""

    def __init__(self) -> None:
        """Begin with an empty board."""
        self.notes: list[Finding] = []

    def note(self, fault: int, scenario: str, *, clock: str, **measured: float | str) -> None:
        """Note what was measured, before it is asserted: a failed test's numbers are the interesting ones.

        Args:
            fault: number of the fault, 1 to 20.
            scenario: a few words, the same in every run.
            clock: simulated, real or counted.
            measured: t_detect_ms, t_stop_ms, overshoot_mm, unsafe_cmds, lost_steps, tries, recovery (auto, operator,
                restart), message (what was said), and whatever else the scenario knows.

        Raises:
            ValueError: for an unknown fault or clock, or a measured NaN.
        """
        if fault not in {f.number for f in FAULTS}:
            raise ValueError(f"fault must be 1 to {len(FAULTS)}, got {fault}")
        if clock not in CLOCKS:
            raise ValueError(f"clock must be one of {', '.join(CLOCKS)}, got {clock!r}")
        told = {key: _plain(key, value) for key, value in measured.items()}
        self.notes.append(Finding(fault, scenario, clock, told))


def _plain(key: str, value: float | str) -> float | str:
    if isinstance(value, str):
        return value
    number = float(value)  # numpy's numbers too
    if math.isnan(number):
        raise ValueError(f"{key} was not measured: it is NaN")
    return NEVER if math.isinf(number) else number


@dataclass(frozen=True)
class Verdict:
    """What all scenarios together say about one fault.

    Attributes:
        fault: the fault.
        findings: of its scenarios; empty if none ran.
    """

    fault: Fault
    findings: tuple[Finding, ...]

    @property
    def scenarios(self) -> Mapping[str, bool]:
        """Each scenario's name, and whether all of its findings passed."""
        found: dict[str, bool] = {}
        for finding in self.findings:
            found[finding.scenario] = found.get(finding.scenario, True) and finding.passed
        return found

    @property
    def covered(self) -> float:
        """How much of what a full run covers was covered by the scenario that covered most."""
        key = self.fault.full[0] if self.fault.full else ""
        told = [f.measured.get(key, 0.0) for f in self.findings]
        return max((value for value in told if not isinstance(value, str)), default=0.0)

    @property
    def status(self) -> str:
        """Passed, short (passed, but not as long as a full run), partly (passed, some is not tried), failed, not run."""
        if not self.findings:
            return "not run"
        if not all(self.scenarios.values()):
            return "failed"
        if self.fault.full is not None and self.covered < self.fault.full[1]:
            return "short"
        return "partly" if self.fault.partly else "passed"

    @property
    def remark(self) -> str:
        """Why a fault does not count as passed; empty if it does."""
        if self.status == "not run":
            return self.fault.later or "no scenario of it ran this time"
        if self.status == "failed":
            return ", ".join(name for name, passed in self.scenarios.items() if not passed)
        if self.status == "short" and self.fault.full is not None:
            key, least = self.fault.full
            return f"{self.covered:g} of {least:g} {key}; `make faults-nightly` runs all"
        return self.fault.partly

    def worst(self, key: str) -> str:
        """Return the largest of a measured value with the clock it was measured on, per clock; empty if none was."""
        parts: list[str] = []
        for clock in CLOCKS:
            told = [f.measured[key] for f in self.findings if f.clock == clock and key in f.measured]
            if told:
                worst = max(math.inf if value == NEVER else float(value) for value in told)
                parts.append(f"{NEVER if math.isinf(worst) else format(worst, '.0f')} {clock}")
        return ", ".join(parts)

    def total(self, key: str) -> str:
        """Return the sum of a counted value over all findings; empty if nobody counted."""
        told = [f.measured[key] for f in self.findings if key in f.measured]
        return f"{sum(float(value) for value in told):g}" if told else ""

    @property
    def recovery(self) -> str:
        """Who brings the robot back: auto, operator, restart, or several of them."""
        return ", ".join(sorted({str(f.measured["recovery"]) for f in self.findings if "recovery" in f.measured}))


def judge(findings: Iterable[Finding]) -> tuple[Verdict, ...]:
    """Return one verdict for each fault of the table."""
    found = tuple(findings)
    return tuple(Verdict(fault, tuple(f for f in found if f.fault == fault.number)) for fault in FAULTS)


def append(findings: Iterable[Finding], file: Path) -> None:
    """Append findings to `file` as JSON lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        for finding in findings:
            lines.write(json.dumps(asdict(finding)) + "\n")


def read(file: Path) -> tuple[Finding, ...]:
    """Return the findings of `file`."""
    return tuple(Finding(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines())
