"""Replay against the truth kept beside it, and the three rules that public replay buffers break."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.hil_serl.mixture import Mixture
from policies.hil_serl.replay import ReplayBuffer
from policies.hil_serl.replay_audit import audit
from policies.hil_serl.replay_batch import empty_batch
from policies.hil_serl.transition import Relabel, Step
from tests.unit.hil_serl_replay_samples import (
    LAYOUT,
    LIMIT,
    Drawn,
    drawn,
    number_in_state,
    segment_of,
    step,
    truth,
)
from tutelage_core.types import Source

pytestmark = pytest.mark.property

ENDS = ("truncated", "terminated", "both", "lost")
SOURCES = (Source.POLICY, Source.HUMAN, Source.PHRASE, Source.HOLD)
SEGMENTS = st.tuples(
    st.lists(st.tuples(st.sampled_from(SOURCES), st.booleans()), min_size=1, max_size=7), st.sampled_from(ENDS)
)
ACTORS = st.lists(st.lists(SEGMENTS, max_size=5), min_size=1, max_size=3)


def everything(replay: ReplayBuffer, seed: int = 0) -> list[Drawn]:
    """Return each transition that can be drawn, once, through the code that sampling uses."""
    rows = replay.sampleable
    batch = empty_batch(replay.layout, len(rows))
    replay.arrays.gather(rows, batch, 0, np.random.default_rng(seed), plain_views=False)
    return list(drawn(batch))


def stream(actors: list[list[tuple[list[tuple[Source, bool]], str]]], seed: int) -> list[Step]:
    """Return the actors' steps, interleaved; about one in five is sent twice, later on but in its actor's order."""
    rng = np.random.default_rng(seed)
    queues: list[deque[Step]] = []
    number = 0
    for name, segments in zip("abc", actors, strict=False):
        queue: deque[Step] = deque()
        lost = False
        for segment, (periods, end) in enumerate(segments):
            for index, (source, unknown) in enumerate(periods):
                last = index == len(periods) - 1
                here = step(
                    number,
                    actor=name,
                    segment=segment,
                    index=index,
                    source=source,
                    reward=math.nan if unknown else float(number),
                    terminated=last and end in ("terminated", "both"),
                    truncated=last and end in ("truncated", "both"),
                    after_restart=lost and index == 0,
                )
                queue.append(here)
                number += 1
            lost = end == "lost"
            number += 1  # the final observation
        queues.append(queue)
    steps: list[Step] = []
    while any(queues):
        queue = queues[int(rng.integers(len(queues)))]
        if queue:
            steps.append(queue.popleft())
            if rng.random() < 0.2:
                again = steps[int(rng.integers(len(steps)))]
                steps.append(replace(again, after_restart=False))
    return steps


class Model:
    """What must be in a ring: a list of all observations ever stored, of which the last ones are still there."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._stored = 0
        self._open: dict[str, tuple[Step, int]] = {}
        self._whole: list[tuple[int, int, Drawn]] = []

    def add(self, here: Step) -> None:
        place = self._stored
        self._stored += 1
        before = self._open.pop(here.actor, None)
        if before is not None and (before[0].segment, before[0].index + 1) == (here.segment, here.index):
            self._join(before, place, number_in_state(here.observation.state))
        self._open[here.actor] = (here, place)
        if here.final_observation is not None:
            self.end(here.actor, number_in_state(here.final_observation.state))

    def end(self, actor: str, number: int) -> None:
        self._join(self._open.pop(actor), self._stored, number)
        self._stored += 1

    def is_before(self, here: Step) -> bool:
        """Return whether the step just before is still there, and waits for its next observation."""
        before = self._open.get(here.actor)
        if before is None or before[1] < self._stored - self._capacity:
            return False
        return (before[0].segment, before[0].index + 1) == (here.segment, here.index)

    def drawable(self) -> list[Drawn]:
        """Return the transitions both of whose observations are there and whose reward is a number."""
        oldest = self._stored - self._capacity
        return [d for place, after, d in self._whole if min(place, after) >= oldest and not math.isnan(d.reward)]

    def _join(self, before: tuple[Step, int], place: int, number: int) -> None:
        self._whole.append((before[1], place, truth(before[0], number)))


def same(found: list[Drawn], expected: list[Drawn]) -> bool:
    return sorted(found, key=lambda d: d.state) == sorted(expected, key=lambda d: d.state)


@settings(max_examples=300, deadline=None)
@given(ACTORS, st.integers(2, 60), st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_all_that_can_be_drawn_is_the_truth_and_all_of_the_truth_can_be_drawn(
    actors: list[list[tuple[list[tuple[Source, bool]], str]]], online: int, shown: int, seed: int
) -> None:
    mixture = Mixture.allocate(LAYOUT, online, shown, limit_bytes=LIMIT)
    models = Model(online), Model(shown)
    known: set[tuple[str, int, int]] = set()
    for here in stream(actors, seed):
        key = (here.actor, here.segment, here.index)
        is_new = key not in known
        known.add(key)
        assert mixture.add(here) == is_new
        if is_new:
            models[0].add(here)
            if here.source is Source.HUMAN:
                models[1].add(here)
            elif models[1].is_before(here):
                models[1].end(here.actor, number_in_state(here.observation.state))
        for replay, model in zip((mixture.online, mixture.demonstrations), models, strict=True):
            assert same(everything(replay, seed), model.drawable())
    for replay in (mixture.online, mixture.demonstrations):
        report = audit(replay)
        assert report.is_clean, str(report)
        assert report.transitions == len(replay)
        if len(replay):
            known_truth = everything(replay)
            assert all(d in known_truth for d in drawn(replay.sample(16, np.random.default_rng(seed))))


@settings(max_examples=150, deadline=None)
@given(ACTORS, st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_a_reward_that_becomes_known_or_invalid_later_counts_from_then_on(
    actors: list[list[tuple[list[tuple[Source, bool]], str]]], capacity: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mixture = Mixture.allocate(LAYOUT, capacity, capacity, limit_bytes=LIMIT)
    rewards: dict[int, float] = {}
    steps = stream(actors, seed)
    for here in steps:
        mixture.add(here)
        rewards.setdefault(number_in_state(here.observation.state), here.reward)
        if rng.random() < 0.3:
            past = steps[int(rng.integers(len(steps)))]
            if mixture.online.has_seen(past.actor, past.segment, past.index):
                reward = math.nan if rng.random() < 0.3 else float(rng.integers(9))
                mixture.relabel(Relabel(past.actor, past.segment, {past.index: reward}))
                rewards[number_in_state(past.observation.state)] = reward
    for replay in (mixture.online, mixture.demonstrations):
        assert audit(replay).is_clean
        assert [d.reward for d in everything(replay)] == [rewards[d.state] for d in everything(replay)]


# The three rules, on our replay and on two stand-ins that follow the rules of public buffers.


@dataclass(frozen=True)
class Pair:
    """One transition by the numbers of what it shows."""

    image: int
    state: int
    next_image: int
    next_state: int
    mask: float


class Replay(Protocol):
    """What the three rules are checked on."""

    def add(self, here: Step) -> None: ...
    def online(self) -> list[Pair]: ...
    def shown(self) -> list[Pair]: ...


class Ours:
    """The mixture."""

    def __init__(self, capacity: int) -> None:
        self._mixture = Mixture.allocate(LAYOUT, capacity, capacity, limit_bytes=LIMIT)

    def add(self, here: Step) -> None:
        self._mixture.add(here)

    def online(self) -> list[Pair]:
        return self._pairs(self._mixture.online)

    def shown(self) -> list[Pair]:
        return self._pairs(self._mixture.demonstrations)

    @staticmethod
    def _pairs(replay: ReplayBuffer) -> list[Pair]:
        return [Pair(d.maps, d.state, d.next_maps, d.next_state, d.mask) for d in everything(replay)]


@dataclass(frozen=True)
class Whole:
    """A transition as an actor hands it to a buffer that takes whole transitions: all of it is right here."""

    number: int
    next_number: int
    terminated: bool
    ends: bool


class PreviousSlotRing:
    """The rule "the image of an observation is that in the previous slot": only next images are stored.

    Where a segment is known to begin, its first image gets a slot of its own; that is known after an end only.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._slots: list[tuple[int, Whole | None] | None] = [None] * capacity
        self._cursor = 0
        self._begins = True

    def insert(self, whole: Whole) -> None:
        if self._begins:
            self._put(whole.number, None)
        self._put(whole.next_number, whole)
        self._begins = whole.ends
        following = self._slots[self._cursor]
        if following is not None:  # its previous image was overwritten just now
            self._slots[self._cursor] = (following[0], None)

    def pairs(self) -> list[Pair]:
        found: list[Pair] = []
        for i, slot in enumerate(self._slots):
            before = self._slots[i - 1]
            if slot is not None and slot[1] is not None and before is not None:
                whole = slot[1]
                found.append(Pair(before[0], whole.number, slot[0], whole.next_number, 1.0 - whole.terminated))
        return found

    def _put(self, image: int, whole: Whole | None) -> None:
        self._slots[self._cursor] = (image, whole)
        self._cursor = (self._cursor + 1) % self._capacity


class NextIndexRing:
    """The rule "the next state is state[i + 1], masked where the episode terminated, and only there"."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._slots: list[Whole] = []
        self._cursor = 0

    def insert(self, whole: Whole) -> None:
        if len(self._slots) < self._capacity:
            self._slots.append(whole)
        else:
            self._slots[self._cursor] = whole
        self._cursor = (self._cursor + 1) % self._capacity

    def pairs(self) -> list[Pair]:
        count = len(self._slots) if len(self._slots) == self._capacity else len(self._slots) - 1
        following = [self._slots[(i + 1) % self._capacity].number for i in range(count)]
        return [
            Pair(here.number, here.number, after, after, 1.0 - here.terminated)
            for here, after in zip(self._slots, following, strict=False)
        ]


class Public:
    """Feeds a stand-in with true transitions: one ring with all of them, one with the interventions only."""

    def __init__(self, ring: Callable[[int], PreviousSlotRing | NextIndexRing], capacity: int) -> None:
        self._online, self._shown = ring(capacity), ring(capacity)
        self._before: Step | None = None

    def add(self, here: Step) -> None:
        if self._before is not None:
            self._insert(self._before, number_in_state(here.observation.state))
        self._before = here
        if here.final_observation is not None:
            self._insert(here, number_in_state(here.final_observation.state))
            self._before = None

    def online(self) -> list[Pair]:
        return self._online.pairs()

    def shown(self) -> list[Pair]:
        return self._shown.pairs()

    def _insert(self, here: Step, after: int) -> None:
        whole = Whole(number_in_state(here.observation.state), after, here.terminated, here.ends_segment)
        self._online.insert(whole)
        if here.source is Source.HUMAN:
            self._shown.insert(whole)


def wrong(pairs: list[Pair], steps: list[Step]) -> int:
    """Return how many pairs are not what happened; a next observation that is masked away may be anything."""
    happened = {number_in_state(s.observation.state): s for s in steps}
    mistakes = 0
    for pair in pairs:
        here = happened[pair.state]
        joined = pair.next_image == pair.next_state == pair.state + 1
        masked = pair.mask == 0.0 and here.terminated
        mistakes += pair.image != pair.state or pair.mask != float(not here.terminated) or not (joined or masked)
    return mistakes


def wrong_at_segment_starts(make: Callable[[int], Replay], stretches: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """Return mistakes, and pairs looked at, where a person takes over in the middle of each of some episodes."""
    replay = make(1000)
    steps: list[Step] = []
    for segment, (begin, length) in enumerate(stretches):
        human = frozenset(range(begin, begin + length))
        steps += segment_of(100 * segment, begin + length + 3, segment=segment, end="truncated", human=human)
    for here in steps:
        replay.add(here)
    return wrong(replay.shown(), steps), len(replay.shown())


def wrong_at_truncated_ends(make: Callable[[int], Replay], lengths: tuple[int, ...]) -> tuple[int, int]:
    """Return mistakes, and pairs looked at, where episodes end at a time limit."""
    replay = make(1000)
    steps = [s for i, n in enumerate(lengths) for s in segment_of(100 * i, n, segment=i, end="truncated")]
    for here in steps:
        replay.add(here)
    return wrong(replay.online(), steps), len(replay.online())


def wrong_at_the_rings_seam(make: Callable[[int], Replay], capacity: int, length: int) -> tuple[int, int]:
    """Return mistakes, and pairs looked at, where one episode goes round the ring and on."""
    replay = make(capacity)
    steps = segment_of(0, length, end="open")
    for here in steps:
        replay.add(here)
    return wrong(replay.online(), steps), len(replay.online())


LENGTHS = st.lists(st.integers(1, 20), min_size=2, max_size=6).map(tuple)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=2, max_size=6).map(tuple))
def test_segment_starts_have_their_own_image_and_are_nobodys_next(stretches: tuple[tuple[int, int], ...]) -> None:
    assert wrong_at_segment_starts(Ours, stretches) == (0, sum(length for _, length in stretches))


@settings(max_examples=60, deadline=None)
@given(LENGTHS)
def test_truncated_ends_bootstrap_from_their_true_next_observation(lengths: tuple[int, ...]) -> None:
    assert wrong_at_truncated_ends(Ours, lengths) == (0, sum(lengths))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.integers(0, 100))
def test_nothing_is_joined_across_the_rings_seam(capacity: int, more: int) -> None:
    assert wrong_at_the_rings_seam(Ours, capacity, capacity + more) == (0, capacity - 1)


def previous_slot(capacity: int) -> Replay:
    return Public(PreviousSlotRing, capacity)


def next_index(capacity: int) -> Replay:
    return Public(NextIndexRing, capacity)


def test_the_rule_of_the_previous_slot_fails_at_segment_starts() -> None:
    mistakes, pairs = wrong_at_segment_starts(previous_slot, ((5, 5), (20, 5), (5, 5)))
    assert (mistakes, pairs) == (2, 15)
    assert wrong_at_truncated_ends(previous_slot, (10, 10, 10)) == (0, 30)
    assert wrong_at_the_rings_seam(previous_slot, 10, 25)[0] == 0


def test_the_rule_of_the_next_index_fails_all_three() -> None:
    assert wrong_at_segment_starts(next_index, ((5, 5), (20, 5), (5, 5))) == (2, 14)
    assert wrong_at_truncated_ends(next_index, (10, 10, 10)) == (2, 29)
    assert wrong_at_the_rings_seam(next_index, 10, 25) == (1, 10)
