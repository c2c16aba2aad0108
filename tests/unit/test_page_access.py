"""Who may open the page."""

from __future__ import annotations

import pytest

from tutelage.ui.access import Access
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit
TOKEN = "abcdefgh12345678"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::"])
def test_address_that_others_can_reach_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigurationError, match="token"):
        Access(host=host)
    Access(host=host, token=TOKEN)


@pytest.mark.parametrize("token", ["short", "a" * 15, "with blank in it 16", "ümlautümlautümlaut"])
def test_weak_token_is_refused(token: str) -> None:
    with pytest.raises(ConfigurationError, match="token"):
        Access(token=token)


@pytest.mark.parametrize(("host", "port"), [("robot", 8080), ("127.0.0.1", 0), ("127.0.0.1", 70000)])
def test_address_that_is_none_is_refused(host: str, port: int) -> None:
    with pytest.raises(ConfigurationError):
        Access(host=host, port=port)


@pytest.mark.parametrize("authority", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "localhost:9000", "localhost"])
def test_own_machine_may_enter(authority: str) -> None:
    headers = {"host": authority, "origin": f"http://{authority}"}
    assert Access().objection(headers, "") == (0, "")


@pytest.mark.parametrize("authority", ["evil.example:8080", "192.168.1.7:8080", "", "127.0.0.1.evil.example:8080"])
def test_foreign_name_for_this_machine_is_refused(authority: str) -> None:
    assert Access().objection({"host": authority}, "")[0] == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9090", "null", "http://localhost:8080"])
def test_page_of_a_foreign_site_is_refused(origin: str) -> None:
    assert Access().objection({"host": "127.0.0.1:8080", "origin": origin}, "")[0] == 403


def test_token_is_asked_for_where_there_is_one() -> None:
    access = Access(token=TOKEN)
    headers = {"host": "127.0.0.1:8080"}
    assert access.objection(headers, "")[0] == 401
    assert access.objection(headers, TOKEN[:-1])[0] == 401
    assert access.objection(headers, "ü" * 16)[0] == 401
    assert access.objection(headers, TOKEN) == (0, "")


def test_other_machine_may_enter_by_address_or_by_a_name_that_was_given() -> None:
    access = Access(host="0.0.0.0", token=TOKEN, names=("robot.lab",))
    for authority in ("192.168.1.7:8080", "robot.lab:8080", "[fe80::1]:8080"):
        assert access.objection({"host": authority}, TOKEN) == (0, "")
    assert access.objection({"host": "evil.example:8080"}, TOKEN)[0] == 421
