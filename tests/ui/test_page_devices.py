"""The page by touch, by gamepad, by keys alone, on a phone, and for eyes that need contrast."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from graph_fixtures import free_domain
from page_graph import Workplace, open_page, shows, workplace
from playwright.sync_api import Browser, Page, expect

from tutelage_core.types import Source

pytestmark = [pytest.mark.ui, pytest.mark.ros, pytest.mark.timeout(180)]

PAD = """
window.pad = {connected: true, mapping: "standard", timestamp: 1, axes: [0, 0, 0, 0],
  buttons: Array.from({length: 17}, () => ({pressed: false}))};
navigator.getGamepads = () => [window.pad];
window.set = (button, pressed) => { window.pad.buttons[button].pressed = pressed; window.pad.timestamp += 1; };
setInterval(() => { if (window.alive !== false) window.pad.timestamp += 1; }, 50);
"""

CONTRASTS = """
() => {
  const channel = (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
      if (a > 0) layers.push([r, g, b, a]);
      if (a === 1) break;
    }
    let colour = [255, 255, 255];
    for (const [r, g, b, a] of layers.reverse()) colour = [r, g, b].map((value, i) => value * a + colour[i] * (1 - a));
    return colour;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest("option, :disabled")) continue;
    const ink = light(parse(getComputedStyle(element).color)), paper = light(ground(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    found.push([ratio, walker.currentNode.textContent.trim().slice(0, 40)]);
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def place(browser: Browser, small_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with free_domain() as domain, workplace(domain, small_policy, tmp_path_factory.mktemp("devices")) as made:
        yield made


@pytest.fixture
def visit(browser: Browser, place: Workplace) -> Iterator[Callable[..., Page]]:
    """Open pages that are closed at the end, whatever happens; what they did is ended, too."""
    opened: list[Page] = []

    def open_one(**options: Any) -> Page:
        opened.append(open_page(browser, place.server.port, **options))
        shows(opened[-1], "PAUSED")
        expect(opened[-1].locator("#who")).to_contain_text("you have the wheel")
        return opened[-1]

    yield open_one
    for page in opened:
        page.context.close()
    place.rest()


def test_gamepad_takes_over_and_stops(visit: Callable[..., Page], place: Workplace) -> None:
    page = visit()
    page.context.add_init_script(PAD)
    page.reload()
    shows(page, "PAUSED")
    expect(page.locator("#who")).to_contain_text("you have the wheel")
    place.begin()
    steps = place.executed_by(Source.HUMAN)
    page.evaluate("() => { pad.axes[1] = -1; }")

    def press() -> None:
        page.evaluate("() => set(5, true)")

    def release() -> None:
        page.evaluate("() => set(5, false)")

    place.take_over(press, release, lambda: steps and steps[-1].executed[0] > 0.003)
    release()
    shows(page, "PAUSED")
    page.evaluate("() => set(9, true)")
    shows(page, "AUTONOMOUS")
    place.take_over(press, release, place.corrects)
    page.evaluate("() => { window.alive = false; }")  # out of reach, it goes on showing its last state
    shows(page, "PAUSED")
    page.evaluate("() => { window.alive = true; }")
    time.sleep(0.3)
    shows(page, "PAUSED")  # the button was never up
    page.evaluate("() => set(8, true)")
    shows(page, "STOPPED")


class Fingers:
    """Fingers on the glass of a page."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)

    def __call__(self, kind: str, *points: tuple[float, float]) -> None:
        """Put fingers down, move them, or take all of them away."""
        fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})


def test_phone_shows_all_and_drives_with_two_thumbs(
    visit: Callable[..., Page], place: Workplace, pictures: Path
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    page = visit(**phone)
    place.begin(driver="hand")
    shows(page, "PAUSED", "waiting for a hand")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "nothing is out of the window"
    page.screenshot(path=str(pictures / "page-phone.jpg"), type="jpeg", quality=80)
    steps = place.executed_by(Source.HUMAN)
    expect(page.locator("figcaption").first).to_have_text(
        re.compile("a second")
    )  # and nothing moves on the page any more
    page.locator("#pad").scroll_into_view_if_needed()
    hold, stick = page.locator("#hold").bounding_box(), page.locator("#stick").bounding_box()
    assert hold
    assert stick
    left = (hold["x"] + hold["width"] / 2, hold["y"] + hold["height"] / 2)
    middle = (stick["x"] + stick["width"] / 2, stick["y"] + stick["height"] / 2)
    ahead = (middle[0], stick["y"] + 4)
    touch = Fingers(page)

    def press() -> None:
        touch("touchStart", left)
        touch("touchStart", left, middle)
        touch("touchMove", left, ahead)

    place.take_over(press, lambda: touch("touchEnd"), lambda: steps and steps[-1].executed[0] > 0.002)
    expect(page.locator("#stop")).to_be_in_viewport()
    touch("touchEnd")
    shows(page, "PAUSED")


def test_keys_alone_reach_everything(visit: Callable[..., Page]) -> None:
    page = visit()
    reached = set()
    page.locator("body").focus()
    for _ in range(80):
        page.keyboard.press("Tab")
        name = page.evaluate("() => document.activeElement.id || document.activeElement.tagName")
        outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        if name != "BODY":
            assert outline != "none", f"{name}: nobody sees where the focus is"
        reached.add(name)
    assert {"stop", "tab-drive", "wheel", "hold", "speed", "sentence", "success", "failure", "redo"} <= reached
    page.locator("#tab-drive").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#episodes")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#start")).to_be_visible()
    expect(page.locator("#tab-start")).to_have_attribute("aria-selected", "true")


def test_buttons_and_fields_have_names_for_those_who_do_not_see(visit: Callable[..., Page]) -> None:
    page = visit()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas[role=img]")].filter((element) =>
             !(element.innerText || element.ariaLabel || element.labels?.[0]?.innerText || "").trim()
             && element.checkVisibility()).map((element) => element.outerHTML.slice(0, 80))"""
    )
    assert nameless == []


def test_text_stands_out_in_every_state(visit: Callable[..., Page]) -> None:
    page = visit()
    for tab in ("#tab-drive", "#tab-episodes", "#tab-start"):
        page.locator(tab).click()
        for state in ("OFFLINE", "STOPPED", "PAUSED", "AUTONOMOUS", "CORRECTING", "RESETTING"):
            page.evaluate("state => { document.body.dataset.state = state; }", state)
            ratios = page.evaluate(CONTRASTS)
            assert len(ratios) > 15
            assert [found for found in ratios if found[0] < 4.5] == []
