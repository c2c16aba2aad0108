"""Freed memory goes back to the system."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import psutil
import pytest

from tutelage_core.memory import give_back

pytestmark = pytest.mark.unit
MB = 2**20


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="another C library")
def test_what_was_freed_between_pieces_in_use_goes_back() -> None:
    give_back()
    before = psutil.Process().memory_info().rss
    pieces = [np.ones(8_000) for _ in range(2_000)]  # 64 kB each: from the heap, not from pages of their own
    kept = pieces[::20]
    grown = psutil.Process().memory_info().rss
    del pieces
    give_back()
    assert grown - before > 100 * MB
    assert psutil.Process().memory_info().rss - before < 0.3 * (grown - before)
    assert all(piece[0] == 1.0 for piece in kept)


GROWS = """
import sys
import numpy as np
import psutil
from tutelage_core.memory import hold_steady

if sys.argv[1] == "steady":
    assert hold_steady()
del [np.ones(3_000_000)][0]  # 24 MB, freed again: glibc takes smaller ones for small from now on
before = psutil.Process().memory_info().rss
large = [np.ones(250_000) for _ in range(60)]  # 2 MB each
pins = [np.ones(100) for _ in range(60)]
more = [np.ones(250_000)]
del large
print(psutil.Process().memory_info().rss - before)
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="another C library")
def test_large_pieces_go_back_at_once_where_the_thresholds_are_held() -> None:
    """Each in a process of its own: what glibc has learnt it does not forget."""
    grown = {
        how: int(subprocess.run([sys.executable, "-c", GROWS, how], capture_output=True, text=True, check=True).stdout)
        for how in ("as it is", "steady")
    }
    assert grown["as it is"] > 60 * MB, "the test shows nothing: these pieces go back anyway"
    assert grown["steady"] < 10 * MB
