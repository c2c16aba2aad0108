"""The actor's half of the learner's language: what was seen and executed becomes the steps of a replay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policies.hil_serl.frames import gripper_command, rotation_of, to_policy_action
from policies.hil_serl.policy import HilSerlPolicy
from policies.hil_serl.stored_views import StoredViews
from policies.hil_serl.transition import EncodedObservation, Gripper, ReplayError, Step, VectorArray
from tutelage_core.types import STEP_SIZE, FloatArray, Observation, Source

GRASP_PENALTY = -0.02
"""Added to the gripper critic's reward for each command to close or open (HIL-SERL's code)."""


@dataclass(frozen=True)
class _Taken:
    observation: EncodedObservation
    action: VectorArray
    gripper: Gripper
    source: Source


class StepMaker:
    """Makes the steps of one actor, in order. Each period: `took`, then `go_on` or `end` once its outcome is known."""

    def __init__(
        self,
        policy: HilSerlPolicy,
        views: StoredViews,
        actor: str,
        *,
        next_segment: int = 0,
        after_restart: bool = False,
        grasp_penalty: float = GRASP_PENALTY,
    ) -> None:
        """Make steps of what `policy` sees.

        Args:
            policy: is told of steps that somebody else took.
            views: encodes observations.
            actor: name of the actor.
            next_segment: number of the first segment; a restarted actor goes on after its newest.
            after_restart: this actor was started again.
            grasp_penalty: of each command to the gripper, at most 0.
        """
        self._policy = policy
        self._views = views
        self._actor = actor
        self._segment = next_segment - 1
        self._after_restart = after_restart
        self._grasp_penalty = grasp_penalty
        self._index = 0
        self._held: float | None = None
        self._taken: _Taken | None = None

    @property
    def segment(self) -> int:
        """Number of the segment that it is in."""
        return self._segment

    def restart(self, seed: int) -> None:
        """Begin a segment, after the policy's own reset."""
        self._segment += 1
        self._index = 0
        self._held = None
        self._taken = None
        self._views.restart(seed)

    def took(self, obs: Observation, executed: FloatArray, source: Source) -> None:
        """Note what was executed on an observation.

        Args:
            obs: what was seen before.
            executed: TCP step that the gate let through, shape (7,) [m, rad, 0..1].
            source: who drove.

        Raises:
            ReplayError: the outcome of the step before is still owed, or the step is none of this robot.
            ValueError: the observation does not fit the policy.
        """
        if self._taken is not None:
            raise ReplayError(f"actor '{self._actor}': the outcome of step {self._index} was not told")
        held = self._held
        if held is None:
            held = float(np.clip(obs.state["gripper_opening"][0], 0.0, 1.0))
        scale = self._policy.scales.action
        encoded = self._views.encode(obs)
        action = to_policy_action(executed, rotation_of(obs.state), scale).astype(np.float32)
        opening = float(executed[STEP_SIZE - 1])
        self._taken = _Taken(encoded, action, gripper_command(opening, held, scale), source)
        self._held = opening
        if source is not Source.POLICY:
            self._policy.executed(executed)

    def go_on(self, reward: float = 0.0) -> Step:
        """Return the step that was taken; its segment goes on. NaN is a reward that is not known."""
        return self._step(reward, None, terminated=False, truncated=False)

    def end(self, final: Observation, reward: float, *, terminated: bool) -> Step:
        """Return the step that was taken; with it the segment ends.

        Args:
            final: what was seen after it.
            reward: of the step; NaN where it is not known.
            terminated: the task ended by itself, as with success; else it was cut off.
        """
        return self._step(reward, self._views.encode(final), terminated=terminated, truncated=not terminated)

    def _step(self, reward: float, final: EncodedObservation | None, *, terminated: bool, truncated: bool) -> Step:
        taken = self._taken
        if taken is None:
            raise ReplayError(f"actor '{self._actor}': no step was taken of which an outcome could be told")
        step = Step(
            self._actor,
            self._segment,
            self._index,
            taken.observation,
            taken.action,
            taken.gripper,
            reward,
            taken.source,
            grasp_penalty=0.0 if taken.gripper is Gripper.HOLD else self._grasp_penalty,
            terminated=terminated,
            truncated=truncated,
            final_observation=final,
            after_restart=self._after_restart and self._index == 0,
        )
        if step.index == 0:
            self._after_restart = False
        self._index += 1
        self._taken = None
        return step
