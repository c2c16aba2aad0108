"""Chooses the one step that goes to the SafetyGate, and says whose it is."""

from __future__ import annotations

import math

import numpy as np

from tutelage_core.chunks import ChunkBuffer
from tutelage_core.session import DriveState
from tutelage_core.types import STEP_SIZE, FloatArray, Source, StepCommand


class Arbiter:
    """Joins the drive state, the policy's chunk and the human hand into one stream of commands."""

    def __init__(self, chunks: ChunkBuffer, sender: str = "") -> None:
        """Take policy steps from `chunks`; commands carry the name `sender`."""
        self._chunks, self._sender = chunks, sender
        self._sequence = 0
        self._human_step: FloatArray | None = None
        self._gripper = 1.0
        self.starved = 0

    def restart(self, gripper_opening: float) -> None:
        """Begin an episode with the gripper at `gripper_opening` (0 closed .. 1 open); old chunks are forgotten."""
        self._chunks.clear()
        self._human_step = None
        self._gripper = min(max(gripper_opening, 0.0), 1.0)
        self._sequence = 0
        self.starved = 0

    def hand_back(self, gripper_opening: float) -> None:
        """Go on after another has moved the arm: the chunk from before is forgotten, the gripper is where it was left.

        Args:
            gripper_opening: what the gripper was last told, 0 closed .. 1 open.
        """
        self._chunks.clear()
        self._gripper = min(max(gripper_opening, 0.0), 1.0)

    def set_human_step(self, step: FloatArray | None) -> None:
        """Take the hand's newest step, shape (7,) [m, rad, 0..1]; None when it gives none."""
        self._human_step = step

    def command(self, state: DriveState, now_ns: int) -> StepCommand:
        """Return the command for the period at `now_ns`.

        A policy that has no step for this period is starved: the arm holds and its gripper keeps what it was told.
        """
        if state is not DriveState.CORRECTING:
            self._human_step = None  # the last step of one correction must not begin the next
        source, step = Source.HOLD, None
        if state is DriveState.AUTONOMOUS:
            due = self._chunks.step_at(now_ns)
            if due is None:
                self.starved += 1
            else:
                source, step = Source.POLICY, due[1]
        elif state is DriveState.CORRECTING and self._human_step is not None:
            source, step = Source.HUMAN, self._human_step
        if step is None:
            step = np.zeros(STEP_SIZE)
            step[6] = self._gripper
        if math.isfinite(step[6]):
            self._gripper = min(max(float(step[6]), 0.0), 1.0)
        self._sequence += 1
        return StepCommand(now_ns, self._sequence, source, np.asarray(step, dtype=np.float64), self._sender)
