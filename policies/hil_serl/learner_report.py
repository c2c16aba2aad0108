"""How a learner that is fed by actors does."""

from __future__ import annotations

from dataclasses import dataclass

from policies.hil_serl.metrics import Metrics
from policies.hil_serl.run_name import RunStart
from policies.hil_serl.schedule import ScheduleReport


@dataclass(frozen=True)
class LearnerReport:
    """How the learner does.

    Attributes:
        name: of the run, and which start of it.
        schedule: steps, updates and what was reached of the target.
        published: updates of the weights that went out last.
        updates_per_s: since the last report.
        mean_staleness, most_staleness: updates by which the weights were behind that decided the last steps.
        held, demonstrated: steps that can be learnt from, online and shown.
        unsealed: steps that were taken and are not on the disk yet.
        duplicates: steps that came again.
        refusals: actor to why its last step was refused; under the empty name what was no step at all.
        refused: how many messages were refused.
        actors: actor to how many of its steps were taken since the start.
        metrics: of the last update; None before.
        trouble: why nothing is learnt, or nothing sealed; empty if all is well.
    """

    name: RunStart
    schedule: ScheduleReport
    published: int
    updates_per_s: float
    mean_staleness: float
    most_staleness: int
    held: int
    demonstrated: int
    unsealed: int
    duplicates: int
    refusals: dict[str, str]
    refused: int
    actors: dict[str, int]
    metrics: Metrics | None
    trouble: str
