"""What is told of an online learning run: an episode, a report of the learner, an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage_core.errors import ConfigurationError


@dataclass(frozen=True)
class EpisodeRow:
    """An episode that ended.

    Attributes:
        episode: its number in the whole run, over all actors.
        actor: who drove the robot: name of the actor.
        seed: of the scene.
        wall_s: time since the run began, without the time between a stop and a resume [s].
        steps: control periods of all robots in the whole run so far.
        length: control periods of this episode.
        success: by the reward that the learner sees.
        true_success: by the ground truth of the twin, for evaluation only; None where nobody knows it.
        human_steps: control periods of this episode in which the person drove.
        takeovers: how often the person took over.
        reasons: why, one for each take-over.
        weights: updates of the learner that the acting weights had.
        failure: kind of the failure, empty if none or unknown.
    """

    episode: int
    actor: str
    seed: int
    wall_s: float
    steps: int
    length: int
    success: bool
    true_success: bool | None
    human_steps: int
    takeovers: int
    reasons: tuple[str, ...]
    weights: int
    failure: str

    def __post_init__(self) -> None:
        """Refuse counts that contradict each other."""
        if not 0 <= self.human_steps <= self.length:
            raise ConfigurationError(
                f"episode {self.episode}: human_steps must be in 0..length ({self.length}), got {self.human_steps}"
            )


@dataclass(frozen=True)
class LearnerRow:
    """How the learner does. NaN where there is nothing to tell.

    Attributes:
        wall_s, steps: as in `EpisodeRow`.
        updates: made since the start of the run.
        updates_per_s: since the last report [1/s].
        achieved_ratio: updates for each step of the robot.
        target_ratio: what is steered for; None where the learner runs freely.
        owed_steps: steps whose updates are still to come.
        starved: share of the time in which the learner had nothing to do, 0..1.
        critic_loss, grasp_loss, actor_loss: see `policies.hil_serl.metrics`.
        entropy: of the actor [nat].
        temperature: alpha.
        value, target: means of Q and of what it is drawn to.
        gradient_norm: of all that the critics' losses train.
        value_on_corrections: mean of Q where the person drove.
        value_on_policy: mean of Q where the policy drove.
    """

    wall_s: float
    steps: int
    updates: int
    updates_per_s: float
    achieved_ratio: float
    target_ratio: float | None
    owed_steps: float
    starved: float
    critic_loss: float
    grasp_loss: float
    actor_loss: float
    entropy: float
    temperature: float
    value: float
    target: float
    gradient_norm: float
    value_on_corrections: float
    value_on_policy: float


@dataclass(frozen=True)
class EvaluationRow:
    """Episodes without a person, with weights that are not learnt from meanwhile.

    Attributes:
        wall_s, steps, updates: where the run was.
        successes: episodes that succeeded.
        episodes: of so many.
        mean_steps_to_success: control periods of those that succeeded; NaN if none did.
        first_seed: of the scenes; the others follow it.
    """

    wall_s: float
    steps: int
    updates: int
    successes: int
    episodes: int
    mean_steps_to_success: float
    first_seed: int

    def __post_init__(self) -> None:
        """Refuse counts of which there is no rate."""
        if self.episodes < 1 or not 0 <= self.successes <= self.episodes:
            raise ConfigurationError(
                "an evaluation needs 0 <= successes <= episodes and episodes >= 1, "
                f"got {self.successes} of {self.episodes}"
            )


Row = EpisodeRow | LearnerRow | EvaluationRow
