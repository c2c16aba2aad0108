"""How an episode was driven: the rate that was reached, how late chunks came, what was dropped, how hard seams were."""

from __future__ import annotations

import numpy as np

from tutelage_core.chunks import ChunkBuffer
from tutelage_core.contract import NS_PER_S
from tutelage_core.types import ActionChunk, FloatArray, StepCommand


class DriveReport:
    """Watches the chunks that come and the commands that go; made anew for each episode."""

    def __init__(self, chunks: ChunkBuffer, period_ns: int) -> None:
        """Watch what is taken from `chunks`, one step every `period_ns` [ns]."""
        self._chunks, self._period_s = chunks, period_ns / NS_PER_S
        self._late_ms: list[float] = []
        self._stamps: list[int] = []
        self._steps: list[FloatArray] = []
        self._seams: list[int] = []
        self._chunk_ns = -1

    def chunk_came(self, chunk: ActionChunk, now_ns: int) -> None:
        """Note a chunk that was taken at `now_ns`, on the clock of its stamp [ns]."""
        self._late_ms.append((now_ns - chunk.stamp_ns) / 1e6)

    def commanded(self, command: StepCommand) -> None:
        """Note a command of a period in which somebody drives."""
        chunk = self._chunks.chunk
        stamp_ns = -1 if chunk is None else chunk.stamp_ns
        if 0 <= self._chunk_ns != stamp_ns >= 0:
            self._seams.append(len(self._steps))
        self._chunk_ns = stamp_ns
        self._stamps.append(command.stamp_ns)
        self._steps.append(command.step[:3])

    def seam_jerks(self) -> list[float]:
        """Return the jerk of the commands at each seam [m/s^3]: the larger of the two about its first step."""
        if len(self._steps) < 3:
            return []
        velocity = np.stack(self._steps) / self._period_s
        jerk = np.linalg.norm(np.diff(velocity, n=2, axis=0), axis=1) / self._period_s**2
        return [float(jerk[max(first - 2, 0) : first].max()) for first in self._seams if first >= 1]

    def figures(self) -> dict[str, float]:
        """Return what is known, by name.

        `rate_hz`, `delay_ms` (median from observation to chunk), `delay_worst_ms`, `dropped_steps` (came too late),
        `dropped_chunks` (older than one that was there), `seam_jerk_m_s3` (99th percentile).
        """
        found: dict[str, float] = {
            "dropped_steps": float(self._chunks.dropped_steps),
            "dropped_chunks": float(self._chunks.dropped_chunks),
        }
        if len(self._stamps) > 1 and self._stamps[-1] > self._stamps[0]:
            found["rate_hz"] = (len(self._stamps) - 1) * NS_PER_S / (self._stamps[-1] - self._stamps[0])
        if self._late_ms:
            found["delay_ms"] = float(np.median(self._late_ms))
            found["delay_worst_ms"] = max(self._late_ms)
        if jerks := self.seam_jerks():
            found["seam_jerk_m_s3"] = float(np.percentile(jerks, 99))
        return found
