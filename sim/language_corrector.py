"""The person at the microphone, scripted: says which motion comes next when a policy moves wrongly.

As in RT-H (Belkhale et al. 2024) a spoken phrase stays in force and the person is asked again and again:
a new phrase, the same one, or no more corrections.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sim.attention import Attention, AttentionSettings, periods
from sim.bounds import check_bounds
from sim.twin import Twin
from tutelage_core.errors import ConfigurationError
from tutelage_core.motion_phrases import WORDS, Part, PhraseSettings, motion_of, parts_of, say
from tutelage_core.types import FloatArray

_SPEAKING = 30_004  # keeps these draws apart


@dataclass(frozen=True)
class LanguageCorrectorSettings:
    """When and how somebody speaks up.

    Attributes:
        attention: how well the person watches.
        phrases: what is too small to be named.
        disagreement_s: for how long the policy may move otherwise than the expert would [s].
        ask_every_s: how often the person may change the phrase while correcting [s].
        shortest_s: a correction lasts so long at least [s].
        longest_s: and so long at most; each draws its own length [s].
        wrong_phrases: share of spoken phrases that name another motion, 0..1.
        budget: corrections in an episode at most; None is no limit.
    """

    attention: AttentionSettings = field(default_factory=AttentionSettings)
    phrases: PhraseSettings = field(default_factory=PhraseSettings)
    disagreement_s: float = 0.4
    ask_every_s: float = 0.3
    shortest_s: float = 1.0
    longest_s: float = 3.0
    wrong_phrases: float = 0.0
    budget: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is no corrector.

        Raises:
            ConfigurationError: a number is out of bounds, or the longest correction is shorter than the shortest.
        """
        check_bounds(self, 1e-3, 3600.0, "disagreement_s", "ask_every_s", "shortest_s", "longest_s")
        check_bounds(self, 0.0, 1.0, "wrong_phrases")
        if self.longest_s < self.shortest_s:
            raise ConfigurationError(
                f"longest_s must be at least shortest_s = {self.shortest_s} s, got {self.longest_s} s"
            )
        if self.budget is not None and self.budget < 0:
            raise ConfigurationError(f"budget must be None or 0 or more corrections, got {self.budget}")


@dataclass(frozen=True)
class Utterance:
    """A phrase that was said.

    Attributes:
        period: control period of the episode.
        phrase: what was said.
        meant: what the expert would have said.
    """

    period: int
    phrase: str
    meant: str


class LanguageCorrector:
    """Decides once a control period which phrase, if any, the person has put in force."""

    def __init__(self, twin: Twin, settings: LanguageCorrectorSettings | None = None) -> None:
        """Watch `twin`."""
        self._twin = twin
        self.settings = settings or LanguageCorrectorSettings()
        self._period_s = twin.contract.period_ns / 1e9
        self._attention = Attention(self.settings.attention, self._period_s)
        self._patience = periods(self.settings.disagreement_s, self._period_s)
        self._ask_every = periods(self.settings.ask_every_s, self._period_s)
        self.restart(0)

    def restart(self, seed: int) -> None:
        """Begin an episode, after the twin's own reset; all that is random in it follows from `seed`."""
        self._attention.restart(seed)
        self._rng = np.random.default_rng([seed, _SPEAKING])
        self._opening = self._twin.arm_state().gripper_opening
        self._phrase: str | None = None
        self._wrong = self._spoken = self._length = 0
        self.periods = self.corrections = 0
        self.utterances: list[Utterance] = []

    def watch(self, proposed: FloatArray) -> str | None:
        """Return the phrase in force in this period; None while the policy shall choose for itself.

        Call it once a control period, before the twin advances, also while a phrase is in force.

        Args:
            proposed: the policy's TCP step for this period, shape (7,) [m, rad, 0..1]. One that is not
                finite counts as standing still.
        """
        meant = self._parts(self._twin.expert_step())
        own: tuple[Part, ...] = ()
        if np.isfinite(proposed).all():
            own = self._parts(proposed)
            self._opening = min(max(float(proposed[6]), 0.0), 1.0)
        now, self.periods = self.periods, self.periods + 1
        if self._phrase is not None:
            self._attention.notice("")
            self._go_on(now, meant)
        else:
            self._wrong = self._wrong + 1 if disagree(own, meant) else 0
            noticed = self._attention.notice("disagreement" if self._wrong >= self._patience else "")
            # by the time one speaks the policy may have come round
            if noticed and disagree(own, meant) and self.corrections != self.settings.budget:
                self.corrections += 1
                length_s = float(self._rng.uniform(self.settings.shortest_s, self.settings.longest_s))
                self._spoken, self._length = 0, periods(length_s, self._period_s)
                self._speak(now, meant)
        return self._phrase

    def _go_on(self, now: int, meant: tuple[Part, ...]) -> None:
        self._spoken += 1
        if self._spoken >= self._length or self._twin.task_status().success:
            self._phrase, self._wrong = None, 0
            self._attention.forget()
        elif self._spoken % self._ask_every == 0:
            self._speak(now, meant)

    def _speak(self, now: int, meant: tuple[Part, ...]) -> None:
        slip, choice = self._rng.random(2)
        right = said = say(meant)
        if slip < self.settings.wrong_phrases:
            others = [say([part]) for part in WORDS if say([part]) != right]
            said = others[int(choice * len(others))]
        if said != self._phrase:
            self.utterances.append(Utterance(now, said, right))
        self._phrase = said

    def _parts(self, step: FloatArray) -> tuple[Part, ...]:
        return parts_of(motion_of(step, self._opening), self.settings.phrases)


def disagree(own: tuple[Part, ...], meant: tuple[Part, ...]) -> bool:
    """Tell whether a motion with the parts `own` lacks the most important part of the one that is `meant`."""
    return bool(meant) and meant[0] not in own
