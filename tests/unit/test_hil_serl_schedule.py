from __future__ import annotations

import pytest

from policies.hil_serl.config import ScheduleConfig
from policies.hil_serl.schedule import UpdateSchedule
from tutelage_core.clock import ManualClock

pytestmark = pytest.mark.unit


def test_schedule_holds_the_target_ratio_and_counts_starving() -> None:
    clock = ManualClock()
    schedule = UpdateSchedule(ScheduleConfig(training_starts=10, updates_per_step=2.0, burst=5), clock)
    schedule.stepped(10)
    assert schedule.due() == 0  # the steps before the start ask for nothing
    clock.set_ns(1_000)
    schedule.stepped(4)
    done = 0
    while due := schedule.due():
        assert due <= 5
        schedule.updated(due)
        done += due
    assert done == 8
    clock.set_ns(4_000)
    report = schedule.report()
    assert (report.steps, report.updates, report.achieved, report.owed_steps) == (14, 8, 2.0, 0.0)
    assert report.starved == 1.0  # nothing was ever taken to update here: all the time went by waiting


def test_schedule_says_how_far_behind_the_learner_is() -> None:
    schedule = UpdateSchedule(ScheduleConfig(training_starts=0, updates_per_step=0.5, lag_steps=6), ManualClock())
    schedule.stepped(8)
    assert schedule.actor_should_wait
    assert schedule.due() == 4
    schedule.updated(1)
    assert schedule.report().owed_steps == 6.0
    assert not schedule.actor_should_wait


def test_warm_up_comes_before_the_first_update_and_free_running_never_starves_after() -> None:
    clock = ManualClock()
    schedule = UpdateSchedule(ScheduleConfig(training_starts=5, warmup_steps=20, burst=7), clock)
    schedule.stepped(19)
    assert schedule.due() == 0
    clock.set_ns(100)
    schedule.stepped()
    assert schedule.due() == 7
    schedule.updated(7)
    clock.set_ns(400)
    assert schedule.due() == 7
    assert schedule.report().starved == 0.25
    assert not schedule.actor_should_wait


def test_schedule_goes_on_where_an_earlier_process_ended() -> None:
    schedule = UpdateSchedule(
        ScheduleConfig(training_starts=0, updates_per_step=1.0), ManualClock(), steps=10, updates=8
    )
    assert schedule.due() == 2
