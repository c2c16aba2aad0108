"""What every `Arm` promises. A new driver joins by a factory in `ARMS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from hardware.arm import Arm
from sim.franka_process import ServedWorld
from sim.twin import Twin
from sim.twin_arm import TwinArm
from tests.contract.served_franka import PERIOD_TICKS, franka_arm, served_world
from tutelage_core.contract import load_contract
from tutelage_core.errors import ArmError
from tutelage_core.rotations import apply_step
from tutelage_core.types import ArmCommand


@dataclass
class Rig:
    """An arm, and how to let control periods pass for it."""

    arm: Arm
    wait: Callable[[int], None]
    joints: int


def twin_rig(_: pytest.FixtureRequest) -> Rig:
    twin = Twin(load_contract("twin"))
    arm = TwinArm(twin)

    def wait(periods: int) -> None:
        for _ in range(periods):
            twin.advance(arm.target)

    return Rig(arm, wait, len(twin.contract.arm.joints))


def franka_rig(request: pytest.FixtureRequest) -> Rig:
    world: ServedWorld = request.getfixturevalue("franka_world")
    world.reset(seed=0)
    return Rig(franka_arm(world.host), lambda periods: world.wait_ticks(periods * PERIOD_TICKS), 7)


ARMS = {"twin": twin_rig, "franka": franka_rig}


@pytest.fixture(scope="module")
def franka_world() -> Iterator[ServedWorld]:
    with served_world() as world:
        yield world


@pytest.fixture(params=sorted(ARMS))
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    rig = ARMS[request.param](request)
    yield rig
    rig.arm.disconnect()


def command_from(rig: Rig, dx_m: float, opening: float = 1.0) -> ArmCommand:
    state = rig.arm.read()
    step = np.array([dx_m, 0.0, 0.0, 0.0, 0.0, 0.0])
    return ArmCommand(state.stamp_ns, apply_step(state.T_base_tcp, step), opening)


def test_it_is_an_arm(rig: Rig) -> None:
    assert isinstance(rig.arm, Arm)


def test_nothing_works_before_connect(rig: Rig) -> None:
    with pytest.raises(ArmError, match="connect"):
        rig.arm.read()
    rig.arm.connect()
    command = command_from(rig, 0.0)
    rig.arm.disconnect()
    with pytest.raises(ArmError, match="connect"):
        rig.arm.send(command)


def test_state_has_the_contracts_shapes_and_is_finite(rig: Rig) -> None:
    rig.arm.connect()
    state = rig.arm.read()
    for vector, size in (
        (state.joint_positions, rig.joints),
        (state.joint_velocities, rig.joints),
        (state.T_base_tcp.position, 3),
        (state.T_base_tcp.quaternion_xyzw, 4),
        (state.tcp_velocity, 6),
        (state.wrench, 6),
    ):
        assert vector.shape == (size,)
        assert vector.dtype == np.float64
        assert np.isfinite(vector).all()
    assert abs(np.linalg.norm(state.T_base_tcp.quaternion_xyzw) - 1.0) < 1e-6
    assert 0.0 <= state.gripper_opening <= 1.0


def test_states_that_were_read_do_not_change_later(rig: Rig) -> None:
    rig.arm.connect()
    state = rig.arm.read()
    kept = state.T_base_tcp.position.copy(), state.joint_positions.copy()
    rig.arm.send(command_from(rig, 0.02))
    rig.wait(3)
    rig.arm.read()
    assert np.array_equal(state.T_base_tcp.position, kept[0])
    assert np.array_equal(state.joint_positions, kept[1])


def test_connect_holds_the_measured_pose(rig: Rig) -> None:
    rig.arm.connect()
    before = rig.arm.read()
    rig.wait(5)
    after = rig.arm.read()
    assert np.abs(after.T_base_tcp.position - before.T_base_tcp.position).max() < 1e-3
    assert after.stamp_ns > before.stamp_ns


def test_send_returns_what_was_taken_and_moves_there(rig: Rig) -> None:
    rig.arm.connect()
    command = command_from(rig, 0.02, opening=0.4)
    taken = rig.arm.send(command)
    rig.wait(8)
    state = rig.arm.read()
    assert np.abs(state.T_base_tcp.position - taken.T_base_tcp_target.position).max() < 2e-3
    assert abs(state.gripper_opening - taken.gripper_opening) < 0.05


def test_stop_latches_and_holds_the_measured_pose(rig: Rig) -> None:
    rig.arm.connect()
    rig.arm.send(command_from(rig, 0.03))
    rig.wait(1)
    rig.arm.stop("a test says so")
    before = rig.arm.read().T_base_tcp.position
    with pytest.raises(ArmError, match="a test says so"):
        rig.arm.send(command_from(rig, 0.02))
    rig.wait(10)
    assert np.abs(rig.arm.read().T_base_tcp.position - before).max() < 3e-3
    with pytest.raises(ArmError, match="stopped"):
        rig.arm.send(command_from(rig, 0.02))


def test_recover_does_not_move_the_arm_and_send_works_again(rig: Rig) -> None:
    rig.arm.connect()
    rig.arm.send(command_from(rig, 0.02))
    rig.wait(1)
    rig.arm.stop("a test says so")
    rig.wait(10)
    before = rig.arm.read().T_base_tcp.position
    rig.arm.recover()
    rig.wait(5)
    assert np.abs(rig.arm.read().T_base_tcp.position - before).max() < 1e-3
    rig.arm.send(command_from(rig, 0.02))
    rig.wait(8)
    assert rig.arm.read().T_base_tcp.position[0] > before[0] + 0.015


def test_reconnecting_does_not_clear_a_stop(rig: Rig) -> None:
    rig.arm.connect()
    rig.arm.stop("a test says so")
    rig.arm.disconnect()
    rig.arm.connect()
    with pytest.raises(ArmError, match="stopped"):
        rig.arm.send(command_from(rig, 0.0))


def test_disconnect_may_be_called_twice(rig: Rig) -> None:
    rig.arm.connect()
    rig.arm.disconnect()
    rig.arm.disconnect()
