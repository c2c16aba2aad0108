"""Fixtures of the fault scenarios: those of the graph's own tests, and the scoreboard."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ros"))

import scoreboard as board
from graph_fixtures import domain, small_policy
from scoreboard import Finding, Scoreboard

__all__ = ["domain", "scoreboard", "small_policy"]

OUTCOMES = pytest.StashKey[dict[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `make faults`."""
    group = parser.getgroup("faults")
    group.addoption("--findings", type=Path, help="file that what fault scenarios measured is appended to")
    group.addoption("--bring-ups", type=int, default=10, help="how often the graph comes up and goes down")
    group.addoption("--soak-minutes", type=float, default=3.0, help="how long the graph works without a fault [min]")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep each phase's outcome where the scoreboard finds it."""
    report = yield
    item.stash.setdefault(OUTCOMES, {})[report.when] = report.outcome
    return report


@pytest.fixture(autouse=True)
def scoreboard(request: pytest.FixtureRequest) -> Iterator[Scoreboard]:
    """Take the test's notes; with `--findings` they are kept, each with whether the test passed.

    A test that is marked `fault(NUMBER, ...)` counts for these faults whether it notes something or not.
    """
    notes = Scoreboard()
    yield notes
    file: Path | None = request.config.getoption("--findings")
    outcomes = request.node.stash[OUTCOMES]
    if file is None or "skipped" in outcomes.values():
        return
    marked = {number for mark in request.node.iter_markers("fault") for number in mark.args}
    silent = marked - {finding.fault for finding in notes.notes}
    found = [*notes.notes, *(Finding(number, request.node.name, "counted") for number in sorted(silent))]
    passed = outcomes.get("call") == "passed"
    board.append((dataclasses.replace(finding, passed=passed) for finding in found), file)
