"""The person at the robot, scripted: watches a policy, takes over when it errs, corrects, and lets go."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sim.attention import Attention, AttentionSettings, periods
from sim.bounds import check_bounds
from sim.correction import Correction, CorrectionSettings
from sim.lookout import Lookout, LookoutSettings
from sim.twin import Twin
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import FloatArray

NEEDLESS = "needless"
"""Reason of a take-over for which there was none."""

_CORRECTING, _MEDDLING = 30_002, 30_003  # keep draws apart


@dataclass(frozen=True)
class InterventionSettings:
    """What the person is like. The default is attentive, quick and skilled.

    Attributes:
        attention: how well the person watches.
        lookout: what the person takes over for.
        correction: how the person corrects.
        needless: share of attention windows in which the person would take over without a reason, 0..1.
        budget: take-overs in an episode at most; None is no limit.
    """

    attention: AttentionSettings = field(default_factory=AttentionSettings)
    lookout: LookoutSettings = field(default_factory=LookoutSettings)
    correction: CorrectionSettings = field(default_factory=CorrectionSettings)
    needless: float = 0.0
    budget: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is no person.

        Raises:
            ConfigurationError: a number is out of bounds.
        """
        check_bounds(self, 0.0, 1.0, "needless")
        if self.budget is not None and self.budget < 0:
            raise ConfigurationError(f"budget must be None or 0 or more take-overs, got {self.budget}")


@dataclass
class Takeover:
    """One correction, for the report.

    Attributes:
        reason: a failure kind, `border`, `disagreement`, `stall` or `needless`.
        first_period: control period of the episode in which the hand took over.
        periods: for how many it drove.
    """

    reason: str
    first_period: int
    periods: int = 0


class Intervener:
    """Decides once a control period whether the person's hand is on the arm, and what it asks for.

    It only gives steps; who drives is for `tutelage.intervened_driver` or a session to say.
    """

    def __init__(self, twin: Twin, settings: InterventionSettings | None = None) -> None:
        """Watch `twin`."""
        self._twin = twin
        self.settings = settings or InterventionSettings()
        period_s = twin.contract.period_ns / 1e9
        self._attention = Attention(self.settings.attention, period_s)
        self._lookout = Lookout(twin, self.settings.lookout)
        self._window = max(periods(self.settings.attention.window_s, period_s), 1)
        self.restart(0)

    def restart(self, seed: int) -> None:
        """Begin an episode, after the twin's own reset; all that is random in it follows from `seed`."""
        self._seed = seed
        self._attention.restart(seed)
        self._lookout.restart()
        self._correction: Correction | None = None
        self.periods = 0
        self.takeovers: list[Takeover] = []

    @property
    def correcting(self) -> bool:
        """Whether the hand is on the arm: the deadman is held."""
        return self._correction is not None

    @property
    def corrected_periods(self) -> int:
        """Control periods of this episode in which the hand drove."""
        return sum(takeover.periods for takeover in self.takeovers)

    def watch(self, proposed: FloatArray) -> FloatArray | None:
        """Return the hand's TCP step for this period, shape (7,) [m, rad, 0..1]; None while it does not touch.

        Call it once a control period, before the twin advances, also while the hand drives.

        Args:
            proposed: the policy's TCP step for this period, shape (7,).
        """
        now, self.periods = self.periods, self.periods + 1
        if self._correction is None:
            reason = self._lookout.reason(proposed)
            noticed = self._attention.notice(reason or self._whim(now))
            # what has righted itself within the reaction delay needs no hand
            wanted = bool(reason) or noticed == NEEDLESS
            if not noticed or not wanted or len(self.takeovers) == self.settings.budget:
                return None
            rng = np.random.default_rng([self._seed, _CORRECTING, len(self.takeovers)])
            self._correction = Correction(self._twin, self.settings.correction, self._attention.delay_periods, rng)
            self.takeovers.append(Takeover(noticed, now))
        else:
            self._attention.notice("")
        step = self._correction.step(not self._lookout.disagrees(proposed))
        if step is None:
            self._let_go()
        else:
            self.takeovers[-1].periods += 1
        return step

    def _let_go(self) -> None:
        self._correction = None
        self._attention.forget()
        self._lookout.rest()

    def _whim(self, now: int) -> str:
        window, first = divmod(now, self._window)
        if first or self._twin.task_status().success:
            return ""
        draw = np.random.default_rng([self._seed, _MEDDLING, window]).random()
        return NEEDLESS if draw < self.settings.needless else ""
