"""Handles of doors and drawers: bars, knobs, arches, rings, tees and lips, and how a hand takes hold of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import mujoco
import numpy as np

from sim.parameters import choice, span
from sim.robots import OBJECT_GROUP, WORLD_BITS
from sim.textures import rgb
from tutelage_core.types import FloatArray

HANDLE_SITE = "handle"
"""Where the handle sits on its panel: x along the panel, y out of it, z up."""

ARCH_PIECES, RING_PIECES = 8, 12
KNOB_LENGTH_M = 0.016
POST_RADIUS_M = 0.0045
FRICTION = (0.6, 0.005, 0.0001)

NAMES = {
    "bar": "bar handle",
    "knob": "knob",
    "arch": "curved handle",
    "ring": "ring",
    "tee": "T-shaped handle",
    "lip": "lip",
}
"""What a kind is called in instructions."""


@dataclass(frozen=True)
class Handle:
    """The handle of a room's door or drawer."""

    kind: str = choice("bar", "knob", "arch", held_out=("ring", "tee", "lip"), lab="bar")
    length_m: float = span(0.07, 0.095, "m", lab=0.08, bands=8)
    standoff_m: float = span(0.038, 0.046, "m", lab=0.042)
    radius_m: float = span(0.004, 0.006, "m", lab=0.005)
    knob_radius_m: float = span(0.01, 0.016, "m", lab=0.013)
    hue: float = span(0.0, 1.0, lab=(0.08, 0.14), bands=32)
    saturation: float = span(0.0, 0.9, lab=(0.0, 0.2))
    value: float = span(0.15, 0.95, lab=(0.75, 0.9))


@dataclass(frozen=True)
class Hold:
    """How a hand takes hold of a handle, in the frame of its site.

    Attributes:
        place: where the TCP shall be, shape (3,) [m].
        width_m: thickness between the pads; 0 where the closed fingers hook behind the handle [m].
        top_m: height of the handle's upper end [m].
    """

    place: FloatArray
    width_m: float
    top_m: float

    @property
    def hooks(self) -> bool:
        """Tell whether closed fingers hook behind the handle instead of pinching it."""
        return self.width_m == 0.0


def hold_of(style: Handle, upright: bool) -> Hold:
    """Return how to hold a handle that stands `upright` or lies flat; knobs, rings and tees look the same both ways."""
    out, radius, half = style.standoff_m, style.radius_m, style.length_m / 2.0
    if style.kind == "knob":
        place, width, top = (0.0, out - KNOB_LENGTH_M / 2.0, 0.0), 2.0 * style.knob_radius_m, style.knob_radius_m
    elif style.kind == "ring":
        ring = _ring_radius(style)
        place, width, top = (0.0, out - ring, ring - 0.003), 2.0 * radius, ring + radius
    elif style.kind == "tee":
        place, width, top = (0.0, out, 0.6 * half - 0.006), 2.0 * radius, 0.6 * half + radius
    elif not upright:
        # the closed fingers stand between panel and handle, a little nearer to the handle
        free = out - radius
        place, width, top = (0.0, 0.5 * free + 0.001, -0.003), 0.0, radius
    elif style.kind == "bar":
        place, width, top = (0.0, out, half - 0.011), 2.0 * radius, half + radius
    elif style.kind == "arch":
        place, width, top = (0.0, math.sqrt(0.75) * out, 0.5 * half), 2.0 * radius, half + radius
    else:
        place, width, top = (0.0, out - 0.01, half - 0.011), 2.0 * radius, half
    return Hold(np.array(place), width, top)


def add_handle(body: mujoco.MjsBody, style: Handle, place: FloatArray, upright: bool, mass_kg: float) -> None:
    """Add a handle and its site to `body`, at `place` on the panel's surface, shape (3,) [m]."""
    body.add_site(name=HANDLE_SITE, pos=place, group=5)
    shapes = _lip(style, upright) if style.kind == "lip" else _rods(style, upright)
    for index, shape in enumerate(shapes):
        if "fromto" in shape:
            shape["fromto"] = np.array(shape["fromto"]) + np.tile(place, 2)
        else:
            shape["pos"] = np.array(shape["pos"]) + place
        body.add_geom(
            name=f"handle{index}",
            mass=mass_kg / len(shapes),
            friction=list(FRICTION),
            group=OBJECT_GROUP,
            rgba=[*rgb(style.hue, style.saturation, style.value), 1.0],
            **shape,
            **WORLD_BITS,
        )


def _ring_radius(style: Handle) -> float:
    return 0.21 * style.length_m


def _rods(style: Handle, upright: bool) -> list[dict[str, Any]]:
    """Return the capsules and cylinders of any handle but a lip."""
    out, half = style.standoff_m, style.length_m / 2.0
    along = np.array([0.0, 0.0, 1.0]) if upright or style.kind in ("ring", "tee") else np.array([1.0, 0.0, 0.0])
    outward = np.array([0.0, 1.0, 0.0])
    if style.kind == "knob":
        neck = out - KNOB_LENGTH_M
        knob = _rod(neck * outward, out * outward, style.knob_radius_m, mujoco.mjtGeom.mjGEOM_CYLINDER)
        return [_rod(0.0 * outward, neck * outward, POST_RADIUS_M), knob]
    if style.kind == "arch":
        turns = np.linspace(0.0, np.pi, ARCH_PIECES + 1)
        line = [-math.cos(a) * half * along + math.sin(a) * out * outward for a in turns]
        return [_rod(a, b, style.radius_m) for a, b in pairwise(line)]
    if style.kind == "ring":
        ring = _ring_radius(style)
        turns = np.linspace(0.0, 2.0 * np.pi, RING_PIECES + 1)
        line = [(out - ring - math.cos(a) * ring) * outward + math.sin(a) * ring * along for a in turns]
        rim = [_rod(a, b, style.radius_m) for a, b in pairwise(line)]
        return [_rod(0.0 * outward, line[0], POST_RADIUS_M), *rim]
    if style.kind == "tee":
        half *= 0.6
        feet = [np.zeros(3)]
    else:
        feet = [-(half - 0.006) * along, (half - 0.006) * along]
    bar = _rod(out * outward - half * along, out * outward + half * along, style.radius_m)
    return [bar, *(_rod(foot, foot + out * outward, POST_RADIUS_M) for foot in feet)]


def _lip(style: Handle, upright: bool) -> list[dict[str, Any]]:
    """Return the boxes of a lip: an upright blade, or a flat channel that is open at the top."""
    out, thick, half = style.standoff_m, style.radius_m, style.length_m / 2.0
    if upright:
        return [_box((0.0, out / 2.0, 0.0), (thick, out / 2.0, half))]
    floor_z, tall = -0.026, 0.016
    return [
        _box((0.0, out / 2.0, floor_z), (half, out / 2.0, 0.003)),
        _box((0.0, out, floor_z - 0.003 + tall), (half, thick, tall)),
    ]


def _rod(
    start: FloatArray, end: FloatArray, radius: float, kind: mujoco.mjtGeom = mujoco.mjtGeom.mjGEOM_CAPSULE
) -> dict[str, Any]:
    return {"type": kind, "fromto": [*start, *end], "size": [radius, 0.0, 0.0]}


def _box(middle: tuple[float, float, float], half: tuple[float, float, float]) -> dict[str, Any]:
    return {"type": mujoco.mjtGeom.mjGEOM_BOX, "pos": middle, "size": list(half)}
