"""The SafetyGate: the one way to the arm.

It turns a TCP step into an absolute target, refuses what is not finite, stale, misshapen or far beyond a limit, and
clamps only a small excess. A refusal makes the arm hold its *measured* pose: never zeros, never the last velocity.
It runs in the process that owns the arm, after the network, and is the same object in the graph and in the loop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hardware.safety.reasons import REFUSALS, Reason
from tutelage_core.contract import NS_PER_S, SafetyLimits
from tutelage_core.rotations import (
    conjugate_xyzw,
    multiply_xyzw,
    normalize_xyzw,
    rotation_vector_to_xyzw,
    step_between,
    xyzw_to_rotation_vector,
)
from tutelage_core.types import STEP_SIZE, ArmCommand, ArmState, ExecutedStep, FloatArray, Pose, Source, StepCommand

FUTURE_TOLERANCE_S = 0.05
"""A command or state may be stamped this far ahead of the gate's clock [s]; more means that clocks disagree."""

EXACT = 1e-9
"""Relative excess below which a bound counts as met; keeps the gate idempotent on its own output."""

FARTHEST_M = 100.0
"""No arm reaches this far from its base [m]; a measured position beyond it is nonsense."""

UNIT_TOLERANCE = 0.01
"""A measured quaternion may differ this much from unit length; more is no rotation."""


@dataclass(frozen=True)
class GateDecision:
    """What the gate made of a command: the target for the driver and the step to record.

    The target is None only when the arm must hold but has never measured a plausible pose: then the driver must stop.
    """

    target: ArmCommand | None
    executed: ExecutedStep

    @property
    def refused(self) -> bool:
        """Whether the command was refused and the arm holds."""
        return any(reason in REFUSALS for reason in self.executed.reasons)


class SafetyGate:
    """Checks one command at a time, in constant time, and remembers the last target.

    A command whose source is HOLD never moves arm or gripper, whatever its step says.
    """

    def __init__(self, limits: SafetyLimits) -> None:
        """Hold the bounds of `limits`."""
        self._limits = limits
        self._low = np.array(limits.workspace_min_m)
        self._high = np.array(limits.workspace_max_m)
        self._target: Pose | None = None
        self._gripper: float | None = None
        self._last_stamp_ns: int | None = None
        self._last_sequence = 0
        self._last_source = Source.HOLD
        self._refusals_in_a_row = 0
        self._latch = ""
        self.refused = 0
        self.clamped = 0

    @property
    def latch(self) -> str:
        """Why the gate is latched; empty while it is not."""
        return self._latch

    def stop(self, cause: str) -> None:
        """Latch: every command is refused until `clear_stop`."""
        self._latch = cause or "stopped"

    def clear_stop(self) -> None:
        """Leave the latch. The next command starts from the measured pose; nothing moves by itself."""
        self._latch = ""
        self._refusals_in_a_row = 0
        self._target = None

    def restart(self, state: ArmState) -> None:
        """Begin an episode: the target is the measured pose, older commands are forgotten. Keeps a latch."""
        self._target = None
        self._gripper = _opening(state)
        self._last_stamp_ns = None
        self._last_sequence = 0
        self._last_source = Source.HOLD
        self._refusals_in_a_row = 0

    def admit(self, command: StepCommand, state: ArmState, now_ns: int) -> GateDecision:
        """Judge `command` against the measured `state`.

        Args:
            command: the step that is asked; its array may hold anything.
            state: newest measured state of the arm.
            now_ns: time on the clock that stamps commands and states [ns].

        Returns:
            The target to send and the step to record. A refused command gives a hold at the measured pose.
        """
        refusal = self._refusal(command, state, now_ns)
        if refusal is not None:
            return self._refuse(refusal, command, state)
        self._refusals_in_a_row = 0
        self._last_stamp_ns, self._last_sequence = command.stamp_ns, command.sequence
        decision = self._move(command, state)
        self._last_source = command.source
        return decision

    def time_out(self, state: ArmState, now_ns: int) -> GateDecision:
        """Hold because no command came in time; the next command starts from the measured pose."""
        command = StepCommand(now_ns, self._last_sequence, Source.HOLD, np.zeros(STEP_SIZE))
        return self._hold(Reason.COMMAND_TIMEOUT, command, state)

    def _refusal(self, command: StepCommand, state: ArmState, now_ns: int) -> Reason | None:
        limits, step = self._limits, command.step
        if self._latch:
            return Reason.LATCHED
        if step.shape != (STEP_SIZE,) or step.dtype != np.float64:
            return Reason.WRONG_SHAPE
        if not bool(np.isfinite(step).all()):
            return Reason.NOT_FINITE
        if not _plausible(state.T_base_tcp):
            return Reason.STATE_NOT_FINITE
        state_age_s = (now_ns - state.stamp_ns) / NS_PER_S
        if state_age_s > limits.max_state_age_s:
            return Reason.STALE_STATE
        if state_age_s < -FUTURE_TOLERANCE_S:
            return Reason.FUTURE_STATE
        age_s = (now_ns - command.stamp_ns) / NS_PER_S
        if age_s > limits.max_command_age_s:
            return Reason.STALE_COMMAND
        if age_s < -FUTURE_TOLERANCE_S:
            return Reason.FUTURE_COMMAND
        newer_stamp = self._last_stamp_ns is None or command.stamp_ns > self._last_stamp_ns
        # a restarted sender counts from 1 again; its newer stamp shows that this is no replay
        newer_sequence = command.sequence > self._last_sequence or command.sequence == 1
        if not (newer_stamp and newer_sequence):
            return Reason.OUT_OF_ORDER
        soonest_ns = limits.min_command_interval_s * (1.0 - EXACT) * NS_PER_S
        if self._last_stamp_ns is not None and command.stamp_ns - self._last_stamp_ns < soonest_ns:
            return Reason.TOO_SOON
        ratio = limits.refuse_ratio * (1.0 + EXACT)
        if _norm(step[:3]) > ratio * limits.max_step_m or _norm(step[3:6]) > ratio * limits.max_step_rad:
            return Reason.STEP_TOO_LARGE
        return None

    def _refuse(self, reason: Reason, command: StepCommand, state: ArmState) -> GateDecision:
        self.refused += 1
        if reason is not Reason.LATCHED:
            self._refusals_in_a_row += 1
            if self._refusals_in_a_row >= self._limits.max_refusals_in_a_row:
                self._latch = f"{self._refusals_in_a_row} commands refused in a row, the last one for {reason}"
        return self._hold(reason, command, state)

    def _hold(self, reason: Reason, command: StepCommand, state: ArmState) -> GateDecision:
        pose = state.T_base_tcp
        if _plausible(pose):
            self._target = Pose(pose.position.copy(), normalize_xyzw(pose.quaternion_xyzw))
        # else: nothing is measured, stay where the controller pulls already
        self._last_source = Source.HOLD
        gripper = self._kept_gripper(state)
        executed = np.zeros(STEP_SIZE)
        executed[6] = gripper
        target = None if self._target is None else ArmCommand(command.stamp_ns, self._target, gripper)
        return GateDecision(
            target,
            ExecutedStep(command.stamp_ns, command.sequence, Source.HOLD, command.step, executed, (reason,)),
        )

    def _move(self, command: StepCommand, state: ArmState) -> GateDecision:
        limits, step, reasons = self._limits, command.step, []
        measured = Pose(state.T_base_tcp.position, normalize_xyzw(state.T_base_tcp.quaternion_xyzw))
        holds = command.source is Source.HOLD
        start = self._target
        if start is None or (holds and self._last_source is not Source.HOLD):
            start = measured
        # whoever asks to hold asks for no motion, whatever the step says
        longest_m, longest_rad = (0.0, 0.0) if holds else (limits.max_step_m, limits.max_step_rad)
        shift = _shorten(step[:3], longest_m, Reason.TRANSLATION_CLAMPED, reasons)
        turn = _shorten(step[3:6], longest_rad, Reason.ROTATION_CLAMPED, reasons)
        start_position, position = self._translate(start.position, shift, measured.position, reasons)
        start_rotation, rotation = self._rotate(start.quaternion_xyzw, turn, measured.quaternion_xyzw, reasons)
        gripper = self._kept_gripper(state) if holds else min(max(float(step[6]), 0.0), 1.0)
        if gripper != float(step[6]):
            reasons.append(Reason.GRIPPER_CLAMPED)
        target = Pose(position, rotation)
        if reasons:
            self.clamped += 1
            moved = np.zeros(6) if holds else step_between(Pose(start_position, start_rotation), target)
            executed = np.append(moved, gripper)
        else:
            executed = step.copy()
        self._target, self._gripper = target, gripper
        return GateDecision(
            ArmCommand(command.stamp_ns, target, gripper),
            ExecutedStep(
                command.stamp_ns, command.sequence, command.source, step, executed, tuple(dict.fromkeys(reasons))
            ),
        )

    def _kept_gripper(self, state: ArmState) -> float:
        """Return the last commanded opening; before any command the measured one: a refusal never opens a hand."""
        if self._gripper is None and math.isfinite(state.gripper_opening):
            self._gripper = _opening(state)
        return _opening(state) if self._gripper is None else self._gripper

    def _translate(
        self, start: FloatArray, shift: FloatArray, measured: FloatArray, reasons: list[Reason]
    ) -> tuple[FloatArray, FloatArray]:
        """Return where the step starts and where it ends: near `measured` and in the workspace.

        A start out of bounds (the arm was pushed away from its old target) is brought within them first. The bounds
        are convex and hold that start, so that bringing the end within them as well never makes the step longer.
        """
        longest = self._limits.max_target_lead_m
        position = start + shift
        near_enough = _norm(position - measured) <= longest * (1.0 + EXACT)
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

    def _rotate(
        self, start: FloatArray, turn: FloatArray, measured: FloatArray, reasons: list[Reason]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the rotations, xyzw, in which the step starts and ends: near `measured`, as in `_translate`."""
        spin = rotation_vector_to_xyzw(turn)
        rotation = normalize_xyzw(multiply_xyzw(spin, start))
        if self._turned_near(rotation, measured, []) is rotation:
            return start, rotation
        start = self._turned_near(start, measured, reasons)
        return start, self._turned_near(normalize_xyzw(multiply_xyzw(spin, start)), measured, reasons)

    def _near(self, position: FloatArray, measured: FloatArray, reasons: list[Reason]) -> FloatArray:
        lead = position - measured
        allowed = _shorten(lead, self._limits.max_target_lead_m, Reason.LEAD_CLAMPED, reasons)
        return position if allowed is lead else measured + allowed

    def _turned_near(self, rotation: FloatArray, measured: FloatArray, reasons: list[Reason]) -> FloatArray:
        lead = xyzw_to_rotation_vector(multiply_xyzw(rotation, conjugate_xyzw(measured)))
        allowed = _shorten(lead, self._limits.max_target_lead_rad, Reason.LEAD_CLAMPED, reasons)
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


def _opening(state: ArmState) -> float:
    return min(max(state.gripper_opening, 0.0), 1.0) if math.isfinite(state.gripper_opening) else 1.0


def _plausible(pose: Pose) -> bool:
    """Return whether a measured pose can be one: numbers within any arm's reach, and a unit quaternion."""
    x, y, z, w = (float(v) for v in pose.quaternion_xyzw)
    length = math.sqrt(x * x + y * y + z * z + w * w)
    # written so that NaN fails
    return abs(length - 1.0) <= UNIT_TOLERANCE and all(abs(float(v)) <= FARTHEST_M for v in pose.position)


def _norm(vector: FloatArray) -> float:
    x, y, z = (float(v) for v in vector)
    return math.sqrt(x * x + y * y + z * z)


def _shorten(vector: FloatArray, longest: float, reason: Reason, reasons: list[Reason]) -> FloatArray:
    """Return `vector`, cut to the length `longest`; note the `reason` when it was cut."""
    length = _norm(vector)
    if length <= longest * (1.0 + EXACT):
        return vector
    reasons.append(reason)
    return vector * (longest / length)
