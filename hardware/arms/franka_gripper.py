"""The Franka Hand: it takes one command at a time and each lasts, so a thread turns a wished opening into commands."""

from __future__ import annotations

import threading
from typing import Any

from hardware.arms.franka_options import FrankaOptions
from tutelage_core.errors import ArmError

PERIOD_S = 0.05
"""Time between two looks at hand and wish [s]."""

STOP_TIMEOUT_S = 2.0
"""How long a command may take to end at the latest, once it is stopped [s]."""


class FrankaGripper:
    """Follows the newest wished opening: closes with force, opens without."""

    def __init__(self, franky: Any, gripper: Any, options: FrankaOptions) -> None:
        """Watch `gripper`, a connection of `franky`'s; nothing moves before `aim`.

        Raises:
            ArmError: the hand was not homed: it does not know how far it opens.
        """
        state = gripper.state
        if state.max_width < 0.9 * options.gripper_width_m:
            raise ArmError(
                f"the hand says that it opens to {1000 * state.max_width:.1f} mm, the contract says "
                f"{1000 * options.gripper_width_m:.1f} mm: home it in Desk, with nothing between the fingers"
            )
        self._franky, self._gripper, self._options = franky, gripper, options
        self._lock = threading.Lock()
        self._width_m = float(state.width)
        self._wish: float | None = None
        self._given: float | None = None
        self._running: Any = None
        self._stopping: Any = None
        self._fault = ""
        self.refusals = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="franka hand", daemon=True)
        self._thread.start()

    @property
    def opening(self) -> float:
        """Measured opening, 0 closed .. 1 open."""
        with self._lock:
            return min(max(self._width_m / self._options.gripper_width_m, 0.0), 1.0)

    @property
    def fault(self) -> str:
        """Why the hand no longer answers; empty while it does."""
        with self._lock:
            return self._fault

    def aim(self, opening: float) -> None:
        """Wish for `opening`, 0 closed .. 1 open."""
        with self._lock:
            self._wish = opening

    def hold(self) -> None:
        """Let a command that runs be stopped, and forget the wish; what is held stays held."""
        with self._lock:
            self._wish = self._given = None

    def close(self) -> None:
        """Stop a command that runs, and stop watching."""
        self._closing.set()
        self._thread.join()
        if self._running is None or self._fault:
            return
        stopping = self._stopping or self._gripper.stop_async()
        if stopping.wait(STOP_TIMEOUT_S) and self._running.wait(STOP_TIMEOUT_S):
            self._result(stopping)
            self._result(self._running)

    def _run(self) -> None:
        while not self._closing.wait(PERIOD_S):
            try:
                self._cycle()
            except Exception as error:  # whatever it is, nobody leads the hand any more, and `fault` must say so
                with self._lock:
                    self._fault = f"{type(error).__name__}: {error}"
                return

    def _cycle(self) -> None:
        width_m = float(self._gripper.state.width)
        with self._lock:
            self._width_m = width_m
            wish, given = self._wish, self._given
        if self._stopping is not None and self._stopping.wait(0.0):
            self._result(self._stopping)
            self._stopping = None
        if self._running is not None and self._running.wait(0.0):
            self._result(self._running)
            self._running = None
        if self._stopping is not None:
            return
        if wish is not None and given is not None and abs(wish - given) < self._options.gripper_deadband:
            return
        if self._running is not None:
            # asynchronous: on a busy machine libfranka can keep a stop waiting until the command before is done
            self._stopping = self._gripper.stop_async()
        elif wish is not None:
            self._start(wish, width_m)
            with self._lock:
                self._given = None if self._wish is None else wish

    def _start(self, wish: float, width_m: float) -> None:
        options = self._options
        goal_m, speed = wish * options.gripper_width_m, options.gripper_speed_m_s
        if goal_m < width_m:
            # whatever width it ends at is good: the fingers stop at what they meet, and press on it
            span_m = options.gripper_width_m
            self._running = self._gripper.grasp_async(goal_m, speed, options.gripper_force_n, span_m, span_m)
        else:
            self._running = self._gripper.move_async(goal_m, speed)

    def _result(self, future: Any) -> None:
        try:
            future.get()
        except self._franky.CommandException:
            self.refusals += 1  # stopped, or blocked: the measured opening tells
