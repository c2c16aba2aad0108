"""A room drawn from a seed: lights, surfaces, camera mounting, and the looks and feel of what is handled."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage_core.types import FloatArray, ImageArray

TEXTURE_SIZE = 64
"""Width and height of the table's texture [px]."""

PATTERNS = ("plain", "wood", "speckle", "cloth")

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class CameraJitter:
    """How a camera is off its nominal mounting.

    Attributes:
        shift: displacement in the parent's frame, shape (3,) [m].
        turn: small rotation vector in the camera's frame, shape (3,) [rad].
        fovy_factor: factor on the vertical field of view.
    """

    shift: FloatArray
    turn: FloatArray
    fovy_factor: float


@dataclass(frozen=True)
class Room:
    """Everything about an episode's surroundings that is not the task's layout.

    Attributes:
        light_direction: unit vector in which the lamp shines, shape (3,).
        light_colour: RGB of the lamp's diffuse light, each 0..1.
        ambient: grey level of the light that comes from everywhere, 0..1.
        table_colours: two RGB colours that the table's pattern mixes.
        table_pattern: one of `PATTERNS`.
        texture_seed: seed of the pattern's noise.
        floor_colour: RGB.
        wall_colour: RGB.
        cameras: camera name to its jitter.
        cube_colour: RGB, around red.
        cube_half_m: half the edge of the cube [m].
        cube_mass_kg: its mass [kg].
        cube_friction: its sliding friction on the table.
    """

    light_direction: FloatArray
    light_colour: Colour
    ambient: float
    table_colours: tuple[Colour, Colour]
    table_pattern: str
    texture_seed: int
    floor_colour: Colour
    wall_colour: Colour
    cameras: dict[str, CameraJitter]
    cube_colour: Colour
    cube_half_m: float
    cube_mass_kg: float
    cube_friction: float

    def table_texture(self) -> ImageArray:
        """Return the table's texture, shape (TEXTURE_SIZE, TEXTURE_SIZE, 3), uint8."""
        grain = _pattern(self.table_pattern, np.random.default_rng(self.texture_seed))[..., None]
        first, second = (np.array(c) for c in self.table_colours)
        return np.round(255.0 * (first * (1.0 - grain) + second * grain)).astype(np.uint8)


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a room; the same generator state gives the same room."""
    azimuth, elevation = rng.uniform(-np.pi, np.pi), rng.uniform(np.radians(45.0), np.radians(85.0))
    direction = -np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    warmth, lamp = rng.uniform(-0.08, 0.08), rng.uniform(0.42, 0.62)
    hue, saturation, value = rng.uniform(0.08, 0.75), rng.uniform(0.03, 0.4), rng.uniform(0.4, 0.85)
    other = float(np.clip(value + rng.choice([-1.0, 1.0]) * rng.uniform(0.08, 0.22), 0.2, 0.9))
    return Room(
        light_direction=direction,
        light_colour=(lamp * (1.0 + warmth), lamp, lamp * (1.0 - warmth)),
        ambient=float(rng.uniform(0.34, 0.46)),
        table_colours=(_rgb(hue, saturation, value), _rgb(hue, saturation * rng.uniform(0.6, 1.0), other)),
        table_pattern=str(rng.choice(PATTERNS)),
        texture_seed=int(rng.integers(2**31)),
        floor_colour=_rgb(rng.uniform(0.0, 1.0), rng.uniform(0.0, 0.25), rng.uniform(0.25, 0.6)),
        wall_colour=_rgb(rng.uniform(0.0, 1.0), rng.uniform(0.0, 0.25), rng.uniform(0.4, 0.85)),
        cameras={"front": _draw_jitter(rng, 0.004), "wrist": _draw_jitter(rng, 0.0015)},
        cube_colour=_rgb(rng.uniform(-0.025, 0.025) % 1.0, rng.uniform(0.8, 0.95), rng.uniform(0.7, 0.95)),
        cube_half_m=float(rng.uniform(0.018, 0.022)),
        cube_mass_kg=float(rng.uniform(0.05, 0.1)),
        cube_friction=float(rng.uniform(0.5, 0.9)),
    )


def _draw_jitter(rng: np.random.Generator, shift_m: float) -> CameraJitter:
    """Draw with `shift_m` [m] and half a degree rms in all, and half a per cent of the field of view."""
    per_axis = 1.0 / np.sqrt(3.0)
    return CameraJitter(
        rng.normal(0.0, shift_m * per_axis, 3),
        rng.normal(0.0, np.radians(0.5) * per_axis, 3),
        float(1.0 + np.clip(rng.normal(0.0, 0.005), -0.015, 0.015)),
    )


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(float(hue), float(saturation), float(value))
    return (red, green, blue)


def _pattern(name: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a grey pattern, shape (TEXTURE_SIZE, TEXTURE_SIZE), each 0..1."""
    if name == "plain":
        return np.full((TEXTURE_SIZE, TEXTURE_SIZE), 0.5) + 0.1 * (_noise(rng, 8, 8) - 0.5)
    if name == "wood":
        return np.clip(0.7 * _noise(rng, 4, 32) + 0.3 * _noise(rng, 8, 64), 0.0, 1.0)
    if name == "cloth":
        stripes = 0.5 + 0.5 * np.sin(np.arange(TEXTURE_SIZE) * 2.0 * np.pi * rng.integers(4, 12) / TEXTURE_SIZE)
        return 0.4 * stripes[:, None] + 0.4 * stripes[None, :] + 0.2 * _noise(rng, 16, 16)
    return np.clip(0.5 * _noise(rng, 64, 64) + 0.5 * _noise(rng, 8, 8), 0.0, 1.0)


def _noise(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """Return smooth value noise from a grid of `rows` x `columns`, shape (TEXTURE_SIZE, TEXTURE_SIZE)."""
    grid = rng.random((rows, columns))
    rows_at, columns_at = (np.arange(TEXTURE_SIZE) * n / TEXTURE_SIZE for n in (rows, columns))
    r, c = rows_at.astype(int), columns_at.astype(int)
    fr, fc = (rows_at - r)[:, None], (columns_at - c)[None, :]
    r2, c2 = (r + 1) % rows, (c + 1) % columns
    upper = grid[np.ix_(r, c)] * (1.0 - fc) + grid[np.ix_(r, c2)] * fc
    lower = grid[np.ix_(r2, c)] * (1.0 - fc) + grid[np.ix_(r2, c2)] * fc
    return upper * (1.0 - fr) + lower * fr
