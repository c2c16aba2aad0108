"""A room drawn from a split and a number: lights, surfaces, cameras, clutter, and the style of what a task brings."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np

from sim.parameters import SPLITS, Value, check_names, choice, draw_part, part_name, span, spread, whole
from sim.textures import COMMON_PATTERNS, HELD_OUT_PATTERNS, Colour, rgb, texture
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.types import FloatArray, ImageArray

Part = TypeVar("Part")

MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class Light:
    """The lamp and the light that comes from everywhere."""

    azimuth_rad: float = span(-np.pi, np.pi, "rad")
    elevation_rad: float = span(0.6, 1.5, "rad", lab=(0.785, 1.484))
    brightness: float = span(0.36, 0.66, lab=(0.42, 0.62))
    warmth: float = span(-0.08, 0.08)
    ambient: float = span(0.3, 0.5, lab=(0.34, 0.46))

    @property
    def direction(self) -> FloatArray:
        """Unit vector in which the lamp shines, shape (3,)."""
        flat = np.cos(self.elevation_rad)
        return -np.array([np.cos(self.azimuth_rad) * flat, np.sin(self.azimuth_rad) * flat, np.sin(self.elevation_rad)])

    @property
    def colour(self) -> Colour:
        """Red, green and blue of the lamp, each 0..1."""
        return (self.brightness * (1.0 + self.warmth), self.brightness, self.brightness * (1.0 - self.warmth))


@dataclass(frozen=True)
class Table:
    """The table's size, height above the robot's base, and looks."""

    height_m: float = span(0.0, 0.06, "m", lab=0.0, bands=12)
    front_m: float = span(0.88, 1.1, "m", lab=1.0)
    half_width_m: float = span(0.45, 0.7, "m", lab=0.6)
    hue: float = span(0.08, 0.75, bands=32)
    saturation: float = span(0.03, 0.4)
    value: float = span(0.4, 0.85)
    contrast: float = span(-0.16, 0.16)
    pattern: str = choice(*COMMON_PATTERNS, held_out=HELD_OUT_PATTERNS)
    grain: int = whole(0, MAX_SEED)

    def texture(self) -> ImageArray:
        """Return the picture of its top, uint8."""
        other = float(np.clip(self.value + self.contrast + np.copysign(0.07, self.contrast), 0.2, 0.9))
        first = rgb(self.hue, self.saturation, self.value)
        return texture(self.pattern, self.grain, first, rgb(self.hue, 0.8 * self.saturation, other))


@dataclass(frozen=True)
class Wall:
    """The wall behind the robot."""

    hue: float = span(0.0, 1.0, bands=32)
    saturation: float = span(0.0, 0.25)
    value: float = span(0.4, 0.85)

    @property
    def colour(self) -> Colour:
        """Red, green and blue, each 0..1."""
        return rgb(self.hue, self.saturation, self.value)


@dataclass(frozen=True)
class Floor:
    """The floor."""

    hue: float = span(0.0, 1.0)
    saturation: float = span(0.0, 0.25)
    value: float = span(0.25, 0.6)

    @property
    def colour(self) -> Colour:
        """Red, green and blue, each 0..1."""
        return rgb(self.hue, self.saturation, self.value)


@dataclass(frozen=True)
class _Mounting:
    """How a camera is off its nominal mounting."""

    @property
    def shift(self) -> FloatArray:
        """Displacement in the parent's frame, shape (3,) [m]."""
        here = cast("Any", self)
        return np.array([here.shift_x_m, here.shift_y_m, here.shift_z_m])

    @property
    def turn(self) -> FloatArray:
        """Small rotation vector in the camera's frame, shape (3,) [rad]."""
        here = cast("Any", self)
        return np.array([here.turn_x_rad, here.turn_y_rad, here.turn_z_rad])


@dataclass(frozen=True)
class FrontCamera(_Mounting):
    """Mounting error of the front camera: a tripod of one's own in the lab, anybody's in rooms."""

    shift_x_m: float = spread(0.0, 0.004, "m", lab=0.0023)
    shift_y_m: float = spread(0.0, 0.004, "m", lab=0.0023)
    shift_z_m: float = spread(0.0, 0.004, "m", lab=0.0023)
    turn_x_rad: float = spread(0.0, 0.005, "rad")
    turn_y_rad: float = spread(0.0, 0.005, "rad")
    turn_z_rad: float = spread(0.0, 0.005, "rad")
    fovy_factor: float = spread(1.0, 0.015, lab=0.005)


@dataclass(frozen=True)
class WristCamera(_Mounting):
    """Mounting error of the wrist camera: its bracket is stiffer than a tripod."""

    shift_x_m: float = spread(0.0, 0.0015, "m", lab=0.0009)
    shift_y_m: float = spread(0.0, 0.0015, "m", lab=0.0009)
    shift_z_m: float = spread(0.0, 0.0015, "m", lab=0.0009)
    turn_x_rad: float = spread(0.0, 0.005, "rad")
    turn_y_rad: float = spread(0.0, 0.005, "rad")
    turn_z_rad: float = spread(0.0, 0.005, "rad")
    fovy_factor: float = spread(1.0, 0.01, lab=0.005)


@dataclass(frozen=True)
class Clutter:
    """Things that stand about; `sim.clutter` places them."""

    count: int = whole(0, 6, lab=0)
    layout: int = whole(0, MAX_SEED)


CAMERA_PARTS: Mapping[str, type[FrontCamera] | type[WristCamera]] = {"front": FrontCamera, "wrist": WristCamera}
BASE_PARTS: tuple[type, ...] = (Light, Table, Wall, Floor, FrontCamera, WristCamera, Clutter)


@dataclass(frozen=True)
class Room:
    """A room by its name: every part of it follows from split and number.

    Attributes:
        split: one of `sim.parameters.SPLITS`.
        number: which room of the split; each has 2**63.
        given: parameters that are set instead of drawn, by full name.
        exact_cameras: cameras stand exactly where they should.
    """

    split: str = "lab"
    number: int = 0
    given: tuple[tuple[str, Value], ...] = ()
    exact_cameras: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no room.

        Raises:
            UnknownNameError: unknown split.
            ConfigurationError: negative number.
        """
        if self.split not in SPLITS:
            raise UnknownNameError("split", self.split, SPLITS)
        if self.number < 0:
            raise ConfigurationError(f"a room's number is 0 or more, got {self.number}")

    @property
    def name(self) -> str:
        """`split:number`, and in brackets what is not as drawn."""
        changes = [f"{name}={value}" for name, value in self.given] + ["exact cameras"] * self.exact_cameras
        return f"{self.split}:{self.number}" + (f" [{', '.join(changes)}]" if changes else "")

    def part(self, kind: type[Part]) -> Part:
        """Return the room's part of this kind; it depends on no other part.

        Raises:
            ConfigurationError: a given parameter is out of range.
        """
        names = (SPLITS.index(self.split), self.number, zlib.crc32(part_name(kind).encode()))
        drawn = draw_part(kind, np.random.default_rng(names), self.split, dict(self.given))
        if self.exact_cameras and isinstance(drawn, _Mounting):
            still = {f.name: 1.0 if f.name == "fovy_factor" else 0.0 for f in dataclasses.fields(drawn)}
            return dataclasses.replace(drawn, **still)
        return drawn

    def check(self, styles: tuple[type, ...]) -> None:
        """Refuse given parameters that neither the room nor a task with these `styles` has, or that are out of range.

        Raises:
            UnknownNameError: no such parameter; the legal names are listed.
            ConfigurationError: out of range; the legal range is named.
        """
        check_names(dict(self.given), (*BASE_PARTS, *styles))
        self.parameters(styles)

    def parameters(self, styles: tuple[type, ...] = ()) -> dict[str, Value]:
        """Return all parameters by full name, those of a task's `styles` included."""
        found: dict[str, Value] = {}
        for kind in (*BASE_PARTS, *styles):
            drawn = self.part(kind)
            found |= {f"{part_name(kind)}.{f.name}": getattr(drawn, f.name) for f in dataclasses.fields(drawn)}
        return found


def parse_room(text: str) -> Room:
    """Return the room that `split:number` names; the number may be left out.

    Raises:
        ConfigurationError: not of this form.
        UnknownNameError: unknown split.
    """
    split, _, number = text.partition(":")
    if number and not number.isdecimal():
        raise ConfigurationError(f"a room is named split:number, such as test:12, got {text!r}")
    return Room(split, int(number or 0))
