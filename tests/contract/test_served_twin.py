"""The twin that follows a world served behind a Franka robot's protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from served_franka import PERIOD_TICKS, franka_arm

from sim.franka_process import ServedWorld, ServedWorldSettings
from sim.served_twin import ServedTwin
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.types import ArmCommand


@pytest.fixture(scope="module")
def twin() -> Iterator[ServedTwin]:
    pytest.importorskip("franky", reason="franky-control is not installed")
    pytest.importorskip("pinocchio", reason="franky-sim needs pin to serve")
    contract = load_contract("franka_twin")
    contract = replace(contract, arm=replace(contract.arm, options={"realtime": "ignore"}))  # any address will do

    def serve(settings: ServedWorldSettings) -> ServedWorld:
        return ServedWorld(replace(settings, patience_s=10.0))

    served = ServedTwin(contract, "PickCube", 1_000_000, serve=serve)
    yield served
    served.close()


def test_cameras_see_the_arm_that_the_driver_moves(twin: ServedTwin) -> None:
    before, start = twin.render("wrist"), twin.world.tcp_pose().position
    arm = franka_arm(twin.host)
    arm.connect()
    try:
        state = arm.read()
        goal = replace(state.T_base_tcp, position=state.T_base_tcp.position + np.array([0.0, 0.02, -0.02]))
        arm.send(ArmCommand(state.stamp_ns, goal, 1.0))
        until_ns = twin.time_ns + 10 * PERIOD_TICKS * 1_000_000
        while twin.time_ns < until_ns:
            twin.advance(None)
        assert np.linalg.norm(twin.world.tcp_pose().position - goal.position) < 0.005
        assert np.linalg.norm(twin.world.tcp_pose().position - start) > 0.02
        assert np.abs(twin.render("wrist").astype(int) - before).mean() > 1.0

        # another scene, and another task: the arm and its controller notice nothing
        for task, seed in (("PickCube", 1_000_001), ("PushButton", 1_000_002)):
            resets, cube = twin.resets, twin.points()
            twin.set_scene(task, seed)
            assert twin.resets == resets + 1
            assert twin.points().keys() != cube.keys() or any(
                not np.allclose(twin.points()[name], cube[name]) for name in cube if name not in ("tcp", "table")
            )
            assert np.linalg.norm(twin.world.tcp_pose().position - goal.position) < 0.005
            assert not arm.stopped
            assert not twin.task_status().success
    finally:
        arm.disconnect()


def test_unknown_task_changes_nothing(twin: ServedTwin) -> None:
    task, instruction = twin.task.name, twin.instruction
    with pytest.raises(UnknownNameError, match="PickCub"):
        twin.set_scene("PickCub", 1)
    assert (twin.task.name, twin.instruction) == (task, instruction)


def test_taken_address_is_named(twin: ServedTwin) -> None:
    contract = load_contract("franka_twin")
    contract = replace(contract, arm=replace(contract.arm, options={"host": twin.host}))
    with pytest.raises(ConfigurationError, match="no address left"):
        ServedTwin(contract)
