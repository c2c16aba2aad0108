"""The twenty faults that the suite is measured against, and what counts as passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        title: what goes wrong.
        expected: what is to happen.
        bounds: names of measured values to the most that they may be.
        missing: why part of it, or all, has no scenario yet; empty if nothing is missing.
    """

    title: str
    expected: str
    bounds: Mapping[str, float] = field(default_factory=dict)
    missing: str = ""


CATALOGUE: Mapping[int, Fault] = {
    1: Fault("camera off", "policy paused, episode ended after 1 s, camera named", {"t_detect_ms": 300}),
    2: Fault("camera stuck, stamps fresh", "found by content", {"frames": 10}),
    3: Fault("pictures late or lost", "skipped and counted, no stop below 300 ms of age", {"false_stops": 0}),
    4: Fault("numbers that are none, or far too large", "refused, held; three in a row latch", {"unsafe_cmds": 0}),
    5: Fault("jump of 50 times the limit", "refused, not clamped", {"overshoot_mm": 0, "unsafe_cmds": 0}),
    6: Fault("policy killed in motion", "the arm stops", {"t_stop_ms": 250}),
    7: Fault("arm node killed", "the controller holds; nothing moves after a restart", {"motions": 0}),
    8: Fault(
        "learner crashes",
        "the actor goes on, no step is lost or doubled",
        {"lost_steps": 0, "doubled_steps": 0, "cut_short": 0},
    ),
    9: Fault(
        "network parted for 5 s, 60 s",
        "bounded queues, no step lost or doubled",
        {"lost_steps": 0, "doubled_steps": 0, "more_mb": 200},
    ),
    10: Fault("disk full", "the episode ends cleanly, old data stays sound", {"lost_steps": 0}),
    11: Fault("recorder killed", "earlier episodes stay sound, the open one is marked", {"lost_steps": 0}),
    12: Fault("checkpoint damaged", "refused by name, the one in use stays", {"loads": 0}),
    13: Fault("wall clock jumps, clock freezes or goes back", "the watchdog fires all the same", {"t_stop_ms": 250}),
    14: Fault("malformed messages", "dropped by name, no node ends", {"crashes": 0, "unsafe_cmds": 0}),
    15: Fault("page or device gone while a hand drives", "paused, never back to the policy", {"t_detect_ms": 250}),
    16: Fault("stop in motion", "at rest, latched; nothing moves after the release", {"t_stop_ms": 200, "motions": 0}),
    17: Fault(
        "reward node hangs or gives NaN",
        "the episode goes on; marked missing, skipped",
        {"cut_short": 0, "false_values": 0, "nan_learnt": 0},
    ),
    18: Fault("contact with what no model knows", "the measured force stops the arm", {"pressing_n": 60}),
    19: Fault(
        "brought up and torn down 200 times",
        "no orphan, no leak",
        {"left_behind": 0},
    ),
    20: Fault(
        "hours of work", "no drift, no leak, no false stop", {"mb_per_h": 1, "rate_drift": 0.1, "false_stops": 0}
    ),
}
