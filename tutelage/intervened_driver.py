"""A driver with a person beside it: the policy drives, the scripted hand takes over when it errs."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from sim.human import Intervener
from tutelage.drivers import Driver
from tutelage_core.types import Observation, Source, StepCommand


@runtime_checkable
class ResumableDriver(Driver, Protocol):
    """A driver that plans ahead and must forget its plan when somebody else moves the arm."""

    def resume(self, gripper_opening: float) -> None:
        """Forget what is planned: another has moved, and told the gripper `gripper_opening` (0 closed .. 1 open)."""
        ...


class IntervenedDriver:
    """Drives with a policy's driver and lets the hand's steps go before its own, marked `Source.HUMAN`.

    The policy sees every period, the corrected ones too, so its history is whole when the hand lets go; a plan from
    before or during a correction is dropped. Letting go hands back at once, where a robot's session pauses first
    (`tutelage_core.session`).
    """

    def __init__(self, driver: Driver, intervener: Intervener) -> None:
        """Correct `driver` with `intervener`."""
        self._driver, self.intervener = driver, intervener
        self._sequence = 0

    def restart(self, instruction: str, seed: int, gripper_opening: float) -> None:
        """Begin an episode, after the twin's own reset."""
        self._driver.restart(instruction, seed, gripper_opening)
        self.intervener.restart(seed)
        self._sequence = 0

    def command(self, observation: Observation) -> StepCommand:
        """Return the hand's step if it is on the arm, else the policy's."""
        proposed = self._driver.command(observation)
        step = self.intervener.watch(proposed.step)
        self._sequence += 1
        if step is None:
            return StepCommand(observation.stamp_ns, self._sequence, proposed.source, proposed.step)
        if isinstance(self._driver, ResumableDriver):
            self._driver.resume(float(step[6]))
        return StepCommand(observation.stamp_ns, self._sequence, Source.HUMAN, step)
