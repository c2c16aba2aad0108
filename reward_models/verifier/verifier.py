"""The question that ends an attempt: did it work? And which of its pictures are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from tutelage_core.contract import CameraNeed
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Observation
from tutelage_core.verdict import Verdict


@runtime_checkable
class Verifier(Protocol):
    """Looks at an attempt that is over, or at one so far."""

    @property
    def name(self) -> str:
        """As it was asked for."""
        ...

    @property
    def cameras(self) -> Mapping[str, CameraNeed | None]:
        """Camera name to the image size that it needs; None takes any size."""
        ...

    def verify(self, frames: Sequence[Observation], task: str) -> Verdict:
        """Say whether the task is done at the end of these frames.

        Args:
            frames: moments of one attempt, in their order, the last one included.
            task: what was asked of the robot, a sentence.

        Returns:
            Yes, no or unknown; what goes wrong with a right question, such as a server that hangs, is unknown and says
            why, never no.

        Raises:
            ValueError: the task is empty, there is no frame, or one lacks a camera.
        """
        ...


def frames_to_look_at(count: int, step: int = 2) -> tuple[int, ...]:
    """Return every `step`-th frame of `count`, counted back from the last one, which is always looked at (RUM, 1.5).

    Raises:
        ConfigurationError: there is no frame, or no step.
    """
    if count < 1 or step < 1:
        raise ConfigurationError(f"needs at least one frame and a step of 1 or more, got {count} and {step}")
    return tuple(range((count - 1) % step, count, step))


def check_attempt(frames: Sequence[Observation], task: str, cameras: Mapping[str, object]) -> None:
    """Refuse what nobody can judge.

    Raises:
        ValueError: the task is empty, there is no frame, or the last one lacks a camera.
    """
    if not task.strip():
        raise ValueError("a verifier needs to be told the task")
    if not frames:
        raise ValueError("there is no frame of the attempt")
    if missing := [name for name in cameras if name not in frames[-1].images]:
        raise ValueError(f"the last frame of the attempt has no picture of camera {', '.join(missing)}")
