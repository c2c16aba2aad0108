"""The twin's ground truth as the reward of a policy that learns. Only simulation has one."""

from __future__ import annotations

from collections import deque

from tutelage_interfaces import msg as ti

from policies.hil_serl.step_joiner import Outcome
from tutelage_core.types import Observation
from tutelage_nodes import convert

KEPT = 256
"""Ground truths that are kept until their observations are joined."""

REWARD, NO_REWARD = 1.0, 0.0


class Truth:
    """Says what an observation shows: what learning from it could reach at best."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._statuses: deque[tuple[int, bool]] = deque(maxlen=KEPT)

    def hear(self, message: ti.TaskStatus) -> None:
        """Take the ground truth of an instant."""
        self._statuses.append((convert.to_ns(message.header.stamp), message.success))

    def outcome(self, obs: Observation) -> Outcome | None:
        """Say what an observation shows; None while nothing of its instant or later is known."""
        for stamp_ns, success in self._statuses:
            if stamp_ns >= obs.stamp_ns:
                return Outcome(REWARD if success else NO_REWARD, success)
        return None
