"""Figures by name: what each one means, what it must reach, and how it is measured and reported."""

from __future__ import annotations

import importlib
import math
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bench.machine import describe_machine
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.versions import versions

TOPICS = (
    "twin",
    "tasks",
    "rooms",
    "camera",
    "graph",
    "policy",
    "safety",
    "trunk",
    "trunk_policies",
    "franka",
    "franka_graph",
    "recorder",
    "windows",
    "lerobot",
    "hil_serl",
    "hil_serl_learning",
    "hil_serl_imitation",
    "hil_serl_views",
    "hil_serl_graph",
    "hil_serl_graph_learning",
    "open_clip_backends",
    "twin_tower",
    "tower_lessons",
    "vlm_rm_learning",
    "page",
    "rum",
)
"""Modules of this package that register figures, in the order in which they are listed and run."""

BENCH_DOMAIN = 91
"""ROS domain of the benchmarks' graphs, so that they never meet the user's own."""


class Direction(StrEnum):
    """On which side of its bound a figure must lie."""

    AT_LEAST = "at least"
    AT_MOST = "at most"
    UNDER = "under"


@dataclass(frozen=True)
class Figure:
    """One number that the project answers for.

    Attributes:
        name: what it is asked by; its unit is its last word where that reads well.
        step: step of the project that brought it.
        unit: unit of the value.
        bound: what it must reach; None for a figure that only informs.
        direction: on which side of the bound it must lie.
        long: takes more than a minute and a half, and is not part of `make bench`.
        what: one line that says what is measured.
    """

    name: str
    step: int
    unit: str
    bound: float | None
    direction: Direction
    long: bool
    what: str

    def met(self, value: float) -> bool | None:
        """Return whether `value` meets the bound; None where there is none. What is not finite never does."""
        if self.bound is None:
            return None
        if not math.isfinite(value):
            return False
        match self.direction:
            case Direction.AT_LEAST:
                return value >= self.bound
            case Direction.AT_MOST:
                return value <= self.bound
            case Direction.UNDER:
                return value < self.bound

    def target(self) -> str:
        """Return the bound in words; empty where there is none."""
        return "" if self.bound is None else f"{self.direction} {self.bound:g}"


@dataclass(frozen=True)
class Measurement:
    """What was found for one figure.

    Attributes:
        value: the number, in the figure's unit.
        episodes: episodes that it rests on, 0 where there are none.
        seeds: seeds of those episodes.
        interval: 95 % interval, in the words of whoever measured it; None where the value is a count of everything.
        extra: further numbers that help to read it.
    """

    value: float
    episodes: int = 0
    seeds: range | None = None
    interval: tuple[float, float] | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """What measurements are told.

    Attributes:
        policy: name of a shipped checkpoint, or the folder of one.
        domain: ROS domain of the graphs.
    """

    policy: str = "bc_pick_cube"
    domain: int = BENCH_DOMAIN


Measure = Callable[[Settings], Mapping[str, Measurement]]


@dataclass(frozen=True)
class Benchmark:
    """One measuring run and the figures that it yields."""

    figures: tuple[Figure, ...]
    measure: Measure


_benchmarks: list[Benchmark] = []


def measures(*figures: Figure) -> Callable[[Measure], Measure]:
    """Register the decorated function as the one that yields `figures`.

    Raises:
        ConfigurationError: a name is taken already.
    """

    def register(measure: Measure) -> Measure:
        taken = {f.name for b in _benchmarks for f in b.figures}
        for figure in figures:
            if figure.name in taken:
                raise ConfigurationError(f"two figures are called '{figure.name}'")
        _benchmarks.append(Benchmark(figures, measure))
        return measure

    return register


def benchmarks() -> list[Benchmark]:
    """Return all benchmarks; topics are imported here, and import what they measure only when they measure."""
    for topic in TOPICS:
        importlib.import_module(f"bench.{topic}")
    return list(_benchmarks)


def choose(known: Sequence[Benchmark], names: Iterable[str], step: int | None, short: bool) -> list[str]:
    """Return the names of the figures that are asked for, in the order of the registry.

    Args:
        known: the benchmarks there are.
        names: figures by name; none means all that `step` and `short` leave.
        step: only figures of this step of the project.
        short: leave out the long ones.

    Raises:
        UnknownNameError: a figure or a step is unknown; the legal ones are listed.
    """
    figures = [f for b in known for f in b.figures]
    asked = set(names)
    for name in sorted(asked):
        if name not in {f.name for f in figures}:
            raise UnknownNameError("figure", name, (f.name for f in figures), "bench")
    if step is not None and step not in {f.step for f in figures}:
        raise UnknownNameError("step", str(step), {str(f.step) for f in figures}, "bench")
    return [
        f.name
        for f in figures
        if (not asked or f.name in asked) and (step is None or f.step == step) and not (short and f.long)
    ]


def run(
    known: Sequence[Benchmark], names: Sequence[str], settings: Settings, announce: Callable[[str], None]
) -> Iterator[dict[str, object]]:
    """Measure the figures `names` and yield the line of each; a benchmark that crashes yields lines with `error`.

    Args:
        known: the benchmarks there are.
        names: figures to report. Those of one benchmark come from one run of it.
        settings: what measurements are told.
        announce: told what is measured now.
    """
    for benchmark in known:
        wanted = [f for f in benchmark.figures if f.name in names]
        if not wanted:
            continue
        announce(", ".join(f.name for f in wanted))
        machine = describe_machine()
        try:
            found = benchmark.measure(settings)
            lines = [line(figure, found[figure.name], machine) for figure in wanted]
        except Exception as error:  # one broken benchmark must not cost the others: it is reported as an error
            announce(traceback.format_exc())
            said = f"{type(error).__name__}: {error}"
            lines = [{**line(figure, Measurement(math.nan), machine), "error": said} for figure in wanted]
        yield from lines


def line(figure: Figure, found: Measurement, machine: Mapping[str, object]) -> dict[str, object]:
    """Return the JSON line of `figure`; a value that is not finite is null."""
    finite = math.isfinite(found.value)
    return {
        "name": figure.name,
        "step": figure.step,
        "value": _rounded(found.value) if finite else None,
        "unit": figure.unit,
        "bound": figure.bound,
        "direction": None if figure.bound is None else str(figure.direction),
        "met": None if "skipped" in found.extra else figure.met(found.value),
        "episodes": found.episodes,
        "seeds": f"{found.seeds[0]}..{found.seeds[-1]}" if found.seeds else None,
        "interval": None if found.interval is None else [_rounded(v) for v in found.interval],
        "machine": dict(machine),
        "versions": versions(),
        "extra": {key: _rounded(v) if isinstance(v, float) else v for key, v in found.extra.items()},
    }


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
