"""A policy that thinks for a while, in the loop: steps for times that have passed are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tutelage.drivers import PolicyDriver, ThinkingSettings
from tutelage_core.chunks import SeamSettings
from tutelage_core.contract import PolicySpec, check_chunk_outlasts
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import ActionChunk, Observation, Source

pytestmark = pytest.mark.unit

PERIOD_NS = 100_000_000
SPEC = PolicySpec("clock", {}, (), "tcp_step", 10.0, 1, 8, 4, ("tell the time",))


class Clock:
    """Its step says for which period it is meant, in millimetres."""

    spec = SPEC

    def __init__(self) -> None:
        self.asked: list[int] = []

    def reset(self, task: str, seed: int) -> None:
        self.asked.clear()

    def act(self, window: Sequence[Observation]) -> ActionChunk:
        now = window[-1].stamp_ns // PERIOD_NS
        self.asked.append(now)
        steps = np.zeros((8, 7))
        steps[:, 0] = 1e-3 * (now + np.arange(8))
        return ActionChunk(window[-1].stamp_ns, PERIOD_NS, steps)


def driven(thinking: ThinkingSettings, periods: int = 14) -> tuple[list[float], list[Source], list[int]]:
    """Return for which period each step was meant, who gave it, and when the policy was asked."""
    policy = Clock()
    driver = PolicyDriver(policy, thinking)
    driver.restart("tell the time", 0, 1.0)
    commands = [driver.command(Observation(PERIOD_NS * k, {}, {})) for k in range(periods)]
    return [1e3 * c.step[0] for c in commands], [c.source for c in commands], policy.asked


def test_without_delay_each_step_is_the_one_for_its_time() -> None:
    meant, sources, asked = driven(ThinkingSettings())
    assert meant == pytest.approx(list(range(14)))
    assert set(sources) == {Source.POLICY}
    assert asked == [0, 4, 8, 12]


def test_late_chunks_give_the_step_for_now_and_the_arm_holds_until_the_first() -> None:
    meant, sources, asked = driven(ThinkingSettings(delay_s=0.2, seams=SeamSettings(catch_up=False)))
    assert sources[:2] == [Source.HOLD] * 2
    assert set(sources[2:]) == {Source.POLICY}
    assert meant[2:] == pytest.approx(list(range(2, 14)))
    assert asked == [0, 4, 8, 12], "it is asked in time, and not twice for one chunk"


def test_without_compensation_steps_are_taken_too_late() -> None:
    late = ThinkingSettings(delay_s=0.2, compensates=False, seams=SeamSettings(catch_up=False))
    meant, _, _ = driven(late)
    assert meant[2:6] == pytest.approx([0.0, 1.0, 2.0, 3.0])


def test_seams_are_blended() -> None:
    plain, _, _ = driven(ThinkingSettings())
    blended, _, _ = driven(ThinkingSettings(seams=SeamSettings(blend_steps=2)))
    assert blended == pytest.approx(plain), "both chunks mean the same, so nothing is changed"


def test_chunk_that_is_over_when_it_comes_is_refused() -> None:
    assert check_chunk_outlasts(SPEC, 0.44) == ""
    assert "has come; the arm may hold" in check_chunk_outlasts(SPEC, 0.46)
    assert check_chunk_outlasts(SPEC, 0.84)
    for wrong in (0.85, 2.0, float("nan")):
        with pytest.raises(ConfigurationError, match="all of it is over"):
            check_chunk_outlasts(SPEC, wrong)
    with pytest.raises(ConfigurationError, match="all of it is over"):
        PolicyDriver(Clock(), ThinkingSettings(delay_s=2.0))
    single = replace(SPEC, chunk=1, replan_every=1)
    assert check_chunk_outlasts(single, 0.04) == "", "its step is still the one for now"
    assert check_chunk_outlasts(single, 0.06)


@pytest.mark.parametrize("delay_s", [-0.1, float("nan"), 61.0])
def test_delay_that_is_none_is_refused(delay_s: float) -> None:
    with pytest.raises(ConfigurationError, match="delay_s"):
        ThinkingSettings(delay_s=delay_s)
