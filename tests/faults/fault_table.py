"""The twenty faults: what is done to the robot, what it is expected to make of it, and how much is allowed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault of the table.

    Attributes:
        number: 1 to 20; scenarios refer to it.
        title: what goes wrong.
        expected: what the robot makes of it.
        bound: what a scenario has to keep to.
        full: how much a full run must cover, as a measured key and its least value; a shorter run that passes is shown,
            and does not count. Empty if every run is full.
        later: why nothing can be run yet; empty if scenarios exist.
        partly: what the scenarios leave out, so that passing them is not the whole fault; empty if nothing.
    """

    number: int
    title: str
    expected: str
    bound: str
    full: tuple[str, float] | None = None
    later: str = ""
    partly: str = ""


FAULTS = (
    Fault(
        1,
        "camera off",
        "policy paused, arm holds, the camera is named; the episode ends if it stays dark; fresh pictures and a person "
        "bring it back",
        "paused within 300 ms; after 1 s without a picture the episode ends and says so",
    ),
    Fault(
        2,
        "camera frozen: the same picture for ever, with fresh stamps",
        "found by its content, then as a camera that is off",
        "found within 10 frames",
    ),
    Fault(
        3,
        "pictures late (200 ms) or lost (every third)",
        "skipped and counted; no stop below 300 ms of age",
        "no false stop",
    ),
    Fault(
        4,
        "actions that are NaN, infinite, huge, denormal or of the wrong shape",
        "refused, the arm holds; three in a row latch",
        "no unsafe command, one control period",
    ),
    Fault(
        5,
        "an action of 50 times the step limit",
        "refused whole and not clamped; the message says by how much",
        "no overshoot",
    ),
    Fault(
        6,
        "policy killed while the arm moves",
        "its end is noticed, the arm ramps to a hold",
        "still within 250 ms at 0.25 m/s",
    ),
    Fault(
        7,
        "arm control killed while the arm moves, then started again",
        "the arm's controller holds by itself; arm control comes back disarmed",
        "no motion after its return, always",
    ),
    Fault(
        8,
        "learner crashes",
        "the actor keeps its last good weights; transitions in the buffer are sent again",
        "no lost transition, arm unaffected",
        later="there is no learner yet",
    ),
    Fault(
        9,
        "network parted between learner and actor, or between page and robot, for 5 s and 60 s",
        "bounded queue, back-off, no duplicates afterwards",
        "less than 200 MB more memory",
        later="there is neither a learner nor a page yet",
    ),
    Fault(
        10,
        "disk full",
        "the episode is finished or thrown away whole, new ones are refused, the arm may hold",
        "all old data verify",
    ),
    Fault(
        11,
        "recorder killed within an episode, at 100 random moments",
        "all earlier episodes valid, the broken one is marked as such",
        "100 of 100",
        full=("tries", 100),
    ),
    Fault(
        12,
        "corrupt checkpoint: a flipped bit, a cut end, NaN weights, another architecture",
        "refused with the reason, the previous one is kept",
        "none loaded",
    ),
    Fault(
        13,
        "wall clock jumps by an hour; simulated clock stands still or goes back",
        "watchdogs fire all the same, stamps are refused, no burst of old commands",
        "stopping time as without the jump, within 10 %",
    ),
    Fault(
        14,
        "malformed messages: wrong encoding, empty picture, joint names missing or in another order, old numbers",
        "dropped and logged, names are what counts, nodes stay alive",
        "no crash in 10 000",
        full=("tries", 10_000),
    ),
    Fault(
        15,
        "page or device gone while a person corrects",
        "enabling key counts as released: paused and held, never back to the policy",
        "within 250 ms",
    ),
    Fault(
        16,
        "stop in motion, over software",
        "ramp within limits, then latched; only clearing and starting again move; queued commands are thrown away",
        "still within 200 ms; no motion after release in 1000 tries",
        full=("tries", 1000),
    ),
    Fault(
        17,
        "reward model hangs or says NaN",
        "the episode goes on, the reward is marked as missing",
        "no NaN in the buffer",
        later="there is no reward node yet",
    ),
    Fault(
        18,
        "collision in the twin with a box that the model does not know",
        "the estimate of the external force stops the arm, or it complies",
        "peak force within the configured bound",
    ),
    Fault(
        19,
        "brought up and torn down 200 times",
        "active every time, exit code 0, no process and no shared memory left behind",
        "200 of 200",
        full=("tries", 200),
    ),
    Fault(
        20,
        "an hour of work without a fault",
        "rates keep, memory does not grow, nothing stops by itself",
        "memory grows by less than 1 MB/h, no false stop",
        full=("minutes", 60),
    ),
)
