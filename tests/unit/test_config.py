"""Settings are read whole or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tutelage_core.config import from_mapping, load_yaml, to_mapping
from tutelage_core.errors import ConfigurationError, TutelageError, UnknownNameError

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Wheel:
    radius_m: float
    spokes: int = 36


@dataclass(frozen=True)
class Cart:
    name: str
    wheels: Mapping[str, Wheel]
    size_m: tuple[float, float] = (1.0, 2.0)
    tags: tuple[str, ...] = ()
    brake: bool = True
    load_kg: float | None = None
    options: Mapping[str, object] = field(default_factory=dict)


FULL = """
name: hay
wheels: {left: {radius_m: 0.3}, right: {radius_m: 1, spokes: 12}}
size_m: [2, 3.5]
tags: [old, red]
brake: false
load_kg: 12
options: {device: 3, deep: {list: [1, two]}}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "cart.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_field_is_read_with_its_type(tmp_path: Path) -> None:
    assert load_yaml(write(tmp_path, FULL), Cart) == Cart(
        "hay",
        {"left": Wheel(0.3), "right": Wheel(1.0, 12)},
        (2.0, 3.5),
        ("old", "red"),
        False,
        12.0,
        {"device": 3, "deep": {"list": [1, "two"]}},
    )


def test_whole_number_becomes_a_float_where_a_float_is_meant(tmp_path: Path) -> None:
    assert isinstance(load_yaml(write(tmp_path, FULL), Cart).size_m[0], float)


def test_what_is_not_given_has_its_default() -> None:
    assert from_mapping({"name": "a", "wheels": {}}, Cart, "cart") == Cart("a", {})
    assert from_mapping({"name": "a", "wheels": {}, "load_kg": None}, Cart, "cart").load_kg is None


def test_unknown_key_is_named_with_its_file_the_legal_keys_and_the_nearest_one(tmp_path: Path) -> None:
    path = write(tmp_path, "{name: a, wheels: {}, brakes: true}")
    with pytest.raises(UnknownNameError) as caught:
        load_yaml(path, Cart)
    assert (caught.value.kind, caught.value.name) == ("key", "brakes")
    assert caught.value.legal == ("brake", "load_kg", "name", "options", "size_m", "tags", "wheels")
    message = str(caught.value)
    assert str(path) in message
    assert "brake, load_kg, name, options, size_m, tags, wheels" in message
    assert "Did you mean 'brake'?" in message


def test_unknown_key_deep_inside_is_named_with_its_place() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown key 'radius' in cart: wheels\.left; legal: radius_m, spokes"):
        from_mapping({"name": "a", "wheels": {"left": {"radius": 1.0}}}, Cart, "cart")


def test_missing_key_is_named_with_the_keys_that_there_are() -> None:
    with pytest.raises(ConfigurationError, match="cart: key 'wheels' is missing; keys: brake, load_kg, name"):
        from_mapping({"name": "a"}, Cart, "cart")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", 3, "cart: name: expected str, got 3"),
        ("name", None, "cart: name: expected str, got None"),
        ("brake", 1, "cart: brake: expected bool, got 1"),
        ("brake", "yes", "cart: brake: expected bool, got 'yes'"),
        ("load_kg", "12", "cart: load_kg: expected float, got '12'"),
        ("load_kg", True, "cart: load_kg: expected float, got True"),
        ("size_m", 1.0, "cart: size_m: expected a list, got 1.0"),
        ("size_m", [1.0], "cart: size_m: expected 2 values, got 1"),
        ("size_m", [1.0, "wide"], r"cart: size_m\[1\]: expected float, got 'wide'"),
        ("tags", "red", "cart: tags: expected a list, got 'red'"),
        ("tags", ["red", 1], r"cart: tags\[1\]: expected str, got 1"),
        ("wheels", [], "cart: wheels: expected a mapping"),
        ("wheels", {"left": 0.3}, r"cart: wheels\.left: expected a mapping with the keys of Wheel, got 0\.3"),
        ("wheels", {"left": {"radius_m": 1.0, "spokes": 3.0}}, r"spokes: expected int, got 3\.0"),
        ("wheels", {"left": {"radius_m": 1.0, "spokes": True}}, "spokes: expected int, got True"),
        ("options", 4, "cart: options: expected a mapping, got 4"),
    ],
)
def test_value_that_does_not_fit_is_named_with_its_place(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        from_mapping({"name": "a", "wheels": {}, key: value}, Cart, "cart")


def test_field_of_a_type_that_no_file_can_hold_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        folder: Path

    with pytest.raises(ConfigurationError, match="cannot be read from YAML"):
        from_mapping({"folder": "/tmp"}, Odd, "odd")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "expected a mapping with the keys of Cart"),
        ("", "expected a mapping with the keys of Cart, got None"),
        ("a: [", "not valid YAML"),
    ],
)
def test_file_that_holds_no_mapping_is_refused_with_its_path(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_yaml(path, Cart)
    assert str(path) in str(caught.value)


def test_file_that_is_no_text_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "cart.yaml"
    path.write_bytes(b"name: \xff\xfe\xff")
    with pytest.raises(ConfigurationError, match=r"cart\.yaml: not valid YAML"):
        load_yaml(path, Cart)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no such file: .*absent\.yaml"):
        load_yaml(tmp_path / "absent.yaml", Cart)
    with pytest.raises(ConfigurationError, match="no such file"):
        load_yaml(tmp_path, Cart)


def test_file_cannot_make_python_objects(tmp_path: Path) -> None:
    path = write(tmp_path, "name: !!python/object/apply:os.getcwd []\nwheels: {}")
    with pytest.raises(ConfigurationError, match="not valid YAML"):
        load_yaml(path, Cart)


def test_plain_data_holds_lists_and_mappings_only() -> None:
    assert to_mapping(Cart("a", {"left": Wheel(0.5)}, tags=("x",))) == {
        "name": "a",
        "wheels": {"left": {"radius_m": 0.5, "spokes": 36}},
        "size_m": [1.0, 2.0],
        "tags": ["x"],
        "brake": True,
        "load_kg": None,
        "options": {},
    }


def test_unknown_name_without_legal_ones_says_so() -> None:
    error = UnknownNameError("robot", "x", [])
    assert str(error) == "unknown robot 'x'; legal: (none)."
    assert isinstance(error, TutelageError)
