"""Finds what blew up in a MuJoCo state, by the names of the model."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass

import mujoco
import numpy as np

from tutelage_core.types import FloatArray

WATCHED_WARNINGS = ("BADQPOS", "BADQVEL", "BADQACC", "BADCTRL")
"""MuJoCo's warnings of a state that is not finite or beyond its largest legal value."""

_WARNING_INDEX = {name: int(getattr(mujoco.mjtWarning, f"mjWARN_{name}")) for name in WATCHED_WARNINGS}

NO_WARNINGS = bytes(4 * int(mujoco.mjtWarning.mjNWARNING))
"""MuJoCo's warning counters after a reset, as bytes: int32 each, cheap to keep and to compare."""

AUTORESET_OFF = int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
"""Without this flag in `model.opt.disableflags` MuJoCo resets a state that blew up and goes on as if nothing were."""

_FREE_AXES = ("x", "y", "z", "rx", "ry", "rz")
_FREE_COORDINATES = ("x", "y", "z", "qw", "qx", "qy", "qz")


@dataclass(frozen=True)
class BadValue:
    """One number that is not finite or beyond `mjMAXVAL`.

    Attributes:
        quantity: `qpos`, `qvel`, `qacc` or `ctrl`.
        index: its place in that vector.
        name: the joint (with the axis, if it has several) or the actuator.
        value: the number as text, since JSON knows no NaN.
    """

    quantity: str
    index: int
    name: str
    value: str

    def __str__(self) -> str:
        """Return it for a person."""
        return f"{self.quantity} of {self.name} is {self.value}"


def is_sound(data: mujoco.MjData) -> bool:
    """Return whether positions, velocities, accelerations and controls are finite and not absurdly large.

    Works on sums of squares: NaN and infinity cannot cancel there, and one pass over each vector is enough.
    """
    limit = mujoco.mjMAXVAL**2
    with np.errstate(over="ignore", invalid="ignore"):
        for vector in (data.qpos, data.qvel, data.qacc, data.ctrl):
            if not vector.dot(vector) <= limit:
                return not find_bad_values(data)
    return True


def find_bad_values(data: mujoco.MjData) -> tuple[BadValue, ...]:
    """Return each number of positions, velocities, accelerations and controls that is not sound."""
    found: list[BadValue] = []
    for quantity in ("qpos", "qvel", "qacc", "ctrl"):
        vector: FloatArray = getattr(data, quantity)
        for index in np.flatnonzero(~(np.abs(vector) <= mujoco.mjMAXVAL)):
            found.append(_bad_value(data, quantity, int(index)))
    return tuple(found)


def find_warned_values(data: mujoco.MjData, warnings: Iterable[str]) -> tuple[BadValue, ...]:
    """Return the numbers that MuJoCo's `warnings` last complained about, as they are now."""
    return tuple(
        _bad_value(data, name.removeprefix("BAD").lower(), int(data.warning[_WARNING_INDEX[name]].lastinfo))
        for name in warnings
    )


def rise_of_warnings(data: mujoco.MjData, before: bytes = NO_WARNINGS) -> dict[str, int]:
    """Return how often MuJoCo gave each watched warning since its counters were `before`; only those that rose."""
    rise = data.warning.number - np.frombuffer(before, dtype=np.int32)
    return {name: int(rise[index]) for name, index in _WARNING_INDEX.items() if rise[index] > 0}


def dof_name(model: mujoco.MjModel, dof: int) -> str:
    """Return the joint of a degree of freedom, with the axis if it has several."""
    joint = int(model.dof_jntid[dof])
    return _coordinate(model, joint, dof - int(model.jnt_dofadr[joint]), _FREE_AXES)


def speed_unit(model: mujoco.MjModel, dof: int) -> str:
    """Return the unit of the velocity of a degree of freedom."""
    joint = int(model.dof_jntid[dof])
    kind = int(model.jnt_type[joint])
    slides = kind == int(mujoco.mjtJoint.mjJNT_SLIDE)
    slides |= kind == int(mujoco.mjtJoint.mjJNT_FREE) and dof - int(model.jnt_dofadr[joint]) < 3
    return "m/s" if slides else "rad/s"


@contextmanager
def mujoco_warnings_muted() -> Generator[None]:
    """Keep MuJoCo from writing its warnings to `MUJOCO_LOG.TXT`, where a blow-up is expected and looked at."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda _: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def _bad_value(data: mujoco.MjData, quantity: str, index: int) -> BadValue:
    model = data.model
    if quantity == "ctrl":
        name = model.actuator(index).name or f"actuator {index}"
    elif quantity == "qpos":
        joint = int(np.searchsorted(model.jnt_qposadr, index, side="right")) - 1
        name = _coordinate(model, joint, index - int(model.jnt_qposadr[joint]), _FREE_COORDINATES)
    else:
        name = dof_name(model, index)
    return BadValue(quantity, index, name, f"{getattr(data, quantity)[index]:.6g}")


def _coordinate(model: mujoco.MjModel, joint: int, offset: int, free: tuple[str, ...]) -> str:
    name = model.joint(joint).name or f"the joint of body {model.body(int(model.jnt_bodyid[joint])).name or '?'}"
    kind = int(model.jnt_type[joint])
    if kind == int(mujoco.mjtJoint.mjJNT_FREE):
        return f"{name}.{free[offset]}"
    if kind == int(mujoco.mjtJoint.mjJNT_BALL):
        return f"{name}.{free[offset + 3]}"
    return name
