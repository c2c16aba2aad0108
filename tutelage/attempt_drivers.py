"""Who makes attempts that end in every way: the expert hindered or stopped on its way, a hand that wanders, a policy.

Near misses are made on purpose: the expert is stopped somewhere on its way, from before the grasp to just short of the
goal, and the hand then hovers or wanders there.
"""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from policies.registry import find_checkpoint, load_policy
from sim.twin import Twin
from tutelage.drivers import Driver, ExpertDriver, PolicyDriver
from tutelage_core.limits import SafetyLimits
from tutelage_core.types import STEP_SIZE, FloatArray, Observation, Source, StepCommand


class Kind(StrEnum):
    """How an attempt is made."""

    EXPERT = "expert"
    """A demonstration."""
    HINDERED = "hindered"
    """The expert, pushed off its way nearly always."""
    STOPPED = "stopped"
    """The expert up to somewhere, then wandering."""
    WANDERING = "wandering"
    """Wandering from the start."""
    POLICY = "policy"
    """A policy with noise on its steps, as one that explores."""


STOPS_AT = (0.35, 0.94)
"""True progress at which a stopped expert stops, drawn evenly; 1 is the goal."""

SPEED_SHARES = (0.03, 1.0)
"""Speed of the wandering hand as a share of the robot's longest step, drawn evenly in its logarithm."""

TOGGLES = 0.03
"""Share of the control periods in which the wandering hand opens or closes its gripper."""

NOISE = 0.4
"""Standard deviation of the noise on the policy's steps, as a share of the robot's longest step."""


class StoppedDriver:
    """The expert, until the task has come as far as drawn for this episode; a smooth random walk after that."""

    def __init__(self, twin: Twin, limits: SafetyLimits, stops_at: tuple[float, float]) -> None:
        """Stop at a true progress drawn from `stops_at`; (0, 0) wanders from the start."""
        self._twin, self._limits, self._stops_at = twin, limits, stops_at
        self._expert = ExpertDriver(twin, limits, 0.2)
        self._stopped = False

    def restart(self, instruction: str, seed: int, gripper_opening: float) -> None:
        """Begin an episode whose stop and walk follow `seed`."""
        self._expert.restart(instruction, seed, gripper_opening)
        self._rng = np.random.default_rng([seed, 20_003])
        self._goal = self._rng.uniform(*self._stops_at)
        self._speed = math.exp(self._rng.uniform(*np.log(SPEED_SHARES)))
        self._velocity = self._rng.normal(size=6)
        self._opening = gripper_opening
        self._stopped = False

    def command(self, observation: Observation) -> StepCommand:
        """Return the expert's step, or one of the walk."""
        command = self._expert.command(observation)
        self._stopped = self._stopped or self._twin.task_status().progress >= self._goal
        if not self._stopped:
            self._opening = round(float(command.step[6]))
            return command
        return StepCommand(command.stamp_ns, command.sequence, Source.POLICY, self._walk())

    def _walk(self) -> FloatArray:
        self._velocity = 0.85 * self._velocity + math.sqrt(1 - 0.85**2) * self._rng.normal(size=6)
        if self._rng.random() < TOGGLES:
            self._opening = 1.0 - self._opening
        step = np.empty(STEP_SIZE)
        step[:3] = _shortened(self._velocity[:3] * self._speed * self._limits.max_step_m, self._limits.max_step_m)
        step[3:6] = _shortened(self._velocity[3:] * 0.2 * self._speed * self._limits.max_step_rad, 0.2)
        step[6] = self._opening
        return step


class NoisyDriver:
    """Another driver with noise on the translation of its steps."""

    def __init__(self, driver: Driver, limits: SafetyLimits) -> None:
        """Disturb `driver`."""
        self._driver, self._limits = driver, limits

    def restart(self, instruction: str, seed: int, gripper_opening: float) -> None:
        """Begin an episode whose noise follows `seed`."""
        self._driver.restart(instruction, seed, gripper_opening)
        self._rng = np.random.default_rng([seed, 20_005])

    def command(self, observation: Observation) -> StepCommand:
        """Return the disturbed step."""
        command = self._driver.command(observation)
        step = command.step.copy()
        limit = self._limits.max_step_m
        step[:3] = _shortened(step[:3] + NOISE * limit * self._rng.normal(size=3), limit)
        return StepCommand(command.stamp_ns, command.sequence, command.source, step)


def driver_of(kind: Kind, twin: Twin, limits: SafetyLimits, policy: str = "") -> Driver:
    """Return who makes attempts of this kind in `twin`; `policy` is the name of that of kind `policy`."""
    match kind:
        case Kind.EXPERT:
            return ExpertDriver(twin, limits, 0.2)
        case Kind.HINDERED:
            return ExpertDriver(twin, limits, 0.9, longest_burst=8)
        case Kind.STOPPED:
            return StoppedDriver(twin, limits, STOPS_AT)
        case Kind.WANDERING:
            return StoppedDriver(twin, limits, (0.0, 0.0))
        case Kind.POLICY:
            return NoisyDriver(PolicyDriver(load_policy(find_checkpoint(policy))), limits)


def _shortened(vector: FloatArray, longest: float) -> FloatArray:
    return vector * min(1.0, longest / max(float(np.linalg.norm(vector)), 1e-9))
