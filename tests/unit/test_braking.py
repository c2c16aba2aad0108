"""An arm that shall hold comes to rest a little ahead, and never where it must not be."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hardware.safety.braking import Braking
from tests.unit.gate_samples import CENTRE, LIMITS, arm_state
from tutelage_core.types import Pose

pytestmark = pytest.mark.unit

BRAKING = Braking(LIMITS)
X_MAX_M = LIMITS.workspace_max_m[0]


def rest(position: tuple[float, ...], *velocity: float) -> Pose:
    """Return where an arm rests that moves through `position` with `velocity` [m/s]."""
    state = arm_state(0, position)
    return BRAKING.rest(replace(state, tcp_velocity=np.array([*velocity, 0.0, 0.0, 0.0])))


def test_an_arm_rests_its_braking_time_ahead_of_where_it_is() -> None:
    np.testing.assert_allclose(
        rest(CENTRE, 0.2, 0.0, -0.1).position, np.array(CENTRE) + np.array([0.2, 0.0, -0.1]) * LIMITS.braking_s
    )


def test_an_arm_rests_at_most_one_step_ahead_however_fast_it_says_it_is() -> None:
    ahead = rest(CENTRE, 30.0, 40.0, 0.0).position - CENTRE
    assert np.linalg.norm(ahead) == pytest.approx(LIMITS.max_step_m)
    np.testing.assert_allclose(ahead / LIMITS.max_step_m, [0.6, 0.8, 0.0])


@pytest.mark.parametrize("speed_m_s", [math.nan, math.inf])
def test_a_velocity_that_is_no_number_counts_as_none(speed_m_s: float) -> None:
    np.testing.assert_array_equal(rest(CENTRE, speed_m_s, 0.0, 0.0).position, CENTRE)


def test_an_arm_rests_in_the_box_and_outside_of_it_no_further_out() -> None:
    _, y, z = CENTRE
    assert rest((X_MAX_M - 0.001, y, z), 0.5, 0.0, 0.0).position[0] == X_MAX_M
    assert rest((X_MAX_M + 0.01, y, z), 0.5, 0.0, 0.0).position[0] == X_MAX_M + 0.01
    assert rest((X_MAX_M + 0.01, y, z), -0.1, 0.0, 0.0).position[0] == pytest.approx(
        X_MAX_M + 0.01 - 0.1 * LIMITS.braking_s
    )


def test_an_arm_rests_turned_as_it_is_with_a_unit_quaternion() -> None:
    state = arm_state(0, CENTRE, (0.1, -0.2, 0.3))
    measured = state.T_base_tcp.quaternion_xyzw
    longer = replace(state, T_base_tcp=Pose(state.T_base_tcp.position, measured * 1.005))
    np.testing.assert_allclose(BRAKING.rest(longer).quaternion_xyzw, measured)
