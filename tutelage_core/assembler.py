"""Joins camera frames and arm states of one instant into an observation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tutelage_core.contract import state_vectors
from tutelage_core.errors import UnknownNameError
from tutelage_core.types import ArmState, Frame, Observation

KEPT_STATES = 50
"""Arm states that are kept to find the one nearest to a frame."""


class ObservationAssembler:
    """Gives each observation once, as soon as every camera and the arm have reported the instant."""

    def __init__(self, cameras: Iterable[str], state_keys: tuple[str, ...], tolerance_ns: int) -> None:
        """Join what lies within `tolerance_ns` [ns]; 0 wants equal stamps (simulated time)."""
        self._cameras = tuple(cameras)
        if not self._cameras:
            raise ValueError("an observation needs at least one camera: its frame dates it")
        self._state_keys = state_keys
        self._tolerance_ns = tolerance_ns
        self._frames: dict[str, Frame] = {}
        self._states: deque[ArmState] = deque(maxlen=KEPT_STATES)
        self._last_ns = -1

    def restart(self, not_before_ns: int) -> Observation | None:
        """Forget everything older than `not_before_ns` [ns]; return the observation that has come since, if any."""
        self._frames = {name: f for name, f in self._frames.items() if f.stamp_ns >= not_before_ns}
        self._states = deque((s for s in self._states if s.stamp_ns >= not_before_ns), maxlen=KEPT_STATES)
        self._last_ns = not_before_ns - 1
        return self._take()

    def add_frame(self, camera: str, frame: Frame) -> Observation | None:
        """Add a frame; return an observation when it completes one.

        Raises:
            UnknownNameError: the observation has no such camera.
        """
        if camera not in self._cameras:
            raise UnknownNameError("camera", camera, self._cameras)
        held = self._frames.get(camera)
        if held is not None and frame.stamp_ns < held.stamp_ns:
            return None
        self._frames[camera] = frame
        return self._take()

    def add_state(self, state: ArmState) -> Observation | None:
        """Add an arm state; return an observation when it completes one."""
        self._states.append(state)
        return self._take()

    def _take(self) -> Observation | None:
        if len(self._frames) < len(self._cameras) or not self._states:
            return None
        stamps = [self._frames[name].stamp_ns for name in self._cameras]
        # the oldest frame dates the observation: latency is never understated
        stamp_ns = min(stamps)
        if stamp_ns <= self._last_ns or max(stamps) - stamp_ns > self._tolerance_ns:
            return None
        state = min(self._states, key=lambda s: abs(s.stamp_ns - stamp_ns))
        if abs(state.stamp_ns - stamp_ns) > self._tolerance_ns:
            return None
        self._last_ns = stamp_ns
        images = {name: self._frames[name].image for name in self._cameras}
        taken = dict(zip(self._cameras, stamps, strict=True))
        return Observation(stamp_ns, images, state_vectors(state, self._state_keys), taken, state.stamp_ns)
