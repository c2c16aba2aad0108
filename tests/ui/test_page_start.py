"""A page before there is a graph: it refuses an open door, brings a graph up, runs it, and takes it down."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_graph import Server, free_port, open_page, shows
from playwright.sync_api import Browser, Page, expect
from session_client import person

pytestmark = [pytest.mark.ui, pytest.mark.ros, pytest.mark.timeout(180)]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"host": "0.0.0.0"}, "set a token"),
        ({"host": "0.0.0.0", "token": "short"}, "16"),
        ({"max_speed_m_s": "9.0"}, "max_speed_m_s"),
        ({"image_rate_hz": "0.0"}, "image_rate_hz"),
    ],
)
def test_settings_that_are_not_safe_are_refused_at_start(
    options: dict[str, str], why: str, domain: int, tmp_path: Path
) -> None:
    server = Server(domain, tmp_path, free_port(), **options)
    try:
        with person(domain) as somebody:
            somebody.wait(lambda: "died" in server.output.getvalue(), "the refusal")
        assert why in server.output.getvalue()
    finally:
        server.end()


def run_to_the_end(page: Page) -> None:
    """Let the episode go on until it ends, as a person would: a busy machine's late pictures pause it."""
    for _ in range(120):
        if "ended with" in page.locator("#series").inner_text():
            return
        if page.locator("#state").inner_text() == "PAUSED" and page.locator("#go").is_enabled():
            page.keyboard.press("Enter")
        page.wait_for_timeout(500)
    raise AssertionError(f"it does not end: {page.locator('#state-words').inner_text()}")


def test_graph_is_brought_up_run_and_taken_down_from_the_page(browser: Browser, domain: int, tmp_path: Path) -> None:
    with person(domain) as somebody:
        server = Server(domain, tmp_path, free_port())
        try:
            server.wait(somebody)
            page = open_page(browser, server.port)
            shows(page, "NO GRAPH", "bring the graph up")
            page.locator("#tab-start").click()
            expect(page.locator("#checks li", has_text="arm_node")).to_contain_text("does not answer")
            page.locator("#policy").select_option("hil_serl_pick_cube")
            page.get_by_role("button", name="Bring up the graph").click()
            expect(page.locator("#graph-words")).to_contain_text("5 of 5 nodes are ready", timeout=90_000)
            shows(page, "PAUSED")
            expect(page.locator("#checks li", has_text="arm_node")).to_have_text("✓ arm_node")
            page.get_by_role("button", name="Bring up the graph").click()
            expect(page.locator("#alert")).to_contain_text("take it down first")
            page.locator("#run-task").fill("PickCube")
            page.locator("#run button[type=submit]").click()
            shows(page, "AUTONOMOUS")
            run_to_the_end(page)
            page.locator("#tab-start").click()
            page.get_by_role("button", name="Take it down").click()
            expect(page.locator("#graph-words")).to_have_text("down", timeout=30_000)
            shows(page, "NO GRAPH")
            page.context.close()
        finally:
            server.end()
