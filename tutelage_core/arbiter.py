"""Chooses the one step that goes to the SafetyGate, and says whose it is."""

from __future__ import annotations

import math

import numpy as np

from tutelage_core.chunks import ChunkBuffer
from tutelage_core.session import DriveState
from tutelage_core.types import STEP_SIZE, FloatArray, Source, StepCommand

HAND_OVER_STEPS = 5
"""Over so many steps a new driver comes to full speed: a hand-over begins gently, whichever way it goes."""


class Arbiter:
    """Joins the drive state, the policy's chunk and the human hand into one stream of commands."""

    def __init__(self, chunks: ChunkBuffer, sender: str = "") -> None:
        """Take policy steps from `chunks`; commands carry the name `sender`."""
        self._chunks, self._sender = chunks, sender
        self._sequence = 0
        self._human_step: FloatArray | None = None
        self._homing_step: FloatArray | None = None
        self._gripper = 1.0
        self._phrase = ""
        self._eased = HAND_OVER_STEPS
        self.starved = 0

    def restart(self, gripper_opening: float) -> None:
        """Begin an episode with the gripper at `gripper_opening` (0 closed .. 1 open); old chunks are forgotten."""
        self._chunks.clear()
        self._human_step = self._homing_step = None
        self._gripper = min(max(gripper_opening, 0.0), 1.0)
        self._phrase = ""
        self._eased = HAND_OVER_STEPS
        self._sequence = 0
        self.starved = 0

    def hand_over(self, gripper_opening: float | None = None) -> None:
        """Let another one drive from the next step on.

        What was planned is forgotten, and the new driver comes to full speed over `HAND_OVER_STEPS` steps. The gripper
        keeps what it was last told, not what it measures: a hand that holds something must go on pressing.

        Args:
            gripper_opening: what it was told by somebody whose steps did not pass here, 0 closed .. 1 open.
        """
        self._chunks.clear()
        self._eased = 0
        if gripper_opening is not None:
            self._gripper = min(max(gripper_opening, 0.0), 1.0)

    def set_human_step(self, step: FloatArray | None) -> None:
        """Take the hand's newest step, shape (7,) [m, rad, 0..1]; None when it gives none."""
        self._human_step = step

    def set_homing_step(self, step: FloatArray | None) -> None:
        """Take the next step of the way home, shape (7,) [m, rad, 0..1]; None when there is none."""
        self._homing_step = step

    def set_phrase(self, phrase: str) -> None:
        """Count steps of chunks that follow `phrase` as a person's correction; empty for none."""
        self._phrase = phrase

    def command(self, state: DriveState, now_ns: int) -> StepCommand:
        """Return the command for the period at `now_ns`.

        A policy that has no step for this period is starved: the arm holds and its gripper keeps what it was told.
        """
        if state is not DriveState.CORRECTING:
            self._human_step = None  # the last step of one correction must not begin the next
        source, step = self._choose(state, now_ns)
        if step is None:
            step = np.zeros(STEP_SIZE)
            step[6] = self._gripper
        elif self._eased < HAND_OVER_STEPS:
            self._eased += 1
            step = np.array(step, dtype=np.float64)
            step[:6] *= self._eased / HAND_OVER_STEPS
        if math.isfinite(step[6]):
            self._gripper = min(max(float(step[6]), 0.0), 1.0)
        self._sequence += 1
        return StepCommand(now_ns, self._sequence, source, np.asarray(step, dtype=np.float64), self._sender)

    def _choose(self, state: DriveState, now_ns: int) -> tuple[Source, FloatArray | None]:
        """Return whose step it is, and the step; None to hold."""
        if state is DriveState.CORRECTING and self._human_step is not None:
            return Source.HUMAN, self._human_step
        if state is DriveState.RESETTING and self._homing_step is not None:
            return Source.HOMING, self._homing_step
        if state is not DriveState.AUTONOMOUS:
            return Source.HOLD, None
        due = self._chunks.step_at(now_ns)
        if due is None:
            self.starved += 1
            return Source.HOLD, None
        chunk = self._chunks.chunk
        follows = bool(self._phrase) and chunk is not None and chunk.phrase == self._phrase
        return Source.PHRASE if follows else Source.POLICY, due[1]
