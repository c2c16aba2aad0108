"""The evaluation table of reward models as one picture: a field for each metric, a line for each model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reward_models.evaluation.baselines import BASELINES
from reward_models.evaluation.table import Row

FIELDS = {
    "voc_success": ("VOC on successes", (-1.0, 1.0)),
    "voc_failure": ("VOC on failures", (-1.0, 1.0)),
    "voc_shuffled": ("VOC, shuffled", (-1.0, 1.0)),
    "epic_progress": ("EPIC to progress (0 is best)", (0.0, 1.0)),
    "tau_a": ("tau_a of how episodes end", (-1.0, 1.0)),
    "auroc": ("AUROC of success", (0.0, 1.0)),
    "balanced_accuracy": ("balanced accuracy at the threshold", (0.0, 1.0)),
    "swap_margin": ("margin to other tasks' sentences", None),
    "ms_p50": ("ms a frame, p50", None),
}
"""Metrics that are drawn: head and limits."""

COLUMNS, WIDTH_IN, LINE_IN, REST_IN, DPI = 3, 3.4, 0.24, 0.75, 100
BASELINE_COLOUR, MODEL_COLOUR = "#888888", "#0072b2"


def draw_reward_table(rows: Sequence[Row]) -> Figure:
    """Return the picture: small marks are kinds of tasks, large ones their mean; what cannot be said is left out.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("a table without rows cannot be drawn")
    models = list(dict.fromkeys(row.model for row in rows))
    lines = -(-len(FIELDS) // COLUMNS)
    height_in = lines * (REST_IN + LINE_IN * len(models))
    figure = Figure(figsize=(COLUMNS * WIDTH_IN + 1.2, height_in), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    for number, (name, (head, limits)) in enumerate(FIELDS.items()):
        axes = figure.add_subplot(lines, COLUMNS, number + 1)
        _draw_field(axes, name, models, rows)
        axes.set_title(head, fontsize=9.5)
        axes.set_yticks(range(len(models)), models if number % COLUMNS == 0 else [""] * len(models), fontsize=8.5)
        axes.set_ylim(len(models) - 0.5, -0.5)
        if limits is not None:
            margin = 0.04 * (limits[1] - limits[0])
            axes.set_xlim(limits[0] - margin, limits[1] + margin)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(lw=0.5, alpha=0.4)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_field(axes: Axes, name: str, models: Sequence[str], rows: Sequence[Row]) -> None:
    for line, model in enumerate(models):
        values = [row.values[name] for row in rows if row.model == model]
        known = [value for value in values if math.isfinite(value)]
        if not known:
            continue
        colour = BASELINE_COLOUR if model in BASELINES else MODEL_COLOUR
        if len(known) > 1:
            axes.plot(known, [line] * len(known), "o", color=colour, ms=3.0, alpha=0.45, mew=0)
        axes.plot([float(np.mean(known))], [line], "D", color=colour, ms=6.0)
