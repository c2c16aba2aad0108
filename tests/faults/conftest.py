"""Fixtures of the fault scenarios: those of the graph's own tests, and the scoreboard."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ros"))

from graph_fixtures import domain, small_policy
from scoreboard import Scoreboard

__all__ = ["domain", "scoreboard", "small_policy"]

FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `make faults` collect what is found."""
    parser.addoption("--findings", type=Path, help="file of JSON lines that fault scenarios append their findings to")
    parser.addoption("--soak-minutes", type=float, default=60.0, help="how long the soak runs episodes [min]")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember whether the test itself failed."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture
def scoreboard(request: pytest.FixtureRequest) -> Iterator[Scoreboard]:
    """Where a scenario notes what it found."""
    board = Scoreboard()
    yield board
    file = request.config.getoption("--findings", default=None)
    if file is not None:
        board.write(file, passed=not request.node.stash.get(FAILED, True))
