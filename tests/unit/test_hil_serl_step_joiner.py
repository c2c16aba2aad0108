"""What was seen, executed and judged arrives in any order, and becomes the steps of a replay all the same."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from policies.hil_serl.step_joiner import Outcome, StepJoiner
from policies.hil_serl.transition import ReplayError
from tutelage_core.types import ExecutedStep, Observation, Source

pytestmark = pytest.mark.unit

PERIOD = 100


@dataclass
class Made:
    """A step as the joiner asked for it: by the stamps of its observations."""

    on: int
    action: float
    source: Source
    reward: float = 0.0
    end: int | None = None
    terminated: bool = False


@dataclass
class Bench:
    """A joiner whose maker and judge are played."""

    room: int = 10_000
    broken: int = -1
    made: list[list[Made]] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    judged: dict[int, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.joiner = StepJoiner(PERIOD, lambda: self, self._outcome, self._keep)

    # the maker

    def restart(self, seed: int) -> None:
        self.seeds.append(seed)
        self.made.append([])

    def took(self, obs: Observation, executed: np.ndarray, source: Source) -> None:
        if obs.stamp_ns == self.broken:
            raise ReplayError("broken")
        self._taken = Made(obs.stamp_ns, float(executed[0]), source)

    def go_on(self, reward: float) -> Made:
        self._taken.reward = reward
        return self._taken

    def end(self, final: Observation, reward: float, *, terminated: bool) -> Made:
        self._taken.reward, self._taken.end, self._taken.terminated = reward, final.stamp_ns, terminated
        return self._taken

    def _keep(self, step: Made) -> bool:
        self.made[-1].append(step)
        self.room -= 1
        return self.room > 0

    def _outcome(self, obs: Observation) -> Outcome | None:
        return self.judged.get(obs.stamp_ns)

    # the streams

    def see(self, *stamps: int, judged: bool = True) -> None:
        for stamp in stamps:
            if judged:
                self.judged.setdefault(stamp, Outcome(0.0, success=False))
            self.joiner.see(Observation(stamp, {}, {}))

    def execute(self, *stamps: int, source: Source = Source.POLICY) -> None:
        for stamp in stamps:
            step = np.zeros(7)
            step[0] = stamp
            self.joiner.execute(ExecutedStep(stamp, 0, source, step, step, ()))

    def stamps(self) -> list[list[int]]:
        return [[step.on for step in segment] for segment in self.made]


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.joiner.begin(seed=7, not_before_ns=1000)
    return bench


def lockstep(bench: Bench, first: int, steps: int) -> None:
    """Seen and executed in turn, the last observation without a step."""
    for stamp in range(first, first + steps * PERIOD, PERIOD):
        bench.see(stamp)
        bench.execute(stamp)
    bench.see(first + steps * PERIOD)


def test_lockstep_episode_becomes_one_segment_with_its_own_end(bench: Bench):
    lockstep(bench, 1000, 3)
    assert bench.stamps() == [[1000, 1100]], "whether the last step ends the segment is not known yet"
    assert not bench.joiner.is_settled
    bench.joiner.pause()
    assert bench.joiner.is_settled
    assert bench.stamps() == [[1000, 1100, 1200]]
    assert (bench.made[0][-1].end, bench.made[0][-1].terminated) == (1300, False)
    assert bench.seeds == [7]


def test_success_ends_the_segment_and_what_is_executed_then_is_no_part_of_it(bench: Bench):
    bench.judged[1200] = Outcome(1.0, success=True)
    lockstep(bench, 1000, 4)
    bench.joiner.pause()
    assert bench.stamps() == [[1000, 1100]]
    last = bench.made[0][-1]
    assert (last.reward, last.terminated, last.end) == (1.0, True, 1200)
    assert bench.joiner.lost == 0


def test_outcome_that_comes_late_is_waited_for(bench: Bench):
    bench.see(1000, 1100, judged=False)
    bench.execute(1000, 1100)
    assert bench.stamps() == [[]]
    assert not bench.joiner.has_taken_all
    bench.judged[1100] = Outcome(math.nan, success=False)
    bench.joiner.look()
    assert bench.stamps() == [[1000]]
    assert math.isnan(bench.made[0][0].reward)
    assert bench.joiner.has_taken_all


@pytest.mark.parametrize("order", list(itertools.permutations(["see", "execute", "judge"])))
def test_order_of_the_streams_changes_nothing(order: tuple[str, ...]):
    expected = Bench()
    expected.joiner.begin(0, 1000)
    lockstep(expected, 1000, 3)
    expected.joiner.pause()

    mixed = Bench()
    mixed.joiner.begin(0, 1000)
    for stream in order:
        if stream == "see":
            mixed.see(1000, 1100, 1200, 1300, judged=False)
        elif stream == "execute":
            mixed.execute(1000, 1100, 1200)
        else:
            mixed.judged |= {stamp: Outcome(0.0, success=False) for stamp in (1000, 1100, 1200, 1300)}
            mixed.joiner.look()
    mixed.joiner.pause()
    assert mixed.made == expected.made


def test_step_between_two_pictures_stands_on_the_newest_before_it(bench: Bench):
    """A person's steps have stamps of their own, and cameras may be faster than the control rate."""
    bench.see(1000, 1033)
    bench.execute(1050, source=Source.HUMAN)
    assert bench.joiner.has_taken_all is False, "a newer picture of before it may still come"
    bench.see(1066, 1100, 1133)
    bench.execute(1150, source=Source.HUMAN)
    bench.see(1166, 1233, 1266)
    bench.joiner.pause()
    assert bench.stamps() == [[1033, 1133]]
    assert [step.source for step in bench.made[0]] == [Source.HUMAN, Source.HUMAN]
    assert bench.made[0][-1].end == 1233, "one period later"


def test_held_steps_are_steps_like_others(bench: Bench):
    bench.see(1000)
    bench.execute(1000, source=Source.HOLD)
    bench.see(1100)
    bench.execute(1100)
    bench.see(1200)
    bench.joiner.pause()
    assert [step.source for step in bench.made[0]] == [Source.HOLD, Source.POLICY]


def test_pause_ends_the_segment_truncated_and_the_next_one_has_other_shifts(bench: Bench):
    lockstep(bench, 1000, 2)
    bench.joiner.pause()
    bench.execute(1200, 1300, source=Source.HOLD)
    bench.see(1300, 1400)
    bench.joiner.resume()
    lockstep(bench, 1500, 2)
    bench.joiner.pause()
    assert bench.stamps() == [[1000, 1100], [1500, 1600]]
    assert [segment[-1].end for segment in bench.made] == [1200, 1700]
    assert bench.seeds[0] == 7 != bench.seeds[1]
    assert bench.joiner.lost == 0


def test_hole_in_the_steps_ends_a_segment(bench: Bench):
    bench.see(1000)
    bench.execute(1000)
    bench.see(1100, 1200, 1300)
    bench.execute(1300)
    bench.see(1400)
    bench.joiner.pause()
    assert bench.stamps() == [[1000], [1300]]
    assert bench.made[0][0].end == 1100


def test_outbox_without_room_ends_the_segment_and_the_rest_is_counted(bench: Bench):
    bench.room = 2
    lockstep(bench, 1000, 6)
    bench.joiner.pause()
    assert bench.stamps() == [[1000, 1100, 1200]]
    assert bench.made[0][-1].end == 1300
    assert bench.joiner.lost == 3
    assert "no room" in bench.joiner.trouble
    bench.room = 100
    bench.joiner.begin(8, 2000)
    lockstep(bench, 2000, 2)
    bench.joiner.pause()
    assert bench.stamps()[1] == [2000, 2100]


def test_observation_that_no_replay_takes_costs_its_segment_alone(bench: Bench):
    bench.broken = 1100
    lockstep(bench, 1000, 4)
    bench.joiner.pause()
    # the step before it is whole; what was under way is lost, and told
    assert bench.stamps() == [[1000], [1200, 1300]]
    assert bench.joiner.lost == 1
    assert "broken" in bench.joiner.trouble


def test_step_without_any_picture_before_it_is_told(bench: Bench):
    bench.execute(1300)
    bench.see(1400)
    assert bench.joiner.lost == 1
    assert "no observation" in bench.joiner.trouble
    bench.execute(1400)
    bench.see(1500)
    bench.joiner.pause()
    assert bench.stamps() == [[1400]]


def test_second_step_on_one_picture_is_told_and_left_out(bench: Bench):
    bench.see(1000)
    bench.execute(1000, 1050)
    bench.see(1100)
    bench.execute(1100)
    bench.see(1200)
    bench.joiner.pause()
    assert bench.stamps() == [[1000, 1100]]
    assert bench.joiner.lost == 1


def test_last_step_of_which_nothing_was_seen_is_given_up_by_name(bench: Bench):
    bench.see(1000)
    bench.execute(1000)
    bench.joiner.pause()
    assert not bench.joiner.is_settled
    bench.joiner.begin(8, 5000)
    assert bench.joiner.lost == 1
    assert "another episode began" in bench.joiner.trouble
    bench.joiner.begin(9, 6000)
    assert (bench.joiner.lost, bench.joiner.trouble) == (1, ""), "told once, counted for ever"


def test_what_was_before_the_episode_and_the_way_home_are_no_steps(bench: Bench):
    bench.see(900)
    bench.execute(900)
    bench.see(1000)
    bench.execute(1000, source=Source.HOMING)
    bench.execute(1000)
    bench.see(1100)
    bench.joiner.pause()
    assert bench.stamps() == [[1000]]


def test_picture_that_comes_again_is_ignored(bench: Bench):
    bench.see(1000)
    bench.execute(1000)
    bench.see(1100, 1100, 1000)
    bench.execute(1100)
    bench.see(1200)
    bench.joiner.pause()
    assert bench.stamps() == [[1000, 1100]]


def test_nothing_is_heard_before_an_episode_begins():
    bench = Bench()
    lockstep(bench, 1000, 3)
    assert bench.made == []


def test_last_step_before_a_stop_failed_and_those_before_a_pause_did_not(bench: Bench):
    lockstep(bench, 1000, 2)
    bench.joiner.pause()
    bench.joiner.resume()
    lockstep(bench, 1300, 2)
    bench.joiner.pause(failed=True)
    assert [[step.terminated for step in segment] for segment in bench.made] == [[False, False], [False, True]]
    assert bench.made[-1][-1].reward == 0.0
    bench.joiner.begin(seed=8, not_before_ns=2000)
    lockstep(bench, 2000, 2)
    bench.joiner.pause()
    assert [step.terminated for step in bench.made[-1]] == [False, False]


def test_success_that_is_seen_before_a_stop_stays_one(bench: Bench):
    bench.judged[1200] = Outcome(1.0, success=True)
    lockstep(bench, 1000, 2)
    bench.joiner.pause(failed=True)
    assert [(step.reward, step.terminated) for step in bench.made[-1]] == [(0.0, False), (1.0, True)]


def test_stop_says_nothing_of_a_step_that_was_cut_off_before_it(bench: Bench):
    lockstep(bench, 1000, 1)
    bench.see(1500)
    bench.execute(1500)  # pictures or steps were lost in between: the first segment ended there
    bench.see(1600)
    bench.joiner.pause(failed=True)
    assert [[step.terminated for step in segment] for segment in bench.made] == [[False], [True]]
