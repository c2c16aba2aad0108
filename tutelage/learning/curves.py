"""The curves of online learning runs, compared or one by one, as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from tutelage.learning.curve_points import (
    ROBOT,
    S_PER_MIN,
    WALL,
    WINDOW,
    Curve,
    Evaluated,
    RunLog,
    episode_curve,
    evaluations_of,
    learner_curve,
    median_curve,
    points_of,
    pooled,
)
from tutelage.learning.training_log import LOG_FILE
from tutelage.looking.picture import render
from tutelage_core.errors import ConfigurationError
from tutelage_core.intervals import wilson_interval
from tutelage_core.types import FloatArray

CURVES_FILE = "curves.png"

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Of runs that are compared; people with any kind of colour vision can tell them apart (Okabe and Ito, 2008)."""

MARKERS = "os^DvPX"
COLUMNS, FIELD_IN, DPI = 3, (4.3, 3.0), 100
"""Fields beside each other, width and height of each [inch], and pixels in an inch."""


class Panel(NamedTuple):
    """A field of the picture. A comparison shows the first curve of each run, a single run shows all."""

    title: str
    x: str
    curves: tuple[Curve, ...]
    limits: tuple[float | None, float | None] = (None, None)
    log: bool = False


_SUCCESS = episode_curve("by the reward", lambda row: row.success, lambda row: 1)
_TRUTH = episode_curve("ground truth", lambda row: bool(row.true_success), lambda row: row.true_success is not None)
_UNAIDED = episode_curve("without a take-over", lambda row: row.success and not row.takeovers, lambda row: 1)
_HUMAN = episode_curve("steps by the person", lambda row: row.human_steps, lambda row: row.length)
_TAKEN = episode_curve("episodes with a take-over", lambda row: row.takeovers > 0, lambda row: 1)
_LENGTH = episode_curve("all episodes", lambda row: row.length, lambda row: 1)
_OF_SUCCESSES = episode_curve("rewarded ones", lambda row: row.length * row.success, lambda row: row.success)
_RATE = (-0.03, 1.03)

_TRAINED = f"training success, last {WINDOW} episodes"
PANELS = (
    Panel(_TRAINED, ROBOT, (_SUCCESS, _TRUTH, _UNAIDED), _RATE),
    Panel(_TRAINED, WALL, (_SUCCESS, _TRUTH, _UNAIDED), _RATE),
    Panel("evaluation success, 95 % Wilson interval", ROBOT, (), _RATE),
    Panel("share of steps driven by the person", ROBOT, (_HUMAN, _TAKEN), _RATE),
    Panel("episode length [control periods]", ROBOT, (_LENGTH, _OF_SUCCESSES), (0.0, None)),
    Panel(
        "value",
        ROBOT,
        (
            learner_curve("of the batch", "value"),
            learner_curve("its target", "target"),
            learner_curve("on corrections", "value_on_corrections"),
            learner_curve("on the policy's steps", "value_on_policy"),
        ),
    ),
    Panel("entropy of the actor [nat]", ROBOT, (learner_curve("entropy", "entropy"),)),
    Panel("temperature", ROBOT, (learner_curve("temperature", "temperature"),), log=True),
    Panel("updates per second", WALL, (learner_curve("updates per second", "updates_per_s"),), (0.0, None)),
)
EVALUATION, LENGTH = PANELS[2], PANELS[4]

DIAGNOSIS = (
    Panel(
        "losses",
        ROBOT,
        (learner_curve("critic", "critic_loss"), learner_curve("gripper critic", "grasp_loss")),
        log=True,
    ),
    Panel(
        "updates per step",
        ROBOT,
        (learner_curve("reached", "achieved_ratio"), learner_curve("target", "target_ratio")),
        (0.0, None),
    ),
    Panel("share of time without work, learner", WALL, (learner_curve("idle", "starved"),), _RATE),
)
"""More fields of a single run."""


def draw_curves(runs: Mapping[str, Sequence[Path]], output: Path, *, control_rate_hz: float) -> Path:
    """Compare runs: seeds as thin lines, their median as a thick one over the time that all of them have.

    Evaluations are those of all seeds together, if the seeds were evaluated at about the same times.

    Args:
        runs: label to the logs of its seeds, at most seven labels.
        output: PNG file to write; one that is there is replaced.
        control_rate_hz: control periods in a second of robot time [Hz].

    Returns:
        `output`.

    Raises:
        ConfigurationError: see `comparison`; or the rate is not positive, or the name does not end in .png.
        TrainingLogError: a log is missing or damaged.
    """
    _check(output, control_rate_hz)
    return _write(comparison(runs, control_rate_hz), output)


def draw_run(folder: Path, *, control_rate_hz: float) -> Path:
    """Draw one run's log in its folder, with what only a single run shows: `folder/curves.png`.

    Raises:
        ConfigurationError: the rate is not positive.
        TrainingLogError: the log is missing or damaged.
    """
    output = folder / CURVES_FILE
    _check(output, control_rate_hz)
    return _write(portrait(folder, control_rate_hz), output)


def comparison(runs: Mapping[str, Sequence[Path]], control_rate_hz: float) -> Figure:
    """Return the picture of `draw_curves`.

    Raises:
        ConfigurationError: there are no runs, or too many to tell apart.
        TrainingLogError: a log is missing or damaged.
    """
    if not 1 <= len(runs) <= len(COLOURS) or not all(runs.values()):
        told = ", ".join(f"'{label}' ({len(paths)} logs)" for label, paths in runs.items()) or "none"
        raise ConfigurationError(f"curves are of 1..{len(COLOURS)} labels with at least one log each, got {told}")
    logs = {label: [RunLog.read(path) for path in paths] for label, paths in runs.items()}
    figure, fields = _fields(len(PANELS))
    styles = dict(zip(logs, zip(COLOURS, MARKERS, strict=True), strict=False))
    for axes, panel in zip(fields, PANELS, strict=True):
        for label, seeds in logs.items():
            colour, marker = styles[label]
            if panel is EVALUATION:
                _draw_evaluations(axes, [evaluations_of(log, control_rate_hz) for log in seeds], colour, marker)
            else:
                points = [points_of(log, panel.curves[0], panel.x, control_rate_hz) for log in seeds]
                _draw_curve(axes, points, colour)
        _finish(axes, panel)
    handles = [
        Line2D([], [], color=colour, marker=marker, lw=2.0, ms=6, label=f"{label} ({_count(len(logs[label]), 'seed')})")
        for label, (colour, marker) in styles.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4), frameon=False, fontsize=10)
    return figure


def portrait(folder: Path, control_rate_hz: float) -> Figure:
    """Return the picture of `draw_run`.

    Raises:
        TrainingLogError: the log is missing or damaged.
    """
    log = RunLog.read(folder / LOG_FILE)
    panels = PANELS + DIAGNOSIS
    figure, fields = _fields(len(panels))
    for axes, panel in zip(fields, panels, strict=True):
        for curve, colour in zip(panel.curves, COLOURS, strict=False):
            _draw_curve(axes, [points_of(log, curve, panel.x, control_rate_hz)], colour, curve.name)
        if panel is EVALUATION:
            _draw_evaluations(axes, [evaluations_of(log, control_rate_hz)], COLOURS[0], MARKERS[0])
        if panel is LENGTH and log.evaluations:
            minutes = [row.steps / control_rate_hz / S_PER_MIN for row in log.evaluations]
            lengths = [row.mean_steps_to_success for row in log.evaluations]
            axes.plot(minutes, lengths, "o", color=COLOURS[2], ms=6, label="evaluation, successes")
        _finish(axes, panel)
        if len(axes.get_legend_handles_labels()[0]) > 1:
            axes.legend(fontsize=9, framealpha=0.7)
    figure.suptitle(_told(folder.resolve().name, log, control_rate_hz), fontsize=11, parse_math=False)
    return figure


def _told(name: str, log: RunLog, control_rate_hz: float) -> str:
    newest = max(
        (*log.episodes[-1:], *log.learner[-1:], *log.evaluations[-1:]), key=lambda row: row.steps, default=None
    )
    if newest is None:
        return name
    robot_min, wall_min = newest.steps / control_rate_hz / S_PER_MIN, newest.wall_s / S_PER_MIN
    updates = log.learner[-1].updates if log.learner else 0
    return (
        f"{name}: {_count(len(log.episodes), 'episode')}, {robot_min:.1f} min of robot time in {wall_min:.1f} min, "
        f"{updates:,} updates"
    )


def _draw_curve(axes: Axes, seeds: Sequence[FloatArray], colour: str, label: str = "") -> None:
    """Draw a curve of several seeds, each of shape (2, n), x first."""
    seeds = [points for points in seeds if points.shape[1]]
    if not seeds:
        return
    thick = seeds[0]
    if len(seeds) > 1:
        for points in seeds:
            axes.plot(*points, color=colour, lw=0.8, alpha=0.4)
        thick = median_curve(seeds)
    axes.plot(*thick, color=colour, lw=1.8, label=label, marker="o" if thick.shape[1] == 1 else "", ms=4)


def _draw_evaluations(axes: Axes, seeds: Sequence[Sequence[Evaluated]], colour: str, marker: str) -> None:
    """Draw intervals of all seeds together where they can be, and a small mark for each seed."""
    seeds = [each for each in seeds if each]
    together = pooled(seeds)
    for each in seeds if len(seeds) > 1 else []:
        minutes, rates = [one.robot_min for one in each], [one.successes / one.episodes for one in each]
        axes.plot(minutes, rates, color=colour, marker=marker, ms=3.5, lw=0.6, alpha=0.4)
    for each in [together] if together else seeds:
        minutes, rates = [one.robot_min for one in each], np.array([one.successes / one.episodes for one in each])
        ends = np.array([wilson_interval(one.successes, one.episodes) for one in each])
        bars = np.abs(ends.T - rates)
        axes.errorbar(minutes, rates, yerr=bars, color=colour, marker=marker, ms=6, lw=1.6, capsize=3, elinewidth=1.2)


def _fields(count: int) -> tuple[Figure, list[Axes]]:
    rows = -(-count // COLUMNS)
    figure = Figure(figsize=(FIELD_IN[0] * COLUMNS, FIELD_IN[1] * rows), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(rows, COLUMNS, place + 1) for place in range(count)]


def _finish(axes: Axes, panel: Panel) -> None:
    axes.set_title(panel.title, fontsize=10.5)
    axes.set_xlabel(panel.x, fontsize=9)
    axes.tick_params(labelsize=9)
    axes.grid(lw=0.5, alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    if not axes.lines:
        axes.text(0.5, 0.5, "nothing yet", transform=axes.transAxes, ha="center", va="center", color="#777777")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    if panel.log and any(np.any(np.asarray(line.get_ydata(), np.float64) > 0.0) for line in axes.lines):
        axes.set_yscale("log")  # before the limits: linear ones may reach below 0
    axes.set_ylim(*panel.limits)
    axes.set_xlim(left=-0.02 * axes.get_xlim()[1])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _check(output: Path, control_rate_hz: float) -> None:
    if output.suffix != ".png":
        raise ConfigurationError(f"{output}: curves are written as .png")
    if not control_rate_hz > 0.0:
        raise ConfigurationError(f"{output}: the control rate must be positive, got {control_rate_hz} Hz")


def _write(figure: Figure, output: Path) -> Path:
    """Write the picture with a palette, which is a third of the size, all at once."""
    output.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(render(figure)).quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    fresh = output.with_name(f".{output.name}.new")
    fresh.write_bytes(data.getvalue())
    fresh.replace(output)
    return output
