"""What is said of how an episode was driven."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage_core.chunks import ChunkBuffer, SeamSettings
from tutelage_core.drive_report import DriveReport
from tutelage_core.types import ActionChunk, Source, StepCommand

pytestmark = pytest.mark.unit

PERIOD_NS = 100_000_000


def driven(blend_steps: int = 0, late: int = 0) -> tuple[DriveReport, ChunkBuffer]:
    """Twelve periods: a chunk that stands still, and one of 1 cm a step from period 4 on, that comes `late` later."""
    chunks = ChunkBuffer(4, SeamSettings(blend_steps))
    report = DriveReport(chunks, PERIOD_NS)
    for period in range(12):
        now_ns = period * PERIOD_NS
        for due, stamp, step in ((0, 0, 0.0), (4 + late, 4, 0.01)):
            if period == due:
                chunk = ActionChunk(stamp * PERIOD_NS, PERIOD_NS, np.full((8, 7), step))
                chunks.add(chunk)
                report.chunk_came(chunk, now_ns)
        found = chunks.step_at(now_ns)
        assert found is not None
        report.commanded(StepCommand(now_ns, period, Source.POLICY, found[1]))
    return report, chunks


def test_rate_delay_and_what_came_too_late() -> None:
    figures = driven(late=2)[0].figures()
    assert figures["rate_hz"] == pytest.approx(10.0)
    assert (figures["delay_ms"], figures["delay_worst_ms"]) == (100.0, 200.0)
    assert (figures["dropped_steps"], figures["dropped_chunks"]) == (2.0, 0.0)


def test_jerk_at_a_seam_is_that_of_the_jump() -> None:
    # from 0 to 0.1 m/s in one period along three axes
    assert driven()[0].seam_jerks() == pytest.approx([np.sqrt(3) * 0.1 / 0.1**2])
    blended = driven(blend_steps=3)[0].seam_jerks()
    assert blended == pytest.approx([np.sqrt(3) * 0.1 / 0.1**2 / 4]), "a quarter of it in each of four steps"


def test_nothing_is_said_of_what_was_not_seen() -> None:
    report = DriveReport(ChunkBuffer(1), PERIOD_NS)
    assert report.figures() == {"dropped_steps": 0.0, "dropped_chunks": 0.0}
    report.commanded(StepCommand(0, 0, Source.HOLD, np.zeros(7)))
    assert "rate_hz" not in report.figures()
