"""Wall time of the stages of a control period, as the session sees them."""

from __future__ import annotations

from tutelage_core.clock import Clock


class Stages:
    """Mean time from one event of a control period to the next.

    The stages: `policy` (observation seen to chunk seen: transport and inference), `inference` (the policy's own time,
    part of `policy`), `gate` (command sent to executed action seen), `world` (executed action to next observation).
    """

    def __init__(self, clock: Clock) -> None:
        """Measure with the steady `clock`."""
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Begin an episode."""
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._event, self._event_ns = "", 0

    def event(self, name: str, stages: dict[str, str]) -> None:
        """Note the event `name`; `stages` maps the event before it to the stage that ends now."""
        now_ns = self._clock.now_ns()
        stage = stages.get(self._event)
        if stage is not None:
            self.add(stage, (now_ns - self._event_ns) / 1e6)
        self._event, self._event_ns = name, now_ns

    def add(self, stage: str, duration_ms: float) -> None:
        """Add one duration [ms] to `stage`."""
        self._sums[stage] = self._sums.get(stage, 0.0) + duration_ms
        self._counts[stage] = self._counts.get(stage, 0) + 1

    def means_ms(self) -> dict[str, float]:
        """Return the mean of each stage [ms]."""
        return {stage: total / self._counts[stage] for stage, total in self._sums.items()}
