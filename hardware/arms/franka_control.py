"""The control of a Franka arm: franky's 1 kHz impedance controller, and the thread that feeds it references.

The torques are computed in franky's own C++ thread, which no other Python thread can hold up. The thread here reads the
newest state every 5 ms and moves the reference; when it is late, the arm waits where it is. libfranka makes the thread
that connects real-time at the highest priority, where it may; only the thread of the torques needs that, so connecting
and moving happen in threads of their own.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardware.arms.franka_options import FrankaOptions
from hardware.arms.pose_ramp import PoseRamp
from tutelage_core.clock import Clock
from tutelage_core.errors import ArmError
from tutelage_core.rotations import normalize_xyzw
from tutelage_core.threads import in_thread_of_its_own
from tutelage_core.types import FloatArray, Pose

REFERENCE_PERIOD_S = 0.005
"""Time between two references [s]; at 0.25 m/s they are 1.25 mm apart."""

RECOVERY_MS = 2000
"""How long the robot may take, on its own clock, to be ready again after a recovery [ms]."""

STOP_TIMEOUT_S = 5.0

IDENTITY = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
"""Homogeneous transform, column after column, as libfranka has it."""


@dataclass(frozen=True)
class StampedState:
    """A state of franky's and when it was first seen [ns]."""

    state: Any
    stamp_ns: int


def pose_of(affine: Any) -> Pose:
    """Return a transform of franky's as a pose."""
    return Pose(np.array(affine.translation, dtype=np.float64), normalize_xyzw(np.array(affine.quaternion)))


def errors_of(state: Any) -> str:
    """Return the names of the errors that stand, with commas between; empty if none does."""
    return str(state.current_errors).strip("[]").replace('"', "")  # as an object it is true even when it holds none


def errors_in(franky: Any) -> tuple[type[Exception], ...]:
    """Return what calls of the package raise when the robot refuses or is gone."""
    known = ("CommandException", "ControlException", "NetworkException", "Exception")
    return (RuntimeError, *(getattr(franky, name) for name in known))


class FrankaControl:
    """Holds and moves one arm. `fault` says why it no longer does."""

    def __init__(
        self,
        franky: Any,
        robot: Any,
        options: FrankaOptions,
        limits: tuple[FloatArray, FloatArray] | None,
        period_ns: int,
        clock: Clock,
    ) -> None:
        """Read states of `robot` from now on; nothing moves before `begin`.

        Args:
            franky: the package.
            robot: its connection.
            options: of the driver.
            limits: lower and upper joint limits to be pushed away from, each shape (7,) [rad]; None for none.
            period_ns: control period, within which each target is reached [ns].
            clock: stamps the states.
        """
        self._franky, self._robot, self._options, self._limits = franky, robot, options, limits
        self._clock = clock
        self._errors = errors_in(franky)
        self._lock = threading.RLock()
        self._motion: Any = None
        self._fault = ""
        self._lost = ""
        first = robot.state
        self._newest = StampedState(first, clock.now_ns())
        self._ramp = PoseRamp(pose_of(first.O_T_EE), period_ns)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="franka references", daemon=True)
        self._thread.start()

    @property
    def newest(self) -> StampedState:
        """The newest state.

        Raises:
            ArmError: the connection is lost.
        """
        with self._lock:
            if self._lost:
                raise ArmError(f"the Franka robot's connection is lost: {self._lost}; disconnect and connect again")
            return self._newest

    @property
    def fault(self) -> str:
        """Why the arm is not under control; empty while it is, and before `begin`."""
        with self._lock:
            return self._lost or self._fault

    def obstacle(self) -> str:
        """Return why control cannot begin now: the robot's errors or mode; empty if it can."""
        state = self.newest.state
        if errors := errors_of(state):
            return f"the robot reports {errors}"
        if state.robot_mode not in (self._franky.RobotMode.Idle, self._franky.RobotMode.Move):
            return f"the robot is in mode {state.robot_mode.name}, it must be Idle"
        return ""

    def begin(self) -> None:
        """Take control and hold the measured pose.

        Raises:
            ArmError: the robot refuses.
        """
        options = self._options
        torque = np.array(options.collision_torque_nm)
        force = np.repeat([options.collision_force_n, options.collision_moment_nm], 3)
        with self._lock:
            try:
                self._robot.set_collision_behavior(torque / 2, torque, force / 2, force)
                self._robot.set_k(list(IDENTITY))
                state = self._robot.state
                motion = self._tracking(state.q)
                self._ramp.rest(pose_of(state.O_T_EE))
                motion.set_reference(self._franky.CartesianReference(state.O_T_EE))
                # the rate limiter and the low-pass at 100 Hz are libfranka's own, on top of `torque_step_nm`
                self._move(motion)
                self._await_motion()
            except (*self._errors, OSError) as error:
                raise ArmError(f"the Franka robot refuses control: {error}") from error
            self._motion, self._fault = motion, ""

    def aim(self, goal: Pose) -> None:
        """Move the reference to `goal` within one control period.

        Raises:
            ArmError: the arm is not under control.
        """
        with self._lock:
            if self._motion is None:
                raise ArmError(f"the Franka arm is not under control: {self.fault or 'control has not begun'}")
            self._ramp.aim(goal)

    def hold(self) -> None:
        """Hold the pose that is measured now."""
        with self._lock:
            self._ramp.rest(pose_of(self._newest.state.O_T_EE))
            self._publish()

    def recover(self) -> None:
        """Clear the robot's errors and take control again where the arm is, or hold there if it is under control.

        Raises:
            ArmError: the robot is still not ready.
        """
        _ = self.newest
        if self._motion is not None:
            self.hold()
            return
        with self._lock:
            try:
                if errors_of(self._robot.state):
                    self._robot.recover_from_errors()
                begun_ms = self._robot.state.time.to_msec()
                while True:
                    state = self._robot.state
                    self._newest = StampedState(state, self._clock.now_ns())
                    if not self.obstacle() or state.time.to_msec() - begun_ms > RECOVERY_MS:
                        break
            except self._errors as error:
                raise ArmError(f"the Franka robot cannot recover: {error}") from error
            if obstacle := self.obstacle():
                raise ArmError(f"the Franka robot cannot recover: {obstacle}")
        self.begin()

    def close(self) -> None:
        """Bring the arm to rest, give up control and stop reading."""
        with self._lock:
            self._motion = None
        self._closing.set()
        self._thread.join()
        if not self._robot.is_in_control:
            return
        try:
            # ramps the torques into pure damping and ends the motion when the arm rests; the robot then holds by itself
            self._move(self._franky.TorqueStopMotion())
            self._robot.join_motion(STOP_TIMEOUT_S)
        except (*self._errors, OSError) as error:
            self._fault = str(error)  # the motion was over already, by a reflex or with the connection

    def _tracking(self, joint_positions: FloatArray) -> Any:
        options, franky = self._options, self._franky
        bounds: dict[str, Any] = {}
        if self._limits is not None:
            bounds = {"lower_joint_limits": self._limits[0], "upper_joint_limits": self._limits[1]}
        motion = franky.CartesianImpedanceTrackingMotion(
            translational_stiffness=options.stiffness_n_m,
            rotational_stiffness=options.stiffness_nm_rad,
            translational_error_clip=np.full(3, options.clip_m),
            rotational_error_clip=np.full(3, options.clip_rad),
            posture_task=franky.PostureTask(joint_positions, options.posture_nm_rad),
            max_delta_tau=options.torque_step_nm,
            **bounds,
        )
        motion.set_gains(
            franky.CartesianImpedanceGains.isotropic(
                options.stiffness_n_m, options.stiffness_nm_rad, options.damping_ns_m, options.damping_nms_rad
            )
        )
        return motion

    def _move(self, motion: Any) -> None:
        """Start a motion. The thread of the torques begins with the first one, and inherits its starter's priority."""

        def start() -> None:
            if self._options.realtime == "enforce":
                highest = os.sched_get_priority_max(os.SCHED_FIFO)
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(highest))
            self._robot.move(motion, asynchronous=True, limit_rate=True)

        in_thread_of_its_own(start)

    def _await_motion(self) -> None:
        """Return once the robot says that it moves; franky asks for it from a thread of its own."""
        while self._robot.state.robot_mode != self._franky.RobotMode.Move:
            if not self._robot.is_in_control:
                raise ArmError(f"the Franka robot refuses control: {self._cause()}")
            time.sleep(0.001)

    def _run(self) -> None:
        while not self._closing.wait(REFERENCE_PERIOD_S):
            try:
                self._cycle()
            except Exception as error:  # whatever it is, nobody leads the arm any more, and `fault` must say so
                with self._lock:
                    self._lost, self._motion = f"{type(error).__name__}: {error}", None
                return

    def _cycle(self) -> None:
        state = self._robot.state  # at rest this waits for the next state, up to a millisecond
        with self._lock:
            passed_ms = state.time.to_msec() - self._newest.state.time.to_msec()
            if passed_ms > 0:  # a state that was seen before keeps its stamp, so that a silent robot's state grows old
                self._newest = StampedState(state, self._clock.now_ns())
            if self._motion is None:
                return
            if not self._robot.is_in_control:
                self._motion, self._fault = None, self._cause()
                return
            # on the robot's clock: where a simulator runs slowly, targets do not run ahead of it
            self._ramp.advance(max(passed_ms, 0) * 1_000_000)
            self._publish()

    def _publish(self) -> None:
        if self._motion is None:
            return
        pose = self._ramp.pose()
        target = self._franky.Affine(pose.position, pose.quaternion_xyzw)
        self._motion.set_reference(self._franky.CartesianReference(target))

    def _cause(self) -> str:
        """Return why the robot ended the motion."""
        try:
            self._robot.poll_motion()
        except self._errors as error:
            return " ".join(str(error).split())
        return "the motion ended without a reason"
