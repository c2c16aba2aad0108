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
"""A command may be stamped this far ahead of the gate's clock [s]; more means that clocks disagree."""

EXACT = 1e-9
"""Relative excess below which a bound counts as met; keeps the gate idempotent on its own output."""


@dataclass(frozen=True)
class GateDecision:
    """What the gate made of a command: the target for the driver and the step to record.

    The target is None only when the arm must hold but has never measured a finite pose: then the driver must stop.
    """

    target: ArmCommand | None
    executed: ExecutedStep

    @property
    def refused(self) -> bool:
        """Whether the command was refused and the arm holds."""
        return any(reason in REFUSALS for reason in self.executed.reasons)


class SafetyGate:
    """Checks one command at a time, in constant time, and remembers the last target."""

    def __init__(self, limits: SafetyLimits) -> None:
        """Hold the bounds of `limits`."""
        self._limits = limits
        self._low = np.array(limits.workspace_min_m)
        self._high = np.array(limits.workspace_max_m)
        if not bool(np.all(self._low < self._high)):
            raise ValueError(f"workspace_min_m {limits.workspace_min_m} must lie below {limits.workspace_max_m}")
        self._target: Pose | None = None
        self._gripper = 1.0
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
        self._gripper = min(max(state.gripper_opening, 0.0), 1.0) if math.isfinite(state.gripper_opening) else 1.0
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

    def _refusal(self, command: StepCommand, state: ArmState, now_ns: int) -> Reason | None:  # noqa: PLR0911
        limits, step = self._limits, command.step
        if self._latch:
            return Reason.LATCHED
        if step.shape != (STEP_SIZE,) or step.dtype != np.float64:
            return Reason.WRONG_SHAPE
        if not bool(np.isfinite(step).all()):
            return Reason.NOT_FINITE
        pose = state.T_base_tcp
        if not (bool(np.isfinite(pose.position).all()) and bool(np.isfinite(pose.quaternion_xyzw).all())):
            return Reason.STATE_NOT_FINITE
        if now_ns - state.stamp_ns > limits.max_state_age_s * NS_PER_S:
            return Reason.STALE_STATE
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
        if (_norm(step[:3]) > limits.refuse_ratio * limits.max_step_m
                or _norm(step[3:6]) > limits.refuse_ratio * limits.max_step_rad):
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
        finite = bool(np.isfinite(pose.position).all()) and bool(np.isfinite(pose.quaternion_xyzw).all())
        if finite:
            self._target = Pose(pose.position.copy(), normalize_xyzw(pose.quaternion_xyzw))
        # else: nothing is measured, stay where the controller pulls already
        self._last_source = Source.HOLD
        executed = np.zeros(STEP_SIZE)
        executed[6] = self._gripper
        target = None if self._target is None else ArmCommand(command.stamp_ns, self._target, self._gripper)
        return GateDecision(
            target,
            ExecutedStep(command.stamp_ns, command.sequence, Source.HOLD, command.step, executed, (reason,)),
        )

    def _move(self, command: StepCommand, state: ArmState) -> GateDecision:
        limits, step, reasons = self._limits, command.step, []
        measured = state.T_base_tcp
        entering_hold = command.source is Source.HOLD and self._last_source is not Source.HOLD
        if self._target is None or entering_hold:
            start = Pose(measured.position, normalize_xyzw(measured.quaternion_xyzw))
        else:
            start = self._target
        position = start.position + _shorten(step[:3], limits.max_step_m, Reason.TRANSLATION_CLAMPED, reasons)
        turn = _shorten(step[3:6], limits.max_step_rad, Reason.ROTATION_CLAMPED, reasons)
        rotation = normalize_xyzw(multiply_xyzw(rotation_vector_to_xyzw(turn), start.quaternion_xyzw))
        lead = _shorten(position - measured.position, limits.max_target_lead_m, Reason.LEAD_CLAMPED, reasons)
        if Reason.LEAD_CLAMPED in reasons:
            position = measured.position + lead
        measured_rotation = normalize_xyzw(measured.quaternion_xyzw)
        ahead = xyzw_to_rotation_vector(multiply_xyzw(rotation, conjugate_xyzw(measured_rotation)))
        ahead_allowed = _shorten(ahead, limits.max_target_lead_rad, Reason.LEAD_CLAMPED, reasons)
        if ahead_allowed is not ahead:
            rotation = normalize_xyzw(multiply_xyzw(rotation_vector_to_xyzw(ahead_allowed), measured_rotation))
        inside = self._into_workspace(start.position, position)
        if not np.array_equal(inside, position):
            reasons.append(Reason.WORKSPACE_CLAMPED)
        gripper = self._gripper if command.source is Source.HOLD else min(max(float(step[6]), 0.0), 1.0)
        if gripper != float(step[6]):
            reasons.append(Reason.GRIPPER_CLAMPED)
        target = Pose(inside, rotation)
        if reasons:
            self.clamped += 1
            executed = np.append(step_between(start, target), gripper)
        else:
            executed = step.copy()
        self._target, self._gripper = target, gripper
        return GateDecision(
            ArmCommand(command.stamp_ns, target, gripper),
            ExecutedStep(command.stamp_ns, command.sequence, command.source, step, executed,
                         tuple(dict.fromkeys(reasons))),
        )

    def _into_workspace(self, start: FloatArray, position: FloatArray) -> FloatArray:
        """Keep `position` in the box; from outside it may come nearer, by its own step, and never go further out."""
        low = np.minimum(self._low, start)
        high = np.maximum(self._high, start)
        return np.minimum(np.maximum(position, low), high)


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
