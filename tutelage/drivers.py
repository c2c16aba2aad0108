"""Who drives the one-process loop: a policy, or the twin's expert with disturbances."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from policies.policy import Policy
from sim.twin import Twin
from tutelage_core.arbiter import Arbiter
from tutelage_core.chunks import ChunkBuffer, SeamSettings
from tutelage_core.contract import NS_PER_S, check_chunk_outlasts
from tutelage_core.drive_report import DriveReport
from tutelage_core.errors import ConfigurationError
from tutelage_core.limits import SafetyLimits
from tutelage_core.session import DriveState
from tutelage_core.types import STEP_SIZE, ActionChunk, FloatArray, Observation, Source, StepCommand
from tutelage_core.window import ObservationWindow


class Driver(Protocol):
    """Gives one command a control period."""

    def restart(self, instruction: str, seed: int, gripper_opening: float) -> None:
        """Begin an episode."""
        ...

    def command(self, observation: Observation) -> StepCommand:
        """Return the command for the period of `observation`."""
        ...


@dataclass(frozen=True)
class ThinkingSettings:
    """How long a policy thinks, and what becomes of the steps that its chunk meant for that time.

    Attributes:
        delay_s: a chunk comes so long after its observation [s], to the nearest control period; otherwise time stands
            still while the policy thinks.
        compensates: steps whose time has passed are dropped. Off, a late chunk is taken from its first step on, as if
            it had been thought of now: what one should not do, for comparison.
        seams: how one chunk goes over into the next.
    """

    delay_s: float = 0.0
    compensates: bool = True
    seams: SeamSettings = field(default_factory=SeamSettings)

    def __post_init__(self) -> None:
        """Refuse a delay that is none."""
        if not 0.0 <= self.delay_s <= 60.0:
            raise ConfigurationError(f"ThinkingSettings: delay_s must be in 0..60, got {self.delay_s}")


class PolicyDriver:
    """Runs a policy just as `policy_node` and `session_node` do together."""

    def __init__(self, policy: Policy, thinking: ThinkingSettings | None = None) -> None:
        """Drive with `policy`.

        Raises:
            ConfigurationError: its chunk would be over when it comes.
        """
        self._policy = policy
        self._thinking = thinking or ThinkingSettings()
        self._delay_ns = round(self._thinking.delay_s * NS_PER_S)
        check_chunk_outlasts(policy.spec, self._thinking.delay_s)
        self._late: ActionChunk | None = None
        self._chunks = ChunkBuffer(policy.spec.replan_every, self._thinking.seams)
        self._arbiter = Arbiter(self._chunks)
        self._period_ns = round(NS_PER_S / policy.spec.control_rate_hz)
        self.report = DriveReport(self._chunks, self._period_ns)
        self._window = ObservationWindow(policy.spec.history)

    def restart(self, instruction: str, seed: int, gripper_opening: float) -> None:
        """Begin an episode: history, chunk and gripper are those of a new one."""
        self._window.clear()
        self._late = None
        self._arbiter.restart(gripper_opening)
        self.report = DriveReport(self._chunks, self._period_ns)
        self._policy.reset(instruction, seed)

    def resume(self, gripper_opening: float) -> None:
        """Go on after a person has moved the arm; `gripper_opening` is what the gripper was last told (0..1)."""
        self._late = None
        self._arbiter.hand_over(gripper_opening)

    def command(self, observation: Observation) -> StepCommand:
        """Return the policy's step for this period; it is asked again when its chunk is due."""
        window, now_ns = self._window.push(observation), observation.stamp_ns
        if self._late is None and self._chunks.wants_chunk(now_ns):
            self._late = self._policy.act(window)
        if self._late is not None and now_ns >= self._late.stamp_ns + self._delay_ns - self._late.period_ns // 2:
            chunk = self._late if self._thinking.compensates else replace(self._late, stamp_ns=now_ns)
            self._chunks.add(chunk)
            self.report.chunk_came(self._late, now_ns)
            self._late = None
        command = self._arbiter.command(DriveState.AUTONOMOUS, now_ns)
        self.report.commanded(command)
        return command


class ExpertDriver:
    """Runs the twin's expert, disturbed now and then so that demonstrations show how errors are mended.

    The disturbance is added to what is executed; the recorded expert step stays clean (DART, Laskey et al. 2017).
    """

    def __init__(
        self, twin: Twin, limits: SafetyLimits, disturbance: float, longest_burst: int = 4, pace: float = 1.0
    ) -> None:
        """Drive `twin`.

        Args:
            twin: the world.
            limits: of the robot.
            disturbance: share of the periods that is disturbed, 0..1.
            longest_burst: in bursts of at most so many periods.
            pace: factor on every step, (0, 1]: people who teleoperate move slower than the expert.
        """
        self._twin, self._limits, self._pace = twin, limits, pace
        self._disturbance, self._longest_burst = disturbance, longest_burst
        self._rng = np.random.default_rng(0)
        self._burst_left = 0
        self._push = np.zeros(STEP_SIZE)
        self._sequence = 0

    def restart(self, instruction: str, seed: int, gripper_opening: float) -> None:
        """Begin an episode whose disturbances follow `seed`."""
        self._rng = np.random.default_rng([seed, 20_001])
        self._burst_left = 0
        self._sequence = 0

    def command(self, observation: Observation) -> StepCommand:
        """Return the expert's step, perhaps disturbed."""
        step = self._twin.expert_step()
        step[:6] *= self._pace
        self._sequence += 1
        return StepCommand(observation.stamp_ns, self._sequence, Source.EXPERT, self._disturb(step))

    def _disturb(self, step: FloatArray) -> FloatArray:
        if self._burst_left == 0:
            mean_burst = (1 + self._longest_burst) / 2
            if self._rng.random() >= self._disturbance / mean_burst:
                return step
            self._burst_left = int(self._rng.integers(1, self._longest_burst + 1))
            direction = self._rng.normal(size=6)
            size = self._rng.uniform(0.2, 1.0)
            self._push = np.zeros(STEP_SIZE)
            self._push[:3] = direction[:3] / np.linalg.norm(direction[:3]) * size * self._limits.max_step_m
            self._push[3:6] = direction[3:6] / np.linalg.norm(direction[3:6]) * size * self._limits.max_step_rad * 0.5
        self._burst_left -= 1
        disturbed = step + self._push
        disturbed[:3] *= min(1.0, self._limits.max_step_m / max(float(np.linalg.norm(disturbed[:3])), 1e-9))
        disturbed[3:6] *= min(1.0, self._limits.max_step_rad / max(float(np.linalg.norm(disturbed[3:6])), 1e-9))
        return disturbed
