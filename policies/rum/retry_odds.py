"""What retrying can give, and whether a verifier is worth listening to.

`expected` is for tries that do not depend on each other. Real ones do: some scenes are hard, and some failures cannot
be mended, so what is measured lies below.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from tutelage_core.errors import ConfigurationError
from tutelage_core.verdict import Answer

WATCHED = 20
"""Verdicts that are looked at together."""


@dataclass(frozen=True)
class RetryOdds:
    """What is to be expected of a task with retry.

    Attributes:
        success: share of tasks that end with a verified success that is one.
        false_success: share that end with a success that is none.
        tries: mean number of attempts.
    """

    success: float
    false_success: float
    tries: float


def expected(success: float, false_positive: float, false_negative: float, tries: int) -> RetryOdds:
    """Return the odds of independent tries.

    Args:
        success: chance that one try works, 0..1.
        false_positive: chance of a yes for a try that *failed*, 0..1.
        false_negative: chance of a no for a try that *worked*, 0..1.
        tries: at most.

    Raises:
        ConfigurationError: a chance is none, or there is no try.
    """
    for name, chance in (("success", success), ("false_positive", false_positive), ("false_negative", false_negative)):
        if not 0.0 <= chance <= 1.0:
            raise ConfigurationError(f"{name} must be in 0..1, got {chance}")
    if tries < 1:
        raise ConfigurationError(f"tries must be at least 1, got {tries}")
    again = success * false_negative + (1.0 - success) * (1.0 - false_positive)
    begun = sum(again**k for k in range(tries))  # (1 - again^K) / (1 - again), and K for a verifier that never agrees
    return RetryOdds(success * (1.0 - false_negative) * begun, (1.0 - success) * false_positive * begun, begun)


@dataclass
class VerifierRecord:
    """Verdicts against what was true, where somebody has said so.

    Attributes:
        true_yes, false_no: of tries that worked.
        false_yes, true_no: of tries that failed.
        unknown: of either.
    """

    true_yes: int = 0
    false_no: int = 0
    false_yes: int = 0
    true_no: int = 0
    unknown: int = 0

    def count(self, answer: Answer, worked: bool) -> None:
        """Count a verdict on a try of which it is known whether it worked."""
        if answer is Answer.UNKNOWN:
            self.unknown += 1
        elif worked:
            self.true_yes += answer is Answer.YES
            self.false_no += answer is Answer.NO
        else:
            self.false_yes += answer is Answer.YES
            self.true_no += answer is Answer.NO

    @property
    def false_positive_rate(self) -> float | None:
        """Share of yes among tries that failed; None where none did."""
        failed = self.false_yes + self.true_no
        return self.false_yes / failed if failed else None

    @property
    def false_negative_rate(self) -> float | None:
        """Share of no among tries that worked; None where none did."""
        worked = self.true_yes + self.false_no
        return self.false_no / worked if worked else None


class VerifierWatch:
    """Notices a verifier that always says the same: one that does not look is worse than none."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self._heard: deque[Answer] = deque(maxlen=WATCHED)

    def hear(self, answer: Answer) -> str:
        """Take a verdict; return what is to be said about the verifier, empty if nothing is."""
        self._heard.append(answer)
        if len(self._heard) < WATCHED or len(set(self._heard)) > 1:
            return ""
        return {
            Answer.YES: f"the verifier has said yes {WATCHED} times in a row: look whether it would ever say no",
            Answer.NO: f"the verifier has said no {WATCHED} times in a row: look whether it sees what it judges",
            Answer.UNKNOWN: f"the verifier has not known {WATCHED} times in a row: is it reachable?",
        }[answer]


def frames_to_look_at(count: int, step: int = 2) -> tuple[int, ...]:
    """Return every `step`-th frame of `count`, counted back from the last one, which is always looked at (RUM, 1.5).

    Raises:
        ConfigurationError: there is no frame, or no step.
    """
    if count < 1 or step < 1:
        raise ConfigurationError(f"needs at least one frame and a step of 1 or more, got {count} and {step}")
    return tuple(range((count - 1) % step, count, step))
