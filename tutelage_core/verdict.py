"""What somebody or something says of an attempt: did it work?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tutelage_core.errors import ConfigurationError


class Answer(StrEnum):
    """What a verifier answers."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    """It could not look, or said nothing that can be understood. Never taken for one of the others."""


@dataclass(frozen=True)
class Verdict:
    """One answer.

    Attributes:
        answer: what was said.
        verifier: name of whoever said it.
        reason: in words; has to say why where the answer is unknown.
        stamps_ns: of the pictures that were looked at, the oldest first [ns].
        irreversible: another attempt cannot mend it, as when the thing has fallen off the table.
    """

    answer: Answer
    verifier: str
    reason: str = ""
    stamps_ns: tuple[int, ...] = ()
    irreversible: bool = False

    def __post_init__(self) -> None:
        """Refuse a verdict of nobody, and one that is unknown for no reason."""
        if not self.verifier:
            raise ConfigurationError("a verdict needs the name of its verifier")
        if self.answer is Answer.UNKNOWN and not self.reason:
            raise ConfigurationError("a verdict that is unknown says why")
        if self.irreversible and self.answer is not Answer.NO:
            raise ConfigurationError(f"only a no can be irreversible, not a verdict of '{self.answer}'")
