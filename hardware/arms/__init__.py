"""Arm drivers, chosen by the name that a contract gives. The twin's arm is not here: it lives where the twin does."""

from __future__ import annotations

from dataclasses import replace

from hardware.arm import Arm
from hardware.arms.franka import FrankaArm
from tutelage_core.clock import Clock
from tutelage_core.config import from_mapping
from tutelage_core.contract import RobotContract
from tutelage_core.errors import UnknownNameError

__all__ = ["FrankaArm", "arm_driver_names", "make_arm", "with_host"]

_DRIVERS = {"franka": FrankaArm}


def arm_driver_names() -> tuple[str, ...]:
    """Return the names of the drivers that `make_arm` knows."""
    return tuple(sorted(_DRIVERS))


def make_arm(contract: RobotContract, clock: Clock) -> Arm:
    """Return the driver of the contract's arm, not yet connected.

    Args:
        contract: the robot.
        clock: stamps the states; the one that commands are stamped with.

    Raises:
        UnknownNameError: the driver or one of its options is unknown.
        ConfigurationError: an option does not fit.
    """
    driver = _DRIVERS.get(contract.arm.driver)
    if driver is None:
        raise UnknownNameError("arm driver", contract.arm.driver, _DRIVERS, f"robot {contract.name}")
    options = from_mapping(dict(contract.arm.options), driver.Options, f"robot {contract.name}: arm options")
    return driver(contract, options, clock)


def with_host(contract: RobotContract, host: str) -> RobotContract:
    """Return the contract with another address of its arm's controller; empty leaves it as it is."""
    if not host:
        return contract
    return replace(contract, arm=replace(contract.arm, options={**contract.arm.options, "host": host}))
