"""What tests of the twin share."""

from __future__ import annotations

import pytest

from sim.tasks import TASKS, make_task


@pytest.fixture(scope="session")
def task_styles() -> tuple[type, ...]:
    """All parts that tasks add to rooms."""
    return tuple(dict.fromkeys(style for name in TASKS for style in make_task(name).styles))
