"""The Franka driver against the robot's own network protocol: faults, bounds and refusals."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardware.arms import make_arm
from hardware.arms.franka import FrankaArm
from sim.franka_process import ServedWorld
from tests.contract.served_franka import PERIOD_TICKS, franka_arm, franka_contract, hold_until_killed, served_world
from tutelage_core.clock import ManualClock
from tutelage_core.errors import ArmError, ConfigurationError
from tutelage_core.rotations import apply_step
from tutelage_core.types import ArmCommand, Pose

pytestmark = pytest.mark.contract

JOINT_LIMIT, CARTESIAN_REFLEX, COMMUNICATION_VIOLATION = 0, 7, 25
"""Places of these errors in the robot state's list."""


@pytest.fixture(scope="module")
def shared_world() -> Iterator[ServedWorld]:
    with served_world() as world:
        yield world


@pytest.fixture
def world(shared_world: ServedWorld) -> ServedWorld:
    shared_world.reset(seed=0)
    return shared_world


@pytest.fixture
def arm(world: ServedWorld) -> Iterator[FrankaArm]:
    arm = franka_arm(world.host)
    arm.connect()
    yield arm
    arm.disconnect()


def shifted(arm: FrankaArm, x_m: float = 0.0, y_m: float = 0.0, z_m: float = 0.0, opening: float = 1.0) -> ArmCommand:
    state = arm.read()
    step = np.array([x_m, y_m, z_m, 0.0, 0.0, 0.0])
    return ArmCommand(state.stamp_ns, apply_step(state.T_base_tcp, step), opening)


def until_stopped(arm: FrankaArm) -> str:
    while not arm.stopped:
        time.sleep(0.01)
    return arm.stopped


def test_measured_pose_is_where_the_world_has_the_tcp(world: ServedWorld, arm: FrankaArm) -> None:
    np.testing.assert_allclose(arm.read().T_base_tcp.position, world.report().tcp_position, atol=2e-4)


def test_reflex_latches_and_recover_holds_where_the_arm_is(world: ServedWorld, arm: FrankaArm) -> None:
    world.abort(CARTESIAN_REFLEX)
    assert "cartesian_reflex" in until_stopped(arm)
    with pytest.raises(ArmError, match="cartesian_reflex"):
        arm.send(shifted(arm, 0.01))
    before = arm.read().T_base_tcp.position
    arm.recover()
    world.wait_ticks(3 * PERIOD_TICKS)
    assert world.report().in_motion
    assert np.abs(arm.read().T_base_tcp.position - before).max() < 1e-3
    arm.send(shifted(arm, 0.02))
    world.wait_ticks(8 * PERIOD_TICKS)
    assert arm.read().T_base_tcp.position[0] > before[0] + 0.015


def test_robot_never_recovers_by_itself(world: ServedWorld, arm: FrankaArm) -> None:
    world.abort(CARTESIAN_REFLEX)
    until_stopped(arm)
    world.wait_ticks(5 * PERIOD_TICKS)
    report = world.report()
    assert report.errors == (CARTESIAN_REFLEX,)
    assert not report.in_motion


def test_recovery_that_the_robot_refuses_leaves_the_stop(world: ServedWorld, arm: FrankaArm) -> None:
    world.abort(JOINT_LIMIT)
    until_stopped(arm)
    world.lock(True)
    with pytest.raises(ArmError, match="manual error recovery"):
        arm.recover()
    assert arm.stopped
    world.lock(False)
    arm.recover()
    assert not arm.stopped


def test_robot_in_error_is_connected_to_and_left_alone(world: ServedWorld) -> None:
    world.abort(CARTESIAN_REFLEX)
    arm = franka_arm(world.host)
    arm.connect()
    assert "cartesian_reflex" in arm.stopped
    assert np.isfinite(arm.read().joint_positions).all()
    assert world.report().errors == (CARTESIAN_REFLEX,)
    arm.recover()
    world.wait_ticks(PERIOD_TICKS)
    assert world.report().in_motion
    arm.disconnect()


def test_steady_force_on_the_table_is_bounded_and_measured(world: ServedWorld, arm: FrankaArm) -> None:
    start = arm.read().T_base_tcp
    target, largest = start, 0.0
    while target.position[2] > -0.15:
        near = target.position[2] < 0.04  # then gently: a target 15 cm inside the table, at 4 cm/s
        target = apply_step(target, np.array([0.0, 0.0, -0.004 if near else -0.02, 0.0, 0.0, 0.0]))
        arm.send(ArmCommand(0, target, 0.0))
        world.wait_ticks(PERIOD_TICKS)
        largest = max(largest, float(np.abs(world.report().wrench[:3]).max()))
    state, report = arm.read(), world.report()
    assert not arm.stopped
    assert largest < 50.0
    assert 40.0 < state.wrench[2] < 50.0, "the table pushes up"
    np.testing.assert_allclose(state.wrench[:3], -report.wrench[:3], atol=1.0)


def test_hitting_the_table_hard_stops_the_arm(world: ServedWorld) -> None:
    arm = franka_arm(world.host, collision_force_n=46.0)
    arm.connect()
    target = arm.read().T_base_tcp
    while not arm.stopped and target.position[2] > -0.1:
        target = apply_step(target, np.array([0.0, 0.0, -0.025, 0.0, 0.0, 0.0]))
        arm.send(ArmCommand(0, target, 0.0))
        world.wait_ticks(PERIOD_TICKS)
    assert "reflex" in arm.stopped
    arm.disconnect()


def test_far_target_does_not_speed_the_arm_up(world: ServedWorld, arm: FrankaArm) -> None:
    command = shifted(arm, 0.15)
    arm.send(command)
    fastest = 0.0
    for _ in range(30):
        world.wait_ticks(10)
        fastest = max(fastest, float(np.linalg.norm(arm.read().tcp_velocity[:3])))
    assert 0.05 < fastest < 0.4, "the clipped spring against the damper gives 0.3 m/s"


def test_measured_velocity_is_that_of_the_motion(world: ServedWorld, arm: FrankaArm) -> None:
    start = arm.read().T_base_tcp
    for number in range(1, 11):
        step = np.array([0.0, 0.01 * number, 0.0, 0.0, 0.0, 0.0])
        arm.send(ArmCommand(0, apply_step(start, step), 1.0))
        world.wait_ticks(PERIOD_TICKS)
    velocity = arm.read().tcp_velocity
    assert velocity[1] == pytest.approx(0.1, abs=0.03)
    assert np.abs(velocity[[0, 2]]).max() < 0.03


def test_silent_robot_has_an_old_state_and_then_none(world: ServedWorld) -> None:
    clock = ManualClock(1_000)
    arm = franka_arm(world.host, clock)
    arm.connect()
    clock.set_ns(2_000)
    world.wait_ticks(PERIOD_TICKS)
    assert arm.read().stamp_ns == 2_000
    world.pause(True)
    time.sleep(0.05)  # states that were under way arrive
    clock.set_ns(3_000)
    time.sleep(0.05)
    assert arm.read().stamp_ns == 2_000
    until_stopped(arm)
    with pytest.raises(ArmError, match="stopped"):
        arm.send(ArmCommand(0, Pose(np.array([0.5, 0.0, 0.3]), np.array([1.0, 0.0, 0.0, 0.0])), 1.0))
    arm.disconnect()
    world.pause(False)
    arm.connect()
    assert arm.stopped, "a new connection does not clear the stop"
    arm.recover()
    world.wait_ticks(PERIOD_TICKS)
    assert world.report().in_motion
    arm.disconnect()


@pytest.mark.parametrize("ending", [signal.SIGSTOP, signal.SIGKILL])
def test_robot_holds_by_itself_when_the_driver_freezes_or_dies(ending: signal.Signals) -> None:
    with served_world(patience_s=0.5) as world:
        driver = multiprocessing.get_context("spawn").Process(target=hold_until_killed, args=(world.host,))
        driver.start()
        assert driver.pid is not None
        while not world.report().in_motion:
            time.sleep(0.01)
        world.wait_ticks(5 * PERIOD_TICKS)
        before = world.report()
        assert before.in_motion
        os.kill(driver.pid, ending)
        while world.report().in_motion:
            time.sleep(0.01)
        world.wait_ticks(10 * PERIOD_TICKS)
        after = world.report()
        assert after.errors == ((COMMUNICATION_VIOLATION,) if ending is signal.SIGSTOP else ())
        assert np.abs(after.tcp_position - before.tcp_position).max() < 2e-3
        driver.kill()
        driver.join()


def test_hand_closes_and_opens(world: ServedWorld, arm: FrankaArm) -> None:
    for opening in (0.0, 1.0, 0.5):
        arm.send(shifted(arm, opening=opening))
        world.wait_ticks(20 * PERIOD_TICKS)
        assert arm.read().gripper_opening == pytest.approx(opening, abs=0.02)


def test_target_that_is_not_finite_is_refused(arm: FrankaArm) -> None:
    good = shifted(arm)
    bad = replace(good, T_base_tcp_target=Pose(np.full(3, np.nan), good.T_base_tcp_target.quaternion_xyzw))
    with pytest.raises(ArmError, match="not finite"):
        arm.send(bad)
    with pytest.raises(ArmError, match="not finite"):
        arm.send(replace(good, gripper_opening=float("inf")))


def test_real_time_is_enforced_unless_it_is_ignored_by_name(world: ServedWorld) -> None:
    arm = franka_arm(world.host, realtime="enforce")
    try:
        arm.connect()
    except ArmError as error:
        assert "realtime: ignore" in str(error)  # noqa: PT017  # a machine with a real-time kernel raises nothing
    finally:
        arm.disconnect()


def real_time_threads() -> list[int]:
    """Return the ids of this process's threads that are real-time."""
    threads = [int(path.name) for path in Path("/proc/self/task").iterdir()]
    return [thread for thread in threads if os.sched_getscheduler(thread) == os.SCHED_FIFO]


@pytest.mark.parametrize(("realtime", "count"), [("ignore", 0), ("enforce", 1)])
def test_real_time_is_the_thread_of_the_torques_and_no_other(
    world: ServedWorld, monkeypatch: pytest.MonkeyPatch, realtime: str, count: int
) -> None:
    """Otherwise each process that this one starts is real-time too, and waits for nobody."""
    if os.geteuid() != 0 and resource.getrlimit(resource.RLIMIT_RTPRIO)[0] == 0:
        pytest.skip("this user may not make threads real-time")
    arm = franka_arm(world.host, realtime=realtime)
    monkeypatch.setattr(arm, "_realtime", lambda franky: {"realtime_config": franky.RealtimeConfig.Ignore})
    arm.connect()
    try:
        for _ in range(2):
            assert len(real_time_threads()) == count
            assert os.sched_getscheduler(0) == os.SCHED_OTHER, "who connects stays what it was"
            world.abort(CARTESIAN_REFLEX)
            until_stopped(arm)
            arm.recover()
    finally:
        arm.disconnect()
    assert not real_time_threads()


def test_end_effector_of_another_mass_is_refused_at_connect(world: ServedWorld) -> None:
    with pytest.raises(ArmError, match=r"0\.73 kg.*1\.50 kg"):
        franka_arm(world.host, end_effector_kg=1.5).connect()
    assert not world.report().in_motion


def test_contract_with_wider_joint_limits_is_refused_at_connect(
    world: ServedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = franka_arm(world.host)
    monkeypatch.setattr(arm._model, "high", arm._model.high + 0.5)  # type: ignore[union-attr]
    with pytest.raises(ArmError, match="beyond the robot's"):
        arm.connect()
    assert not world.report().in_motion


def test_nobody_at_the_address_is_named(world: ServedWorld) -> None:
    del world  # the packages are there
    with pytest.raises(ArmError, match=r"no Franka robot answers at 127\.0\.1\.200"):
        franka_arm("127.0.1.200").connect()


def test_robot_with_an_older_protocol_is_refused_with_both_versions(world: ServedWorld) -> None:
    del world
    ready = threading.Event()

    def answer_as_protocol_9() -> None:
        with socket.create_server(("127.0.1.201", 1337)) as server:
            ready.set()
            client, _ = server.accept()
            with client:
                _, number, _ = struct.unpack("<III", client.recv(12, socket.MSG_WAITALL))
                client.recv(64)
                client.sendall(struct.pack("<IIIBH5x", 0, number, 20, 1, 9))
                client.recv(1)

    thread = threading.Thread(target=answer_as_protocol_9, daemon=True)
    thread.start()
    assert ready.wait(10.0)
    with pytest.raises(ArmError, match=r"speaks protocol 9 .*5\.7\.2.* speaks robot protocol 10 "):
        franka_arm("127.0.1.201").connect()
    thread.join(10.0)


def test_world_that_cannot_be_built_is_refused_by_its_owner() -> None:
    pytest.importorskip("pinocchio")
    from sim.franka_process import ServedWorldSettings

    with pytest.raises(ConfigurationError, match="unknown task 'PickKube'"):
        ServedWorld(ServedWorldSettings(task="PickKube"))


def test_two_robots_are_served_side_by_side(world: ServedWorld) -> None:
    with served_world() as other:
        assert other.host != world.host
        arms = [make_arm(franka_contract(host), ManualClock()) for host in (world.host, other.host)]
        for arm in arms:
            arm.connect()
        first, second = (arm.read() for arm in arms)
        arms[0].send(ArmCommand(0, apply_step(first.T_base_tcp, np.array([0.02, 0.0, 0.0, 0.0, 0.0, 0.0])), 1.0))
        world.wait_ticks(8 * PERIOD_TICKS)
        moved = [arm.read().T_base_tcp.position[0] for arm in arms]
        assert moved[0] > first.T_base_tcp.position[0] + 0.015
        assert moved[1] == pytest.approx(second.T_base_tcp.position[0], abs=1e-3)
        for arm in arms:
            arm.disconnect()
