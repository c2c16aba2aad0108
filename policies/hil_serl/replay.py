"""Replay that is right by construction: each transition points to its next observation, and none is ever guessed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from policies.hil_serl.index_set import IndexSet
from policies.hil_serl.layout import ObservationLayout
from policies.hil_serl.replay_arrays import ReplayArrays, check_memory
from policies.hil_serl.replay_batch import ReplayBatch, empty_batch
from policies.hil_serl.replay_counts import ReplayCounts
from policies.hil_serl.segments import Progress, Segments
from policies.hil_serl.transition import EncodedObservation, Relabel, ReplayError, Step, step_name
from tutelage_core.errors import ConfigurationError

_SMALLEST = 2
"""Observations of one transition."""


class ReplayBuffer:
    """A ring of observations with steps between them, from any number of actors, interleaved as they come.

    A step can be drawn once its next observation is there and its reward is a number. Overwriting an observation takes
    away exactly the transitions that it was part of. One thread at a time may call it.
    """

    def __init__(
        self,
        layout: ObservationLayout,
        capacity: int,
        *,
        limit_bytes: int,
        partial: bool = False,
        name: str = "replay",
    ) -> None:
        """Allocate the memory, after a look at how much it is.

        Args:
            layout: shapes of the observations.
            capacity: observations; a segment of n steps takes n + 1.
            limit_bytes: most memory that it may take; see `bytes_needed`.
            partial: steps of a segment may be left out; those on both sides of a gap are never joined.
            name: how errors call it.

        Raises:
            ConfigurationError: the capacity holds no transition, or needs more memory than the limit.
        """
        if capacity < _SMALLEST:
            raise ConfigurationError(f"{name}: capacity must be at least {_SMALLEST} observations, got {capacity}")
        self.bytes_needed = check_memory(layout, capacity, limit_bytes, name)
        """Its memory [bytes]."""
        self.name = name
        self.partial = partial
        self.arrays = ReplayArrays(layout, capacity)
        self._segments = Segments(partial=partial)
        self._sampleable = IndexSet(capacity)
        self._actors: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._written = self._added = self._duplicates = self._unfinished = self._overwritten = 0

    def __len__(self) -> int:
        """Return how many transitions can be drawn."""
        return len(self._sampleable)

    @property
    def layout(self) -> ObservationLayout:
        """Shapes of the observations."""
        return self.arrays.layout

    @property
    def sampleable(self) -> NDArray[np.int64]:
        """Slots of the transitions that can be drawn, in no order of note."""
        return self._sampleable.members

    @property
    def progress(self) -> Mapping[str, Progress]:
        """How far each actor has come; a restarted actor goes on with the segment after its newest."""
        return self._segments.progress

    @property
    def counts(self) -> ReplayCounts:
        """What it has seen and holds."""
        arrays = self.arrays
        joined = arrays.holds_step & (arrays.next_slot >= 0)
        return ReplayCounts(
            added=self._added,
            duplicates=self._duplicates,
            unfinished=self._unfinished,
            overwritten=self._overwritten,
            held=int(arrays.holds_step.sum()),
            sampleable=len(self._sampleable),
            waiting=len(self._waiting),
            unlabelled=int((joined & np.isnan(arrays.reward)).sum()),
        )

    def add(self, step: Step) -> bool:
        """Store a step; return False, and change nothing, if it was there already.

        Raises:
            ReplayError: it does not fit the layout, is not the next one of its actor, or bears the number of another.
        """
        self.layout.check(step.observation, step.name)
        if step.final_observation is not None:
            self.layout.check(step.final_observation, f"{step.name}, final observation")
        if not self._segments.is_new(step):
            self._check_same(step)
            self._duplicates += 1
            return False
        actor = self._actors.setdefault(step.actor, len(self._actors))
        before = self._take_waiting(step)
        slot = self._claim()
        self.arrays.write_observation(slot, step.observation, actor, step.segment, step.index)
        self.arrays.write_step(slot, step)
        self._join(before, slot)
        self._waiting[step.actor] = slot
        self._segments.take(step)
        self._added += 1
        if step.final_observation is not None:
            self._end(step.actor, step.final_observation)
        return True

    def awaits(self, actor: str) -> tuple[int, int] | None:
        """Return segment and index of the actor's step that waits for its next observation; None if there is none."""
        slot = self._waiting.get(actor)
        if slot is None:
            return None
        return int(self.arrays.segment[slot]), int(self.arrays.index[slot])

    def interrupt(self, actor: str, next_observation: EncodedObservation) -> None:
        """End a stretch of a partial replay: the actor's last step is truncated, with this true next observation.

        Raises:
            ReplayError: no step of the actor waits for its next observation, or the observation does not fit.
        """
        waiting = self.awaits(actor)
        if waiting is None or not self.partial:
            raise ReplayError(f"{self.name}: no stretch of actor '{actor}' is open that could be interrupted")
        self.layout.check(next_observation, f"{step_name(actor, *waiting)}, next observation")
        self.arrays.truncated[self._waiting[actor]] = True
        self._end(actor, next_observation)

    def has_seen(self, actor: str, segment: int, index: int) -> bool:
        """Return whether such a step can have been there, overwritten or not."""
        return self._segments.has_seen(actor, segment, index)

    def relabel(self, relabel: Relabel) -> int:
        """Set rewards; return how many steps were still there. NaN takes a step out of what can be drawn.

        Raises:
            ReplayError: a step has never been there.
        """
        actor, segment = relabel.actor, relabel.segment
        for index in relabel.rewards:
            if not self.has_seen(actor, segment, index):
                raise ReplayError(
                    f"{self.name}: {step_name(actor, segment, index)} is unknown and cannot be relabelled"
                )
        if not relabel.rewards:
            return 0
        slots = self.arrays.find(self._actors[actor], segment)
        slots = slots[np.isin(self.arrays.index[slots], list(relabel.rewards))]
        for slot in slots.tolist():
            self.arrays.reward[slot] = relabel.rewards[int(self.arrays.index[slot])]
            self._refresh(slot)
        return len(slots)

    def sample(
        self, size: int, rng: np.random.Generator, out: ReplayBatch | None = None, *, plain_views: bool = False
    ) -> ReplayBatch:
        """Return transitions drawn uniformly and with replacement.

        Args:
            size: transitions.
            rng: draws them, and the views of their maps.
            out: a batch of this size to fill and return; a new one if not given.
            plain_views: take the plain view of each map, as for figures.

        Raises:
            ReplayError: nothing can be drawn; says why.
        """
        batch = empty_batch(self.layout, size) if out is None else out
        if len(batch) != size:
            raise ReplayError(f"{self.name}: the batch to fill has {len(batch)} places, {size} were asked for")
        self.fill(batch, 0, size, rng, plain_views=plain_views)
        batch.is_demonstration[:] = False
        return batch

    def fill(
        self, batch: ReplayBatch, begin: int, count: int, rng: np.random.Generator, *, plain_views: bool = False
    ) -> None:
        """Draw `count` transitions into `batch` from place `begin` on.

        Raises:
            ReplayError: nothing can be drawn; says why.
        """
        if not len(self._sampleable):
            counts = self.counts
            raise ReplayError(
                f"{self.name}: nothing can be drawn: of {counts.held} steps {counts.waiting} wait for their next "
                f"observation and {counts.unlabelled} for a valid reward; collect more, or relabel"
            )
        rows = self._sampleable.draw(count, rng)
        self.arrays.gather(rows, batch, begin, rng, plain_views=plain_views)

    def key(self, slot: int) -> tuple[str, int, int]:
        """Return actor, segment and index of a slot's observation."""
        names = list(self._actors)
        return names[self.arrays.actor[slot]], int(self.arrays.segment[slot]), int(self.arrays.index[slot])

    def _claim(self) -> int:
        """Return the next slot of the ring, emptied, and the transition that began there forgotten."""
        arrays = self.arrays
        slot = self._written % arrays.capacity
        self._sampleable.set(slot, present=False)
        after = int(arrays.next_slot[slot])
        if after >= 0:  # no slot before it can be left: what came before is older, and went first
            arrays.previous_slot[after] = -1
        if arrays.holds_step[slot]:
            self._overwritten += 1
            for actor, waiting in tuple(self._waiting.items()):
                if waiting == slot:
                    del self._waiting[actor]
                    self._unfinished += 1
        arrays.next_slot[slot] = arrays.previous_slot[slot] = -1
        arrays.serial[slot] = self._written
        self._written += 1
        return slot

    def _take_waiting(self, step: Step) -> int | None:
        """Return the serial of the actor's step just before `step`; one that is not just before is given up."""
        slot = self._waiting.pop(step.actor, None)
        if slot is None:
            return None
        if (self.arrays.segment[slot], self.arrays.index[slot] + 1) != (step.segment, step.index):
            self._unfinished += 1
            return None
        return int(self.arrays.serial[slot])

    def _join(self, before: int | None, slot: int) -> None:
        """Make `slot` the next observation of the step with the serial `before`, unless that was just overwritten."""
        if before is None:
            return
        earlier = before % self.arrays.capacity
        if self.arrays.serial[earlier] != before:
            self._unfinished += 1
            return
        self.arrays.next_slot[earlier] = slot
        self.arrays.previous_slot[slot] = earlier
        self._refresh(earlier)

    def _end(self, actor: str, observation: EncodedObservation) -> None:
        arrays = self.arrays
        last = self._waiting.pop(actor)
        number, segment, index, serial = (
            int(a[last]) for a in (arrays.actor, arrays.segment, arrays.index, arrays.serial)
        )
        slot = self._claim()
        arrays.write_observation(slot, observation, number, segment, index + 1)
        self._join(serial, slot)

    def _refresh(self, slot: int) -> None:
        arrays = self.arrays
        ready = arrays.holds_step[slot] and arrays.next_slot[slot] >= 0 and np.isfinite(arrays.reward[slot])
        self._sampleable.set(slot, present=bool(ready))

    def _check_same(self, step: Step) -> None:
        """Refuse a step that bears the number of another one that is still there."""
        arrays = self.arrays
        slots = arrays.find(self._actors[step.actor], step.segment)
        for slot in slots[arrays.index[slots] == step.index].tolist():
            if not (
                np.array_equal(arrays.state[slot], step.observation.state)
                and np.array_equal(arrays.action[slot], step.action)
                and all(np.array_equal(arrays.maps[c][slot], m) for c, m in step.observation.maps.items())
                and all(np.array_equal(arrays.images[c][slot], i) for c, i in step.observation.images.items())
            ):
                raise ReplayError(
                    f"{step.name}: another step of that number is stored; an actor that was started again goes on with "
                    "the segment after its newest, see `progress`"
                )
