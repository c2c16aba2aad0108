"""Frames and states of one instant become one observation, once."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.gate_samples import arm_state
from tutelage_core.assembler import KEPT_STATES, ObservationAssembler
from tutelage_core.errors import UnknownNameError
from tutelage_core.types import Frame, Observation

pytestmark = pytest.mark.unit

KEYS = ("tcp_position", "gripper_opening")


def frame(stamp_ns: int) -> Frame:
    return Frame(np.full((2, 2, 3), stamp_ns % 251, np.uint8), stamp_ns, 0)


def assembler(tolerance_ns: int = 0, cameras: tuple[str, ...] = ("front", "wrist")) -> ObservationAssembler:
    return ObservationAssembler(cameras, KEYS, tolerance_ns)


def x_of(observation: Observation | None) -> float:
    assert observation is not None
    return float(observation.state["tcp_position"][0])


@pytest.mark.parametrize("order", ["fws", "fsw", "wfs", "wsf", "sfw", "swf"])
def test_observation_is_complete_with_the_last_part_whatever_the_order(order: str) -> None:
    joined = assembler()
    add = {
        "f": lambda: joined.add_frame("front", frame(5)),
        "w": lambda: joined.add_frame("wrist", frame(5)),
        "s": lambda: joined.add_state(arm_state(5, (0.4, 0.0, 0.2))),
    }

    results = [add[part]() for part in order]

    assert results[:2] == [None, None]
    observation = results[2]
    assert observation is not None
    assert observation.stamp_ns == 5
    assert list(observation.images) == ["front", "wrist"]
    assert list(observation.state) == list(KEYS)
    assert x_of(observation) == 0.4
    np.testing.assert_array_equal(observation.images["wrist"], frame(5).image)


def test_each_instant_is_given_once() -> None:
    joined = assembler(cameras=("front",))
    joined.add_state(arm_state(5))
    assert joined.add_frame("front", frame(5)) is not None
    assert joined.add_frame("front", frame(5)) is None
    assert joined.add_state(arm_state(5)) is None


def test_with_no_tolerance_only_equal_stamps_make_an_instant() -> None:
    joined = assembler(cameras=("front",))
    joined.add_state(arm_state(5))
    assert joined.add_frame("front", frame(6)) is None
    assert joined.add_state(arm_state(6)) is not None


def test_oldest_frame_dates_the_observation() -> None:
    joined = assembler(tolerance_ns=10)
    joined.add_state(arm_state(100))
    joined.add_frame("front", frame(104))
    observation = joined.add_frame("wrist", frame(97))
    assert observation is not None
    assert observation.stamp_ns == 97


def test_frames_that_are_too_far_apart_are_not_joined() -> None:
    joined = assembler(tolerance_ns=10)
    joined.add_state(arm_state(100))
    joined.add_frame("front", frame(95))
    assert joined.add_frame("wrist", frame(106)) is None
    assert joined.add_frame("front", frame(105)) is not None


def test_state_that_is_too_far_from_the_frame_is_not_joined() -> None:
    joined = assembler(tolerance_ns=10, cameras=("front",))
    joined.add_state(arm_state(100))
    assert joined.add_frame("front", frame(111)) is None
    assert joined.add_state(arm_state(121)) is not None


def test_state_nearest_to_the_frame_is_taken() -> None:
    joined = assembler(tolerance_ns=10, cameras=("front",))
    for stamp_ns, x in ((92, 0.1), (98, 0.2), (104, 0.3)):
        joined.add_state(arm_state(stamp_ns, (x, 0.0, 0.2)))
    assert x_of(joined.add_frame("front", frame(99))) == 0.2


def test_frame_older_than_the_one_held_is_ignored() -> None:
    joined = assembler()
    joined.add_state(arm_state(5))
    joined.add_frame("front", frame(6))
    joined.add_frame("front", frame(5))
    assert joined.add_frame("wrist", frame(5)) is None


def test_observations_never_go_back_in_time() -> None:
    joined = assembler(tolerance_ns=3, cameras=("front",))
    joined.add_state(arm_state(10))
    assert joined.add_frame("front", frame(10)) is not None
    joined.add_state(arm_state(9))
    assert joined.add_frame("front", frame(9)) is None


def test_restart_forgets_what_is_older_and_keeps_what_has_come_since() -> None:
    joined = assembler()
    joined.add_frame("front", frame(5))
    joined.add_state(arm_state(5))
    joined.add_frame("wrist", frame(9))
    joined.add_state(arm_state(9))
    joined.restart(9)
    assert joined.add_frame("front", frame(9)) is not None


def test_after_a_restart_older_parts_make_no_observation() -> None:
    joined = assembler(cameras=("front",))
    joined.add_state(arm_state(8))
    joined.restart(9)
    assert joined.add_frame("front", frame(8)) is None
    assert joined.add_state(arm_state(8)) is None


def test_restart_at_an_earlier_time_hears_earlier_stamps_again() -> None:
    joined = assembler(cameras=("front",))
    joined.add_state(arm_state(100))
    joined.add_frame("front", frame(100))
    joined.restart(101)
    joined.restart(0)
    joined.add_state(arm_state(3))
    assert joined.add_frame("front", frame(3)) is not None


def test_so_many_states_are_kept_and_no_more() -> None:
    joined = assembler(cameras=("front",))
    for stamp_ns in range(KEPT_STATES + 1):
        joined.add_state(arm_state(stamp_ns))
    assert joined.add_frame("front", frame(0)) is None
    assert joined.add_frame("front", frame(1)) is not None


def test_unknown_camera_is_named_with_the_legal_ones() -> None:
    joined = assembler()
    with pytest.raises(UnknownNameError, match=r"unknown camera 'wirst'; legal: front, wrist\. Did you mean 'wrist'"):
        joined.add_frame("wirst", frame(5))
    joined.add_frame("front", frame(5))
    assert joined.add_state(arm_state(5)) is None, "a frame that was refused counts for nothing"


def test_observation_without_cameras_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="at least one camera"):
        assembler(cameras=())
