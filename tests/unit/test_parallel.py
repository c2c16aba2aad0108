"""Work in parallel processes: each has one thread, and the settings of this process stay as they were."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from tutelage_core import parallel
from tutelage_core.errors import ConfigurationError, EpisodeError
from tutelage_core.parallel import THREAD_VARIABLES, each

pytestmark = pytest.mark.unit


def threads(_: int) -> dict[str, int]:
    """Let each library work; return how many threads it says that it uses, and how many the process has."""
    import torch  # not above: it costs seconds, and here it is loaded as a worker loads it

    square = np.ones((600, 600))
    product = torch.from_numpy(square @ square) @ torch.from_numpy(square)
    cv2.resize(product.numpy(), (1200, 1200))
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    running = next(line for line in status.splitlines() if line.startswith("Threads:"))
    return {"torch": torch.get_num_threads(), "cv2": cv2.getNumThreads(), "process": int(running.split()[1])}


def variables(_: int) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in THREAD_VARIABLES}


def double(number: int) -> int:
    return 2 * number


def refuse_three(number: int) -> int:
    if number == 3:
        raise EpisodeError("item 3 is damaged")
    return number


def mark(folder: Path) -> None:
    (folder / str(os.getpid())).touch()


def test_worker_has_one_thread_whatever_libraries_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "4")
    assert list(each(threads, [1, 2], 2, title="t", progress=False)) == [{"torch": 1, "cv2": 1, "process": 1}] * 2


def test_environment_is_as_it_was_once_the_workers_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    working = each(variables, [1, 2, 3], 2, title="t", progress=False)
    assert next(working) == dict.fromkeys(THREAD_VARIABLES, "1")
    assert dict(os.environ) == before
    assert len(list(working)) == 2
    assert dict(os.environ) == before


def test_environment_is_as_it_was_if_the_workers_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = dict(os.environ)

    def refused(*_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(parallel.ProcessPoolExecutor, "submit", refused)
    with pytest.raises(OSError, match="temporarily unavailable"):
        list(each(double, [1, 2], 2, title="t", progress=False))
    assert dict(os.environ) == before


@pytest.mark.parametrize("loaded", ["import torch; torch.set_num_threads(2)", "pass"])
def test_torch_is_held_to_one_thread_if_it_is_there_and_is_not_loaded_for_it(loaded: str) -> None:
    program = f"""
import sys
{loaded}
had = "torch" in sys.modules
from tutelage_core.parallel import _begin
_begin(None)
assert ("torch" in sys.modules) == had
assert not had or torch.get_num_threads() == 1
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


@pytest.mark.parametrize("processes", [1, 2])
def test_each_item_is_done_once_and_the_processes_are_prepared_once(tmp_path: Path, processes: int) -> None:
    prepare = partial(mark, tmp_path)
    done = each(double, range(20), processes, title="t", progress=False, prepare=prepare)
    assert sorted(done) == [2 * number for number in range(20)]
    assert len(list(tmp_path.iterdir())) == processes


@pytest.mark.parametrize("processes", [1, 2])
def test_what_an_item_raises_ends_the_run(processes: int) -> None:
    with pytest.raises(EpisodeError, match="item 3 is damaged"):
        list(each(refuse_three, range(1, 9), processes, title="t", progress=False))


def test_fewer_than_one_process_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1, got 0"):
        list(each(double, [1], 0, title="t", progress=False))
