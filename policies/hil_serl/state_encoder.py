"""Proprioception as the networks see it: relative to where the episode began, in the TCP's axes, scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from policies.hil_serl.frames import adjoint, rotation_of
from policies.hil_serl.transition import ReplayError, VectorArray
from tutelage_core.contract import STATE_KEYS, RobotContract
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.types import FloatArray

_FRAME_KEYS = ("tcp_position", "tcp_rotation_6d")
"""Without these nothing can be told relative to a pose."""


@dataclass(frozen=True)
class StateScales:
    """SI numbers that become 1.

    Attributes:
        position_m: distance from the episode's first pose [m].
        velocity_m_s: speed of the TCP [m/s].
        velocity_rad_s: its angular speed [rad/s].
        force_n, torque_nm: of the wrench.
        joint_rad, joint_rad_s: of the joints.
        limit: scaled numbers beyond this are held there, but not those of positions and rotations.
    """

    position_m: float = 0.1
    velocity_m_s: float = 0.25
    velocity_rad_s: float = 2.0
    force_n: float = 20.0
    torque_nm: float = 2.0
    joint_rad: float = 1.0
    joint_rad_s: float = 1.0
    limit: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what scales nothing."""
        for name, value in vars(self).items():
            if not 0.0 < value < float("inf"):
                raise ConfigurationError(f"StateScales: {name} must be positive and finite, got {value}")

    @classmethod
    def of(cls, contract: RobotContract) -> StateScales:
        """Return scales for a robot: speeds are those of its longest steps."""
        rate = contract.control_rate_hz
        safety = contract.safety
        return cls(velocity_m_s=safety.max_step_m * rate, velocity_rad_s=safety.max_step_rad * rate)


@dataclass(frozen=True)
class EpisodeOrigin:
    """Where an episode began.

    Attributes:
        position: of the TCP in the base frame, shape (3,) [m].
        R_base_tcp: rotation of the TCP, shape (3, 3).
        joint_positions: shape (joints,) [rad]; None where they are not measured.
    """

    position: FloatArray
    R_base_tcp: FloatArray
    joint_positions: FloatArray | None


class StateEncoder:
    """Concatenates the state keys in the order in which they are given.

    ================== ======= =====================================================================
    key                numbers what
    ================== ======= =====================================================================
    tcp_position       3       from the first pose, in the first pose's axes, over `position_m`
    tcp_rotation_6d    6       first two columns of the rotation since the first pose, column by column
    tcp_velocity       6       in the TCP's axes, over `velocity_m_s`, `velocity_rad_s`
    wrench             6       in the TCP's axes, over `force_n`, `torque_nm`
    gripper_opening    1       -1 closed .. 1 open
    joint_positions    7       since the first pose, over `joint_rad`
    joint_velocities   7       over `joint_rad_s`
    ================== ======= =====================================================================
    """

    def __init__(self, keys: tuple[str, ...], scales: StateScales) -> None:
        """Take the keys in this order.

        Raises:
            UnknownNameError: there is no such key; the legal ones are listed.
            ConfigurationError: no key, or one twice.
        """
        for key in keys:
            if key not in STATE_KEYS:
                raise UnknownNameError("state key", key, STATE_KEYS, "StateEncoder")
        if not keys or len(set(keys)) != len(keys):
            raise ConfigurationError(f"StateEncoder: needs at least one key and none twice, got {keys}")
        self.keys = keys
        self.scales = scales

    @classmethod
    def of(cls, contract: RobotContract, keys: tuple[str, ...]) -> StateEncoder:
        """Return the encoder of a robot's state.

        Raises:
            UnknownNameError: the robot does not give such a key, or not the pose, without which nothing is relative.
        """
        for key in (*keys, *_FRAME_KEYS):
            if key not in contract.state_keys:
                raise UnknownNameError("state key", key, contract.state_keys, f"robot '{contract.name}'")
        return cls(keys, StateScales.of(contract))

    @property
    def size(self) -> int:
        """Numbers of the encoded state."""
        return sum(STATE_KEYS[key] for key in self.keys)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each number, such as `tcp_position.0`."""
        return tuple(f"{key}.{i}" for key in self.keys for i in range(STATE_KEYS[key]))

    def origin(self, state: Mapping[str, FloatArray]) -> EpisodeOrigin:
        """Return the origin of the episode whose first observation has this state.

        Raises:
            ReplayError: the state lacks a key, or holds what is not finite.
        """
        joints = _read(state, "joint_positions") if "joint_positions" in self.keys else None
        return EpisodeOrigin(_read(state, "tcp_position").copy(), rotation_of(state), joints)

    def encode(self, state: Mapping[str, FloatArray], origin: EpisodeOrigin) -> VectorArray:
        """Return the state as the networks see it, shape (size,), float32.

        Raises:
            ReplayError: the state lacks a key, or holds what is not finite.
        """
        rotation = rotation_of(state)
        parts = [self._part(key, _read(state, key), rotation, origin) for key in self.keys]
        return np.concatenate(parts).astype(np.float32)

    def _part(self, key: str, value: FloatArray, R_base_tcp: FloatArray, origin: EpisodeOrigin) -> FloatArray:
        s = self.scales
        if key == "tcp_position":
            return origin.R_base_tcp.T @ (value - origin.position) / s.position_m
        if key == "tcp_rotation_6d":
            return (origin.R_base_tcp.T @ R_base_tcp)[:, :2].T.reshape(-1)
        if key == "gripper_opening":
            return 2.0 * value - 1.0
        if key == "tcp_velocity":
            scaled = adjoint(R_base_tcp.T) @ value / np.repeat([s.velocity_m_s, s.velocity_rad_s], 3)
        elif key == "wrench":
            scaled = adjoint(R_base_tcp.T) @ value / np.repeat([s.force_n, s.torque_nm], 3)
        elif key == "joint_positions":
            assert origin.joint_positions is not None
            scaled = (value - origin.joint_positions) / s.joint_rad
        else:
            scaled = value / s.joint_rad_s
        return np.clip(scaled, -s.limit, s.limit)


def _read(state: Mapping[str, FloatArray], key: str) -> FloatArray:
    value = state.get(key)
    if value is None:
        raise ReplayError(f"state: needs '{key}'; it has {', '.join(sorted(state)) or 'nothing'}")
    value = np.asarray(value, np.float64)
    if value.shape != (STATE_KEYS[key],) or not bool(np.isfinite(value).all()):
        raise ReplayError(f"state: '{key}' is {value.tolist()}, expected {STATE_KEYS[key]} finite numbers")
    return value
