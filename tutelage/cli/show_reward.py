"""What `tutelage reward` shows a person."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from reward_models.evaluation.table import NOTES
from tutelage.runs.evaluate_rewards import EvaluateRewardsConfig, evaluate_rewards
from tutelage.runs.score_episodes import GoldenConfig, ScoreEpisodesConfig, score_episodes, write_golden_answer

_console = Console()

SHOWN = {
    "voc_success": "VOC on successes",
    "voc_failure": "VOC on failures",
    "voc_reversed": "VOC reversed",
    "voc_shuffled": "VOC shuffled",
    "voc_unknown": "VOC unknown",
    "epic_progress": "EPIC",
    "tau_a": "tau_a",
    "auroc": "AUROC",
    "precision": "precision",
    "recall": "recall",
    "false_positive_rate": "false positives",
    "balanced_accuracy": "balanced accuracy",
    "swap_margin": "swap margin",
    "progress_error": "progress error",
    "ms_p50": "ms a frame, p50",
    "ms_p95": "ms a frame, p95",
    "not_ok": "not OK",
}
"""Metrics that are printed, and their heads; the files hold all."""


def evaluate(config: EvaluateRewardsConfig) -> int:
    """Evaluate reward models and print the table."""
    rows = evaluate_rewards(config)
    for kind in dict.fromkeys(row.kind for row in rows):
        own = [row for row in rows if row.kind == kind]
        table = Table(title=f"{kind}: {own[0].successes} successes, {own[0].failures} failures")
        table.add_column("metric", no_wrap=True)
        for row in own:
            table.add_column(row.model, justify="right", overflow="fold")
        for name, head in SHOWN.items():
            table.add_row(head, *(_number(row.values[name]) for row in own))
        _console.print(table)
    for note in NOTES:
        _console.print(note, style="dim", highlight=False)
    if config.output is not None:
        _console.print(f"table: {config.output}")
    return 0


def score(config: ScoreEpisodesConfig) -> int:
    """Score recorded episodes, and say what came of it."""
    found = score_episodes(config)
    said = ", ".join(f"{count} {status.value}" for status, count in found.statuses.items())
    _console.print(f"{found.scored} episodes scored, {found.kept} had scores already; moments: {said or 'none'}")
    for folder in found.folders:
        _console.print(f"scores: {folder}")
    return 0


def golden(config: GoldenConfig) -> int:
    """Write down a model's golden answer."""
    _console.print(f"golden answer: {write_golden_answer(config)}")
    return 0


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"
