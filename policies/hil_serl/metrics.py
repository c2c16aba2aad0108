"""What a call of the learner found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metrics:
    """Means over the updates of one call; those of the actor are NaN where it was not updated.

    Attributes:
        updates, actor_updates: made since the start of the run.
        critic_loss, grasp_loss: mean squared errors.
        value, target: means of Q and of what it is drawn to.
        gradient_norm: of all that the critics' losses train.
        actor_loss, temperature_loss: as in `losses`.
        entropy: of the actor, before the update [nat].
        temperature: alpha after the last update.
    """

    updates: int
    actor_updates: int
    critic_loss: float
    grasp_loss: float
    value: float
    target: float
    gradient_norm: float
    actor_loss: float
    temperature_loss: float
    entropy: float
    temperature: float
