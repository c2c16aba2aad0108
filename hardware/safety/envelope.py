"""Joints and distances: whether a target keeps clear of joint limits, of the arm itself and of the cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardware.safety.reasons import Reason
from hardware.safety.robot_model import RobotModel
from tutelage_core.contract import RobotContract, robots_folder
from tutelage_core.limits import SafetyLimits
from tutelage_core.types import ArmState, Pose


@dataclass(frozen=True)
class Objection:
    """Why a target is not taken.

    Attributes:
        reason: its code.
        detail: which joint or which two things, with the number.
    """

    reason: Reason
    detail: str


class Envelope:
    """Judges targets with a `RobotModel`; in constant time.

    Who is too near already, pushed there by hand perhaps, may move away: only what brings it nearer is objected to.
    """

    def __init__(self, model: RobotModel, limits: SafetyLimits) -> None:
        """Keep the margins of `limits`."""
        self._model = model
        self._limits = limits

    def object_to(self, target: Pose, state: ArmState) -> Objection | None:
        """Return why the arm may not go from `state` to `target`, None if it may."""
        model, limits = self._model, self._limits
        here = state.joint_positions
        if here.shape != model.low.shape or not bool(np.isfinite(here).all()):
            return Objection(Reason.STATE_NOT_FINITE, f"measured joints {here}, {len(model.low)} finite ones needed")
        there = model.joints_at(target, here)
        margin_rad, joint = model.joint_margin(there)
        if margin_rad < limits.joint_margin_rad and margin_rad < model.joint_margin(here)[0]:
            return Objection(
                Reason.JOINT_LIMIT,
                f"{joint} would be {margin_rad:.3f} rad from its limit, {limits.joint_margin_rad:g} rad are kept",
            )
        nearest = model.nearest(there)
        if nearest.distance_m < limits.min_clearance_m and nearest.distance_m < model.nearest(here).distance_m:
            return Objection(
                Reason.COLLISION_NEAR,
                f"{nearest.first} would be {nearest.distance_m * 1e3:.0f} mm from {nearest.second}, "
                f"{limits.min_clearance_m * 1e3:.0f} mm are kept",
            )
        return None


def make_model(contract: RobotContract) -> RobotModel | None:
    """Return a robot's model in its cell; None if its contract names none.

    Raises:
        ConfigurationError: the model is missing, or its joints are not the contract's.
    """
    if not contract.arm.model:
        return None
    return RobotModel(robots_folder() / contract.arm.model, contract.arm.joints, contract.cell)


def make_envelope(contract: RobotContract) -> Envelope | None:
    """Return the envelope of a robot; None if its contract names no model.

    Raises:
        ConfigurationError: the model is missing, or its joints are not the contract's.
    """
    model = make_model(contract)
    return None if model is None else Envelope(model, contract.safety)
