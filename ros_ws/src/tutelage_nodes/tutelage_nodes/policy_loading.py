"""Loads a policy and wakes it up; it may still be on its way to the disk: a learner writes it when it starts."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger

from policies.policy import Policy
from policies.registry import find_checkpoint, load_policy
from tutelage_core.contract import state_vectors
from tutelage_core.errors import CheckpointError, UnknownNameError
from tutelage_core.sealed_folder import seal_of
from tutelage_core.types import ArmState, Observation, Pose

PAUSE_S = 0.5
"""Between two tries [s]."""

WARM_UP_THOUGHTS = 5

NO_STATE = ArmState(
    0, np.zeros(7), np.zeros(7), Pose(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])), np.zeros(6), np.zeros(6), 1.0
)
"""Of an arm that nobody has seen."""


def load_patiently(name_or_path: str, patience_s: float, logger: RcutilsLogger) -> tuple[Policy, str]:
    """Return the policy and the seal of its checkpoint, trying again for `patience_s` [s, steady].

    Raises:
        UnknownNameError: there is no such checkpoint until then.
        CheckpointError: it is damaged until then; a learner may be replacing it.
    """
    end_s = time.monotonic() + patience_s
    while True:
        try:
            folder = find_checkpoint(name_or_path)
            return load_policy(folder), seal_of(folder)
        except (UnknownNameError, CheckpointError) as error:
            left_s = end_s - time.monotonic()
            if left_s <= 0.0:
                raise
            logger.warning(f"no policy yet: {error}; trying for {left_s:.0f} s more", throttle_duration_sec=5.0)
        time.sleep(PAUSE_S)


def warm_up(policy: Policy) -> float:
    """Think a few times about nothing: a network's first thoughts take many times as long as the later ones.

    Returns:
        How long the later ones took, their median [s].
    """
    spec = policy.spec
    images = {name: np.zeros((need.height, need.width, 3), dtype=np.uint8) for name, need in spec.cameras.items()}
    nothing = Observation(0, images, state_vectors(NO_STATE, spec.state_keys))
    policy.reset("", 0)
    took_s: list[float] = []
    for number in range(WARM_UP_THOUGHTS):
        seen = replace(nothing, stamp_ns=number)  # what a policy has seen before it may remember
        begun_s = time.perf_counter()
        policy.act((seen,) * spec.history)
        took_s.append(time.perf_counter() - begun_s)
    return float(np.median(took_s[WARM_UP_THOUGHTS // 2 :]))
