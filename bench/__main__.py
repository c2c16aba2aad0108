"""`python -m bench list` and `python -m bench run NAME... | --step N | --short`.

Each figure is one JSON line on standard output and in `runs/bench.jsonl`; the table for people goes to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from bench.figures import BENCH_DOMAIN, Benchmark, Settings, benchmarks, choose, run
from tutelage_core.errors import TutelageError

RESULTS = Path(__file__).resolve().parent.parent / "runs" / "bench.jsonl"
TABLE_WIDTH = 120


@dataclass(frozen=True)
class ListConfig:
    """List the figures: name, what it must reach, whether it is long, what it is."""


@dataclass(frozen=True)
class RunConfig:
    """Measure figures. Unmet bounds are reported and are no errors; exit 1 means that something could not be measured.

    Attributes:
        names: figures to measure; all if none is named.
        step: only figures of this step of the project.
        short: leave out the long ones.
        policy: name of a shipped checkpoint, or the folder of one.
        domain: ROS domain of the graphs that are measured.
        results: file that the JSON lines are appended to.
    """

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    step: int | None = None
    short: bool = False
    policy: str = "bc_pick_cube"
    domain: int = BENCH_DOMAIN
    results: Path = RESULTS


Command = (
    Annotated[ListConfig, tyro.conf.subcommand("list", description="list the figures")]
    | Annotated[RunConfig, tyro.conf.subcommand("run", description="measure figures")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 when all was measured, 1 when a benchmark crashed, 2 when the request was refused.
    """
    command = tyro.cli(
        Command, prog="bench", description=__doc__, args=arguments, config=(tyro.conf.OmitSubcommandPrefixes,)
    )  # type: ignore[arg-type]
    known = benchmarks()
    try:
        if isinstance(command, ListConfig):
            print_list(known)
            return 0
        return measure(command, known)
    except TutelageError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130


def print_list(known: Sequence[Benchmark]) -> None:
    """Print one line for each figure."""
    for figure in (f for b in known for f in b.figures):
        duration = "long" if figure.long else "short"
        columns = f"{figure.name:44} step {figure.step:<2} {duration:5} {figure.target():13} {figure.unit:15}"
        print(f"{columns} {figure.what}")


def measure(config: RunConfig, known: Sequence[Benchmark]) -> int:
    """Measure, print and keep what `config` asks for; return the exit code."""
    names = choose(known, config.names, config.step, config.short)
    settings = Settings(config.policy, config.domain)
    config.results.parent.mkdir(parents=True, exist_ok=True)
    done: list[dict[str, object]] = []
    with config.results.open("a", encoding="utf-8") as results:
        for found in run(known, names, settings, announce=lambda text: print(f"bench: {text}", file=sys.stderr)):
            text = json.dumps(found)
            print(text, flush=True)
            print(text, file=results, flush=True)
            done.append(found)
    print_table(done)
    return 1 if any("error" in found for found in done) else 0


def print_table(lines: Sequence[dict[str, object]]) -> None:
    """Show people what was found, on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = TABLE_WIDTH
    machine = lines[0]["machine"] if lines else {}
    table = Table(title="Figures", caption=", ".join(f"{k} {v}" for k, v in dict(machine).items()))  # type: ignore[call-overload]
    for column in ("figure", "value", "unit", "must be", "met", "95 % interval"):
        table.add_column(
            column, justify="left" if column in ("figure", "unit", "must be") else "right", overflow="fold"
        )
    for found in lines:
        bound = "" if found["bound"] is None else f"{found['direction']} {found['bound']:g}"
        met = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}[found["met"]]  # type: ignore[index]
        value = "[red]error[/red]" if "error" in found else str(found["value"])
        interval = "" if found["interval"] is None else " .. ".join(str(v) for v in found["interval"])  # type: ignore[union-attr]
        table.add_row(str(found["name"]), value, str(found["unit"]), bound, met, interval)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
