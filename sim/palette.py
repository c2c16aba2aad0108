"""Colours that have a name: what an instruction calls red is drawn as one of many reds."""

from __future__ import annotations

from collections.abc import Mapping

from sim.textures import Colour, rgb
from tutelage_core.errors import UnknownNameError

PALETTE: Mapping[str, Colour] = {
    "red": (0.0, 0.85, 0.8),
    "orange": (0.075, 0.92, 0.92),
    "yellow": (0.15, 0.85, 0.9),
    "green": (0.36, 0.75, 0.6),
    "turquoise": (0.49, 0.75, 0.75),
    "blue": (0.61, 0.8, 0.75),
    "purple": (0.76, 0.65, 0.6),
    "pink": (0.91, 0.5, 0.92),
}
"""Hue, saturation and value of each colour, 0..1."""

COLOURS = tuple(PALETTE)
TINT_HUE = 0.014
TONE_VALUE = 0.12


def paint(name: str, tint: float = 0.0, tone: float = 0.0) -> Colour:
    """Return red, green and blue, each 0..1, of the colour `name`.

    Args:
        name: one of COLOURS.
        tint: how far its hue is off the middle of what has this name, -1..1.
        tone: how much darker or brighter it is, -1..1.

    Raises:
        UnknownNameError: no colour has this name.
    """
    if name not in PALETTE:
        raise UnknownNameError("colour", name, PALETTE)
    hue, saturation, value = PALETTE[name]
    return rgb(hue + TINT_HUE * tint, saturation, min(value * (1.0 + TONE_VALUE * tone), 0.98))


def other_colour(name: str, apart: int) -> str:
    """Return the colour `apart` places after `name`, round and round.

    Raises:
        UnknownNameError: no colour has this name.
    """
    if name not in PALETTE:
        raise UnknownNameError("colour", name, PALETTE)
    return COLOURS[(COLOURS.index(name) + apart) % len(COLOURS)]
