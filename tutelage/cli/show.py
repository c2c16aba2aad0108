"""What each verb shows a person while it runs and at its end."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tutelage.report import driving_summary, stage_names, write_report
from tutelage.runs import attempts, graph
from tutelage.runs import collect as collecting
from tutelage.runs import evaluate as evaluating
from tutelage.runs import evaluate_retry as retry_evaluating
from tutelage.runs import ship as shipping
from tutelage.runs import train_bc as training
from tutelage.runs import train_rum as rum_training
from tutelage.runs import train_trunk as trunk_training
from tutelage.runs.page import PageConfig, serve_page

_console = Console()


def collect(config: collecting.CollectConfig) -> int:
    """Record demonstrations."""
    store = collecting.collect(config)
    _console.print(f"{len(store)} episodes in {config.output}")
    return 0


def collect_attempts(config: attempts.AttemptsConfig) -> int:
    """Record attempts that mostly fail."""
    store = attempts.collect_attempts(config)
    succeeded = sum(store.manifest(name).result.success for name in store.names())
    _console.print(f"{len(store)} episodes in {config.output}, {succeeded} of them successes")
    return 0


def train(config: training.TrainBcConfig) -> int:
    """Train a policy."""
    _console.print(f"checkpoint: {training.train_bc(config)}")
    return 0


def train_rum(config: rum_training.TrainRumConfig) -> int:
    """Train a utility model."""
    trained = rum_training.train_rum(config)
    if trained.policy is not None:
        _console.print(trained.summary())
    return 0


def train_trunk(config: trunk_training.TrainTrunkConfig) -> int:
    """Train an image trunk."""
    folder = trunk_training.train(config)
    _console.print(f"trunk: {folder}; use it with --bc.model.encoder trunk:{folder}")
    return 0


def evaluate(config: evaluating.EvaluateConfig) -> int:
    """Evaluate a policy."""
    _console.print(evaluating.evaluate(config).summary())
    return 0


def evaluate_retry(config: retry_evaluating.EvaluateRetryConfig) -> int:
    """Evaluate a policy with a verifier and retries."""
    _console.print(retry_evaluating.evaluate_retry(config).summary())
    return 0


def ship(config: shipping.ShipConfig) -> int:
    """Put a trained policy under `models/`."""
    for evaluation in shipping.ship(config):
        _console.print(f"models/{config.name}: {evaluation.summary()}")
    return 0


def run(config: graph.RunConfig) -> int:
    """Run a policy in the graph."""
    _console.print(f"bringing up the graph: robot {config.robot}, policy {config.policy}, {config.clock} clock")
    outcomes = graph.run_graph(config, _say)
    _console.print(_table(outcomes))
    _console.print(driving_summary(outcomes))
    return 0


def demo(policy: str, task: str, episodes: int, output: Path) -> int:
    """Run the demonstration in lock-step and write its report page."""
    if (output / "episodes").is_dir():
        shutil.rmtree(output / "episodes")  # the last demonstration's own recordings
    config = graph.RunConfig(policy=policy, task=task, episodes=episodes, output=output, clock="lockstep")
    _console.print(f"bringing up the graph: the twin, two cameras, arm, policy '{policy}', session, recorder ...")
    outcomes = graph.run_graph(config, _say)
    _console.print(_table(outcomes))
    _console.print(driving_summary(outcomes))
    page = output / "report.html"
    write_report(page, f"Tutelage demonstration: {config.task} with {policy}", outcomes, output / "film_strips")
    _console.print(f"report: {page}")
    return 0


def live(policy: str, task: str, output: Path) -> int:
    """Run the graph in real time until Ctrl-C."""
    config = graph.RunConfig(policy=policy, task=task, episodes=0, output=output, clock="realtime", record=False)
    _console.print("bringing up the graph in real time; Ctrl-C ends it")
    graph.run_graph(config, _say)
    return 0


def page(config: PageConfig) -> int:
    """Serve the page until Ctrl-C."""
    return serve_page(config, lambda address: _console.print(f"open {address} in a browser; Ctrl-C ends the page"))


def doctor() -> int:
    """Check this machine."""
    from tutelage.doctor import run_doctor

    return run_doctor()


def _say(outcome: graph.GraphOutcome) -> None:
    mark = "[green]success[/green]" if outcome.success else f"[red]{outcome.failure or outcome.termination}[/red]"
    _console.print(
        f"seed {outcome.seed}: {mark} after {outcome.steps} steps {outcome.message if not outcome.success else ''}"
    )


def _table(outcomes: Sequence[graph.GraphOutcome]) -> Table:
    stages = stage_names(outcomes)
    table = Table(title="Episodes; mean latency per stage in ms")
    tried = ("attempts",) if any(o.attempts > 1 for o in outcomes) else ()
    for column in ("seed", "result", "steps", "gate interventions", *tried, *stages):
        table.add_column(column, justify="right")
    for o in outcomes:
        table.add_row(
            str(o.seed),
            "success" if o.success else o.failure or o.termination,
            str(o.steps),
            str(o.interventions),
            *([str(o.attempts)] if tried else []),
            *(f"{o.stage_ms[s]:.1f}" if s in o.stage_ms else "" for s in stages),
        )
    return table
