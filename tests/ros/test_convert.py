"""What goes into a message comes out again, bit for bit; what does not make sense is refused."""

from __future__ import annotations

import itertools
import math
from array import array

import numpy as np
import pytest
from builtin_interfaces.msg import Duration, Time
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from tutelage_interfaces import msg as ti

from tutelage_core.types import (
    ActionChunk,
    ArmCommand,
    ArmState,
    ExecutedStep,
    Pose,
    Source,
    StepCommand,
    TaskStatus,
)
from tutelage_nodes import convert

pytestmark = pytest.mark.ros

QUICK = settings(max_examples=40, deadline=None)
ANY = st.floats(width=64)
STAMPS = st.integers(0, 2**31 * 10**9 - 1)
SEQUENCES = st.integers(0, 2**64 - 1)
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


def vectors(size: int | st.SearchStrategy[int]) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, size, elements=ANY)


POSES = st.builds(Pose, vectors(3), vectors(4))


def over_the_wire(message: object) -> object:
    """Return what a reader at the other end gets."""
    return deserialize_message(serialize_message(message), type(message))


def assert_same(a: np.ndarray, b: np.ndarray) -> None:
    """Compare arrays bit for bit (but for the kind of a NaN), type and shape included."""
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    np.testing.assert_array_equal(a, b)
    numbers = ~np.isnan(a)
    np.testing.assert_array_equal(np.signbit(a[numbers]), np.signbit(b[numbers]))


def assert_same_pose(a: Pose, b: Pose) -> None:
    assert_same(a.position, b.position)
    assert_same(a.quaternion_xyzw, b.quaternion_xyzw)


@QUICK
@given(st.integers(-(2**31) * 10**9, 2**31 * 10**9 - 1))
def test_stamp_keeps_every_nanosecond(stamp_ns: int) -> None:
    time = convert.to_time(stamp_ns)
    assert 0 <= time.nanosec < 10**9
    assert convert.to_ns(time) == stamp_ns


def test_quaternion_goes_out_as_x_y_z_w() -> None:
    orientation = convert.to_pose_msg(Pose(np.arange(3.0), np.array([1.0, 2.0, 3.0, 4.0]))).orientation
    assert (orientation.x, orientation.y, orientation.z, orientation.w) == (1.0, 2.0, 3.0, 4.0)


@QUICK
@given(STAMPS, st.integers(0, 9).flatmap(vectors), POSES, vectors(6), vectors(6), ANY)
def test_arm_state_survives(
    stamp_ns: int, joints: np.ndarray, pose: Pose, velocity: np.ndarray, wrench: np.ndarray, gripper: float
) -> None:
    state = ArmState(stamp_ns, joints, joints * 0.5, pose, velocity, wrench, gripper)
    message = over_the_wire(convert.to_arm_state_msg(state))
    back = convert.from_arm_state_msg(message)
    assert message.header.frame_id == convert.BASE_FRAME
    assert back.stamp_ns == stamp_ns
    assert_same(back.joint_positions, state.joint_positions)
    assert_same(back.joint_velocities, state.joint_velocities)
    assert_same_pose(back.T_base_tcp, pose)
    assert_same(back.tcp_velocity, velocity)
    assert_same(back.wrench, wrench)
    assert_same(np.array(back.gripper_opening), np.array(gripper))


@QUICK
@given(STAMPS, SEQUENCES, st.sampled_from(Source), vectors(7))
def test_step_command_survives(stamp_ns: int, sequence: int, source: Source, step: np.ndarray) -> None:
    back = convert.from_arm_command_msg(
        over_the_wire(convert.to_arm_command_msg(StepCommand(stamp_ns, sequence, source, step)))
    )
    assert (back.stamp_ns, back.sequence) == (stamp_ns, sequence)
    assert back.source is source
    assert_same(back.step, step)


@pytest.mark.parametrize("number", [6, 17, 255])
def test_command_of_an_unknown_source_counts_as_hold(number: int) -> None:
    assert convert.from_arm_command_msg(ti.ArmCommand(source=number)).source is Source.HOLD


def test_numbers_of_the_sources_are_those_of_the_message() -> None:
    assert {source.name: int(source) for source in Source} == {
        source.name: getattr(ti.ArmCommand, source.name) for source in Source
    }


def test_command_holds_a_copy_of_the_step() -> None:
    step = np.zeros(7)
    message = convert.to_arm_command_msg(StepCommand(0, 1, Source.POLICY, step))
    step[0] = 1.0
    assert message.step[0] == 0.0
    back = convert.from_arm_command_msg(message)
    message.step[1] = 1.0
    assert back.step[1] == 0.0


@QUICK
@given(STAMPS, POSES, ANY)
def test_arm_target_survives(stamp_ns: int, pose: Pose, gripper: float) -> None:
    back = convert.from_arm_target_msg(over_the_wire(convert.to_arm_target_msg(ArmCommand(stamp_ns, pose, gripper))))
    assert back.stamp_ns == stamp_ns
    assert_same_pose(back.T_base_tcp_target, pose)
    assert_same(np.array(back.gripper_opening), np.array(gripper))


@QUICK
@given(
    STAMPS, SEQUENCES, st.sampled_from(Source), vectors(7), vectors(7), st.lists(WORDS, max_size=3).map(tuple), STAMPS
)
def test_executed_step_survives(
    stamp_ns: int,
    sequence: int,
    source: Source,
    requested: np.ndarray,
    executed: np.ndarray,
    reasons: tuple[str, ...],
    executed_at_ns: int,
) -> None:
    step = ExecutedStep(stamp_ns, sequence, source, requested, executed, reasons)
    message = over_the_wire(convert.to_executed_msg(step, executed_at_ns))
    back = convert.from_executed_msg(message)
    assert (back.stamp_ns, back.sequence, back.source, back.reasons) == (stamp_ns, sequence, source, reasons)
    assert convert.to_ns(message.executed_at) == executed_at_ns
    assert_same(back.requested, requested)
    assert_same(back.executed, executed)


@pytest.mark.parametrize("requested", [np.zeros(6), np.zeros((1, 7)), np.array(0.0)])
def test_request_of_another_shape_is_reported_as_nan(requested: np.ndarray) -> None:
    step = ExecutedStep(0, 1, Source.HOLD, requested, np.zeros(7), ("WRONG_SHAPE",))
    assert_same(convert.from_executed_msg(convert.to_executed_msg(step, 0)).requested, np.full(7, math.nan))


@QUICK
@given(STAMPS, st.integers(1, 2**31 * 10**9 - 1), st.integers(0, 5), st.data(), WORDS)
def test_chunk_survives(stamp_ns: int, period_ns: int, length: int, data: st.DataObject, phrase: str) -> None:
    steps = data.draw(arrays(np.float64, (length, 7), elements=ANY))
    message = over_the_wire(convert.to_chunk_msg(ActionChunk(stamp_ns, period_ns, steps, phrase), "bc", 0.25))
    back = convert.from_chunk_msg(message)
    assert (back.stamp_ns, back.period_ns, back.phrase) == (stamp_ns, period_ns, phrase)
    assert (message.policy, message.inference_s) == ("bc", 0.25)
    assert_same(back.steps, steps)


@pytest.mark.parametrize(("length", "numbers"), [(0, 7), (1, 0), (1, 6), (2, 7), (2, 15), (2**32 - 1, 7)])
def test_chunk_whose_length_does_not_fit_its_numbers_is_refused(length: int, numbers: int) -> None:
    message = ti.ActionChunk(length=length, steps=[0.0] * numbers, period=Duration(sec=0, nanosec=1))
    with pytest.raises(ValueError, match=f"chunk of {length} steps holds {numbers} numbers"):
        convert.from_chunk_msg(message)


@pytest.mark.parametrize(("sec", "nanosec"), [(0, 0), (-1, 0), (-1, 999_999_999)])
def test_chunk_whose_period_is_not_positive_is_refused(sec: int, nanosec: int) -> None:
    message = ti.ActionChunk(length=1, steps=[0.0] * 7, period=Duration(sec=sec, nanosec=nanosec))
    with pytest.raises(ValueError, match="chunk period must be positive"):
        convert.from_chunk_msg(message)


@QUICK
@given(STAMPS, st.booleans(), st.floats(allow_nan=False), WORDS)
def test_task_status_survives(stamp_ns: int, success: bool, progress: float, failure: str) -> None:
    status = TaskStatus(success, progress, failure)
    message = over_the_wire(convert.to_task_status_msg(stamp_ns, status))
    assert convert.from_task_status_msg(message) == status
    assert convert.to_ns(message.header.stamp) == stamp_ns


def test_image_survives_and_is_marked_as_what_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    message = convert.ImageMessage("front", 4, 6).fill(pixels, 1_500_000_001)
    assert (message.encoding, message.width, message.height, message.step) == ("rgb8", 4, 6, 12)
    assert message.header.frame_id == "front_optical"
    frame = convert.from_image_msg(over_the_wire(message), sequence=9)
    assert (frame.stamp_ns, frame.sequence) == (1_500_000_001, 9)
    np.testing.assert_array_equal(frame.image, pixels)


def test_kept_image_message_always_holds_the_last_image() -> None:
    kept = convert.ImageMessage("front", 2, 2)
    for value, stamp_ns in ((1, 10), (2, 20)):
        frame = convert.from_image_msg(kept.fill(np.full((2, 2, 3), value, np.uint8), stamp_ns))
        assert (frame.image == value).all()
        assert frame.stamp_ns == stamp_ns


@pytest.mark.parametrize("shape", [(4, 6, 3), (6, 4), (5, 4, 3), (6, 4, 4), (7, 4, 3)])
def test_image_of_another_size_does_not_fit_the_message(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        convert.ImageMessage("front", 4, 6).fill(np.zeros(shape, np.uint8), 0)


@pytest.mark.parametrize("encoding", ["bgr8", "RGB8", "rgba8", "mono8", "16UC1", ""])
def test_image_of_another_encoding_is_refused_by_its_name(encoding: str) -> None:
    message = Image(width=2, height=2, encoding=encoding, data=array("B", bytes(12)))
    with pytest.raises(ValueError, match=f"must be rgb8, got '{encoding}'"):
        convert.from_image_msg(message)


@pytest.mark.parametrize(
    ("width", "height", "size"), [(2, 2, 11), (2, 2, 13), (2, 2, 0), (0, 0, 0), (0, 2, 0), (2**32 - 1, 2**32 - 1, 12)]
)
def test_image_whose_data_do_not_fill_its_size_is_refused(width: int, height: int, size: int) -> None:
    message = Image(width=width, height=height, encoding="rgb8", data=array("B", bytes(size)))
    with pytest.raises(ValueError, match=f"image of {width}x{height} px holds {size} bytes"):
        convert.from_image_msg(message)


def test_no_two_fields_of_a_pose_are_swapped() -> None:
    for index, value in itertools.product(range(7), (1.0, -2.0)):
        numbers = np.zeros(7)
        numbers[index] = value
        back = convert.from_pose_msg(convert.to_pose_msg(Pose(numbers[:3], numbers[3:])))
        np.testing.assert_array_equal([*back.position, *back.quaternion_xyzw], numbers)


def test_time_zero_is_the_zero_time() -> None:
    assert convert.to_time(0) == Time(sec=0, nanosec=0)
