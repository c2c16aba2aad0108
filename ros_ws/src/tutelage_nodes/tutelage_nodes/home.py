"""Takes the arm home before an episode: one step a control period, through the gate, until it is there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rclpy.task import Future

from hardware.safety.envelope import make_model
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S, RobotContract
from tutelage_core.homing import HomingPath
from tutelage_core.types import FloatArray, Pose

TIME_LIMIT_S = 30.0
"""An arm that is not home by then is stuck [s, steady]."""


class Home:
    """Knows where home is, and walks there while the session says RESETTING."""

    def __init__(self, contract: RobotContract, clock: Clock) -> None:
        """Read home from the contract's joints, with its robot model; without a model nobody knows where that is.

        Raises:
            ConfigurationError: the model does not fit the contract.
        """
        self._clock, self._period_ns = clock, contract.period_ns
        model = make_model(contract)
        joints = np.array(contract.arm.home_joint_positions)
        self._path = None if model is None else HomingPath(model.tcp_pose(joints), contract.safety)
        self._done: Future | None = None
        self._begun_ns = self._sent_ns = 0

    @property
    def is_known(self) -> bool:
        """Whether there is a way home."""
        return self._path is not None

    @property
    def runs(self) -> bool:
        """Whether the arm is on its way."""
        return self._done is not None and not self._done.done()

    def begin(self) -> Future:
        """Set out; the future's result is empty once the arm is home, else why it did not get there."""
        self._done = Future()
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
        if self._path is None or not self.runs:
            return
        now_ns = self._clock.now_ns()
        if self._path.arrived(measured):
            self.end("")
        elif now_ns - self._begun_ns > TIME_LIMIT_S * NS_PER_S:
            at = ", ".join(f"{value:.3f}" for value in measured.position)
            self.end(f"the arm is not home after {TIME_LIMIT_S:g} s, it stands at ({at}) m: is something in its way?")
        elif now_ns - self._sent_ns >= self._period_ns:
            self._sent_ns = now_ns
            send(self._path.step(measured))
