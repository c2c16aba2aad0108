"""Rooms: drawn from a seed, within their ranges, and really applied."""

from __future__ import annotations

import numpy as np

from sim.rooms import PATTERNS, TEXTURE_SIZE, draw_room
from sim.twin import Twin
from tutelage_core.contract import load_contract


def rooms(count: int) -> list:
    return [draw_room(np.random.default_rng(seed)) for seed in range(count)]


def test_the_same_seed_draws_the_same_room() -> None:
    first, second = (draw_room(np.random.default_rng(5)) for _ in range(2))
    assert first.cube_colour == second.cube_colour
    assert np.array_equal(first.table_texture(), second.table_texture())
    assert np.array_equal(first.cameras["front"].shift, second.cameras["front"].shift)


def test_rooms_stay_in_their_ranges() -> None:
    for room in rooms(200):
        assert 0.018 <= room.cube_half_m <= 0.022
        assert 0.05 <= room.cube_mass_kg <= 0.1
        assert room.cube_colour[0] > 2.5 * max(room.cube_colour[1:])
        assert room.light_direction[2] < -0.7
        assert np.isclose(np.linalg.norm(room.light_direction), 1.0)


def test_camera_jitter_has_the_size_that_is_promised() -> None:
    drawn = rooms(1500)
    for name, shift_m in (("front", 0.004), ("wrist", 0.0015)):
        shifts = np.array([room.cameras[name].shift for room in drawn])
        turns = np.array([room.cameras[name].turn for room in drawn])
        assert np.isclose(np.sqrt((shifts**2).sum(axis=1).mean()), shift_m, rtol=0.1)
        assert np.isclose(np.sqrt((turns**2).sum(axis=1).mean()), np.radians(0.5), rtol=0.1)


def test_every_pattern_gives_a_texture_between_its_two_colours() -> None:
    seen = set()
    for room in rooms(60):
        texture = room.table_texture()
        seen.add(room.table_pattern)
        assert texture.shape == (TEXTURE_SIZE, TEXTURE_SIZE, 3)
        low, high = (255.0 * f(room.table_colours, axis=0) for f in (np.min, np.max))
        assert (texture >= low - 1.0).all()
        assert (texture <= high + 1.0).all()
    assert seen == set(PATTERNS)


def test_the_room_changes_size_mass_and_looks_of_the_world() -> None:
    twin = Twin(load_contract("twin"), seed=1)
    for seed in (1, 2):
        twin.reset(seed)
        model, room = twin.world.model, twin.room
        assert np.allclose(model.geom_size[model.geom("cube").id], room.cube_half_m)
        assert model.body_mass[model.body("cube").id] == room.cube_mass_kg
        assert abs(twin.world.data.body("cube").xpos[2] - room.cube_half_m) < 2e-3
    twin.close()
