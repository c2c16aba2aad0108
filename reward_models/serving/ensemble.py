"""Several models' scores of one moment as one."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from reward_models.reward_model import Score, ScoreStatus
from tutelage_core.errors import ConfigurationError, UnknownNameError

ENSEMBLE = "ensemble"
RULES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "median": statistics.median,
    "least": min,
}
"""`least` is the careful one: false successes harm more than missed ones."""


class Ensemble:
    """Joins what models say; their values have to be alike in scale."""

    def __init__(self, models: Sequence[str], rule: str, quorum: int) -> None:
        """Join the scores of these models.

        Args:
            models: their names.
            rule: one of `RULES`.
            quorum: so many of them must have a value, 0 for all.

        Raises:
            UnknownNameError: there is no such rule.
            ConfigurationError: there is nothing to join, or the quorum is never reached.
        """
        if rule not in RULES:
            raise UnknownNameError("ensemble rule", rule, RULES)
        if len(models) < 2 or len(set(models)) != len(models) or not 0 <= quorum <= len(models):
            raise ConfigurationError(
                f"an ensemble joins two models or more, each once, and its quorum is 0 to their number; got "
                f"{', '.join(models) or 'none'} and {quorum}"
            )
        self._models, self._rule, self._quorum = tuple(models), rule, quorum or len(models)
        self._moments: dict[int, dict[str, Score]] = {}

    def restart(self) -> None:
        """Begin an episode: what has not been joined is forgotten."""
        self._moments.clear()

    def see(self, model: str, score: Score) -> Score | None:
        """Take what a model said; return the joint score once all have spoken of that moment."""
        said = self._moments.setdefault(score.stamp_ns, {})
        said[model] = score
        if len(said) < len(self._models):
            return None
        del self._moments[score.stamp_ns]
        return self._joined(said)

    def _joined(self, said: Mapping[str, Score]) -> Score:
        stamp_ns = next(iter(said.values())).stamp_ns
        good = [score for score in said.values() if score.valid]
        if len(good) < self._quorum:
            why = "; ".join(f"{name}: {score.status.value}" for name, score in said.items() if not score.valid)
            return Score.failed(ScoreStatus.UNAVAILABLE, stamp_ns, f"{len(good)} of {len(said)} have a value: {why}")
        rule = RULES[self._rule]
        success, progress = (
            rule([share for share in shares if share is not None]) if None not in shares else None
            for shares in ([score.success for score in good], [score.progress for score in good])
        )
        return Score(rule([s.value for s in good]), ScoreStatus.OK, stamp_ns, success=success, progress=progress)
