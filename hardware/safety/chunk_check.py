"""A whole chunk of a policy, looked at before its first step is taken."""

from __future__ import annotations

import numpy as np

from tutelage_core.limits import SafetyLimits
from tutelage_core.types import STEP_SIZE, FloatArray


def object_to_chunk(steps: FloatArray, limits: SafetyLimits) -> str:
    """Return why none of these steps may be taken, empty if they may go to the gate one by one.

    A chunk with one bad step comes from a policy that has lost its mind: its good steps are not to be trusted either.

    Args:
        steps: TCP steps, shape (n, 7) [m, rad, 0..1].
        limits: the robot's.
    """
    if steps.ndim != 2 or steps.shape[1] != STEP_SIZE or not len(steps):
        return f"steps of shape {steps.shape}, (n, {STEP_SIZE}) is needed"
    finite = np.isfinite(steps).all(axis=1)
    if not finite.all():
        return f"step {int(np.argmin(finite))} of {len(steps)} is not finite"
    for part, limit, unit in ((steps[:, :3], limits.max_step_m, "m"), (steps[:, 3:6], limits.max_step_rad, "rad")):
        with np.errstate(over="ignore"):  # a length beyond any number is beyond the limit
            lengths = np.linalg.norm(part, axis=1)
        worst = int(np.argmax(lengths))
        if not lengths[worst] <= limits.refuse_ratio * limit * (1.0 + 1e-9):
            return (
                f"step {worst} of {len(steps)} is {lengths[worst]:.3g} {unit} long, "
                f"{lengths[worst] / limit:.3g} times the limit of {limit:g} {unit}"
            )
    return ""
