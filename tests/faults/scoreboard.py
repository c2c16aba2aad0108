"""What the fault scenarios found, for the table that `make faults` makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CLOCKS = ("simulated", "real", "counted")


@dataclass(frozen=True)
class Finding:
    """One scenario's result.

    Attributes:
        fault: its number in the catalogue.
        scenario: what was done, in a few words.
        clock: what times were measured in: simulated, real, or counted where no time matters.
        measured: names to values; times end in `_ms`, lengths in `_mm`.
    """

    fault: int
    scenario: str
    clock: str
    measured: Mapping[str, float | str] = field(default_factory=dict)


class Scoreboard:
    """Takes the findings of one test; they count as passed if the test passes."""

    def __init__(self) -> None:
        """Begin empty."""
        self.findings: list[Finding] = []

    def note(self, fault: int, scenario: str, *, clock: str, **measured: float | str) -> None:
        """Note what a scenario measured, before it is judged.

        Raises:
            ValueError: `clock` is none of `CLOCKS`.
        """
        if clock not in CLOCKS:
            raise ValueError(f"clock must be one of {', '.join(CLOCKS)}, got {clock!r}")
        self.findings.append(Finding(fault, scenario, clock, measured))

    def write(self, file: Path, *, passed: bool) -> None:
        """Append the findings to a file of JSON lines."""
        with file.open("a", encoding="utf-8") as lines:
            for found in self.findings:
                row = {
                    "fault": found.fault,
                    "scenario": found.scenario,
                    "clock": found.clock,
                    "measured": {k: v if isinstance(v, str) else float(v) for k, v in found.measured.items()},
                    "passed": passed,
                }
                lines.write(json.dumps(row) + "\n")
