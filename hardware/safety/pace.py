"""How long a step may be: the step's own limit, the speed profile, and the slow first motion."""

from __future__ import annotations

from hardware.safety.motion import norm, shorten
from hardware.safety.profiles import SpeedProfile
from hardware.safety.reasons import Reason
from tutelage_core.contract import NS_PER_S
from tutelage_core.limits import SafetyLimits
from tutelage_core.types import FloatArray


class Pace:
    """Cuts steps to what may be asked now, and remembers how fast the last one was.

    Speed is a step's length over the time since the command before it, both on the stamps.
    """

    def __init__(self, limits: SafetyLimits, profile: SpeedProfile) -> None:
        """Hold the bounds."""
        self._limits, self._profile = limits, profile
        self._first_motion_ns: int | None = None
        self._speed_m_s = 0.0

    def arm(self) -> None:
        """Make the next motion the first one, which is slow."""
        self._first_motion_ns = None
        self._speed_m_s = 0.0

    def rest(self) -> None:
        """Note that the arm holds: the next motion begins from standstill."""
        self._speed_m_s = 0.0

    def cut(
        self, shift: FloatArray, turn: FloatArray, stamp_ns: int, last_ns: int | None, reasons: list[Reason]
    ) -> tuple[FloatArray, FloatArray]:
        """Return translation and rotation, shapes (3,) [m, rad], no longer than is allowed at `stamp_ns`.

        Args:
            shift: translation that is asked for.
            turn: rotation vector that is asked for.
            stamp_ns: of the command.
            last_ns: of the command before it; None for the first one.
            reasons: takes the names of what was cut.
        """
        limits, profile = self._limits, self._profile
        passed_s = limits.command_timeout_s
        if last_ns is not None:
            passed_s = min(max((stamp_ns - last_ns) / NS_PER_S, limits.min_command_interval_s), passed_s)
        shift = shorten(shift, limits.max_step_m, Reason.TRANSLATION_CLAMPED, reasons)
        turn = shorten(turn, limits.max_step_rad, Reason.ROTATION_CLAMPED, reasons)
        shift = shorten(shift, profile.max_speed_m_s * passed_s, Reason.SPEED_CLAMPED, reasons)
        turn = shorten(turn, profile.max_speed_rad_s * passed_s, Reason.SPEED_CLAMPED, reasons)
        rise_m_s = profile.max_acceleration_m_s2 * passed_s
        shift = shorten(shift, (self._speed_m_s + rise_m_s) * passed_s, Reason.ACCELERATION_CLAMPED, reasons)
        if norm(shift) > 0.0 or norm(turn) > 0.0:
            shift, turn = self._slow_first(shift, turn, stamp_ns, reasons)
        self._speed_m_s = norm(shift) / passed_s
        return shift, turn

    def _slow_first(
        self, shift: FloatArray, turn: FloatArray, stamp_ns: int, reasons: list[Reason]
    ) -> tuple[FloatArray, FloatArray]:
        profile = self._profile
        if self._first_motion_ns is None:
            self._first_motion_ns = stamp_ns
        if stamp_ns - self._first_motion_ns >= profile.first_motion_s * NS_PER_S:
            return shift, turn
        share = profile.first_motion_factor
        return (
            shorten(shift, share * self._limits.max_step_m, Reason.FIRST_MOTION_SLOWED, reasons),
            shorten(turn, share * self._limits.max_step_rad, Reason.FIRST_MOTION_SLOWED, reasons),
        )
