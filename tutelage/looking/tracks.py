"""The tracks of an episode's picture: one function draws one kind of numbers over the time of the episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tutelage.looking.lanes import cut
from tutelage.looking.spans import SOURCE_COLOURS, changed, edges_s, spans_of
from tutelage_core.episodes.reader import Episode
from tutelage_core.types import FloatArray, Source

AXIS_COLOURS = ("#d62728", "#2ca02c", "#1f77b4")
"""x, y, z as every robot viewer paints them."""

GRIPPER_COLOUR = "#444444"
REASON_COLOUR = "#b22222"
DONE_COLOUR = "#009e73"
REWARD_COLOURS = ("#0072b2", "#e69f00", "#cc79a7", "#56b4e9", "#d55e00", "#009e73")
TASK_DONE, END = "task done", "end"
ENDING_PT, MARGIN_WORDS_PT, ROW_WORDS_PT = 600.0, 68.0, 94.0
"""So wide may words be in the events' track, right of a track, and left of it [pt]."""

LEGEND_PT, LEGEND_LINE_IN = 7.0, 0.127
WIDE_PT, NARROW_PT, MANY_PERIODS = 1.3, 0.7, 200
"""Lines are drawn narrower where there are many control periods."""

ASKED_REACH = 1.5
"""What was asked is shown up to so many times the greatest executed number; a jump to infinity hides nothing else."""


def legend_height_in(lines: int) -> float:
    """Return how high a legend of so many lines is [inch]."""
    return LEGEND_LINE_IN * lines + 0.04


def draw_who(axes: Axes, episode: Episode, instants: Sequence[int]) -> None:
    """Draw who drove as a coloured band, and above it when the pictures of the film strip were taken."""
    edges = edges_s(episode)
    axes.plot(edges[list(instants)], np.ones(len(instants)), ls="", marker=11, ms=4, color="black", clip_on=False)
    axes.set_ylim(0.0, 1.0)
    for span in spans_of(episode.sources.tolist()):
        axes.axvspan(edges[span.first], edges[span.end], color=SOURCE_COLOURS[Source(span.value)], lw=0)
    seen = [source for source in Source if source in episode.sources]
    _legend(axes, [Patch(color=SOURCE_COLOURS[source], label=source.name.lower()) for source in seen])
    axes.set_yticks([])


def draw_steps(axes: Axes, episode: Episode, columns: Sequence[int], names: Sequence[str], scale: float) -> None:
    """Draw numbers of the executed steps, and dashed what was asked where the gate changed it.

    Args:
        axes: where to.
        episode: the episode.
        columns: places of the step, such as (0, 1, 2).
        names: what to call them.
        scale: drawn unit for each unit of the step.
    """
    edges = edges_s(episode)
    mask = changed(episode)
    executed = episode.executed[:, columns] * scale
    asked = np.where(mask[:, None] & np.isfinite(episode.requested[:, columns]), episode.requested[:, columns], np.nan)
    asked = asked * scale
    colours = AXIS_COLOURS if len(columns) > 1 else (GRIPPER_COLOUR,)
    width = WIDE_PT if len(episode) <= MANY_PERIODS else NARROW_PT
    handles: list[Line2D] = []
    for number, (name, colour) in enumerate(zip(names, colours, strict=True)):
        axes.stairs(asked[:, number], edges, color=colour, lw=0.8 * width, ls=(0, (2, 1.5)), baseline=None)
        axes.stairs(executed[:, number], edges, color=colour, lw=width, baseline=None)
        handles.append(Line2D([], [], color=colour, lw=1.3, label=name))
    if mask.any():
        handles.append(Line2D([], [], color="black", lw=1.0, ls=(0, (2, 1.5)), label="asked"))
    low, high = min(executed.min(), 0.0), max(executed.max(), 0.0)
    reach = max(high - low, 1e-9)
    if np.isfinite(asked).any():
        beyond = reach * (ASKED_REACH - 1.0)
        low = max(min(low, float(np.nanmin(asked))), low - beyond)
        high = min(max(high, float(np.nanmax(asked))), high + beyond)
    axes.set_ylim(low - 0.08 * reach, high + 0.08 * reach)
    axes.axhline(0.0, color="black", lw=0.4, alpha=0.4)
    _legend(axes, handles)


def draw_rewards(axes: Axes, episode: Episode, rewards: Mapping[str, FloatArray]) -> None:
    """Draw true progress, if it is known, and the numbers of each reward model, shape (T,), NaN where there is none."""
    edges = edges_s(episode)
    handles: list[Line2D] = []
    if np.isfinite(episode.progress).any():
        axes.stairs(episode.progress, edges, color="black", lw=1.2, baseline=None)
        handles.append(Line2D([], [], color="black", lw=1.2, label="true progress"))
    middles = (edges[:-1] + edges[1:]) / 2
    for number, (model, values) in enumerate(rewards.items()):
        colour = REWARD_COLOURS[number % len(REWARD_COLOURS)]
        known = np.isfinite(values)
        axes.plot(middles[known], values[known], color=colour, lw=1.1, marker="." if known.sum() <= 60 else "", ms=4)
        handles.append(Line2D([], [], color=colour, lw=1.2, label=cut(model, MARGIN_WORDS_PT, LEGEND_PT)))
    low, high = axes.dataLim.intervaly
    low, high = min(low, 0.0), max(high, 1.0)
    axes.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))
    _legend(axes, handles)


def event_rows(episode: Episode) -> tuple[str, ...]:
    """Return the rows of the events' track: the gate's reasons as they came, when the task was done, and the end."""
    reasons = dict.fromkeys(reason for reasons in episode.reasons for reason in reasons)
    return (*reasons, *((TASK_DONE,) if episode.success.any() else ()), END)


def draw_events(axes: Axes, episode: Episode, rows: Sequence[str]) -> None:
    """Draw when the gate gave each of its reasons, when the task was done in truth, and how the episode ended."""
    edges = edges_s(episode)
    for row, name in enumerate(rows):
        if name == END:
            axes.text(
                edges[-1],
                row + 0.5,
                _ending(episode) + " ▸",
                fontsize=LEGEND_PT,
                ha="right",
                va="center",
                parse_math=False,
            )
            continue
        happens = episode.success if name == TASK_DONE else np.array([name in reasons for reasons in episode.reasons])
        colour = DONE_COLOUR if name == TASK_DONE else REASON_COLOUR
        bars = [(edges[s.first], edges[s.end] - edges[s.first]) for s in spans_of(happens.tolist()) if s.value]
        axes.broken_barh(bars, (row + 0.15, 0.7), facecolors=colour, edgecolors=colour, lw=0.6)
    axes.set_ylim(len(rows), 0)
    axes.set_yticks([row + 0.5 for row in range(len(rows))], [cut(name, ROW_WORDS_PT, LEGEND_PT) for name in rows])
    axes.tick_params(axis="y", labelsize=LEGEND_PT, length=0)


def _ending(episode: Episode) -> str:
    result = episode.result
    words = [
        result.termination,
        "success" if result.success else "no success",
        *([result.failure] if result.failure else []),
    ]
    return cut(", ".join(dict.fromkeys(words)), ENDING_PT, LEGEND_PT)


def _legend(axes: Axes, handles: Sequence[Patch | Line2D]) -> None:
    if handles:
        legend = axes.legend(
            handles=list(handles),
            loc="upper left",
            bbox_to_anchor=(1.005, 1.0),
            borderaxespad=0.0,
            frameon=False,
            fontsize=LEGEND_PT,
            handlelength=1.4,
            labelspacing=0.25,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
