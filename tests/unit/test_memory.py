"""Freed memory goes back to the system."""

from __future__ import annotations

import os

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
