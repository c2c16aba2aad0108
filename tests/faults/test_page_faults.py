"""A page whose network is parted: what waits for it is bounded, others see on, and it comes back."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest
from scoreboard import Scoreboard

from bench.browser import Wire
from tests.unit.page_server_samples import Page, Served, served, until
from tutelage.ui.clients import PICTURE_HEAD, Picture

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]
PICTURE = bytes(100_000)
PERIOD_S = 1 / 15


def through(made: Served, port: int) -> Page:
    """Connect as a page does that comes over a wire."""
    page = made.page(port=port)
    page.say(type="watch", cameras=["front", "wrist"])
    return page


def show(page: Page) -> None:
    """Say of every picture that came that it is on the screen."""
    for data in page.pictures:
        page.say(type="seen", picture=PICTURE_HEAD.unpack(data[: PICTURE_HEAD.size])[3])
    page.pictures.clear()


@pytest.mark.parametrize("seconds", [5.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_page_that_is_parted_costs_the_server_nothing_and_comes_back(
    tmp_path: Path, scoreboard: Scoreboard, seconds: float
) -> None:
    server = psutil.Process()
    with served(tmp_path) as made:
        wire = Wire(made.access.port)
        near = through(made, made.access.port)
        far = through(made, wire.port)
        until(lambda: made.server.clients == 2)
        wire.cut()
        begun, seen, before = time.monotonic(), 0, server.memory_info().rss
        most = before
        while time.monotonic() < begun + seconds:
            for camera in ("front", "wrist"):
                made.server.picture(Picture(camera, time.monotonic(), PICTURE))
            made.server.tell("reward", {"model": "m", "points": [{"value": 0.5}] * 20})
            time.sleep(PERIOD_S)
            seen += len(near.pictures)
            show(near)
            far.pictures.clear()
            near.lines.clear()
            most = max(most, server.memory_info().rss)
        wire.mend()
        far = through(made, wire.port)
        until(lambda: made.server.picture(Picture("front", 0.0, PICTURE)) or far.pictures)
        wire.close()
    more_mb = (most - before) / 1e6
    scoreboard.note(9, f"page parted for {seconds:g} s", clock="counted", more_mb=more_mb)
    assert seen > 0.5 * 2 * seconds / PERIOD_S, "the other page sees on"
    assert more_mb < 50.0
