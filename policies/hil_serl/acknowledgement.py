"""What a learner says to its actors, again and again: what it has on its disk, and whether they may go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.hil_serl.segments import Progress


@dataclass(frozen=True, order=True)
class WeightsVersion:
    """Which weights: a learner that was started again begins at its last saved ones, and counts on from there.

    Attributes:
        start: how often the learner of this run has been started.
        updates: updates that went into the weights.
    """

    start: int
    updates: int


@dataclass(frozen=True)
class Acknowledgement:
    """One word of the learner, for all actors.

    Attributes:
        run: name of the training run; steps that one run has acknowledged are in its log and in no other.
        newest: weights that it published last; its `start` tells when the learner was started again.
        progress: actor to how far its steps are on the learner's disk.
        refusals: actor to why its last step was refused, while that holds up its stream.
        wait: the learner owes so many updates that no new episode should begin.
    """

    run: str
    newest: WeightsVersion
    progress: Mapping[str, Progress] = field(default_factory=dict[str, Progress])
    refusals: Mapping[str, str] = field(default_factory=dict[str, str])
    wait: bool = False
