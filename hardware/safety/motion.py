"""Where a step starts and where it ends: near the measured pose, in the workspace, and no longer than allowed."""

from __future__ import annotations

import math

import numpy as np

from hardware.safety.reasons import Reason
from tutelage_core.limits import SafetyLimits
from tutelage_core.rotations import (
    conjugate_xyzw,
    multiply_xyzw,
    normalize_xyzw,
    rotation_vector_to_xyzw,
    xyzw_to_rotation_vector,
)
from tutelage_core.types import FloatArray

EXACT = 1e-9
"""Relative excess below which a bound counts as met; keeps the gate idempotent on its own output."""


class MotionBounds:
    """Workspace box and lead: the bounds that follow from where the arm is."""

    def __init__(self, limits: SafetyLimits) -> None:
        """Hold the bounds of `limits`."""
        self._limits = limits
        self._low = np.array(limits.workspace_min_m)
        self._high = np.array(limits.workspace_max_m)

    def translate(
        self, start: FloatArray, shift: FloatArray, measured: FloatArray, reasons: list[Reason]
    ) -> tuple[FloatArray, FloatArray]:
        """Return where the step starts and where it ends: near `measured` and in the workspace, shapes (3,) [m].

        A start out of bounds (the arm was pushed away from its old target) is brought within them first. The bounds
        are convex and hold that start, so that bringing the end within them as well never makes the step longer.
        """
        longest = self._limits.max_target_lead_m
        position = start + shift
        near_enough = norm(position - measured) <= longest * (1.0 + EXACT)
        if near_enough and self._inside(position, start, measured) is position:
            return start, position
        start = self._near(start, measured, reasons)
        inside = self._inside(start, start, measured)
        if inside is not start:
            reasons.append(Reason.WORKSPACE_CLAMPED)
            start = inside
        position = start + shift
        inside = self._inside(position, start, measured)
        if inside is not position:
            reasons.append(Reason.WORKSPACE_CLAMPED)
        near = self._near(inside, measured, reasons)
        # outside of the workspace, nearer to the arm may mean further out: wait until the arm has followed
        return start, near if self._inside(near, start, measured) is near else start

    def rotate(
        self, start: FloatArray, turn: FloatArray, measured: FloatArray, reasons: list[Reason]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the rotations, xyzw, in which the step starts and ends: near `measured`, as in `translate`."""
        spin = rotation_vector_to_xyzw(turn)
        rotation = normalize_xyzw(multiply_xyzw(spin, start))
        if self._turned_near(rotation, measured, []) is rotation:
            return start, rotation
        start = self._turned_near(start, measured, reasons)
        return start, self._turned_near(normalize_xyzw(multiply_xyzw(spin, start)), measured, reasons)

    def _near(self, position: FloatArray, measured: FloatArray, reasons: list[Reason]) -> FloatArray:
        lead = position - measured
        allowed = shorten(lead, self._limits.max_target_lead_m, Reason.LEAD_CLAMPED, reasons)
        return position if allowed is lead else measured + allowed

    def _turned_near(self, rotation: FloatArray, measured: FloatArray, reasons: list[Reason]) -> FloatArray:
        lead = xyzw_to_rotation_vector(multiply_xyzw(rotation, conjugate_xyzw(measured)))
        allowed = shorten(lead, self._limits.max_target_lead_rad, Reason.LEAD_CLAMPED, reasons)
        if allowed is lead:
            return rotation
        return normalize_xyzw(multiply_xyzw(rotation_vector_to_xyzw(allowed), measured))

    def _inside(self, position: FloatArray, start: FloatArray, measured: FloatArray) -> FloatArray:
        """Keep `position` in the box; from outside, where `start` and `measured` both are, it may only come nearer."""
        low = np.minimum(self._low, np.maximum(start, measured))
        high = np.maximum(self._high, np.minimum(start, measured))
        if bool(np.all((low <= position) & (position <= high))):
            return position
        return np.minimum(np.maximum(position, low), high)


def norm(vector: FloatArray) -> float:
    """Return the length of a vector of three."""
    x, y, z = vector.tolist()
    return math.sqrt(x * x + y * y + z * z)


def shorten(vector: FloatArray, longest: float, reason: Reason, reasons: list[Reason]) -> FloatArray:
    """Return `vector`, cut to the length `longest`; note the `reason` when it was cut."""
    length = norm(vector)
    if length <= longest * (1.0 + EXACT):
        return vector
    reasons.append(reason)
    return vector * (longest / length)
