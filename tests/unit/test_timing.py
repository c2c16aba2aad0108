"""A command passes when it is fresh, newer than the last one, and not too soon after it."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.safety.reasons import Reason
from hardware.safety.timing import FUTURE_TOLERANCE_S, CommandTiming
from tests.unit.gate_samples import LIMITS
from tutelage_core.contract import NS_PER_S
from tutelage_core.types import Source, StepCommand

pytestmark = pytest.mark.unit

NOW_NS = 100 * NS_PER_S
SOONEST_NS = round(LIMITS.min_command_interval_s * NS_PER_S)


def command(stamp_ns: int = NOW_NS, sequence: int = 1) -> StepCommand:
    return StepCommand(stamp_ns, sequence, Source.POLICY, np.zeros(7))


@pytest.fixture
def timing() -> CommandTiming:
    return CommandTiming(LIMITS)


@pytest.mark.parametrize(
    ("command_age_s", "state_age_s", "reason"),
    [
        (0.0, LIMITS.max_state_age_s + 0.001, Reason.STALE_STATE),
        (0.0, -FUTURE_TOLERANCE_S - 0.001, Reason.FUTURE_STATE),
        (LIMITS.max_command_age_s + 0.001, 0.0, Reason.STALE_COMMAND),
        (-FUTURE_TOLERANCE_S - 0.001, 0.0, Reason.FUTURE_COMMAND),
        (LIMITS.max_command_age_s + 0.001, LIMITS.max_state_age_s + 0.001, Reason.STALE_STATE),
        (LIMITS.max_command_age_s, LIMITS.max_state_age_s, None),
        (-FUTURE_TOLERANCE_S, -FUTURE_TOLERANCE_S, None),
    ],
)
def test_what_is_too_old_or_of_the_future_is_objected_to_the_state_first(
    timing: CommandTiming, command_age_s: float, state_age_s: float, reason: Reason | None
) -> None:
    stamp_ns, state_ns = NOW_NS - round(command_age_s * NS_PER_S), NOW_NS - round(state_age_s * NS_PER_S)
    assert timing.object_to_age(command(stamp_ns), state_ns, NOW_NS) is reason


@pytest.mark.parametrize(
    ("later_ns", "sequence", "reason"),
    [
        (SOONEST_NS, 8, None),
        (SOONEST_NS - 1_000_000, 8, Reason.TOO_SOON),
        (0, 8, Reason.OUT_OF_ORDER),
        (-SOONEST_NS, 8, Reason.OUT_OF_ORDER),
        (SOONEST_NS, 7, Reason.OUT_OF_ORDER),
        (SOONEST_NS, 6, Reason.OUT_OF_ORDER),
        (SOONEST_NS, 1, None),
        (0, 1, Reason.OUT_OF_ORDER),
    ],
)
def test_a_command_comes_after_the_last_one_that_passed(
    timing: CommandTiming, later_ns: int, sequence: int, reason: Reason | None
) -> None:
    assert timing.object_to_order(command(sequence=7)) is None
    timing.passed(command(sequence=7))
    assert timing.object_to_order(command(NOW_NS + later_ns, sequence)) is reason


def test_a_restart_forgets_the_last_command(timing: CommandTiming) -> None:
    timing.passed(command(sequence=7))
    timing.restart()
    assert (timing.last_stamp_ns, timing.last_sequence) == (None, 0)
    assert timing.object_to_order(command(NOW_NS - NS_PER_S, 3)) is None


@pytest.mark.parametrize("barred_ns", [NOW_NS - NS_PER_S, NOW_NS + NS_PER_S])
def test_a_bar_keeps_the_newer_of_its_own_stamp_and_the_last_commands(timing: CommandTiming, barred_ns: int) -> None:
    timing.passed(command(sequence=7))
    timing.bar(barred_ns)
    newest_ns = max(barred_ns, NOW_NS)
    assert timing.object_to_order(command(newest_ns, 8)) is Reason.OUT_OF_ORDER
    assert timing.object_to_order(command(newest_ns + SOONEST_NS, 8)) is None
