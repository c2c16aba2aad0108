"""Settings of the Franka driver, as the contract's `arm: options` gives them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from tutelage_core.errors import ConfigurationError, UnknownNameError

REALTIME = ("enforce", "ignore")
"""`enforce` refuses to run without a real-time kernel; `ignore` is for simulators and tests."""

JOINTS = 7

IMPEDANCE_BOUNDS = {"stiffness_n_m": 3000.0, "stiffness_nm_rad": 300.0}
"""Stiffest springs that Franka allows its own Cartesian controller [N/m, Nm/rad]; ours stays within them."""


@dataclass(frozen=True)
class FrankaOptions:
    """Options of a Franka arm with its hand.

    Attributes:
        host: address of the robot's controller.
        realtime: one of `REALTIME`.
        stiffness_n_m: translational spring [N/m].
        damping_ns_m: translational damper [N s/m]; it brakes all motion, see `speed_limit_m_s`.
        clip_m: largest deviation that the spring feels on each axis [m].
        stiffness_nm_rad: rotational spring [Nm/rad].
        damping_nms_rad: rotational damper [Nm s/rad].
        clip_rad: largest rotation that the spring feels on each axis [rad].
        posture_nm_rad: spring of each joint to the posture in which control began, in the null space [Nm/rad].
        torque_step_nm: largest change of a joint's torque in one cycle of 1 ms [Nm].
        collision_torque_nm: external torque at which the robot stops by itself, each joint [Nm].
        collision_force_n: external force at the TCP at which it stops, each axis [N].
        collision_moment_nm: external moment at the TCP at which it stops, each axis [Nm].
        end_effector_kg: mass that Desk must have been told of; the hand's own is 0.73 [kg].
        gripper: whether there is a Franka Hand.
        gripper_width_m: what an opening of 1 means [m].
        gripper_speed_m_s: of the fingers' distance [m/s].
        gripper_force_n: with which the hand holds what it closes on [N].
        gripper_deadband: smallest change of the opening that moves the hand, 0..1.
    """

    host: str
    realtime: str = "enforce"
    stiffness_n_m: float = 3000.0
    damping_ns_m: float = 150.0
    clip_m: float = 0.015
    stiffness_nm_rad: float = 200.0
    damping_nms_rad: float = 15.0
    clip_rad: float = 0.1
    posture_nm_rad: float = 10.0
    torque_step_nm: float = 1.0
    collision_torque_nm: tuple[float, ...] = (40.0, 40.0, 40.0, 40.0, 20.0, 20.0, 20.0)
    collision_force_n: float = 60.0
    collision_moment_nm: float = 30.0
    end_effector_kg: float = 0.73
    gripper: bool = True
    gripper_width_m: float = 0.08
    gripper_speed_m_s: float = 0.1
    gripper_force_n: float = 20.0
    gripper_deadband: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what would switch a bound off, and springs that push harder than a collision is allowed to."""
        if not self.host:
            raise ConfigurationError("the Franka driver needs the robot's address as option `host`, got an empty one")
        if self.realtime not in REALTIME:
            raise UnknownNameError("realtime", self.realtime, REALTIME, "the Franka driver's options")
        for field in fields(self):
            value = getattr(self, field.name)
            for number in value if isinstance(value, tuple) else (value,):  # pyright: ignore[reportUnknownVariableType]
                if isinstance(number, float) and not (math.isfinite(number) and number > 0.0):
                    raise ConfigurationError(f"{field.name} must be positive and finite, got {value}")
        if len(self.collision_torque_nm) != JOINTS:
            raise ConfigurationError(f"collision_torque_nm needs {JOINTS} values, got {self.collision_torque_nm}")
        for name, most in IMPEDANCE_BOUNDS.items():
            if getattr(self, name) > most:
                raise ConfigurationError(f"{name} must be at most {most:g}, got {getattr(self, name):g}")
        if self.torque_step_nm > 1.0:
            raise ConfigurationError(f"torque_step_nm must be at most 1, Franka's bound, got {self.torque_step_nm:g}")
        for pushes, kind, bound in (
            (self.force_limit_n, "collision_force_n", self.collision_force_n),
            (self.moment_limit_nm, "collision_moment_nm", self.collision_moment_nm),
        ):
            if pushes >= bound:
                raise ConfigurationError(
                    f"the springs push with up to {pushes:g} (stiffness times clip), so {kind} must be above that, "
                    f"got {bound:g}: every contact would stop the robot"
                )

    @property
    def force_limit_n(self) -> float:
        """Largest force of the spring on each axis [N]."""
        return self.stiffness_n_m * self.clip_m

    @property
    def speed_limit_m_s(self) -> float:
        """Fastest target that the arm can follow [m/s]: there the damper eats up all that the clipped spring gives."""
        return self.force_limit_n / self.damping_ns_m

    @property
    def moment_limit_nm(self) -> float:
        """Largest moment of the spring on each axis [Nm]."""
        return self.stiffness_nm_rad * self.clip_rad
