"""Language motions: a motion in words, largest part first, such as "move arm forward and left and close gripper".

The rule is that of RT-H (Belkhale et al. 2024): name each signed part of a motion, leave out small ones, join the rest
in order of magnitude. Our thresholds stand in `PhraseSettings`. The words are those of somebody who stands behind the
robot and looks along x; a hand that points down tilts toward where its fingers swing.

A verb that is the same as the one before it is not said again, so every phrase has one reading:

    phrase = "stop" | part {" and " part}      part = [verb] direction, in all one for each axis at most
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.types import STEP_SIZE, FloatArray

STOP = "stop"

Part = tuple[int, int]
"""Axis 0..6 of a motion (x y z, rx ry rz, gripper) and sign, -1 or 1."""

WORDS: Mapping[Part, tuple[str, str]] = {
    (0, 1): ("move arm", "forward"),
    (0, -1): ("move arm", "backward"),
    (1, 1): ("move arm", "left"),
    (1, -1): ("move arm", "right"),
    (2, 1): ("move arm", "up"),
    (2, -1): ("move arm", "down"),
    (3, 1): ("tilt arm", "left"),
    (3, -1): ("tilt arm", "right"),
    (4, 1): ("tilt arm", "backward"),
    (4, -1): ("tilt arm", "forward"),
    (5, 1): ("rotate arm", "counterclockwise"),
    (5, -1): ("rotate arm", "clockwise"),
    (6, 1): ("open", "gripper"),
    (6, -1): ("close", "gripper"),
}
"""Verb and direction of each part; positive turns are those of the right hand, seen from above for z."""

_PARTS: Mapping[str, Part] = {f"{verb} {direction}": part for part, (verb, direction) in WORDS.items()}


@dataclass(frozen=True)
class PhraseSettings:
    """What is too small to be named; the defaults suit one step of 0.1 s.

    A part's magnitude is its size over its threshold, so metres, radians and openings can be compared.

    Attributes:
        least_m: smallest translation along an axis [m].
        least_rad: smallest rotation about an axis [rad].
        least_opening: smallest change of the gripper's opening, of 0..1.
        least_share: smallest share of the largest magnitude; it keeps a slight slant out of a straight motion. The
            gripper is exempt: opening and closing matter however fast the arm moves.
    """

    least_m: float = 0.004
    least_rad: float = 0.04
    least_opening: float = 0.15
    least_share: float = 0.35

    def __post_init__(self) -> None:
        """Refuse thresholds that are none.

        Raises:
            ConfigurationError: a threshold is not positive and finite, or the share not in 0..1.
        """
        for name in ("least_m", "least_rad", "least_opening"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ConfigurationError(f"{name} must be positive and finite, got {value}")
        if not 0.0 <= self.least_share <= 1.0:
            raise ConfigurationError(f"least_share must be in 0..1, got {self.least_share}")


def motion_of(steps: FloatArray, gripper_opening: float) -> FloatArray:
    """Return the motion that consecutive TCP steps make together.

    Rotation vectors are added, which is right to second order for the small turns of a short horizon.

    Args:
        steps: one step, shape (7,), or several, shape (n, 7) with n >= 1 [m, rad, 0..1].
        gripper_opening: what the gripper was told before them, 0 closed .. 1 open. Not what it measures: fingers that
            press on a thing never arrive at what they are told.

    Returns:
        Translation [m], rotation vector [rad] and change of the opening (-1..1), shape (7,).
    """
    rows = np.reshape(steps, (-1, STEP_SIZE))
    return np.append(rows[:, :6].sum(axis=0), rows[-1, 6] - gripper_opening)


def parts_of(motion: FloatArray, settings: PhraseSettings | None = None) -> tuple[Part, ...]:
    """Return the parts of a motion that are worth a word, largest first; equal ones in the order of the axes.

    Args:
        motion: translation [m], rotation vector [rad] and change of the opening, shape (7,).
        settings: thresholds.

    Raises:
        ConfigurationError: the motion has another shape or is not finite.
    """
    settings = settings or PhraseSettings()
    if np.shape(motion) != (STEP_SIZE,) or not np.isfinite(motion).all():
        raise ConfigurationError(f"a motion is {STEP_SIZE} finite numbers, got {motion!r}")
    least = np.repeat([settings.least_m, settings.least_rad, settings.least_opening], [3, 3, 1])
    magnitudes = np.abs(motion) / least
    needed = np.full(STEP_SIZE, max(1.0, settings.least_share * float(magnitudes[:6].max())))
    needed[6] = 1.0
    named = [axis for axis in range(STEP_SIZE) if magnitudes[axis] >= needed[axis]]
    named.sort(key=lambda axis: -magnitudes[axis])
    return tuple((axis, 1 if motion[axis] > 0.0 else -1) for axis in named)


def phrase_of(motion: FloatArray, settings: PhraseSettings | None = None) -> str:
    """Return a motion in words; see `parts_of`."""
    return say(parts_of(motion, settings))


def say(parts: Sequence[Part]) -> str:
    """Return the phrase of these parts in this order; none is "stop".

    Raises:
        ConfigurationError: an axis is named twice, or there is no such part.
    """
    _refuse_repeats([axis for axis, _ in parts], str(parts))
    spoken: list[str] = []
    last_verb = ""
    for part in parts:
        if part not in WORDS:
            raise ConfigurationError(f"a part is (axis 0..6, sign -1 or 1), got {part}")
        verb, direction = WORDS[part]
        spoken.append(direction if verb == last_verb else f"{verb} {direction}")
        last_verb = verb
    return " and ".join(spoken) or STOP


def parse(phrase: str) -> tuple[Part, ...]:
    """Return the parts that a phrase names, in its order; case and extra blanks do not matter.

    Raises:
        UnknownNameError: a word is none of ours; the legal motions are listed.
        ConfigurationError: an axis is named twice.
    """
    plain = " ".join(phrase.lower().split())
    if plain == STOP:
        return ()
    parts: list[Part] = []
    for words in plain.split(" and "):
        full = words
        if words not in _PARTS and parts:
            full = f"{WORDS[parts[-1]][0]} {words}"
        if full not in _PARTS:
            raise UnknownNameError("motion", words, (*_PARTS, STOP), f"the phrase '{phrase}'")
        parts.append(_PARTS[full])
    _refuse_repeats([axis for axis, _ in parts], f"'{phrase}'")
    return tuple(parts)


def _refuse_repeats(axes: list[int], where: str) -> None:
    if len(set(axes)) < len(axes):
        raise ConfigurationError(f"a motion names each axis once at most, got {where}")
