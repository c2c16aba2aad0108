"""A Franka robot to test against: the twin's world behind the robot's network protocol, in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from hardware.arms import make_arm
from hardware.arms.franka import FrankaArm
from sim.franka_process import ServedWorld, ServedWorldSettings
from tutelage_core.clock import Clock, SteadyClock
from tutelage_core.contract import RobotContract, load_contract

PERIOD_TICKS = 100
"""Milliseconds of a control period."""

PATIENCE_S = 10.0
"""Time in the robot stretches where the machine is busy, so that no test depends on its speed [s]."""


@contextmanager
def served_world(patience_s: float = PATIENCE_S) -> Iterator[ServedWorld]:
    """Serve a world; skips where the optional packages are not installed."""
    pytest.importorskip("franky", reason="franky-control is not installed")
    pytest.importorskip("pinocchio", reason="franky-sim needs pin to serve")
    world = ServedWorld(ServedWorldSettings(patience_s=patience_s))
    try:
        yield world
    finally:
        world.close()


def franka_contract(host: str, **options: object) -> RobotContract:
    """Return the contract `franka` with the robot at `host` and further options of the driver."""
    contract = load_contract("franka")
    return replace(contract, arm=replace(contract.arm, options={"host": host, "realtime": "ignore", **options}))


def franka_arm(host: str, clock: Clock | None = None, **options: object) -> FrankaArm:
    """Return a driver for the robot at `host`."""
    arm = make_arm(franka_contract(host, **options), clock or SteadyClock())
    assert isinstance(arm, FrankaArm)
    return arm


def hold_until_killed(host: str) -> None:
    """Connect and hold; to be run in a process of its own."""
    arm = franka_arm(host)
    arm.connect()
    while True:
        time.sleep(1.0)
