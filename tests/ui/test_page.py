"""The page in a real browser, beside the production graph in real time: see, take over, say, judge, start."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from graph_fixtures import free_domain
from page_graph import STILL_S, Workplace, open_page, shows, workplace
from playwright.sync_api import Browser, Page, expect
from tutelage_interfaces import msg as ti

from bench.browser import Wire
from tutelage_core.episodes.labels import read_labels
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.types import Source
from tutelage_nodes import topics

pytestmark = [pytest.mark.ui, pytest.mark.ros, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def place(browser: Browser, small_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with free_domain() as domain, workplace(domain, small_policy, tmp_path_factory.mktemp("page")) as made:
        yield made


@pytest.fixture
def page(browser: Browser, place: Workplace) -> Iterator[Page]:
    made = open_page(browser, place.server.port)
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    shows(made, "PAUSED")
    expect(made.locator("#who")).to_contain_text("you have the wheel")
    yield made
    made.context.close()
    place.rest()
    assert errors == []


def test_everything_is_seen(page: Page, place: Workplace, pictures: Path) -> None:
    place.begin(record=True, episode="seen")
    shows(page, "AUTONOMOUS", "the policy drives")
    for camera in ("front", "wrist"):
        expect(page.locator("figcaption", has_text=camera)).to_have_text(re.compile(r"\d+ a second, \d+ ms"))
    expect(page.locator("#episode")).to_have_text("seen")
    expect(page.locator("#driver")).to_contain_text("the policy")
    expect(page.locator("#gripper-words")).to_contain_text("% open")
    expect(page.locator("#force-words")).to_contain_text("N")
    for node in ("arm_node", "policy_node", "session_node", "recorder_node", "twin_node", "ui_node"):
        expect(page.locator("#nodes td:first-child", has_text=re.compile(f"^{node}$"))).to_be_visible()
    page.screenshot(path=str(pictures / "page-drive.jpg"), type="jpeg", quality=80)


def test_rewards_and_learner_are_drawn_with_their_validity(page: Page, place: Workplace) -> None:
    rewards = place.operator.node.create_publisher(ti.Reward, topics.REWARD, topics.reliable(100))
    learner = place.operator.node.create_publisher(ti.LearnerStatus, topics.LEARNER_STATUS, topics.reliable())

    def told() -> bool:
        for model, valid in (("tower", True), ("other", False)):
            message = ti.Reward(model=model, value=0.25 if valid else float("nan"), valid=valid, progress=float("nan"))
            message.status, message.message = ("ok", "") if valid else ("timeout", "no answer within 1 s")
            message.header.stamp = place.operator.node.get_clock().now().to_msg()
            message.success_probability = float("nan")
            rewards.publish(message)
        learner.publish(ti.LearnerStatus(steps=120, updates=600, value=0.5, trouble="", updates_per_s=30.0))
        return page.locator("#reward-words li").count() == 2 and page.locator("#learner-words").inner_text() != ""

    place.operator.wait(told, "the page's curves")
    expect(page.locator("#reward-words")).to_contain_text("tower: 0.250")
    expect(page.locator("#reward-words")).to_contain_text("other: not valid: timeout no answer within 1 s")
    expect(page.locator("#learner-words")).to_contain_text("120 steps, 600 updates")
    gaps = page.evaluate("() => tutelage.curves.get('other').points.every(([, value]) => value === null)")
    assert gaps, "what is not valid is a gap, never a number"


def test_hand_takes_over_moves_the_arm_and_letting_go_pauses(page: Page, place: Workplace, pictures: Path) -> None:
    place.begin()
    shows(page, "AUTONOMOUS")
    steps = place.executed_by(Source.HUMAN)
    page.keyboard.down("w")
    place.take_over(
        lambda: page.keyboard.down("Shift"),
        lambda: page.keyboard.up("Shift"),
        lambda: place.corrects() and steps and steps[-1].executed[0] > 0.003,
    )
    shows(page, "CORRECTING", "a hand drives")
    page.screenshot(path=str(pictures / "page-correcting.jpg"), type="jpeg", quality=80)
    page.keyboard.up("Shift")
    shows(page, "PAUSED")
    count = len(steps)
    time.sleep(0.5)
    place.operator.wait(lambda: True, "what has come meanwhile")
    assert len(steps) <= count + 2, "nothing moves after the key came up, though w is still down"
    page.keyboard.up("w")
    page.keyboard.press("Enter")
    shows(page, "AUTONOMOUS")
    page.keyboard.press("p")
    shows(page, "PAUSED")


def test_speed_scale_scales(page: Page, place: Workplace) -> None:
    place.begin(driver="hand")
    steps = place.executed_by(Source.HUMAN)
    largest = []
    for share in ("100", "20"):
        page.locator("#speed").fill(share)
        page.locator("body").click(position={"x": 5, "y": 400})
        page.keyboard.down("a" if share == "100" else "d")

        def press() -> None:
            del steps[:]
            page.keyboard.down("Shift")

        # a hand comes to full speed over five steps
        place.take_over(press, lambda: page.keyboard.up("Shift"), lambda: len(steps) > 8)
        page.keyboard.up("Shift")
        page.keyboard.up("a" if share == "100" else "d")
        largest.append(max(abs(step.requested[1]) for step in steps))
        shows(page, "PAUSED")
    assert largest[1] == pytest.approx(0.2 * largest[0], rel=0.05)


def test_no_policy_is_started_in_an_episode_by_hand(page: Page, place: Workplace) -> None:
    place.begin(driver="hand")
    shows(page, "PAUSED", "waiting for a hand")
    page.keyboard.press("Enter")
    expect(page.locator("#alert")).to_contain_text("press the enabling key")
    shows(page, "PAUSED")


@pytest.mark.parametrize(
    "focus", ["#sentence", "#run-seed", "#failure-kind", "#success", "#tab-start", "#speed", "body"]
)
def test_space_stops_from_any_focus(page: Page, place: Workplace, focus: str) -> None:
    place.begin()
    shows(page, "AUTONOMOUS")
    if focus == "#run-seed":
        page.locator("#tab-start").click()
    if focus != "body":
        page.locator(focus).focus()
    page.keyboard.press("Space")
    shows(page, "STOPPED", "stopped and latched")
    assert page.locator("#sentence").input_value() == ""
    page.locator("#tab-drive").click()
    time.sleep(STILL_S)
    page.locator("#clear").click()
    shows(page, "PAUSED")


def test_big_button_stops_and_so_does_a_watcher(browser: Browser, page: Page, place: Workplace) -> None:
    watcher = open_page(browser, place.server.port)
    expect(watcher.locator("#who")).to_contain_text("page")
    expect(watcher.locator("#wheel")).to_be_disabled()
    for who in (page, watcher):
        place.begin()
        shows(watcher, "AUTONOMOUS")
        who.locator("#stop").click()
        shows(page, "STOPPED")
        shows(watcher, "STOPPED")
        place.rest()
    watcher.context.close()


def test_second_tab_watches_until_the_wheel_is_free(browser: Browser, page: Page, place: Workplace) -> None:
    place.begin()
    second = open_page(browser, place.server.port)
    shows(second, "AUTONOMOUS")
    expect(second.locator("figcaption").first).to_have_text(re.compile("a second"))
    second.keyboard.down("Shift")
    second.keyboard.press("p")
    expect(second.locator("#alert")).to_contain_text("drives")
    shows(second, "AUTONOMOUS")
    second.keyboard.up("Shift")
    page.locator("#wheel").click()
    second.locator("#wheel").click()
    expect(second.locator("#who")).to_contain_text("you have the wheel")
    keys = second.keyboard
    place.take_over(lambda: keys.down("Shift"), lambda: keys.up("Shift"), place.corrects)
    shows(page, "CORRECTING")
    keys.up("Shift")
    shows(page, "PAUSED")
    second.context.close()


@pytest.mark.parametrize("how", ["close", "reload", "blur", "leave the wheel"])
def test_hand_that_goes_away_lets_go(browser: Browser, page: Page, place: Workplace, how: str) -> None:
    place.begin()
    hand = page
    if how == "close":
        page.locator("#wheel").click()
        hand = open_page(browser, place.server.port)
        expect(hand.locator("#who")).to_contain_text("you have the wheel")
    shows(hand, "AUTONOMOUS")
    keys = hand.keyboard
    place.take_over(lambda: keys.down("Shift"), lambda: keys.up("Shift"), place.corrects)
    if how == "close":
        hand.context.close()
    elif how == "reload":
        hand.reload()
    elif how == "blur":
        hand.evaluate("() => window.dispatchEvent(new Event('blur'))")
    else:
        hand.evaluate("() => document.getElementById('wheel').click()")
    place.operator.wait_for_state("PAUSED")
    shows(page, "PAUSED")
    time.sleep(0.5)
    assert place.operator.states[-1].state == "PAUSED", "a key that is still down counts only after a fresh press"
    if how != "close":
        page.keyboard.up("Shift")


def test_lost_network_lets_go_is_told_and_comes_back(browser: Browser, page: Page, place: Workplace) -> None:
    place.begin()
    page.locator("#wheel").click()
    wire = Wire(place.server.port)
    far = open_page(browser, wire.port)
    expect(far.locator("#who")).to_contain_text("you have the wheel")
    shows(far, "AUTONOMOUS")
    place.take_over(lambda: far.keyboard.down("Shift"), lambda: far.keyboard.up("Shift"), place.corrects)
    wire.cut()
    place.operator.wait_for_state("PAUSED", "no word from page")
    expect(far.locator("figcaption").first).to_have_text(re.compile("no picture for"))
    wire.mend()
    shows(far, "PAUSED")  # it has connected again by itself
    far.keyboard.up("Shift")
    far.context.close()
    wire.close()


def test_killed_server_lets_go_and_the_page_comes_back_by_itself(page: Page, place: Workplace) -> None:
    place.begin()
    shows(page, "AUTONOMOUS")
    place.take_over(lambda: page.keyboard.down("Shift"), lambda: page.keyboard.up("Shift"), place.corrects)
    place.server.kill()
    place.operator.wait_for_state("PAUSED", "no word from page")
    shows(page, "OFFLINE")
    page.keyboard.press("Space")
    expect(page.locator("#alert")).to_contain_text("NOT stopped")
    page.keyboard.up("Shift")
    place.start_server_again()
    shows(page, "PAUSED")
    expect(page.locator("#who")).to_contain_text("you have the wheel")


def test_phrase_is_completed_refused_with_the_reason_and_kept(page: Page, place: Workplace) -> None:
    page.keyboard.press("/")
    page.keyboard.type("mal")
    expect(page.locator("#suggestions")).to_have_text("move arm left")
    page.keyboard.press("Tab")
    assert page.locator("#sentence").input_value() == "move arm left"
    page.keyboard.press("Enter")
    expect(page.locator("#said li").first).to_contain_text(
        "move arm left: a phrase corrects the policy while it drives"
    )
    page.locator("#sentence").fill("")
    page.keyboard.type("open.gripper")
    assert page.locator("#sentence").input_value() == "open gripper"
    page.keyboard.press("Escape")
    place.begin()
    shows(page, "AUTONOMOUS")
    page.keyboard.press("3")
    expect(page.locator("#said li").first).to_contain_text("takes no phrases")


def test_episodes_are_run_judged_redone_and_listed(page: Page, place: Workplace, pictures: Path) -> None:
    page.locator("#tab-start").click()
    page.locator("#run-task").fill("PickCube")
    page.locator("#run-seed").fill(str(1_000_100))
    page.locator("#run-episodes").fill("2")
    page.screenshot(path=str(pictures / "page-start.jpg"), type="jpeg", quality=80)
    page.locator("#run button[type=submit]").click()
    shows(page, "AUTONOMOUS")
    expect(page.locator("#series")).to_contain_text("Episode 1 of 2 (PickCube, seed 1000100) begins")
    page.locator("#failure-kind").select_option("dropped")
    time.sleep(1.0)
    page.keyboard.press("n")
    expect(page.locator("#series")).to_contain_text("Episode 2 of 2 (PickCube, seed 1000101) begins")
    shows(page, "AUTONOMOUS")
    time.sleep(1.0)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#episode")).to_have_text(re.compile("1000101"))
    shows(page, "AUTONOMOUS")
    time.sleep(1.0)
    page.keyboard.press("y")
    expect(page.locator("#series")).to_contain_text("seed 1000101) ended with success")
    store = EpisodeStore(place.folder / "episodes")
    place.operator.wait(lambda: sum("1000101" in name for name in store.names()) == 2, "the recordings")
    labels = {name: read_labels(store.root, name) for name in store.names() if "PickCube-10001" in name}
    assert sorted((label.success, label.failure) for found in labels.values() for label in found) == [
        (False, "dropped"),
        (True, ""),
    ]
    page.locator("#tab-episodes").click()
    expect(page.locator("#library tbody tr")).not_to_have_count(0)
    page.locator("#library tbody tr").nth(0).get_by_role("button", name="open").click()
    page.locator("#library tbody tr").nth(1).get_by_role("button", name="compare with").click()
    for player in ("#player-a", "#player-b"):
        expect(page.locator(f"{player} .shots img")).to_have_count(2)
        place.operator.wait(
            lambda player=player: page.locator(f"{player} img.strip").evaluate("image => image.naturalWidth > 0"),
            "the film strip",
        )
    page.screenshot(path=str(pictures / "page-episodes.jpg"), type="jpeg", quality=80, full_page=True)
    page.locator("#player-a button").click()
    expect(page.locator("#player-a p.quiet").first).not_to_have_text(re.compile("^0 of"))


def test_hand_that_moves_nothing_is_told_why(page: Page) -> None:
    page.keyboard.down("Shift")
    expect(page.locator("#hand-words")).to_contain_text("does not follow")
    page.keyboard.up("Shift")
    expect(page.locator("#hand-words")).to_contain_text("Hold the enabling key")


def test_command_in_the_wrong_state_is_refused_with_the_reason(page: Page) -> None:
    page.keyboard.press("Enter")
    expect(page.locator("#alert")).to_contain_text("no episode runs")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#alert")).to_contain_text(re.compile("no episode|rejected|begin"))


def test_nothing_is_asked_of_another_machine(browser: Browser, place: Workplace) -> None:
    context = browser.new_context()
    made = context.new_page()
    asked: list[str] = []
    made.on("request", lambda request: asked.append(request.url))
    made.on("websocket", lambda websocket: asked.append(websocket.url))
    made.goto(f"http://127.0.0.1:{place.server.port}/")
    shows(made, "PAUSED")
    time.sleep(1.0)
    context.close()
    assert len(asked) > 5
    for url in asked:
        assert re.match(rf"(http|ws)://127\.0\.0\.1:{place.server.port}/", url), url
