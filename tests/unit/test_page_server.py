"""The page's server: one driver, all see, anybody stops, and a slow page harms itself alone."""

from __future__ import annotations

import json
import random
import socket
import time
from pathlib import Path

import httpx2 as httpx
import pytest
from page_server_samples import TOKEN, Served, free_port, read_to_the_end, served, until
from websockets.exceptions import InvalidStatus

from tutelage.ui.access import Access
from tutelage.ui.clients import MAX_UNSEEN, PICTURE_HEAD, Picture
from tutelage.ui.pages import MAX_CLIENTS
from tutelage.ui.server import PAGE_FOLDER
from tutelage_core.errors import TutelageError

pytestmark = pytest.mark.unit
WORD = {"type": "hand", "ms": 1.0, "held": True, "axes": [1, 0, 0, 0, 0, 0]}
PICTURE = Picture("front", 12.5, b"\xff\xd8 pixels")


def test_first_page_has_the_wheel_and_the_second_one_watches(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        first, second = made.page(), made.page()
        second.say(**WORD, number=1)
        second.say(type="event", id=5, event="START")
        answer = second.kind("answer")
        assert not answer["done"]
        assert "page 1 drives" in answer["message"]
        first.say(**WORD, number=1)
        until(lambda: made.graph.hands)
        assert [sender for sender, _ in made.graph.hands] == ["page 1"]
        assert not made.graph.requests


def test_wheel_that_is_left_can_be_taken_and_is_never_snatched(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        first, second = made.page(), made.page()
        second.say(type="drive", want=True)
        assert "drives" in second.kind("refused")["message"]
        first.say(type="drive", want=False)
        second.wait(lambda line: line["type"] == "who" and line["driver"] == "")
        assert made.graph.gone == ["page 1"]
        second.say(type="drive", want=True)
        second.wait(lambda line: line["type"] == "who" and line["you"])


def test_page_that_goes_away_lets_go(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        first, second = made.page(), made.page()
        first.say(**WORD, number=1)
        until(lambda: made.graph.hands)
        first.close()
        until(lambda: made.graph.gone == ["page 1"])
        second.wait(lambda line: line["type"] == "who" and line["driver"] == "")


def test_anybody_may_stop(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        made.page()
        watcher = made.page()
        watcher.say(type="stop", reason="it bends")
        until(lambda: made.graph.stops)
        assert made.graph.stops == ["page 2: it bends"]


def test_driver_gets_the_answer_to_each_request(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        page = made.page()
        page.say(type="event", id=11, event="START")
        assert page.kind("answer") == {"type": "answer", "id": 11, "done": True, "message": "for page 1"}


def test_late_page_is_shown_what_is_the_case(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        made.server.show("session", {"state": "PAUSED"})
        made.server.show("session", {"state": "STOPPED"})
        assert made.page().kind("session")["state"] == "STOPPED"


def test_page_gets_pictures_of_what_it_watches_and_no_more_than_it_shows(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        page = made.page()
        made.server.picture(PICTURE)  # nobody watches yet
        page.say(type="watch", cameras=["front", "attic"])
        until(lambda: made.graph.watched and made.graph.watched[-1] == frozenset({"front"}))
        for _ in range(20):
            made.server.picture(PICTURE)
            time.sleep(0.01)
        until(lambda: len(page.pictures) == MAX_UNSEEN)
        kind, camera, _, number, stamp_s = PICTURE_HEAD.unpack(page.pictures[-1][: PICTURE_HEAD.size])
        assert (kind, camera, stamp_s) == (1, 0, 12.5)
        assert page.pictures[-1][PICTURE_HEAD.size :] == PICTURE.jpeg
        assert made.server.dropped == 20 - MAX_UNSEEN - 1, "the newest waits"
        page.say(type="seen", picture=number)
        until(lambda: len(page.pictures) == MAX_UNSEEN + 1)


def test_slow_page_drops_for_itself_alone(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        slow, quick = made.page(), made.page()
        for page in (slow, quick):
            page.say(type="watch", cameras=["front"])
        until(lambda: len(made.graph.watched) >= 2)
        for count in range(1, 31):
            made.server.picture(PICTURE)
            until(lambda count=count: len(quick.pictures) == count)
            number = PICTURE_HEAD.unpack(quick.pictures[-1][: PICTURE_HEAD.size])[3]
            quick.say(type="seen", picture=number)
        assert len(slow.pictures) == MAX_UNSEEN


def test_ten_thousand_frames_of_nonsense_reach_nobody(tmp_path: Path) -> None:
    draw = random.Random(0)
    legal = json.dumps({**WORD, "number": 1})
    with served(tmp_path) as made:
        page = made.page()
        page.say(type="drive", want=False)  # what is legal by chance must not move the arm either
        for number in range(10_000):
            match number % 4:
                case 0:
                    text: str | bytes = draw.randbytes(draw.randrange(200))
                case 1:
                    at = draw.randrange(len(legal))
                    text = legal[:at] + chr(draw.randrange(0x20, 0x3000)) + legal[at + 1 :]
                case 2:
                    text = legal[: draw.randrange(len(legal))]
                case _:
                    text = json.dumps({"type": draw.choice(["hand", "run", "event", "x"]), "id": draw.random()})
            page.raw(text)
        page.say(type="ping", number=77)
        assert page.kind("pong")["number"] == 77
        assert made.server.counters["refused_messages"] > 7_500
        assert [*made.graph.hands, *made.graph.requests, *made.graph.stops] == []


def test_message_that_is_too_long_ends_its_connection_and_no_other(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        other = made.page()
        connection = made.connect()
        connection.send("x" * 5000)
        read_to_the_end(connection)
        other.say(type="ping", number=1)
        other.kind("pong")


def test_foreign_origin_and_missing_token_get_no_connection(tmp_path: Path) -> None:
    with served(tmp_path, TOKEN) as made:
        for query, options in (
            ("", {}),
            ("?token=wrong", {}),
            (f"?token={TOKEN}", {"origin": "http://evil.example"}),
        ):
            with pytest.raises(InvalidStatus):
                made.connect(query, **options)
        assert made.page(f"?token={TOKEN}", origin=f"http://{made.address}").kind("welcome")["robot"] == "twin"


def test_token_moves_from_the_address_line_into_a_cookie(tmp_path: Path) -> None:
    with served(tmp_path, TOKEN) as made, httpx.Client(base_url=f"http://{made.address}") as visitor:
        assert visitor.get("/").status_code == 401
        assert visitor.get("/?token=wrong-wrong-wrong").status_code == 401
        answer = visitor.get(f"/?token={TOKEN}")
        assert answer.status_code in (302, 307)
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert "SameSite=strict" in answer.headers["set-cookie"]
        assert "<title>Tutelage</title>" in visitor.get("/").text


def test_more_pages_than_there_is_room_for_are_refused(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        for _ in range(MAX_CLIENTS):
            made.page()
        with pytest.raises(InvalidStatus):
            made.connect()


def test_port_that_is_taken_is_named(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        made = Served(Access(port=port), tmp_path)
        with pytest.raises(TutelageError, match=f"{port}.*choose another one"):
            made.server.start()


def test_end_of_the_server_ends_its_pages(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        connection = made.connect()
        made.server.close()
        read_to_the_end(connection)


def test_page_is_small_and_asks_no_other_machine_for_anything() -> None:
    files = [path for path in PAGE_FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 500_000
    for path in files:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path.name
        assert "https://" not in text, path.name


def test_pages_of_the_server_forbid_foreign_content(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        answer = httpx.get(f"http://{made.address}/")
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert httpx.get(f"http://{made.address}/../pyproject.toml").status_code == 404
