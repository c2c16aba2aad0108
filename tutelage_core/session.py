"""Who drives: five states and the events that lead from one to the other, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class DriveState(StrEnum):
    """Who moves the arm."""

    STOPPED = "STOPPED"  # latched: only a reset leads out
    PAUSED = "PAUSED"  # the arm holds its measured pose
    AUTONOMOUS = "AUTONOMOUS"  # the policy drives
    CORRECTING = "CORRECTING"  # a hand drives, deadman held
    RESETTING = "RESETTING"  # the arm goes home for the next episode


class DriveEvent(StrEnum):
    """What can happen to a session."""

    STOP = "STOP"  # operator's stop, or a fault
    CLEAR_STOP = "CLEAR_STOP"  # the operator acknowledges; leads to PAUSED, never to motion
    START = "START"  # the operator lets the policy drive
    PAUSE = "PAUSE"
    DEADMAN_PRESSED = "DEADMAN_PRESSED"
    DEADMAN_RELEASED = "DEADMAN_RELEASED"  # to PAUSED, never back to the policy
    RESET_BEGUN = "RESET_BEGUN"
    RESET_DONE = "RESET_DONE"
    EPISODE_ENDED = "EPISODE_ENDED"
    PHRASE = "PHRASE"  # a person corrects the policy by a sentence; the policy goes on driving


_S, _E = DriveState, DriveEvent

TRANSITIONS: Mapping[tuple[DriveState, DriveEvent], DriveState] = {
    **{(state, _E.STOP): _S.STOPPED for state in DriveState},
    (_S.STOPPED, _E.CLEAR_STOP): _S.PAUSED,
    (_S.PAUSED, _E.START): _S.AUTONOMOUS,
    (_S.PAUSED, _E.DEADMAN_PRESSED): _S.CORRECTING,
    (_S.PAUSED, _E.RESET_BEGUN): _S.RESETTING,
    (_S.AUTONOMOUS, _E.PAUSE): _S.PAUSED,
    (_S.AUTONOMOUS, _E.EPISODE_ENDED): _S.PAUSED,
    (_S.AUTONOMOUS, _E.DEADMAN_PRESSED): _S.CORRECTING,
    (_S.AUTONOMOUS, _E.PHRASE): _S.AUTONOMOUS,
    (_S.CORRECTING, _E.DEADMAN_RELEASED): _S.PAUSED,
    (_S.CORRECTING, _E.PAUSE): _S.PAUSED,
    (_S.CORRECTING, _E.EPISODE_ENDED): _S.PAUSED,
    (_S.RESETTING, _E.RESET_DONE): _S.PAUSED,
    (_S.RESETTING, _E.PAUSE): _S.PAUSED,
}
"""Every legal transition; an event that is not listed for a state changes nothing."""

MOVING_STATES = frozenset({_S.AUTONOMOUS, _S.CORRECTING, _S.RESETTING})
"""States in which a step may be sent to the arm."""


class Session:
    """Holds the drive state and is the one place that changes it."""

    def __init__(self, state: DriveState = DriveState.PAUSED) -> None:
        """Start in `state`; the default does not move."""
        self._state = state

    @property
    def state(self) -> DriveState:
        """Who drives now."""
        return self._state

    def apply(self, event: DriveEvent) -> bool:
        """Apply `event`; return whether the state changed or was already the one it leads to."""
        target = TRANSITIONS.get((self._state, event))
        if target is None:
            return False
        self._state = target
        return True
