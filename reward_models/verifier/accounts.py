"""Whether a verifier is worth listening to."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from tutelage_core.verdict import Answer

WATCHED = 20
"""Verdicts that are looked at together."""


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
