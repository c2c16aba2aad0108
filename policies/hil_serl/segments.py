"""How far each actor has come: what is new, what was sent twice, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policies.hil_serl.transition import ReplayError, Step, step_name


@dataclass(frozen=True)
class Progress:
    """How far one actor has come.

    Attributes:
        segment: its newest segment.
        next_index: index of the next step of that segment.
        is_open: whether that segment still owes its end.
    """

    segment: int
    next_index: int
    is_open: bool


class Segments:
    """Decides of each step whether it is the next one of its actor."""

    def __init__(self, *, partial: bool = False, progress: Mapping[str, Progress] | None = None) -> None:
        """Begin with the `progress` of an earlier process, if there was one.

        Args:
            partial: steps may be left out, as where only the corrections of an episode are kept.
            progress: actor to how far it had come.
        """
        self._partial = partial
        self._progress = dict(progress or {})

    @property
    def progress(self) -> Mapping[str, Progress]:
        """How far each actor has come."""
        return dict(self._progress)

    def is_new(self, step: Step) -> bool:
        """Return whether the step is the next one of its actor; False for one that was there already.

        Raises:
            ReplayError: steps before it are missing, its segment has ended, or its actor restarted its count.
        """
        so_far = self._progress.get(step.actor)
        if so_far is None:
            if step.index != 0 and not self._partial:
                raise ReplayError(f"{step.name}: the first step of a new actor must have index 0; send those before it")
            return True
        if (step.segment, step.index) < (so_far.segment, so_far.next_index):
            if step.after_restart:
                raise ReplayError(
                    f"{step.name}: a restarted actor must go on counting; it is at segment {so_far.segment}, so begin "
                    f"with segment {so_far.segment + 1}"
                )
            return False
        self._refuse_gap(step, so_far)
        return True

    def take(self, step: Step) -> None:
        """Note that the step was stored."""
        self._progress[step.actor] = Progress(step.segment, step.index + 1, not step.ends_segment)

    def has_seen(self, actor: str, segment: int, index: int) -> bool:
        """Return whether such a step can have been there."""
        so_far = self._progress.get(actor)
        return so_far is not None and (segment, index) < (so_far.segment, so_far.next_index)

    def _refuse_gap(self, step: Step, so_far: Progress) -> None:
        if step.segment == so_far.segment:
            if not so_far.is_open:
                raise ReplayError(f"{step.name}: that segment ended with step {so_far.next_index - 1}")
            if step.index != so_far.next_index and not self._partial:
                missing = step_name(step.actor, step.segment, so_far.next_index)
                raise ReplayError(f"{step.name}: {missing} is missing; send it first")
            return
        if self._partial:
            return
        if so_far.is_open and not step.after_restart:
            missing = step_name(step.actor, so_far.segment, so_far.next_index)
            raise ReplayError(
                f"{step.name}: segment {so_far.segment} is still open and {missing} is missing; send it first, or mark "
                "this step as after_restart if it can never come"
            )
        if step.segment != so_far.segment + 1 or step.index != 0:
            missing = step_name(step.actor, so_far.segment + 1, 0)
            raise ReplayError(f"{step.name}: {missing} is missing; send it first")
