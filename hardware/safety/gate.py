"""The SafetyGate: the one way to the arm.

It turns a TCP step into an absolute target, refuses what is not finite, stale, misshapen or far beyond a limit, and
clamps only a small excess. A refusal makes the arm hold where, as it is measured, it comes to rest: never zeros, never
the last velocity. It runs in the process that owns the arm, after the network, and is the same object in the graph and
in the loop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hardware.safety.braking import Braking
from hardware.safety.contact import ContactWatch
from hardware.safety.deadman import Deadman
from hardware.safety.envelope import Envelope, make_envelope
from hardware.safety.latch import StopLatch
from hardware.safety.measured import is_plausible, opening_of
from hardware.safety.motion import EXACT, MotionBounds, norm
from hardware.safety.pace import Pace
from hardware.safety.profiles import find_profile
from hardware.safety.reasons import REFUSALS, Reason
from hardware.safety.timing import CommandTiming
from tutelage_core.contract import RobotContract
from tutelage_core.limits import SafetyLimits
from tutelage_core.rotations import normalize_xyzw, step_between
from tutelage_core.types import STEP_SIZE, ArmCommand, ArmState, ExecutedStep, Pose, Source, StepCommand


@dataclass(frozen=True)
class GateDecision:
    """What the gate made of a command: the target for the driver and the step to record.

    The target is None only when the arm must hold but has never measured a plausible pose: then the driver must stop.
    `detail` says more than the reason code where there is more to say: which joint, which two things.
    """

    target: ArmCommand | None
    executed: ExecutedStep
    detail: str = ""

    @property
    def refused(self) -> bool:
        """Whether the command was refused and the arm holds."""
        return any(reason in REFUSALS for reason in self.executed.reasons)


class SafetyGate:
    """Checks one command at a time, in constant time, and remembers the last target.

    A command whose source is HOLD never moves arm or gripper, whatever its step says.
    """

    def __init__(
        self,
        limits: SafetyLimits,
        envelope: Envelope | None = None,
        deadman: Deadman | None = None,
        *,
        armed: bool = True,
    ) -> None:
        """Hold the bounds of `limits`.

        Args:
            limits: of the robot's contract.
            envelope: joint limits and distances; not checked if None.
            deadman: the enabling key that a hand (and a policy, if the limits ask for it) needs; not asked for if None:
                only for a simulation in one process.
            armed: whether commands may move the arm before `arm` is called.

        Raises:
            UnknownNameError: the limits name no known speed profile.
        """
        self._limits = limits
        self._bounds = MotionBounds(limits)
        self._pace = Pace(limits, find_profile(limits.speed_profile))
        self._latch = StopLatch(limits)
        self._contact = ContactWatch(limits)
        self._timing = CommandTiming(limits)
        self._braking = Braking(limits)
        self._envelope, self._deadman = envelope, deadman
        self._enabled_sources = {Source.HUMAN} | (
            {Source.POLICY, Source.PHRASE, Source.HOMING} if limits.deadman_for_policy else set()
        )
        self._armed = armed
        self._sender = ""
        self._target: Pose | None = None
        self._gripper: float | None = None
        self._last_source = Source.HOLD
        self.refused = 0
        self.clamped = 0

    @property
    def latch(self) -> str:
        """Why the gate is latched; empty while it is not."""
        return self._latch.cause

    @property
    def armed(self) -> bool:
        """Whether commands may move the arm."""
        return self._armed and not self._latch.cause

    @property
    def sender(self) -> str:
        """Who is in charge; empty while anybody is heard."""
        return self._sender

    def stop(self, cause: str, state: ArmState | None = None) -> None:
        """Latch: every command is refused until `clear_stop`, and then until `arm`. `state` is where the arm stops."""
        held = state.T_base_tcp if state is not None and is_plausible(state.T_base_tcp) else self._target
        self._latch.stop(cause, held)

    def feel(self, state: ArmState) -> bool:
        """Judge the force that a new state measures; return whether it has just stopped the arm."""
        cause = self._contact.feel(state)
        if not cause or self._latch.cause:
            return False
        self.stop(cause, state)
        return True

    def why_not_clear(self, state: ArmState, now_ns: int) -> str:
        """Return why an operator may not clear the stop yet, empty if that is all right."""
        return self._contact.why_not_clear(state) or self._latch.why_not_clear(state, now_ns)

    def clear_stop(self, now_ns: int | None = None) -> None:
        """Leave the latch. Nothing moves by itself: the next command starts from the measured pose.

        Args:
            now_ns: commands up to this stamp are from before: they are refused [ns].
        """
        self._latch.forget()
        self._target = None
        self._pace.arm()
        if now_ns is not None:
            self._timing.bar(now_ns)

    def arm(self, sender: str = "") -> None:
        """Let commands move the arm; with a `sender`, its commands only. Keeps a latch."""
        self._armed, self._sender = True, sender
        self._pace.arm()

    def disarm(self) -> None:
        """Let nothing move the arm until `arm`."""
        self._armed, self._sender = False, ""

    def restart(self, state: ArmState) -> None:
        """Begin an episode: the target is the measured pose, older commands are forgotten. Keeps a latch."""
        self._target = None
        self._gripper = opening_of(state)
        self._timing.restart()
        self._last_source = Source.HOLD
        self._latch.restart()
        self._pace.rest()

    def admit(self, command: StepCommand, state: ArmState, now_ns: int, steady_ns: int = 0) -> GateDecision:
        """Judge `command` against the measured `state`.

        Args:
            command: the step that is asked; its array may hold anything.
            state: newest measured state of the arm.
            now_ns: time on the clock that stamps commands and states [ns].
            steady_ns: time on the steady clock, for the enabling key [ns].

        Returns:
            The target to send and the step to record. A refused command gives a hold at the measured pose.
        """
        refusal = self._refusal(command, state, now_ns, steady_ns)
        if refusal is not None:
            return self._refuse(refusal, command, state, now_ns)
        decision = self._move(command, state)
        if decision.refused:
            return self._refuse(Reason.STATE_NOT_FINITE, command, state, now_ns)
        self._latch.passed()
        self._timing.passed(command)
        self._last_source = command.source
        return decision

    def time_out(self, state: ArmState, now_ns: int) -> GateDecision:
        """Hold because no command came in time; the next command starts from the measured pose."""
        command = StepCommand(now_ns, self._timing.last_sequence, Source.HOLD, np.zeros(STEP_SIZE))
        return self._hold(Reason.COMMAND_TIMEOUT, command, state)

    def _refusal(self, command: StepCommand, state: ArmState, now_ns: int, steady_ns: int) -> Reason | None:
        limits, step, moves = self._limits, command.step, command.source is not Source.HOLD
        if self._latch.cause:
            if moves:
                self._latch.motion_asked(now_ns)
            return Reason.LATCHED
        if step.shape != (STEP_SIZE,) or step.dtype != np.float64:
            return Reason.WRONG_SHAPE
        if not bool(np.isfinite(step).all()):
            return Reason.NOT_FINITE
        if not is_plausible(state.T_base_tcp):
            return Reason.STATE_NOT_FINITE
        if (untimely := self._timing.object_to_age(command, state.stamp_ns, now_ns)) is not None:
            return untimely
        if moves and not self._armed:
            return Reason.NOT_ARMED
        if self._sender and command.sender != self._sender:
            return Reason.OTHER_SENDER
        if (disorder := self._timing.object_to_order(command)) is not None:
            return disorder
        needs_key = self._deadman is not None and command.source in self._enabled_sources
        if needs_key and self._deadman is not None and not self._deadman.is_held(steady_ns):
            return Reason.DEADMAN_RELEASED
        ratio = limits.refuse_ratio * (1.0 + EXACT)
        if norm(step[:3]) > ratio * limits.max_step_m or norm(step[3:6]) > ratio * limits.max_step_rad:
            return Reason.STEP_TOO_LARGE
        return None

    def _refuse(self, reason: Reason, command: StepCommand, state: ArmState, now_ns: int) -> GateDecision:
        self.refused += 1
        decision = self._hold(reason, command, state)
        self._latch.refused(reason, now_ns, self._target)
        return decision

    def _hold(self, reason: Reason, command: StepCommand, state: ArmState) -> GateDecision:
        if is_plausible(state.T_base_tcp):
            self._target = self._braking.rest(state)
        # else: nothing is measured, stay where the controller pulls already
        self._last_source = Source.HOLD
        self._pace.rest()
        gripper = self._kept_gripper(state)
        executed = np.zeros(STEP_SIZE)
        executed[6] = gripper
        target = None if self._target is None else ArmCommand(command.stamp_ns, self._target, gripper, hold=True)
        return GateDecision(
            target,
            ExecutedStep(command.stamp_ns, command.sequence, Source.HOLD, command.step, executed, (reason,)),
        )

    def _move(self, command: StepCommand, state: ArmState) -> GateDecision:
        step, reasons, detail = command.step, list[Reason](), ""
        measured = Pose(state.T_base_tcp.position, normalize_xyzw(state.T_base_tcp.quaternion_xyzw))
        holds = command.source is Source.HOLD
        start = self._target
        if start is None or (self._last_source is Source.HOLD and not holds):
            start = measured  # whoever held has come to rest somewhere
        elif holds and self._last_source is not Source.HOLD:
            start = self._braking.rest(state)
        # whoever asks to hold asks for no motion, whatever the step says
        shift, turn = step[:3] * (not holds), step[3:6] * (not holds)
        if holds and (shift != step[:3]).any():
            reasons.append(Reason.TRANSLATION_CLAMPED)
        if holds and (turn != step[3:6]).any():
            reasons.append(Reason.ROTATION_CLAMPED)
        shift, turn = self._pace.cut(shift, turn, command.stamp_ns, self._timing.last_stamp_ns, reasons)
        start_position, position = self._bounds.translate(start.position, shift, measured.position, reasons)
        start_rotation, rotation = self._bounds.rotate(start.quaternion_xyzw, turn, measured.quaternion_xyzw, reasons)
        begun, target = Pose(start_position, start_rotation), Pose(position, rotation)
        objection = None if holds or self._envelope is None else self._envelope.object_to(target, state)
        if objection is not None:
            reasons.append(objection.reason)
            detail, target = objection.detail, begun
            self._pace.rest()
        gripper = self._kept_gripper(state) if holds else min(max(float(step[6]), 0.0), 1.0)
        if gripper != float(step[6]):
            reasons.append(Reason.GRIPPER_CLAMPED)
        if reasons:
            self.clamped += 1
            moved = np.zeros(6) if holds else step_between(begun, target)
            executed = np.append(moved, gripper)
        else:
            executed = step.copy()
        self._target, self._gripper = target, gripper
        return GateDecision(
            ArmCommand(command.stamp_ns, target, gripper, hold=holds),
            ExecutedStep(
                command.stamp_ns, command.sequence, command.source, step, executed, tuple(dict.fromkeys(reasons))
            ),
            detail,
        )

    def _kept_gripper(self, state: ArmState) -> float:
        """Return the last commanded opening; before any command the measured one: a refusal never opens a hand."""
        if self._gripper is None and math.isfinite(state.gripper_opening):
            self._gripper = opening_of(state)
        return opening_of(state) if self._gripper is None else self._gripper


def make_gate(contract: RobotContract, deadman: Deadman | None = None, *, armed: bool = True) -> SafetyGate:
    """Return the gate of a robot, with its envelope; see `SafetyGate` for the rest.

    Raises:
        ConfigurationError: the robot's model is missing or does not fit.
        UnknownNameError: unknown speed profile.
    """
    return SafetyGate(contract.safety, make_envelope(contract), deadman, armed=armed)
