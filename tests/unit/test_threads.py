"""Libraries that make threads real-time as root: nothing of that reaches who calls them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tutelage_core.episodes.lerobot.layout import ExportSettings
from tutelage_core.episodes.lerobot.video import write_video
from tutelage_core.threads import in_thread_of_its_own, never_real_time

TASKS = Path("/proc/self/task")


def may_be_real_time() -> bool:
    try:
        in_thread_of_its_own(become_real_time)
    except PermissionError:
        return False
    return True


def become_real_time() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def real_time_threads() -> set[str]:
    found = set()
    for task in TASKS.iterdir():
        try:
            if os.sched_getscheduler(int(task.name)) != os.SCHED_OTHER:
                found.add(task.name)
        except ProcessLookupError:  # it ended since
            continue
    return found


pytestmark = pytest.mark.skipif(not TASKS.is_dir(), reason="the system has no /proc/self/task")
needs_the_right = pytest.mark.skipif(not may_be_real_time(), reason="this process may not become real-time anyway")


def test_thread_of_its_own_returns_and_raises_what_the_call_does() -> None:
    assert in_thread_of_its_own(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        in_thread_of_its_own(lambda: 1 // 0)


@needs_the_right
def test_who_became_real_time_in_a_thread_of_its_own_takes_it_along() -> None:
    before = real_time_threads()  # an earlier test's driver may have left one behind
    in_thread_of_its_own(become_real_time)
    assert not real_time_threads() - before


@needs_the_right
def test_thread_that_gave_up_real_time_cannot_become_it_and_who_called_still_can() -> None:
    with pytest.raises(PermissionError):
        never_real_time(become_real_time)
    with pytest.raises(PermissionError):
        never_real_time(lambda: in_thread_of_its_own(become_real_time))
    in_thread_of_its_own(become_real_time)


@needs_the_right
@pytest.mark.parametrize("codec", ["libsvtav1", "h264", "hevc"])
def test_encoding_a_video_makes_no_thread_real_time(codec: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (30, 192, 192, 3)).astype(np.uint8)
    settings = ExportSettings(codec=codec)  # pyright: ignore[reportArgumentType]
    before = real_time_threads()
    seen: set[str] = set()
    threads: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.update(real_time_threads())
            threads.append(len(list(TASKS.iterdir())))
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        write_video(tmp_path / "a.mp4", images, 10, settings)
    finally:
        done.set()
        watcher.join()
    assert len(threads) > 3, "it was looked at while it worked"
    assert codec != "libsvtav1" or max(threads) > min(threads) + 3, "and at the encoder's own threads"
    assert not (seen | real_time_threads()) - before
