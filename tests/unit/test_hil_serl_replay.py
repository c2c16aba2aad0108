"""The replay's edges: memory, views, bad input, interventions, figures; the truth is in `tests/property`."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from policies.hil_serl.index_set import IndexSet
from policies.hil_serl.layout import ObservationLayout
from policies.hil_serl.mixture import Mixture
from policies.hil_serl.replay import ReplayBuffer
from policies.hil_serl.replay_arrays import ReplayArrays, bytes_needed
from policies.hil_serl.replay_audit import INVARIANTS, audit
from policies.hil_serl.replay_batch import empty_batch
from policies.hil_serl.transition import Relabel, ReplayError, Step
from tests.unit.hil_serl_replay_samples import LAYOUT, LIMIT, VIEWS, drawn, observed, segment_of, step
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Source

pytestmark = pytest.mark.unit


def replay(capacity: int = 50, *, partial: bool = False, steps: list[Step] | None = None) -> ReplayBuffer:
    made = ReplayBuffer(LAYOUT, capacity, limit_bytes=LIMIT, partial=partial)
    for here in steps or []:
        made.add(here)
    return made


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_memory_is_told_before_it_is_allocated_and_is_what_the_arrays_take() -> None:
    for layout in (LAYOUT, ObservationLayout(5, images={"front": (8, 9)}), ObservationLayout(3)):
        made = ReplayArrays(layout, 17)
        assert bytes_needed(layout, 17) == made.nbytes + IndexSet.bytes_needed(17)


def test_more_memory_than_the_limit_is_refused_with_what_would_fit() -> None:
    layout = ObservationLayout(22, dict.fromkeys(("front", "wrist"), (4, 64, 8, 8)))
    with pytest.raises(ConfigurationError, match=r"1000000 observations need 61\.\d\d GiB, the limit is 1\.00 GiB"):
        ReplayBuffer(layout, 1_000_000, limit_bytes=2**30)
    with pytest.raises(ConfigurationError) as caught:
        ReplayBuffer(layout, 100, limit_bytes=5_000_000)
    fits = int(str(caught.value).split("; ")[1].split(" ")[0])
    ReplayBuffer(layout, fits, limit_bytes=5_000_000)
    with pytest.raises(ConfigurationError, match="the limit is"):
        ReplayBuffer(layout, fits + 1, limit_bytes=5_000_000)


def test_two_replays_share_one_limit() -> None:
    needed = bytes_needed(LAYOUT, 30) + bytes_needed(LAYOUT, 20)
    assert Mixture.allocate(LAYOUT, 30, 20, limit_bytes=needed).bytes_needed == needed
    with pytest.raises(ConfigurationError, match="online replay"):
        Mixture.allocate(LAYOUT, 30, 20, limit_bytes=needed - 1)


def test_a_capacity_without_room_for_a_transition_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 2 observations, got 1"):
        replay(1)


def test_a_step_is_drawn_once_its_next_observation_is_there() -> None:
    made = replay(steps=[step(0)])
    assert len(made) == 0
    assert made.awaits("a") == (0, 0)
    with pytest.raises(ReplayError, match="of 1 steps 1 wait for their next observation and 0 for a valid reward"):
        made.sample(1, rng())
    made.add(step(1, index=1))
    assert [d.state for d in drawn(made.sample(1, rng()))] == [0]


def test_every_transition_is_drawn_about_as_often() -> None:
    made = replay(steps=segment_of(0, 20))
    counts = Counter(made.sample(20_000, rng()).row.tolist())
    assert len(counts) == 20
    assert max(abs(n - 1000) for n in counts.values()) < 150  # 4.9 standard deviations


def test_each_view_of_each_side_is_drawn_by_itself_and_the_plain_one_on_demand() -> None:
    made = replay(steps=segment_of(0, 20))
    batch = made.sample(2000, rng())
    pairs = Counter(
        zip(batch.maps["front"][:, 2, 0, 0].tolist(), batch.next_maps["front"][:, 2, 0, 0].tolist(), strict=True)
    )
    assert len(pairs) == VIEWS**2
    plain = made.sample(100, rng(), plain_views=True)
    assert not plain.both_maps["front"][:, :, 2].any()


def test_the_same_generator_draws_the_same_batch() -> None:
    made = replay(steps=segment_of(0, 20))
    one, two, other = (made.sample(64, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.both_maps["front"], two.both_maps["front"])
    np.testing.assert_array_equal(one.row, two.row)
    assert not np.array_equal(one.row, other.row)


def test_a_batch_can_be_filled_again() -> None:
    made = replay(steps=segment_of(0, 20))
    out = empty_batch(LAYOUT, 8)
    assert made.sample(8, rng(1), out) is out
    assert list(drawn(out)) == list(drawn(made.sample(8, rng(1))))
    with pytest.raises(ReplayError, match="has 8 places, 9 were asked for"):
        made.sample(9, rng(), out)


def test_a_step_that_comes_again_is_ignored_and_counted() -> None:
    steps = segment_of(0, 5)
    made = replay(steps=steps)
    assert [made.add(here) for here in steps] == [False] * 5
    assert made.counts.duplicates == 5
    assert (made.counts.added, len(made)) == (5, 5)


def test_another_step_under_a_known_number_is_refused() -> None:
    made = replay(steps=segment_of(0, 5))
    with pytest.raises(ReplayError, match="another step of that number is stored"):
        made.add(step(77, index=2))
    assert made.progress["a"].next_index == 5


def test_a_refused_step_leaves_nothing_behind() -> None:
    made = replay(steps=segment_of(0, 3, end="open"))
    before = made.counts
    wide = replace(step(3, index=3), observation=replace(observed(3), state=np.zeros(9, np.float32)))
    for bad in (wide, step(9, index=7), step(9, segment=2)):
        with pytest.raises(ReplayError):
            made.add(bad)
    ends = replace(step(3, index=3, truncated=True), final_observation=replace(observed(4), maps={}))
    with pytest.raises(ReplayError, match="final observation: maps of the cameras none"):
        made.add(ends)
    assert made.counts == before
    assert made.add(step(3, index=3))


def test_an_unknown_reward_is_stored_and_drawn_once_it_is_known() -> None:
    steps = segment_of(0, 4)
    steps[2] = replace(steps[2], reward=math.nan)
    made = replay(steps=steps)
    assert {d.state for d in drawn(made.sample(200, rng()))} == {0, 1, 3}
    assert made.counts.unlabelled == 1
    assert made.relabel(Relabel("a", 0, {2: 7.0, 3: math.nan})) == 2
    assert {(d.state, d.reward) for d in drawn(made.sample(200, rng()))} == {(0, 0.0), (1, 1.0), (2, 7.0)}
    assert made.relabel(Relabel("a", 0, {})) == 0


def test_a_reward_for_an_overwritten_step_is_let_go_and_for_an_unknown_one_refused() -> None:
    made = replay(4, steps=segment_of(0, 9))
    assert made.relabel(Relabel("a", 0, {0: 1.0, 8: 1.0})) == 1
    for unknown in (Relabel("a", 0, {9: 1.0}), Relabel("b", 0, {0: 1.0})):
        with pytest.raises(ReplayError, match="is unknown and cannot be relabelled"):
            made.relabel(unknown)


def test_figures_tell_what_was_overwritten_and_what_will_never_be_whole() -> None:
    made = replay(6, steps=segment_of(0, 3, end="open"))
    made.add(step(10, segment=1, after_restart=True))
    assert (made.counts.unfinished, made.counts.waiting, made.counts.held) == (1, 1, 4)
    for here in segment_of(20, 9, actor="b"):
        made.add(here)
    counts = made.counts
    assert (counts.unfinished, counts.overwritten, counts.held, counts.sampleable) == (2, 8, 5, 5)


def test_a_long_indexed_set_stays_dense() -> None:
    members, chosen = IndexSet(50), rng()
    truth: set[int] = set()
    for _ in range(3000):
        member, present = int(chosen.integers(50)), bool(chosen.integers(2))
        members.set(member, present=present)
        (truth.add if present else truth.discard)(member)
        assert len(members) == len(truth)
    assert set(members.members.tolist()) == truth
    assert all((m in members) == (m in truth) for m in range(50))
    assert set(members.draw(2000, chosen).tolist()) == truth
    with pytest.raises(ReplayError, match="nothing to draw from"):
        IndexSet(3).draw(1, chosen)


HUMAN = frozenset({2, 3, 6})


def mixed(ratio: float = 0.5) -> Mixture:
    made = Mixture.allocate(LAYOUT, 60, 40, limit_bytes=LIMIT, ratio=ratio)
    for here in segment_of(0, 8, human=HUMAN):
        assert made.add(here)
    return made


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_interventions_are_in_both_whatever_the_ratio(ratio: float) -> None:
    made = mixed(ratio)
    assert {d.state for d in drawn(made.demonstrations.sample(200, rng()))} == set(HUMAN)
    assert {d.state for d in drawn(made.online.sample(200, rng()))} == set(range(8))


def test_a_hand_over_truncates_in_the_demonstrations_with_the_true_next_observation() -> None:
    kept = mixed().demonstrations
    rows = kept.sampleable
    ends = {int(kept.arrays.index[r]): bool(kept.arrays.truncated[r]) for r in rows.tolist()}
    assert ends == {2: False, 3: True, 6: True}
    assert {(d.state, d.next_state, d.mask) for d in drawn(kept.sample(100, rng()))} == {
        (2, 3, 1.0),
        (3, 4, 1.0),
        (6, 7, 1.0),
    }


def test_an_intervention_that_ends_the_task_terminates_in_both() -> None:
    made = Mixture.allocate(LAYOUT, 60, 40, limit_bytes=LIMIT)
    for here in segment_of(0, 4, human=frozenset({2, 3}), end="terminated"):
        made.add(here)
    for kept in (made.online, made.demonstrations):
        assert {d.state: d.mask for d in drawn(kept.sample(100, rng()))}[3] == 0.0
        assert audit(kept).terminated == 1


@pytest.mark.parametrize(("ratio", "shown"), [(0.0, 0), (0.5, 5), (0.25, 2), (1.0, 10)])
def test_a_batch_has_its_share_of_demonstrations_last(ratio: float, shown: int) -> None:
    batch = mixed(ratio).sample(10, rng())
    assert batch.is_demonstration.tolist() == [False] * (10 - shown) + [True] * shown
    assert set(batch.source[batch.is_demonstration].tolist()) <= {int(Source.HUMAN)}
    assert all(d.maps == d.pixels == d.state for d in drawn(batch))


def test_no_demonstrations_is_refused_with_what_to_do_unless_it_is_meant() -> None:
    made = Mixture.allocate(LAYOUT, 60, 40, limit_bytes=LIMIT)
    for here in segment_of(0, 8):
        made.add(here)
    for refused in (made.require_demonstrations, lambda: made.sample(4, rng())):
        with pytest.raises(ConfigurationError, match=r"share of 0\.5 .* record some and load them, set the ratio to 0"):
            refused()
    assert not made.sample(4, rng(), may_be_empty=True).is_demonstration.any()
    Mixture(made.online, made.demonstrations, ratio=0.0).require_demonstrations()


def test_demonstrations_without_a_valid_reward_count_as_none() -> None:
    made = Mixture.allocate(LAYOUT, 60, 40, limit_bytes=LIMIT)
    for here in segment_of(0, 3, actor="shown"):
        made.add_demonstration(replace(here, reward=math.nan))
    with pytest.raises(ConfigurationError, match="of 3 steps 3 have no valid reward"):
        made.require_demonstrations()
    assert made.relabel(Relabel("shown", 0, {0: 1.0})) == 1
    made.require_demonstrations()


def test_a_reward_reaches_both_places_of_an_intervention() -> None:
    made = mixed()
    assert made.relabel(Relabel("a", 0, {1: 50.0, 3: 60.0})) == 3
    assert {d.state: d.reward for d in drawn(made.online.sample(200, rng()))}[3] == 60.0
    assert {d.state: d.reward for d in drawn(made.demonstrations.sample(200, rng()))}[3] == 60.0


def test_a_demonstrator_and_an_actor_cannot_bear_one_name() -> None:
    made = mixed()
    with pytest.raises(ReplayError, match="must not bear the name of an actor"):
        made.add_demonstration(step(0))
    made.add_demonstration(step(0, actor="shown"))
    with pytest.raises(ReplayError, match="must not bear the name of a demonstrator"):
        made.add(step(0, actor="shown", segment=1))


def test_a_gap_in_a_demonstration_is_refused_and_a_step_sent_again_ignored() -> None:
    made = mixed()
    shown = segment_of(0, 4, actor="shown")
    assert made.add_demonstration(shown[0])
    assert not made.add_demonstration(shown[0])
    with pytest.raises(ReplayError, match="step 1 of segment 0 of actor 'shown' is missing"):
        made.add_demonstration(shown[2])
    assert [made.add_demonstration(here) for here in shown[1:]] == [True] * 3


def test_replays_that_do_not_belong_together_are_refused() -> None:
    other = ReplayBuffer(ObservationLayout(2), 9, limit_bytes=LIMIT, partial=True)
    with pytest.raises(ConfigurationError, match="differ"):
        Mixture(replay(), other)
    with pytest.raises(ConfigurationError, match="must not be partial"):
        Mixture(replay(), replay())
    with pytest.raises(ConfigurationError, match=r"ratio must be in \[0, 1\], got nan"):
        Mixture(replay(), replay(partial=True), math.nan)


def test_only_a_partial_replay_can_be_interrupted() -> None:
    with pytest.raises(ReplayError, match="no stretch of actor 'a' is open"):
        replay(steps=[step(0)]).interrupt("a", observed(1))
    with pytest.raises(ReplayError, match="no stretch of actor 'a' is open"):
        replay(partial=True).interrupt("a", observed(1))


def spoil(made: ReplayBuffer, name: str) -> None:
    """Break one invariant of a replay that holds two segments of three steps, the second terminated."""
    a = made.arrays
    if name == "drawn but empty":
        made._sampleable.set(3, present=True)
    elif name == "drawn but without next":
        a.next_slot[0] = -1
    elif name == "missing from the drawn":
        made._sampleable.set(0, present=False)
    elif name == "next of another segment":
        a.segment[1] = 5
    elif name == "next out of order":
        a.index[1] = 3
    elif name == "next is no end":
        a.holds_step[3] = True
    elif name == "next is an end":
        a.truncated[2] = False
    elif name == "pointer back":
        a.previous_slot[1] = 2
    elif name == "next is older":
        a.serial[1] = 0
    elif name == "content":
        a.images["wrist"][1, 0, 0, 0] ^= 1
    elif name == "reward":
        a.reward[0] = np.nan
    else:
        a.action[0, 2] = 1.5


@pytest.mark.parametrize("name", INVARIANTS)
def test_the_audit_finds_what_is_broken(name: str) -> None:
    made = replay(steps=segment_of(0, 3) + segment_of(10, 3, segment=1, end="terminated"))
    clean = audit(made)
    assert (clean.is_clean, clean.transitions, clean.truncated, clean.terminated) == (True, 6, 1, 1)
    assert str(clean) == "6 transitions, no mismatch"
    spoil(made, name)
    found = audit(made)
    assert found.mismatches[name] > 0
    assert name in str(found)
    assert not found.is_clean


def test_an_audit_without_content_reads_no_observation() -> None:
    made = replay(steps=segment_of(0, 3))
    made.arrays.state[1] = 9
    assert audit(made, content=False).is_clean
    assert audit(made).mismatches["content"] == 2
