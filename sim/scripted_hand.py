"""The scripted person as a teleoperation device, so that a session can be corrected as by a real one."""

from __future__ import annotations

import numpy as np

from hardware.teleop import TeleopInput
from sim.human import Intervener
from tutelage_core.types import FloatArray

RESUME = "resume"
"""Button that is pressed when the hand has let go: releasing the deadman alone only pauses."""


class ScriptedHand:
    """A `TeleopDevice` that an `Intervener` moves: `watch` once a control period, then `read` as often as one likes."""

    def __init__(self, intervener: Intervener, period_s: float) -> None:
        """Give the intervener's steps as velocities over `period_s` [s]."""
        self._intervener, self._period_s = intervener, period_s
        self.restart(0, 1.0)

    def restart(self, seed: int, gripper_opening: float) -> None:
        """Begin an episode, after the twin's own reset, with the gripper at `gripper_opening` (0..1)."""
        self._intervener.restart(seed)
        self._input = TeleopInput(np.zeros(6), gripper_opening, deadman=False)

    def watch(self, proposed: FloatArray) -> None:
        """Let the person see what the policy proposes for this period: a TCP step, shape (7,) [m, rad, 0..1]."""
        held = self._input.deadman
        step = self._intervener.watch(proposed)
        if step is None:
            buttons = frozenset({RESUME} if held else ())
            self._input = TeleopInput(np.zeros(6), self._input.gripper_opening, deadman=False, buttons=buttons)
        else:
            self._input = TeleopInput(step[:6] / self._period_s, float(step[6]), deadman=True)

    def read(self) -> TeleopInput:
        """Return the input of this control period."""
        return self._input
