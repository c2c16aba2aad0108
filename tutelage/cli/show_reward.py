"""What `tutelage reward` shows a person."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from reward_models.evaluation.table import NOTES
from tutelage.runs.evaluate_rewards import EvaluateRewardsConfig, evaluate_rewards

_console = Console()

SHOWN = {
    "voc_success": "VOC",
    "voc_failure": "on failures",
    "voc_reversed": "reversed",
    "voc_shuffled": "shuffled",
    "voc_unknown": "unknown",
    "epic_progress": "EPIC",
    "tau_a": "tau_a",
    "auroc": "AUROC",
    "precision": "precision",
    "recall": "recall",
    "false_positive_rate": "false +",
    "balanced_accuracy": "balanced",
    "swap_margin": "swap",
    "progress_error": "MAE",
    "ms_p50": "ms p50",
    "ms_p95": "p95",
    "not_ok": "not OK",
}
"""Metrics that are printed, and their heads; the files hold all."""


@dataclass(frozen=True)
class RewardConfig:
    """What to do with reward models."""

    command: Annotated[
        EvaluateRewardsConfig, tyro.conf.subcommand("evaluate", description="one table, beside four baselines")
    ]


def reward_command(config: RewardConfig) -> int:
    """Evaluate reward models and print the table."""
    rows = evaluate_rewards(config.command)
    for kind in dict.fromkeys(row.kind for row in rows):
        own = [row for row in rows if row.kind == kind]
        table = Table(title=f"{kind}: {own[0].successes} successes, {own[0].failures} failures")
        table.add_column("model")
        for head in SHOWN.values():
            table.add_column(head, justify="right")
        for row in own:
            table.add_row(row.model, *(_number(row.values[name]) for name in SHOWN))
        _console.print(table)
    for note in NOTES:
        _console.print(note, style="dim", highlight=False)
    if config.command.output is not None:
        _console.print(f"table: {config.command.output}")
    return 0


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"
