"""The machine that measures, and child processes that measure alone on cores of their own."""

from __future__ import annotations

import multiprocessing
import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TypeVar

R = TypeVar("R")

ONE_THREAD = {"OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}
"""What `tutelage.environment.graph_environment` gives each node too: linear algebra and renderer without threads."""

START_LIMIT_S = 120.0
"""Children that are not ready after so long are given up [s]."""


def describe_machine() -> dict[str, object]:
    """Return the processor, the cores that this process may use, and the load before anything is measured."""
    return {
        "cpu": _cpu_model(),
        "cores": len(usable_cores()),
        "load_1_min": round(os.getloadavg()[0], 2),
        "system": platform.platform(terse=True),
    }


def usable_cores() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def _cpu_model() -> str:
    for text in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = text.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def measure_in_children(function: Callable[..., R], arguments: Sequence[tuple[object, ...]], *, pin: bool) -> list[R]:
    """Call `function` once for each tuple of `arguments`, each in a fresh process, all at the same time.

    Args:
        function: of a module, so that a child can import it. It calls `wait_for_the_others` once it is warm.
        arguments: one tuple for each child.
        pin: give each child one core of its own (in turn, where there are fewer cores than children).

    Returns:
        What the calls returned, in their order.
    """
    cores = usable_cores()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(arguments))
    with ProcessPoolExecutor(len(arguments), mp_context=context, initializer=_prepare, initargs=(barrier,)) as pool:
        futures = [
            pool.submit(_call, cores[i % len(cores)] if pin else None, function, args)
            for i, args in enumerate(arguments)
        ]
        return [future.result() for future in futures]


_barrier: Barrier | None = None


def _prepare(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603 a barrier can only be inherited
    _barrier = barrier
    os.environ.update(ONE_THREAD)


def _call(core: int | None, function: Callable[..., R], arguments: tuple[object, ...]) -> R:
    if core is not None:
        os.sched_setaffinity(0, {core})
    return function(*arguments)


def wait_for_the_others() -> None:
    """In a child of `measure_in_children`: return when all of them are here."""
    if _barrier is not None:
        _barrier.wait(START_LIMIT_S)
