"""Makes the scoreboard of what the fault scenarios found: printed, and written as a page of the documentation.

`make faults` runs it after the scenarios.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogue import CATALOGUE, Fault

PAGE_HEAD = """# Scoreboard of injected faults

Made by `make faults`; do not edit. Each row is a fault, each scenario a way of playing it. *Simulated* times are exact
and do not depend on the machine; *real* ones are measured on the graph in real time. The arm has stopped once each of
its joints is slower than 0.01 rad/s for good (`t_stop_ms`); its TCP, than 0.02 m/s (`t_tcp_stop_ms`).

**What this is not.** A stop by software complements the robot's rated stop and never replaces it. It runs on a
general-purpose operating system, and the figures come from simulation. No conformity to any ISO standard is claimed.

"""
COLUMNS = ("#", "fault", "bound", "scenarios passed", "detected", "stopped", "unsafe", "result")


@dataclass(frozen=True)
class Row:
    """One fault's line."""

    cells: tuple[str, ...]
    passed: bool


def worst(findings: Iterable[Mapping[str, Any]], name: str) -> str:
    """Return the largest value of this name with its clock; a dash if nobody measured it."""
    values = [(float(f["measured"][name]), str(f["clock"])) for f in findings if name in f["measured"]]
    if not values:
        return "-"
    value, clock = max(values)
    return f"{value:.0f} ms ({clock})"


def keeps(fault: Fault, measured: Mapping[str, Any]) -> bool:
    """Return whether what was measured keeps the fault's bounds; what was not measured breaks none."""
    return all(float(measured[name]) <= bound for name, bound in fault.bounds.items() if name in measured)


def make_row(number: int, findings: list[Mapping[str, Any]]) -> Row:
    """Return the line of fault `number`."""
    fault = CATALOGUE[number]
    good = [f for f in findings if f["passed"] and keeps(fault, f["measured"])]
    unproved = [name for name in fault.bounds if not any(name in f["measured"] for f in findings)]
    passed = bool(findings) and len(good) == len(findings) and not fault.missing and not unproved
    unsafe = [float(f["measured"]["unsafe_cmds"]) for f in findings if "unsafe_cmds" in f["measured"]]
    result = "passed" if passed else "partly" if good else "not run" if not findings else "failed"
    if fault.missing:
        result += f": {fault.missing}"
    elif not passed:
        result += f": {', '.join([str(f['scenario']) for f in findings if f not in good] + unproved)}"
    cells = (
        str(number),
        f"{fault.title}: {fault.expected}",
        ", ".join(f"{name} <= {bound:g}" for name, bound in fault.bounds.items()) or "-",
        f"{len(good)} of {len(findings)}",
        worst(findings, "t_detect_ms"),
        worst(findings, "t_stop_ms"),
        f"{sum(unsafe):.0f}" if unsafe else "-",
        result,
    )
    return Row(cells, passed)


def machine() -> str:
    """Return what was measured on, without naming the machine."""
    info = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True)
    return (
        f"{datetime.date.today().isoformat()}, commit {commit.stdout.strip() or 'unknown'} or later, "
        f"{len(models)} cores ({models[0] if models else 'unknown'}), Python {platform.python_version()}"
    )


def main() -> None:
    """Read findings, print the table, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--findings", type=Path, required=True, help="JSON lines of the scenarios")
    parser.add_argument("--page", type=Path, help="Markdown file to write")
    settings = parser.parse_args()
    if not settings.findings.is_file():
        sys.exit(f"{settings.findings}: no findings; run the scenarios with --findings {settings.findings} first")
    findings = [json.loads(line) for line in settings.findings.read_text(encoding="utf-8").splitlines()]
    rows = [make_row(number, [f for f in findings if f["fault"] == number]) for number in CATALOGUE]
    score = f"**{sum(row.passed for row in rows)} of {len(rows)} faults passed in full** ({machine()})."
    table = ["| " + " | ".join(COLUMNS) + " |", "| " + " | ".join("---" for _ in COLUMNS) + " |"]
    table += ["| " + " | ".join(row.cells) + " |" for row in rows]
    print("\n".join(table), score, sep="\n\n")
    if settings.page is not None:
        scenarios = [
            "",
            "## Scenarios",
            "",
            "| # | scenario | clock | measured | passed |",
            "| --- | --- | --- | --- | --- |",
        ]
        for f in sorted(findings, key=lambda f: f["fault"]):
            verdict = "passed" if f["passed"] else "failed"
            cells = (str(f["fault"]), f["scenario"], f["clock"], describe(f["measured"]), verdict)
            scenarios.append(f"| {' | '.join(cells)} |")
        settings.page.write_text(PAGE_HEAD + "\n".join([score, "", *table, *scenarios]) + "\n", encoding="utf-8")


def describe(measured: Mapping[str, Any]) -> str:
    """Return measured values as words."""
    words = []
    for name, value in measured.items():
        if isinstance(value, str):
            words.append(f"{name}: {value}" if name != "message" else f'"{value}"')
        else:
            words.append(f"{name} {value:g}" if math.isfinite(value) else f"{name} never")
    return ", ".join(words).replace("|", "/")


if __name__ == "__main__":
    main()
