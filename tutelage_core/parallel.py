"""One function over many independent work items, in processes of this machine, with a progress bar.

The function is a top-level one and its items can be pickled to our own processes: a cluster engine can be handed the
same two. What is done already is the caller's to leave out of the items, so that a run that was cut off goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

import cv2
from tqdm import tqdm

from tutelage_core.errors import ConfigurationError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""How many threads the libraries of a process begin with; they look when they are loaded, and never again."""

T = TypeVar("T")
R = TypeVar("R")


def each(
    function: Callable[[T], R],
    items: Sequence[T],
    processes: int,
    *,
    title: str,
    unit: str = "episode",
    done_before: int = 0,
    progress: bool | None = None,
    prepare: Callable[[], None] | None = None,
) -> Iterator[R]:
    """Yield what `function` returns for each of `items`, in the order in which they are done.

    Args:
        function: a top-level function.
        items: what to call it with.
        processes: how many processes, each with one thread; with one, it happens in this one.
        title: before the progress bar.
        unit: what an item is called there.
        done_before: items that were done in an earlier run, for the bar.
        progress: show the bar; if None, where somebody looks at it.
        prepare: called once in each process, before anything else; a top-level function, or a `partial` of one.

    Raises:
        ConfigurationError: `processes` is below 1.
        Exception: what `function` raises; nothing new is begun then.
    """
    if processes < 1:
        raise ConfigurationError(f"processes must be at least 1, got {processes}")
    total, disable = len(items) + done_before, None if progress is None else not progress
    with tqdm(total=total, initial=done_before, desc=title, unit=unit, disable=disable) as bar:
        if processes == 1 or len(items) < 2:
            if prepare is not None and items:
                prepare()
            for item in items:
                yield function(item)
                bar.update()
            return
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(processes, len(items)), spawn, _begin, (prepare,)) as pool:
            with _one_thread_each():  # a spawning pool starts its processes when it is handed the first item
                futures: list[Future[R]] = [pool.submit(function, item) for item in items]
            try:
                for future in as_completed(futures):
                    yield future.result()
                    bar.update()
            finally:
                pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Generator[None]:
    """Let processes that are started meanwhile find one thread in their environment before they load a library."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin(prepare: Callable[[], None] | None) -> None:
    cv2.setNumThreads(1)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
    if prepare is not None:
        prepare()
