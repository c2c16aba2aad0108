"""What a call of the learner found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace


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


def mean_metrics(found: Sequence[Metrics]) -> Metrics:
    """Return the means over calls; a call that did not update the actor says nothing of it. Counters are the newest's.

    Raises:
        ValueError: there is nothing to take means of.
    """
    if not found:
        raise ValueError("no metrics to take means of")
    newest = found[-1]
    means: dict[str, float] = {}
    for field in fields(Metrics)[2:]:
        known = [value for m in found if not math.isnan(value := float(getattr(m, field.name)))]
        means[field.name] = sum(known) / len(known) if known else math.nan
    return replace(newest, **means)
