"""The browser of the page's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from bench.browser import find_browser, open_browser
from tutelage_core.errors import ConfigurationError


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser of the system; without one, the page's tests are skipped."""
    try:
        find_browser()
    except ConfigurationError as error:
        pytest.skip(str(error))
    with open_browser() as made:
        yield made
