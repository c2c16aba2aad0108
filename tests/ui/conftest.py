"""Fixtures of the page's tests: the graph's own, the page's server, and a real browser."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ros"))

from graph_fixtures import domain, small_policy
from page_browser import browser

__all__ = ["browser", "domain", "small_policy"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the docs' pictures be taken by the tests."""
    parser.addoption("--pictures", type=Path, help="folder that the page's pictures are written into")


@pytest.fixture
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where pictures of the page go."""
    folder = request.config.getoption("--pictures", default=None) or tmp_path
    assert isinstance(folder, Path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
