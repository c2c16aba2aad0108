"""Between TCP steps in the robot's base frame and actions in the gripper's own frame (SERL, Luo et al. 2024, III.E).

A step and a TCP velocity are both told of the TCP itself; base axes and TCP axes differ there by a rotation R and share
the origin. The adjoint that carries a twist from one to the other is therefore diag(R, R), without a lever arm, and
exp(r) R = R exp(R' r) makes it exact for rotation vectors of any size. An action is the step in the TCP's axes, over
the longest step that the robot's contract allows.

The gripper's command is close, hold or open: a step's opening counts as a command only where it crosses a threshold
that the opening commanded before had not crossed. So a demonstration that says "closed" at each step, as a recording
does, becomes one command to close, and then holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from policies.hil_serl.transition import ACTION_SIZE, Gripper, ReplayError
from tutelage_core.contract import RobotContract
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import matrix_from_6d
from tutelage_core.types import STEP_SIZE, FloatArray

ACTION = "relative_tcp_step"
"""Name of the representation: translation and rotation vector in the TCP's axes, over their limits; gripper apart."""

_EXCESS = 1e-3
"""By how much of its limit a recorded step may exceed it, as rounding does; it is then held at the limit."""


@dataclass(frozen=True)
class ActionScale:
    """What actions mean in SI.

    Attributes:
        max_step_m: translation of an action of 1 [m].
        max_step_rad: rotation of an action of 1 [rad].
        close_below: openings below this are closed, 0..1.
        open_above: openings above this are open, 0..1.
    """

    max_step_m: float
    max_step_rad: float
    close_below: float = 0.25
    open_above: float = 0.75

    def __post_init__(self) -> None:
        """Refuse what scales nothing."""
        for name in ("max_step_m", "max_step_rad"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ConfigurationError(f"ActionScale: {name} must be positive and finite, got {getattr(self, name)}")
        if not 0.0 < self.close_below <= self.open_above < 1.0:
            raise ConfigurationError(
                f"ActionScale: needs 0 < close_below <= open_above < 1, got {self.close_below} and {self.open_above}"
            )

    @classmethod
    def of(cls, contract: RobotContract) -> ActionScale:
        """Return the scale of a robot: its SafetyGate's longest steps."""
        return cls(contract.safety.max_step_m, contract.safety.max_step_rad)

    @property
    def vector(self) -> FloatArray:
        """Return SI over action, shape (6,) [m, rad]."""
        return np.repeat([self.max_step_m, self.max_step_rad], 3)


def rotation_of(state: Mapping[str, FloatArray]) -> FloatArray:
    """Return R_base_tcp of an observation's state, shape (3, 3).

    Raises:
        ReplayError: the state has no `tcp_rotation_6d`, or it is no rotation.
    """
    columns = state.get("tcp_rotation_6d")
    if columns is None:
        raise ReplayError(f"state: needs tcp_rotation_6d of 6 numbers; it has {', '.join(sorted(state)) or 'nothing'}")
    try:
        return matrix_from_6d(columns)
    except ValueError as error:
        raise ReplayError(f"state: tcp_rotation_6d: {error}") from error


def adjoint(R_a_b: FloatArray) -> FloatArray:
    """Return the adjoint of a change of axes: twists at one point in b's axes become twists in a's, shape (6, 6)."""
    matrix = np.zeros((6, 6))
    matrix[:3, :3] = matrix[3:, 3:] = R_a_b
    return matrix


def to_policy_action(step: FloatArray, R_base_tcp: FloatArray, scale: ActionScale) -> FloatArray:
    """Return the action that a TCP step is; the inverse of `to_tcp_step`.

    Args:
        step: TCP step in the base frame, shape (7,) [m, rad, 0..1]; the gripper is `gripper_command`'s.
        R_base_tcp: rotation of the TCP in the observation on which the step was taken, shape (3, 3).
        scale: of the robot.

    Returns:
        Shape (6,), [-1, 1].

    Raises:
        ReplayError: the step is longer than this robot's longest.
    """
    action = adjoint(R_base_tcp.T) @ step[:ACTION_SIZE] / scale.vector
    if not bool((np.abs(action) <= 1.0 + _EXCESS).all()):  # so written that NaN is refused
        raise ReplayError(
            f"step {np.asarray(step).tolist()} exceeds {scale.max_step_m:g} m or {scale.max_step_rad:g} rad along an "
            "axis of the TCP; it is of a robot with other limits"
        )
    return np.clip(action, -1.0, 1.0)


def to_tcp_step(
    action: FloatArray, gripper: Gripper, R_base_tcp: FloatArray, scale: ActionScale, held_opening: float
) -> FloatArray:
    """Return the TCP step that an action is; the inverse of `to_policy_action`.

    Args:
        action: shape (6,), [-1, 1].
        gripper: command to the gripper.
        R_base_tcp: rotation of the TCP in the observation that the action answers, shape (3, 3).
        scale: of the robot.
        held_opening: opening commanded last, 0..1.

    Returns:
        TCP step in the base frame, shape (7,) [m, rad, 0..1].
    """
    step = np.empty(STEP_SIZE)
    step[:ACTION_SIZE] = adjoint(R_base_tcp) @ (np.asarray(action, np.float64) * scale.vector)
    step[ACTION_SIZE] = gripper_opening(gripper, held_opening)
    return step


def gripper_command(opening: float, held_opening: float, scale: ActionScale) -> Gripper:
    """Return the command that a step's opening is, after `held_opening` was commanded; both 0..1."""
    if opening < scale.close_below <= held_opening:
        return Gripper.CLOSE
    if opening > scale.open_above >= held_opening:
        return Gripper.OPEN
    return Gripper.HOLD


def gripper_opening(command: Gripper, held_opening: float) -> float:
    """Return the opening that a command asks for, 0..1; holding keeps what was commanded last."""
    return {Gripper.CLOSE: 0.0, Gripper.HOLD: held_opening, Gripper.OPEN: 1.0}[Gripper(command)]
