"""One episode's stream of commands: chunks in, commands out, and what is counted on the way."""

from __future__ import annotations

from collections.abc import Mapping

from hardware.safety.chunk_check import object_to_chunk
from tutelage_core.arbiter import Arbiter
from tutelage_core.chunks import ChunkBuffer, SeamSettings
from tutelage_core.drive_report import DriveReport
from tutelage_core.limits import SafetyLimits
from tutelage_core.session import MOVING_STATES, DriveState
from tutelage_core.types import ActionChunk, EpisodeResult, FloatArray, Source, StepCommand
from tutelage_nodes.episode_clock import EpisodeClock

MOST_BAD_CHUNKS = 3
"""So many chunks in a row that are worthless end the episode."""


class Drive:
    """Joins chunks, hand and drive state; made anew for each episode."""

    def __init__(
        self,
        limits: SafetyLimits,
        period_ns: int,
        sender: str,
        replan_every: int = 1,
        seams: SeamSettings | None = None,
    ) -> None:
        """Send commands as `sender`, one every `period_ns` [ns]; ask for a chunk every `replan_every` steps."""
        self._limits = limits
        self.chunks = ChunkBuffer(replan_every, seams)
        self.arbiter = Arbiter(self.chunks, sender)
        self.report = DriveReport(self.chunks, period_ns)
        self.pulse = EpisodeClock(self.chunks, period_ns)
        self.steps = 0
        self.interventions = 0
        self.human_steps = 0
        self.bad_chunks = 0

    def take(self, chunk: ActionChunk, not_before_ns: int, now_ns: int) -> bool:
        """Take a chunk at `now_ns`; return False if it is of before `not_before_ns` [ns] or older than the last one.

        Raises:
            ValueError: no step of it may be taken; such chunks in a row are counted.
        """
        if objection := object_to_chunk(chunk.steps, self._limits):
            self.bad_chunks += 1
            raise ValueError(f"the policy's chunk is refused whole: {objection}")
        self.bad_chunks = 0
        taken = chunk.stamp_ns >= not_before_ns and self.chunks.add(chunk)
        if taken:
            self.report.chunk_came(chunk, now_ns)
        return taken

    @property
    def is_hopeless(self) -> bool:
        """Whether the policy sends nothing but worthless chunks."""
        return self.bad_chunks >= MOST_BAD_CHUNKS

    def command(self, state: DriveState, stamp_ns: int, steady_ns: int, human_step: FloatArray | None) -> StepCommand:
        """Return the command for the period at `stamp_ns`, sent at `steady_ns` on the scaled steady clock."""
        self.pulse.sent(stamp_ns, steady_ns)
        self.arbiter.set_human_step(human_step)
        command = self.arbiter.command(state, stamp_ns)
        if state in MOVING_STATES:
            self.steps += 1
            self.report.commanded(command)
        self.human_steps += command.source is Source.HUMAN
        return command

    def result(self, termination: str, stage_ms: Mapping[str, float], failure: str) -> EpisodeResult:
        """Return how the episode ended; `stage_ms` holds the mean of each stage [ms], `failure` its kind."""
        failed = "" if termination == "success" else failure
        return EpisodeResult(
            termination == "success",
            self.steps,
            termination,
            self.interventions,
            stage_ms,
            failed,
            self.human_steps,
            self.report.figures(),
        )
