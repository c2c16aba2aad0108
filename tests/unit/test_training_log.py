"""The log of an online learning run, what follows from it for the person who corrects, and what the terminal shows."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tutelage.learning.coaching import CoachingSettings, advice, coaching_figures, rolling_share
from tutelage.learning.live_display import DisplayState, LiveDisplay
from tutelage.learning.training_log import LOG_FILE, TrainingLog, TrainingLogError, read_log
from tutelage.learning.training_rows import EpisodeRow, EvaluationRow, LearnerRow, Row
from tutelage_core.clock import ManualClock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit

NAN = math.nan


def episode(number: int, **changes: Any) -> EpisodeRow:
    """Return episode `number` of a run in which each takes 50 control periods and none is corrected."""
    row = EpisodeRow(number, "twin-0", 7000 + number, 6.5 * number, 50 * number, 50, True, True, 0, 0, (), 8, "")
    return replace(row, **changes)


def corrected(number: int, **changes: Any) -> EpisodeRow:
    return episode(number, **{"human_steps": 10, "takeovers": 2, "reasons": ("stall", "dropped"), **changes})


def report(updates: int, **changes: Any) -> LearnerRow:
    """Return a report after two updates for each step."""
    losses = dict.fromkeys(("critic_loss", "grasp_loss", "actor_loss", "entropy", "temperature"), 0.25)
    values = {"value": 0.5, "target": 0.5, "gradient_norm": 1.5, "value_on_corrections": 0.6, "value_on_policy": 0.4}
    row = LearnerRow(3.0, updates // 2, updates, 12.5, 2.0, None, 0.0, 0.25, **losses, **values)
    return replace(row, **changes)


def evaluation(updates: int, successes: int) -> EvaluationRow:
    return EvaluationRow(3.0, updates // 2, updates, successes, 25, 41.5 if successes else NAN, 100)


def write(folder: Path, *rows: Row) -> Path:
    with TrainingLog(folder) as log:
        for row in rows:
            log.add(row)
    return folder / LOG_FILE


def test_every_kind_of_row_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rows = [corrected(1, true_success=None, failure="dropped", success=False), report(60), evaluation(60, 20)]
    assert read_log(write(tmp_path, *rows)) == rows


def test_numbers_that_json_does_not_have_come_back_and_no_target_stays_none(tmp_path: Path) -> None:
    path = write(tmp_path, report(60, actor_loss=NAN, critic_loss=math.inf, grasp_loss=-math.inf))
    (row,) = read_log(path)
    assert isinstance(row, LearnerRow)
    assert math.isnan(row.actor_loss)
    assert (row.critic_loss, row.grasp_loss, row.target_ratio) == (math.inf, -math.inf, None)
    assert json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_log_that_is_opened_again_is_continued(tmp_path: Path) -> None:
    write(tmp_path, episode(1))
    assert read_log(write(tmp_path, episode(2))) == [episode(1), episode(2)]


def test_last_line_that_a_kill_left_unfinished_is_cut_away_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, episode(1), episode(2))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with caplog.at_level(logging.WARNING):
        assert read_log(path) == [episode(1)]
        assert path.read_bytes() == whole[:-1], "reading changes nothing"
        write(tmp_path, episode(3))
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}, line 2: unfinished, the last one; it is left out",
        f"{path}, line 2: unfinished, the last one; it is cut away",
    ]
    assert read_log(path) == [episode(1), episode(3)]


@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        ('{"kind": "episode", "epis', "not valid JSON"),
        ("", "not valid JSON"),
        ('["episode"]', "'kind' is one of episode, learner, evaluation, resume"),
        ('{"kind": "episodes"}', "'kind' is one of episode, learner, evaluation, resume"),
        ('{"kind": ["episode"]}', "'kind' is one of episode, learner, evaluation, resume"),
        ('{"kind": "resume", "steps": 1}', "key 'updates' is missing"),
        ('{"kind": "resume", "steps": 1, "updates": 2, "upsets": 3}', "unknown key 'upsets'"),
        ('{"kind": "resume", "steps": 1, "updates": "many"}', "expected int, got 'many'"),
        (json.dumps({"kind": "evaluation", **vars(evaluation(60, 20)), "successes": 26}), "got 26 of 25"),
    ],
)
def test_a_damaged_line_in_the_middle_is_refused_by_its_number(tmp_path: Path, damaged: str, told: str) -> None:
    path = write(tmp_path, episode(1), episode(2))
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{damaged}\n{second}\n")
    before = path.read_bytes()
    for use in (lambda: read_log(path), lambda: TrainingLog(tmp_path)):
        with pytest.raises(TrainingLogError, match=told) as refusal:
            use()
        assert str(refusal.value).count(f"{path}, line 2") == 1
    assert path.read_bytes() == before


def test_a_log_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingLogError, match="cannot be read: No such file"):
        read_log(tmp_path / LOG_FILE)


def test_a_second_run_cannot_write_to_the_log_of_a_first(tmp_path: Path) -> None:
    with TrainingLog(tmp_path), pytest.raises(TrainingLogError, match="another run writes to it"):
        TrainingLog(tmp_path)
    TrainingLog(tmp_path).close()


def test_a_row_that_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    with TrainingLog(tmp_path) as log:
        log.add(episode(1))
        for wrong in (episode(2, seed=1.5), episode(2, failure=None), episode(2, actor={1})):
            with pytest.raises(ConfigurationError, match="episode row"):
                log.add(wrong)
    assert read_log(log.path) == [episode(1)]


def test_a_row_that_the_disk_does_not_take_leaves_no_part_of_it(tmp_path: Path) -> None:
    with TrainingLog(tmp_path) as log:
        log.add(episode(1))
        whole = log.path.read_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, hard))
        try:
            with pytest.raises(TrainingLogError, match="a row cannot be written: File too large"):
                log.add(episode(2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert log.path.read_bytes() == whole
        log.add(episode(3))
    assert read_log(log.path) == [episode(1), episode(3)]


def test_a_process_that_is_killed_loses_no_row_that_it_added(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.unit.test_training_log import TrainingLog, episode\n"
        "log = TrainingLog(Path(sys.argv[1]))\n"
        "log.add(episode(1)); log.add(episode(2)); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parents[2], env=dict(os.environ), check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert read_log(tmp_path / LOG_FILE) == [episode(1), episode(2)]


def test_rows_from_beyond_the_checkpoint_do_not_count_after_a_resume(tmp_path: Path) -> None:
    path = write(tmp_path, episode(1), report(100), evaluation(100, 5), episode(2), report(137), evaluation(200, 9))
    with TrainingLog(tmp_path) as log:
        log.resume(steps=50, updates=120)
        assert read_log(path) == [episode(1), report(100), evaluation(100, 5)]
        log.add(episode(2, seed=5))
        log.add(report(150))
    assert read_log(path) == [episode(1), report(100), evaluation(100, 5), episode(2, seed=5), report(150)]


def test_a_report_after_the_checkpoints_updates_does_not_count_even_at_its_step(tmp_path: Path) -> None:
    path = write(tmp_path, report(120, steps=50), report(121, steps=50))
    with TrainingLog(tmp_path) as log:
        log.resume(steps=50, updates=120)
    assert read_log(path) == [report(120, steps=50)]


def test_of_two_rows_of_the_same_number_the_newer_one_counts_at_the_place_of_the_older(tmp_path: Path) -> None:
    older = [episode(1), episode(2), report(60), evaluation(60, 1)]
    newer = [episode(1, seed=3), report(60, value=0.9), evaluation(60, 2)]
    assert read_log(write(tmp_path, *older, *newer)) == [newer[0], episode(2), newer[1], newer[2]]


def test_counts_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"human_steps must be in 0..length \(50\), got 51"):
        episode(1, human_steps=51)
    with pytest.raises(ConfigurationError, match="got 0 of 0"):
        replace(evaluation(60, 0), episodes=0)


def test_a_rolling_share_is_of_the_last_ones_and_unknown_where_there_is_nothing() -> None:
    shares = rolling_share([0, 1, 1, 0, 3], [0, 2, 2, 0, 4], window=2)
    assert math.isnan(shares[0])
    assert shares[1:].tolist() == [0.5, 0.5, 0.5, 0.75]
    assert rolling_share([], [], window=2).tolist() == []


def test_figures_are_of_the_window_and_tell_autonomous_from_helped_success() -> None:
    old = [episode(number, success=False, true_success=None) for number in range(1, 7)]
    last = [corrected(7), corrected(8, success=False, true_success=True), episode(9), episode(10, success=False)]
    figures = coaching_figures(old + last, settings=CoachingSettings(window=4))
    assert (figures.episodes, figures.window, figures.success, figures.rewarded_of_all) == (10, 4, 0.5, 0.2)
    assert (figures.uncorrected, figures.autonomous_success, figures.unaided_success) == (2, 0.5, 0.25)
    assert (figures.intervention_rate, figures.takeovers_per_episode) == (0.1, 1.0)
    assert (figures.own_steps_per_takeover, figures.since_correction) == (45.0, 2)
    assert figures.wrong_rewards == 0.5


def test_figures_of_nothing_are_unknown_and_lead_to_no_advice() -> None:
    figures = coaching_figures([])
    assert all(math.isnan(value) for value in astuple(figures) if isinstance(value, float))
    assert advice(figures, CoachingSettings(least_episodes=1)) == ()


def test_values_are_means_of_the_newest_reports_that_have_both() -> None:
    reports = [report(10, value_on_corrections=9.0), report(20), report(30, value_on_corrections=0.8), report(40)]
    reports[3] = replace(reports[3], value_on_policy=NAN)
    figures = coaching_figures([], reports, CoachingSettings(value_rows=3))
    assert (figures.value_on_corrections, figures.value_on_policy) == (pytest.approx(0.7), pytest.approx(0.4))


def test_a_run_that_goes_well_gets_no_advice() -> None:
    assert advice(coaching_figures([episode(number) for number in range(30)], [report(60)])) == ()


@pytest.mark.parametrize(
    ("episodes", "reports", "told"),
    [
        ([corrected(n, success=n % 4 == 0) for n in range(20)], [], ["25 % of the last 20 .* intervene earlier"]),
        ([episode(n, success=n % 2 == 0) for n in range(20)], [], ["no correction for 20 episodes, and 50 %"]),
        ([corrected(n, takeovers=4) for n in range(20)], [], ["drives 10 control periods .* let it try 20 or more"]),
        (
            [corrected(n, takeovers=4, success=False) for n in range(20)],
            [],
            ["0 % of the last 20 .* intervene earlier"],
        ),
        (
            [corrected(n) for n in range(20)],
            [report(60, value_on_corrections=0.1)],
            [r"value on corrections \(0.10\) is below .* \(0.40\)"],
        ),
    ],
    ids=["few rewarded", "not corrected", "helped at once", "earlier goes before later", "corrections worth less"],
)
def test_advice_says_what_to_do_otherwise(
    episodes: list[EpisodeRow], reports: list[LearnerRow], told: list[str]
) -> None:
    given = advice(coaching_figures(episodes, reports))
    assert len(given) == len(told)
    for words, expected in zip(given, told, strict=True):
        assert re.search(expected, words)


def test_advice_waits_for_enough_episodes_and_never_uses_the_ground_truth() -> None:
    failed = [episode(number, success=False, true_success=True) for number in range(10)]
    assert advice(coaching_figures(failed[:9])) == ()
    unknown = [replace(row, true_success=None) for row in failed]
    assert advice(coaching_figures(failed)) == advice(coaching_figures(unknown)) != ()


@pytest.mark.parametrize("wrong", [{"window": 0}, {"least_rewarded": 1.5}, {"value_margin": -0.1}])
def test_illegal_thresholds_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        CoachingSettings(**wrong)


def state(steps: int, **changes: Any) -> DisplayState:
    figures = coaching_figures([corrected(number, success=number % 4 == 0) for number in range(20)], [report(60)])
    shown = DisplayState(
        3725.0, steps, figures, advice(figures), 4311, 13.71, 1.95, 2.0, 48, 2210, 900, 5 * 2**20, "learning", 20_000
    )
    return replace(shown, **changes)


def test_without_a_terminal_there_is_one_line_each_period_and_the_last_state_at_the_end() -> None:
    out, clock = io.StringIO(), ManualClock()
    with LiveDisplay("PickCube", clock, period_s=10.0, console=Console(file=out, width=40)) as display:
        for second in range(14):
            clock.set_ns(second * NS_PER_S)
            display.show(state(second))
    lines = out.getvalue().splitlines()
    assert [line.split(" | ")[1] for line in lines] == [f"step {n} of 20,000" for n in (0, 10, 13)]
    assert "\x1b" not in out.getvalue()


def test_the_line_has_the_figures_and_the_most_urgent_advice() -> None:
    out = io.StringIO()
    with LiveDisplay("PickCube", ManualClock(), console=Console(file=out)) as display:
        display.show(state(2210, target_ratio=None, advice=("do this [first]", "then that")))
    assert out.getvalue() == (
        "1:02:05 | step 2,210 of 20,000 | episode 20 | success 25 % of last 20 | autonomous - | human 20 % | "
        "updates 4,311 (13.7/s, 1.95, free) | stale 48 | replay 2,210 + 900 steps, 5 MiB | learning | "
        "! do this [first]\n"
    )


def test_on_a_terminal_a_panel_shows_the_last_state_also_when_the_run_fails() -> None:
    out, clock = io.StringIO(), ManualClock()
    console = Console(file=out, force_terminal=True, width=100, height=40, color_system=None, legacy_windows=False)

    def run_that_fails() -> None:
        with LiveDisplay("Pick [cube]", clock, console=console) as display:
            display.show(state(1))
            display.show(state(2))
            assert "2 of 20,000" not in out.getvalue(), "too soon to be drawn again"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        run_that_fails()
    screen = out.getvalue()
    assert "Pick [cube]" in screen
    for told in ("2 of 20,000", "25 %", "1.95, target 2.00", "2,210 + 900 steps, 5 MiB", "intervene earlier"):
        assert told in screen
    assert screen.endswith("\x1b[?25h"), "the cursor is back"


def test_a_display_of_nothing_yet_is_drawn() -> None:
    nothing = DisplayState(0.0, 0, coaching_figures([]), (), 0, NAN, NAN, None, 0, 0, 0, 0, "waiting for steps")
    for is_terminal in (False, True):
        out = io.StringIO()
        console = Console(file=out, force_terminal=is_terminal, width=100, height=40)
        with LiveDisplay("PickCube", ManualClock(), console=console) as display:
            display.show(nothing)
        assert "waiting for steps" in out.getvalue()
        assert "nan" not in out.getvalue()


def test_a_period_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="period_s must be positive, got 0"):
        LiveDisplay("PickCube", ManualClock(), period_s=0.0)
