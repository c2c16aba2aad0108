"""Takes the arm to where an episode begins: one step a control period, through the gate, until it is there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rclpy.task import Future

from hardware.safety.envelope import make_model
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S, RobotContract
from tutelage_core.homing import HomingPath, WayBack
from tutelage_core.types import FloatArray, Pose

TIME_LIMIT_S = 30.0
"""An arm that is not home by then is stuck [s, steady]."""


class Home:
    """Knows where home is, and walks there, or back from an attempt, while the session says RESETTING."""

    def __init__(self, contract: RobotContract, clock: Clock, *, homes: bool, lockstep: bool) -> None:
        """Read home from the contract's joints, with its robot model; without a model nobody knows where that is.

        Args:
            contract: of the robot.
            clock: steady clock.
            homes: whether it goes home before an episode; a twin's own arm is there already.
            lockstep: whether time waits for each step; then a step is due whenever it is looked after.

        Raises:
            ConfigurationError: the model does not fit the contract.
        """
        self._clock, self._period_ns = clock, 0 if lockstep else contract.period_ns
        self._limits = contract.safety
        model = make_model(contract) if homes else None
        joints = np.array(contract.arm.home_joint_positions)
        self._home = None if model is None else model.tcp_pose(joints)
        self._way: HomingPath | WayBack | None = None
        self._done: Future | None = None
        self._begun_ns = self._sent_ns = 0

    @property
    def is_known(self) -> bool:
        """Whether there is a way home."""
        return self._home is not None

    @property
    def runs(self) -> bool:
        """Whether the arm is on its way."""
        return self._done is not None and not self._done.done()

    def begin(self, start: Pose | None = None) -> Future:
        """Set out; the future's result is empty once the arm is there, else why it did not get there.

        Args:
            start: where another attempt begins: the hand lets go, draws back and goes there. None for home.
        """
        self._done = Future()
        if start is not None:
            self._way = WayBack(start, self._limits)
        elif self._home is not None:
            self._way = HomingPath(self._home, self._limits)
        self._begun_ns, self._sent_ns = self._clock.now_ns(), 0
        return self._done

    def end(self, why: str) -> None:
        """Give up."""
        if self._done is not None and not self._done.done():
            self._done.set_result(why)

    def look(self, measured: Pose, send: Callable[[FloatArray], None]) -> None:
        """Send the next step if its period has come; call it often.

        Args:
            measured: where the TCP is, base frame.
            send: takes a step, shape (7,) [m, rad, 0..1].
        """
        if self._way is None or not self.runs:
            return
        now_ns = self._clock.now_ns()
        if now_ns - self._begun_ns > TIME_LIMIT_S * NS_PER_S:
            at = ", ".join(f"{value:.3f}" for value in measured.position)
            self.end(f"the arm is not there after {TIME_LIMIT_S:g} s, it stands at ({at}) m: is something in its way?")
        elif now_ns - self._sent_ns >= self._period_ns:
            self._sent_ns = now_ns
            step = self._way.step(measured)
            if step is None:
                self.end("")
            else:
                send(step)
