"""The correction page in a real browser: how late pictures are, how soon a key moves the arm and then lets go."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.browser import Wire, open_browser
from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.page_graph import (
    CAMERAS,
    HEIGHT,
    PORT,
    RATE_HZ,
    WIDTH,
    Observer,
    Pages,
    graph_by_hand,
    open_page,
    video_cameras,
)
from bench.ros import BenchError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WARM_UP_S, WATCHED_S = 5.0, 20.0
PRESSES = 100
GONE = {"closed": 17, "cut": 17, "killed": 16}
"""How often the hand goes away in which way; 50 times in all."""

PAUSED_LIMIT_MS = 250.0
TRIES, HEARD_S = 8, 1.5


@measures(
    Figure(
        "page_glass_to_glass_ms",
        7,
        "ms",
        150.0,
        Direction.UNDER,
        False,
        f"camera stamp to pixels on the page, two cameras {WIDTH}x{HEIGHT} at {RATE_HZ:g}/s, median",
    ),
    Figure(
        "page_node_cpu_percent",
        7,
        "% of one core",
        40.0,
        Direction.UNDER,
        False,
        "processor time of ui_node meanwhile, one page and one that never takes a picture",
    ),
    Figure(
        "page_first_paint_ms", 7, "ms", 1000.0, Direction.UNDER, False, "address to first paint, median of 5 visits"
    ),
    Figure("page_weight_kb", 7, "kB", 500.0, Direction.UNDER, False, "all that a visit transfers before the pictures"),
)
def glass(settings: Settings) -> Mapping[str, Measurement]:
    """Show two video files as cameras; a second page takes no pictures, and must not slow the first one."""
    from websockets.sync.client import connect

    with (
        tempfile.TemporaryDirectory() as name,
        video_cameras(settings.domain, Path(name)) as robot,
        open_browser() as browser,
    ):
        folder = Path(name)
        pages = Pages(settings.domain, folder, robot)
        try:
            paints, weights = zip(*(_visit(browser) for _ in range(5)), strict=True)
            page = open_page(browser)
            with connect(f"ws://127.0.0.1:{PORT}/ws") as slow:
                slow.send('{"type":"watch","cameras":["front","wrist"]}')
                page.wait_for_timeout(1e3 * WARM_UP_S)
                page.evaluate("() => { tutelage.latencies.length = 0; }")
                before, begun = _cpu_s(pages), time.monotonic()
                page.wait_for_timeout(1e3 * WATCHED_S)
                share = (_cpu_s(pages) - before) / (time.monotonic() - begun)
                late = sorted(page.evaluate("() => tutelage.latencies"))
        finally:
            pages.close()
    if len(late) < 0.8 * len(CAMERAS) * RATE_HZ * WATCHED_S:
        raise BenchError(f"only {len(late)} pictures came in {WATCHED_S:g} s")
    extra = {
        "pictures": len(late),
        "p95_ms": round(late[round(0.95 * len(late)) - 1], 1),
        "worst_ms": round(late[-1], 1),
    }
    return {
        "page_glass_to_glass_ms": Measurement(statistics.median(late), extra=extra),
        "page_node_cpu_percent": Measurement(100.0 * share),
        "page_first_paint_ms": Measurement(statistics.median(paints), extra={"worst_ms": max(paints)}),
        "page_weight_kb": Measurement(max(weights)),
    }


def _visit(browser: Browser) -> tuple[float, float]:
    """Return when a new visitor sees something [ms], and what was transferred until then [kB]."""
    page = open_page(browser)
    paint = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime")
    weight = page.evaluate(
        """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
             .reduce((sum, entry) => sum + entry.transferSize, 0)"""
    )
    page.context.close()
    return float(paint), float(weight) / 1e3


def _cpu_s(pages: Pages) -> float:
    times = pages.process.cpu_times()
    return times.user + times.system


@measures(
    Figure(
        "page_key_to_action_ms",
        7,
        "ms",
        80.0,
        Direction.UNDER,
        False,
        f"enabling key pressed in the browser to the first step that the arm is given, median of {PRESSES}",
    ),
    Figure("page_key_to_action_p99_ms", 7, "ms", 150.0, Direction.UNDER, False, "the same, 99th percentile"),
)
def keys(settings: Settings) -> Mapping[str, Measurement]:
    """Press the enabling key again and again, at any point of the control period, a motion key being down."""
    taken: list[float] = []
    with graph_by_hand(settings) as (folder, observer), open_browser() as browser:
        pages = Pages(settings.domain, folder, "twin")
        page = open_page(browser)
        try:
            for number in range(PRESSES):
                page.keyboard.down("w" if number % 2 else "s")
                observer.steps_ms.clear()
                page.keyboard.down("Shift")
                if not observer.wait(lambda: observer.steps_ms):
                    raise BenchError(f"press {number} moved nothing; the session is {observer.state}")
                taken.append(observer.steps_ms[0] - page.evaluate("() => tutelage.hand.presses.at(-1)"))
                page.keyboard.up("Shift")
                page.keyboard.up("w" if number % 2 else "s")
                observer.wait(lambda: observer.state == "PAUSED")
                observer.wait(lambda: False, 0.2 + 0.0137 * (number % 10))
        finally:
            pages.close()
    taken.sort()
    extra = {"presses": PRESSES, "worst_ms": round(taken[-1], 1)}
    return {
        "page_key_to_action_ms": Measurement(statistics.median(taken), extra=extra),
        "page_key_to_action_p99_ms": Measurement(taken[round(0.99 * PRESSES) - 1], extra=extra),
    }


@measures(
    Figure(
        "page_gone_paused_in_time",
        7,
        f"of {sum(GONE.values())}",
        float(sum(GONE.values())),
        Direction.AT_LEAST,
        True,
        f"hands at the page that went away while correcting, and the session paused within {PAUSED_LIMIT_MS:g} ms",
    ),
)
def gone(settings: Settings) -> Mapping[str, Measurement]:
    """Close the tab, cut the network and kill ui_node while a hand at the page drives."""
    delays: dict[str, list[float]] = {how: [] for how in GONE}
    with graph_by_hand(settings) as (folder, observer), open_browser() as browser:
        pages = Pages(settings.domain, folder, "twin")
        try:
            for how, count in GONE.items():
                for number in range(count):
                    wire = Wire(PORT)
                    page = open_page(browser, wire.port)
                    page.keyboard.down("w" if number % 2 else "s")
                    _take_over(page, observer)
                    observer.wait(lambda: False, 0.3)
                    begun = time.monotonic()
                    if how == "closed":
                        page.close()
                    elif how == "cut":
                        wire.cut()
                    else:
                        pages.process.kill()
                    if not observer.wait(lambda: observer.state == "PAUSED"):
                        raise BenchError(f"{how} {number}: the session is {observer.state} for ever")
                    delays[how].append(1e3 * (observer.since_s - begun))
                    page.context.close()
                    wire.close()
                    if how == "killed":
                        pages.close()
                        pages = Pages(settings.domain, folder, "twin")
        finally:
            pages.close()
    every = [delay for found in delays.values() for delay in found]
    extra = {f"{how}_worst_ms": round(max(found), 1) for how, found in delays.items()}
    return {"page_gone_paused_in_time": Measurement(float(sum(d <= PAUSED_LIMIT_MS for d in every)), extra=extra)}


def _take_over(page: Page, observer: Observer) -> None:
    """Press the enabling key; afresh where nobody has heard that it was up, as in the first moments of a node."""
    for _ in range(TRIES):
        page.keyboard.down("Shift")
        if observer.wait(lambda: observer.state == "CORRECTING", HEARD_S):
            return
        page.keyboard.up("Shift")
    words = f"{page.inner_text('#state-words')}; {page.inner_text('#hand-words')}; {page.inner_text('#who')}"
    raise BenchError(f"no hand drives; the session is {observer.state}, the page says: {words}")
