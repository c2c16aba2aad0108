"""Two replays that feed one learner: what the robot did, and what people showed it."""

from __future__ import annotations

import numpy as np

from policies.hil_serl.layout import ObservationLayout
from policies.hil_serl.replay import ReplayBuffer
from policies.hil_serl.replay_arrays import bytes_needed
from policies.hil_serl.replay_batch import ReplayBatch, empty_batch
from policies.hil_serl.segments import Segments
from policies.hil_serl.transition import Relabel, ReplayError, Step
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Source


class Mixture:
    """Online steps in one replay, demonstrations in another, interventions in both whatever the ratio (HIL-SERL).

    A stretch of interventions ends where somebody else drives on: its last step is then truncated in the
    demonstrations, and keeps its true next observation.
    """

    def __init__(self, online: ReplayBuffer, demonstrations: ReplayBuffer, ratio: float = 0.5) -> None:
        """Join two replays.

        Args:
            online: holds every step of the actors.
            demonstrations: partial; holds demonstrations and interventions.
            ratio: share of each batch that is drawn from the demonstrations; 0 for WSRL.

        Raises:
            ConfigurationError: the two do not fit each other, or the ratio is not in [0, 1].
        """
        if not 0.0 <= ratio <= 1.0:
            raise ConfigurationError(f"mixture: ratio must be in [0, 1], got {ratio}")
        if online.layout != demonstrations.layout:
            raise ConfigurationError(
                f"mixture: online {online.layout} and demonstrations {demonstrations.layout} differ"
            )
        if online.partial or not demonstrations.partial:
            raise ConfigurationError("mixture: the online replay must not be partial, that of the demonstrations must")
        self.online = online
        self.demonstrations = demonstrations
        self.ratio = ratio
        self._demonstrated = Segments()

    @classmethod
    def allocate(
        cls,
        layout: ObservationLayout,
        online_capacity: int,
        demonstration_capacity: int,
        *,
        limit_bytes: int,
        ratio: float = 0.5,
    ) -> Mixture:
        """Allocate both replays within one limit.

        Raises:
            ConfigurationError: together they need more than the limit; a setting is not legal.
        """
        left = limit_bytes - bytes_needed(layout, demonstration_capacity)
        demonstrations = ReplayBuffer(
            layout, demonstration_capacity, limit_bytes=limit_bytes, partial=True, name="demonstrations"
        )
        online = ReplayBuffer(
            layout, online_capacity, limit_bytes=left, name="online replay (after the demonstrations)"
        )
        return cls(online, demonstrations, ratio)

    @property
    def bytes_needed(self) -> int:
        """Memory of both [bytes]."""
        return self.online.bytes_needed + self.demonstrations.bytes_needed

    def add(self, step: Step) -> bool:
        """Store an actor's step, in both if a person drove; return False if it was there already.

        Raises:
            ReplayError: see `ReplayBuffer.add`; or the actor bears the name of a demonstrator.
        """
        if step.actor in self._demonstrated.progress:
            raise ReplayError(f"{step.name}: an actor must not bear the name of a demonstrator")
        if not self.online.add(step):
            return False
        awaited = self.demonstrations.awaits(step.actor)
        if step.source is Source.HUMAN:
            self.demonstrations.add(step)
        elif awaited == (step.segment, step.index - 1):
            self.demonstrations.interrupt(step.actor, step.observation)
        return True

    def add_demonstration(self, step: Step) -> bool:
        """Store a step of a demonstration, whoever drove; return False if it was there already.

        Raises:
            ReplayError: see `ReplayBuffer.add`; or the demonstrator bears the name of an actor.
        """
        if step.actor in self.online.progress:
            raise ReplayError(f"{step.name}: a demonstrator must not bear the name of an actor")
        is_new = self._demonstrated.is_new(step)
        self.demonstrations.add(step)
        if is_new:
            self._demonstrated.take(step)
        return is_new

    def relabel(self, relabel: Relabel) -> int:
        """Set rewards wherever the steps are; return in how many places they still were, both replays together.

        Raises:
            ReplayError: a step has never been there.
        """
        if relabel.actor in self._demonstrated.progress:
            return self.demonstrations.relabel(relabel)
        changed = self.online.relabel(relabel)
        seen = self.demonstrations.has_seen
        known = {index: r for index, r in relabel.rewards.items() if seen(relabel.actor, relabel.segment, index)}
        kept = self.demonstrations.relabel(Relabel(relabel.actor, relabel.segment, known))
        return changed + kept

    def apply(self, event: Step | Relabel) -> bool:
        """Store what a `ReplayStore` gives back; return whether it changed anything."""
        return self.add(event) if isinstance(event, Step) else self.relabel(event) > 0

    def require_demonstrations(self) -> None:
        """Refuse to begin without demonstrations where half of each batch shall come from them.

        Raises:
            ConfigurationError: there is none; says what to do.
        """
        if self.ratio > 0.0 and not len(self.demonstrations):
            counts = self.demonstrations.counts
            raise ConfigurationError(
                f"no demonstration can be drawn (of {counts.held} steps {counts.unlabelled} have no valid reward), but "
                f"a share of {self.ratio:g} of each batch shall be: record some and load them, set the ratio to 0, or "
                "say that they may be empty and let interventions fill them"
            )

    def sample(
        self,
        size: int,
        rng: np.random.Generator,
        out: ReplayBatch | None = None,
        *,
        may_be_empty: bool = False,
        plain_views: bool = False,
    ) -> ReplayBatch:
        """Return online transitions first, then the share of demonstrations.

        Args:
            size: transitions.
            rng: draws them, and the views of their maps.
            out: a batch of this size to fill and return; a new one if not given.
            may_be_empty: while there is no demonstration, all is drawn online.
            plain_views: take the plain view of each map.

        Raises:
            ConfigurationError: there is no demonstration, and that was not allowed.
            ReplayError: a replay that is needed has nothing to draw.
        """
        shown = round(size * self.ratio)
        if not len(self.demonstrations):
            if not may_be_empty:
                self.require_demonstrations()
            shown = 0
        batch = empty_batch(self.online.layout, size) if out is None else out
        if len(batch) != size:
            raise ReplayError(f"mixture: the batch to fill has {len(batch)} places, {size} were asked for")
        if size > shown:
            self.online.fill(batch, 0, size - shown, rng, plain_views=plain_views)
        if shown:
            self.demonstrations.fill(batch, size - shown, shown, rng, plain_views=plain_views)
        batch.is_demonstration[: size - shown] = False
        batch.is_demonstration[size - shown :] = True
        return batch
