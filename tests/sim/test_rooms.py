"""Rooms: drawn from split and number, within their ranges, disjoint, and really applied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from sim.parameters import SPLITS, Choice, Span, choice, declarations, draw_part, span, whole
from sim.rooms import BASE_PARTS, FrontCamera, Light, Room, Table, Wall, WristCamera, parse_room
from sim.tasks.pick_cube import Cube
from sim.textures import COMMON_PATTERNS, HELD_OUT_PATTERNS, TEXTURE_SIZE
from sim.twin import Twin
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError, UnknownNameError


@dataclass(frozen=True)
class Jar:
    """A part of the tests' own."""

    height_m: float = span(0.1, 0.2, "m", lab=0.15, bands=8)
    kind: str = choice("round", "square", held_out=("oval",), lab="round")
    holes: int = whole(1, 4)


def test_the_same_name_gives_the_same_room() -> None:
    assert Room("test", 5).parameters((Cube,)) == Room("test", 5).parameters((Cube,))
    assert Room("test", 5).parameters() != Room("test", 6).parameters()
    assert Room("test", 5).parameters() != Room("train", 5).parameters()


@pytest.mark.parametrize("split", SPLITS)
def test_every_drawn_value_is_legal(split: str) -> None:
    legal = {name: d for part in (*BASE_PARTS, Cube, Jar) for name, d in declarations(part).items()}
    for number in range(150):
        for name, value in Room(split, number).parameters((Cube, Jar)).items():
            assert legal[name].fits(value), (name, value)


def test_train_and_test_never_share_a_banded_value() -> None:
    for part in (Table, Wall, Jar):
        for name, declared in declarations(part).items():
            if not isinstance(declared, Span) or not declared.bands:
                continue
            field = name.partition(".")[2]
            width = (declared.high - declared.low) / declared.bands
            for number in range(300):
                bands = [
                    int((getattr(Room(split, number).part(part), field) - declared.low) / width)
                    for split in ("train", "test")
                ]
                assert bands[0] % 2 == 0, name
                assert bands[1] % 2 == 1, name


def test_both_splits_reach_over_the_whole_range() -> None:
    for split in ("train", "test"):
        heights = [Room(split, number).part(Table).height_m for number in range(300)]
        assert min(heights) < 0.012
        assert max(heights) > 0.048


def test_held_out_kinds_occur_in_no_other_split() -> None:
    seen = {split: {Room(split, n).part(Table).pattern for n in range(80)} for split in SPLITS}
    assert seen["held_out"] == set(HELD_OUT_PATTERNS)
    for split in ("lab", "train", "test"):
        assert seen[split] == set(COMMON_PATTERNS)
    assert {Room("held_out", n).part(Jar).kind for n in range(20)} == {"oval"}


def test_every_task_keeps_held_out_kinds_apart(task_styles: tuple[type, ...]) -> None:
    for part in task_styles:
        for name, declared in declarations(part).items():
            if isinstance(declared, Choice) and declared.held_out != declared.common:
                assert not set(declared.held_out) & {*declared.common, *declared.lab}, name


def test_the_lab_has_its_own_ranges() -> None:
    for number in range(50):
        assert Room("lab", number).part(Table).height_m == 0.0
        assert Room("lab", number).part(Jar).kind == "round"


def test_one_part_does_not_depend_on_another() -> None:
    given = Room("test", 3, (("table.height_m", 0.03), ("jar.holes", 2)))
    assert given.part(Table).height_m == 0.03
    assert given.part(Table).hue == Room("test", 3).part(Table).hue
    assert given.part(Light) == Room("test", 3).part(Light)


def test_a_parameter_out_of_range_is_refused_with_the_legal_range() -> None:
    with pytest.raises(ConfigurationError, match=r"table\.height_m = 0\.2; legal: 0 to 0\.06 m"):
        Room("test", 0, (("table.height_m", 0.2),)).check(())
    with pytest.raises(ConfigurationError, match=r"jar\.kind = 'heart'; legal: round, square, oval"):
        Room("test", 0, (("jar.kind", "heart"),)).check((Jar,))
    with pytest.raises(ConfigurationError, match=r"jar\.holes = 1\.5"):
        Room("test", 0, (("jar.holes", 1.5),)).check((Jar,))
    with pytest.raises(ConfigurationError, match=r"jar\.height_m = nan"):
        Room("test", 0, (("jar.height_m", float("nan")),)).check((Jar,))


def test_unknown_parameters_and_splits_are_refused_with_the_legal_names() -> None:
    with pytest.raises(UnknownNameError, match=r"table\.height_m"):
        Room("test", 0, (("table.heigth_m", 0.02),)).check(())
    with pytest.raises(UnknownNameError, match="held_out"):
        Room("tset", 0)
    with pytest.raises(ConfigurationError, match="split:number"):
        parse_room("test:x")
    with pytest.raises(ConfigurationError, match="0 or more"):
        Room("test", -1)
    assert parse_room("train:12") == Room("train", 12)


def test_odd_bands_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="even"):
        span(0.0, 1.0, bands=3)


def test_a_draw_uses_nothing_but_its_generator() -> None:
    first, second = (draw_part(Jar, np.random.default_rng(4), "train", {}) for _ in range(2))
    assert first == second


def test_camera_errors_have_the_size_that_is_promised() -> None:
    for kind, shift_m in ((FrontCamera, 0.004), (WristCamera, 0.0015)):
        shifts = np.array([Room("test", n).part(kind).shift for n in range(600)])
        turns = np.array([Room("test", n).part(kind).turn for n in range(600)])
        assert np.allclose(shifts.std(axis=0), shift_m, rtol=0.12)
        assert np.allclose(turns.std(axis=0), 0.005, rtol=0.12)


def test_exact_cameras_stand_where_they_should() -> None:
    for kind in (FrontCamera, WristCamera):
        part = Room("test", 3, exact_cameras=True).part(kind)
        assert not part.shift.any()
        assert not part.turn.any()
        assert part.fovy_factor == 1.0


def test_textures_lie_between_their_two_colours() -> None:
    for split in ("test", "held_out"):
        for number in range(40):
            texture = Room(split, number).part(Table).texture()
            assert texture.shape == (TEXTURE_SIZE, TEXTURE_SIZE, 3)
            assert texture.std() > 0.3  # there is a pattern


def test_the_room_changes_size_mass_and_looks_of_the_world() -> None:
    twin = Twin(load_contract("twin"), seed=1, rooms="test")
    pictures = []
    for seed in (1, 2):
        twin.reset(seed)
        model, cube, table = twin.world.model, twin.room.part(Cube), twin.room.part(Table)
        assert np.allclose(model.geom_size[model.geom("cube").id], cube.half_m)
        assert np.isclose(model.body_mass[model.body("cube").id], cube.mass_kg)
        assert abs(twin.world.data.body("cube").xpos[2] - cube.half_m - table.height_m) < 2e-3
        pictures.append(twin.render("front"))
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 5.0
    twin.close()


def test_episodes_in_one_room_keep_the_room_and_change_the_layout() -> None:
    twin = Twin(load_contract("twin"))
    room = Room("train", 7)
    twin.reset(1, room)
    world, first = twin.world, twin.world.data.body("cube").xpos.copy()
    twin.reset(2, room)
    assert twin.world is world
    assert twin.room == room
    assert np.linalg.norm(twin.world.data.body("cube").xpos - first) > 1e-3
    twin.close()
