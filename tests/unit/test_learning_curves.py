"""The curves of online learning runs: medians, evaluations put together, and pictures of runs of any length."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from tutelage.learning.curve_points import (
    MOST_POINTS,
    ROBOT,
    WALL,
    Evaluated,
    RunLog,
    episode_curve,
    learner_curve,
    median_curve,
    points_of,
    pooled,
)
from tutelage.learning.curves import COLOURS, comparison, draw_curves, draw_run, portrait
from tutelage.learning.training_log import LOG_FILE, TrainingLog, TrainingLogError
from tutelage.learning.training_rows import EpisodeRow, EvaluationRow, LearnerRow
from tutelage.looking.picture import render
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit

RATE_HZ = 10.0
SUCCESS = episode_curve("success", lambda row: row.success, lambda row: 1)
VALUE = learner_curve("value", "value")


def episode(number: int, success: bool) -> EpisodeRow:
    human = 0 if success else 20
    return EpisodeRow(number, "a", number, 8.0 * number, 60 * number, 60, success, success, human, human, (), 0, "")


def report(number: int, value: float) -> LearnerRow:
    draws = np.random.default_rng(number).normal(size=3)
    losses = {"critic_loss": 0.1 * math.exp(draws[0]), "grasp_loss": 0.1 * math.exp(draws[1]), "actor_loss": math.nan}
    rest = dict.fromkeys(("entropy", "temperature", "target", "gradient_norm"), 0.5)
    values = {"value": value, "value_on_corrections": math.nan, "value_on_policy": value}
    return LearnerRow(
        8.0 * number, 60 * number, 120 * number, 14.0 + draws[2], 2.0, 2.0, 0.0, 0.1, **losses, **rest, **values
    )


def write_run(folder: Path, episodes: int, mastered_at: int, seed: int) -> Path:
    """Write the log of a run that succeeds more and more often, and mostly from episode `mastered_at` on."""
    draws = np.random.default_rng(seed)
    with TrainingLog(folder) as log:
        for number in range(1, episodes + 1):
            rate = 1.0 / (1.0 + math.exp((mastered_at - number) / 15.0))
            log.add(episode(number, bool(draws.random() < rate)))
            log.add(report(number, rate + 0.03 * draws.normal()))
            if number % 50 == 0:
                successes = int(draws.binomial(25, rate))
                log.add(EvaluationRow(8.0 * number, 60 * number, number, successes, 25, 40.0, 100))
    return folder / LOG_FILE


def log_of(*episodes: EpisodeRow, learner: tuple[LearnerRow, ...] = ()) -> RunLog:
    return RunLog(episodes, learner, ())


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_robot_time_is_the_steps_at_the_control_rate_and_wall_time_is_the_logs() -> None:
    log = log_of(*(episode(number, True) for number in range(1, 31)))
    for x, minutes in ((ROBOT, 30 * 60 / RATE_HZ / 60), (WALL, 30 * 8 / 60)):
        points = points_of(log, SUCCESS, x, RATE_HZ)
        assert points[0, -1] == pytest.approx(minutes)
        assert (points[1] == 1.0).all()


def test_shares_of_too_few_episodes_are_left_out_unless_there_are_no_others() -> None:
    log = log_of(*(episode(number, number > 1) for number in range(1, 11)))
    assert points_of(log, SUCCESS, ROBOT, RATE_HZ)[1].round(3).tolist() == [0.833, 0.857, 0.875, 0.889, 0.9]
    assert points_of(log_of(episode(1, True)), SUCCESS, ROBOT, RATE_HZ).tolist() == [[0.1], [1.0]]
    assert points_of(log_of(), SUCCESS, ROBOT, RATE_HZ).shape == (2, 0)


def test_what_is_not_finite_is_left_out_and_long_curves_keep_their_mean() -> None:
    values = [0.1, math.nan, 0.3, math.inf]
    log = log_of(learner=tuple(report(number, value) for number, value in enumerate(values)))
    assert points_of(log, VALUE, ROBOT, RATE_HZ)[1].tolist() == [0.1, 0.3]
    long = log_of(learner=tuple(report(number, float(number)) for number in range(10 * MOST_POINTS)))
    points = points_of(long, VALUE, ROBOT, RATE_HZ)
    assert points.shape == (2, MOST_POINTS)
    assert points[1].mean() == pytest.approx((10 * MOST_POINTS - 1) / 2)


def test_the_median_is_of_the_stretch_that_all_seeds_have() -> None:
    seeds = [np.array([[0.0, 10.0], [level, level]]) for level in (1.0, 2.0, 9.0)]
    seeds[2] = np.array([[4.0, 30.0], [9.0, 9.0]])
    median = median_curve(seeds)
    assert (median[0, 0], median[0, -1]) == (4.0, 10.0)
    assert (median[1] == 2.0).all()
    assert median_curve([seeds[0], seeds[2] + np.array([[20.0], [0.0]])]).shape == (2, 0)


def test_evaluations_of_all_seeds_are_put_together_only_if_they_are_of_the_same_times() -> None:
    first = [Evaluated(0.0, 1, 25), Evaluated(10.0, 20, 25), Evaluated(20.0, 25, 25)]
    second = [Evaluated(0.2, 3, 25), Evaluated(10.4, 18, 25)]
    assert pooled([first, second]) == [Evaluated(0.1, 4, 50), Evaluated(10.2, 38, 50)]
    assert pooled([first]) == first
    assert pooled([first, [Evaluated(0.0, 1, 25), Evaluated(20.0, 20, 25)]]) == []
    half_way_too = [Evaluated(10.0, 9, 25), Evaluated(20.0, 23, 25)]
    assert pooled([half_way_too, [Evaluated(20.2, 22, 25)]]) == []
    assert pooled([]) == []


def test_a_comparison_names_its_runs_shows_every_seed_and_is_a_moderate_picture(tmp_path: Path) -> None:
    runs = {
        label: [write_run(tmp_path / label / str(seed), 150, mastered_at, seed) for seed in range(3)]
        for label, mastered_at in (("with_help", 60), ("without", 110))
    }
    output = draw_curves(runs, tmp_path / "pictures" / "compared.png", control_rate_hz=RATE_HZ)
    assert output.stat().st_size < 150_000
    pixels = cv2.imread(str(output))
    assert pixels is not None
    assert min(pixels.shape[:2]) >= 800
    figure = comparison(runs, RATE_HZ)
    assert {"with_help (3 seeds)", "without (3 seeds)"} <= set(texts(figure))
    success = figure.axes[0]
    for colour in COLOURS[:2]:
        lines = [line for line in success.lines if line.get_color() == colour]
        assert sorted(line.get_linewidth() for line in lines) == [0.8, 0.8, 0.8, 1.8]
    for axes in figure.axes:
        assert axes.lines, axes.get_title()


def test_evaluations_stand_with_their_wilson_interval(tmp_path: Path) -> None:
    with TrainingLog(tmp_path) as log:
        log.add(EvaluationRow(60.0, 600, 100, 20, 25, 40.0, 100))
    axes = next(axes for axes in portrait(tmp_path, RATE_HZ).axes if "Wilson" in axes.get_title())
    (container,) = axes.containers
    (bars,) = container[2]
    assert np.array(bars.get_segments()) == pytest.approx(np.array([[[1.0, 0.6087], [1.0, 0.9114]]]), abs=1e-4)


def test_a_single_run_shows_what_a_comparison_has_no_room_for(tmp_path: Path) -> None:
    write_run(tmp_path / "pick_$1$", 120, 60, 0)
    output = draw_run(tmp_path / "pick_$1$", control_rate_hz=RATE_HZ)
    assert output == tmp_path / "pick_$1$" / "curves.png"
    assert output.stat().st_size < 150_000
    shown = texts(portrait(tmp_path / "pick_$1$", RATE_HZ))
    assert "pick_$1$: 120 episodes, 12.0 min of robot time in 16.0 min, 14,400 updates" in shown
    for words in ("ground truth", "on the policy's steps", "losses", "evaluation, successes"):
        assert words in shown
    assert "on corrections" not in shown, "a curve without a finite value has no name in the legend"


@pytest.mark.parametrize("episodes", [0, 1, 2])
def test_a_run_that_has_just_begun_is_drawn(tmp_path: Path, episodes: int) -> None:
    write_run(tmp_path, episodes, 60, 0)
    for figure in (portrait(tmp_path, RATE_HZ), comparison({"new": [tmp_path / LOG_FILE] * 2}, RATE_HZ)):
        render(figure)
        assert texts(figure).count("nothing yet") == (len(figure.axes) if episodes == 0 else 1)


def test_a_picture_that_is_there_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_run(tmp_path, 2, 60, 0)
    first = draw_run(tmp_path, control_rate_hz=RATE_HZ).read_bytes()
    write_run(tmp_path, 6, 3, 1)
    assert draw_run(tmp_path, control_rate_hz=RATE_HZ).read_bytes() != first
    assert {path.name for path in tmp_path.iterdir()} == {LOG_FILE, "curves.png"}


def test_what_cannot_be_drawn_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", 2, 60, 0)
    many = {str(number): [path] for number in range(len(COLOURS) + 1)}
    for runs, output, rate_hz, told in (
        ({}, "a.png", 10.0, "got none"),
        ({"empty": []}, "a.png", 10.0, r"'empty' \(0 logs\)"),
        (many, "a.png", 10.0, r"1\.\.7 labels"),
        ({"run": [path]}, "a.jpg", 10.0, r"written as \.png"),
        ({"run": [path]}, "a.png", 0.0, "must be positive, got 0.0 Hz"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            draw_curves(runs, tmp_path / "pictures" / output, control_rate_hz=rate_hz)
    with pytest.raises(TrainingLogError, match="cannot be read"):
        draw_curves({"run": [tmp_path / "none"]}, tmp_path / "pictures" / "a.png", control_rate_hz=10.0)
    assert not (tmp_path / "pictures").exists()


def test_losses_that_fall_by_decades_are_all_within_their_logarithmic_field(tmp_path: Path) -> None:
    with TrainingLog(tmp_path) as log:
        for number in range(1, 40):
            log.add(episode(number, True))
            fallen = dict.fromkeys(("critic_loss", "grasp_loss"), 10.0 ** (-number / 10))
            log.add(replace(report(number, 0.5), **fallen))
    (axes,) = (axes for axes in portrait(tmp_path, RATE_HZ).axes if axes.get_title() == "losses")
    low, high = axes.get_ylim()
    assert axes.get_yscale() == "log"
    assert low < 10.0**-3.9
    assert 10.0**-0.1 < high < 10.0
