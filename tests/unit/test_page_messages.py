"""What a page may say: its fields, their bounds, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.ui import messages
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit

HAND: dict[str, Any] = {"type": "hand", "number": 3, "ms": 12.5, "held": True, "axes": [0, 0.5, -1, 0, 0, 0]}
LEGAL: list[dict[str, Any]] = [
    HAND,
    {"type": "watch", "cameras": ["front"]},
    {"type": "seen", "picture": 7},
    {"type": "ping", "number": 1},
    {"type": "stop"},
    {"type": "drive", "want": True},
    {"type": "event", "id": 1, "event": "START"},
    {"type": "correct", "id": 2, "sentence": "move arm left"},
    {"type": "label", "id": 3, "success": False, "failure": "dropped"},
    {"type": "run", "id": 4, "task": "PickCube"},
    {"type": "again", "id": 5, "what": "redo"},
    {"type": "launch", "id": 6, "robot": "twin", "task": "PickCube", "policy": "bc_pick_cube", "rewards": []},
    {"type": "shutdown", "id": 7},
]


@pytest.mark.parametrize("message", LEGAL, ids=[message["type"] for message in LEGAL])
def test_legal_message_is_taken_as_it_is(message: dict[str, Any]) -> None:
    taken = messages.parse(json.dumps(message))
    assert taken.type == message["type"]
    for name, value in message.items():
        assert getattr(taken, name) == value


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"axes": [0, 0, 0, 0, 0]}, "axes"),
        ({"axes": [0, 0, 0, 0, 0, 1.01]}, "axes"),
        ({"axes": [0, 0, 0, 0, 0, "1"]}, "axes"),
        ({"held": 1}, "held"),
        ({"held": None}, "held"),
        ({"number": -1}, "number"),
        ({"number": 2**60}, "number"),
        ({"ms": -5.0}, "ms"),
        ({"ms": 3e12}, "ms"),
        ({"gripper": 1.5}, "gripper"),
        ({"speed": 2.0}, "speed"),
        ({"velocity": 1.0}, "velocity"),
        ({"type": "go"}, "type"),
        ({"type": None}, "type"),
    ],
)
def test_illegal_message_is_refused_by_the_name_of_its_field(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        messages.parse(json.dumps({**HAND, **change}))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_number_that_is_not_finite_is_no_axis(number: str) -> None:
    with pytest.raises(ConfigurationError):
        messages.parse(json.dumps(HAND).replace("12.5", number))
    with pytest.raises(ConfigurationError):
        messages.parse(json.dumps(HAND).replace("0.5", number))


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '"stop"', "[" * 4000, '{"type":"stop"', '{"a":' * 500])
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        messages.parse(text)


def test_line_with_control_characters_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="sentence"):
        messages.parse(json.dumps({"type": "correct", "id": 1, "sentence": "a\nb"}))


@settings(max_examples=500, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
        max_leaves=20,
    )
)
def test_any_json_is_a_message_or_refused(value: Any) -> None:
    try:
        taken = messages.parse(json.dumps(value))
    except ConfigurationError:
        return
    assert isinstance(taken, messages.Message)
