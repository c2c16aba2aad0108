"""How well the Franka driver follows a hand, against the twin behind the robot's protocol."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.figures import Direction, Figure, Measurement, Settings, measures
from tutelage_core.contract import NS_PER_S
from tutelage_core.types import FloatArray

if TYPE_CHECKING:
    from hardware.arms.franka import FrankaArm
    from tutelage_core.contract import RobotContract
    from tutelage_core.types import ArmState

LASTS_S = 30.0
"""How long the hand moves [s], on the robot's clock."""

EASE_IN_S = 5.0
"""Until it is at full speed [s]; the reduced speed profile allows a tenth of it in the first second."""

WIDTH_M = 0.14
HEIGHT_M = 0.02
TURNING_RAD_S = 0.95
"""Half width and height of the figure of eight and its angular frequency: at most 0.19 m/s."""

SAMPLE_NS = 20_000_000
"""Time between two measured points [ns]."""

LONGEST_LAG_S = 0.5
SEED = 0


def hand_at(seconds: FloatArray | float) -> FloatArray:
    """Return where the hand is from its start, shape (..., 3) [m]: a lying figure of eight, begun gently."""
    t = np.asarray(seconds, dtype=np.float64)
    eased = np.clip(t, 0.0, EASE_IN_S)
    # integral of a speed that rises as half a cosine wave
    phase = (eased - EASE_IN_S / np.pi * np.sin(np.pi * eased / EASE_IN_S)) / 2.0 + np.maximum(t - EASE_IN_S, 0.0)
    phase = TURNING_RAD_S * phase
    return np.stack([WIDTH_M / 2 * np.sin(2 * phase), WIDTH_M * np.sin(phase), HEIGHT_M * np.sin(2 * phase)], axis=-1)


@dataclass(frozen=True)
class Drive:
    """What was measured while the hand led the arm.

    Attributes:
        seconds: times on the robot's clock since the first command, shape (n,) [s].
        positions: measured TCP, from its start, shape (n, 3) [m].
        speeds: measured TCP speed, shape (n,) [m/s].
        reasons: what the SafetyGate found to say, with how often.
        fault: why the driver stopped; empty if it did not.
        pace: robot's time over the machine's.
    """

    seconds: FloatArray
    positions: FloatArray
    speeds: FloatArray
    reasons: Mapping[str, int]
    fault: str
    pace: float


def read_at(arm: FrankaArm) -> tuple[int, ArmState]:
    """Return a state and its time on the robot's clock [ns]."""
    while True:
        time_ns = arm.robot_time_ns
        state = arm.read()
        if arm.robot_time_ns == time_ns:
            return time_ns, state


def drive(arm: FrankaArm, contract: RobotContract) -> Drive:
    """Lead a connected arm for `LASTS_S` with steps through the SafetyGate, one each control period."""
    from hardware.safety.gate import make_gate
    from tutelage_core.clock import SteadyClock
    from tutelage_core.types import Source, StepCommand

    gate, clock = make_gate(contract), SteadyClock()
    begun_ns, first = read_at(arm)
    begun_s, start = time.perf_counter(), first.T_base_tcp.position
    gate.restart(first)
    rows: list[tuple[float, FloatArray, float]] = []
    reasons: dict[str, int] = {}
    number, period_s, next_sample_ns = 0, contract.period_ns / NS_PER_S, 0
    while not arm.stopped:
        now_ns, state = read_at(arm)
        passed_ns = now_ns - begun_ns
        if passed_ns >= LASTS_S * NS_PER_S:
            break
        if passed_ns >= next_sample_ns:
            speed = float(np.linalg.norm(state.tcp_velocity[:3]))
            rows.append((passed_ns / NS_PER_S, state.T_base_tcp.position - start, speed))
            next_sample_ns = passed_ns + SAMPLE_NS
        if passed_ns >= number * contract.period_ns:
            shift = hand_at((number + 1) * period_s) - hand_at(number * period_s)
            step = np.concatenate([shift, np.zeros(3), [1.0]])
            stamp_ns = clock.now_ns()
            number += 1
            decision = gate.admit(StepCommand(stamp_ns, number, Source.HUMAN, step), state, stamp_ns)
            for reason in decision.executed.reasons:
                reasons[str(reason)] = reasons.get(str(reason), 0) + 1
            if decision.target is not None:
                arm.send(decision.target)
        time.sleep(0.002)
    return Drive(
        seconds=np.array([row[0] for row in rows]),
        positions=np.array([row[1] for row in rows]),
        speeds=np.array([row[2] for row in rows]),
        reasons=reasons,
        fault=arm.stopped,
        pace=(rows[-1][0] - rows[0][0]) / (time.perf_counter() - begun_s),
    )


def errors_m(found: Drive, lag_s: float) -> FloatArray:
    """Return how far the arm is from where the hand was `lag_s` earlier, at each point, shape (n,) [m]."""
    return np.linalg.norm(found.positions - hand_at(found.seconds - lag_s), axis=1)


def find_lag_s(found: Drive) -> float:
    """Return the lag with the smallest median error [s]."""
    lags = np.arange(0.0, LONGEST_LAG_S, 0.001)
    return float(lags[np.argmin([np.median(errors_m(found, float(lag))) for lag in lags])])


@measures(
    Figure(
        "franka_teleop_tracking_mm",
        3,
        "mm",
        5.0,
        Direction.AT_MOST,
        False,
        "median distance of the TCP from the hand's path, lag removed: 30 s, up to 0.19 m/s, Franka driver, simulated",
    )
)
def teleoperation(_: Settings) -> Mapping[str, Measurement]:
    """Lead the driver's arm through the SafetyGate; whatever the gate or the robot objects to makes the figure void."""
    from dataclasses import replace

    from hardware.arms import make_arm
    from hardware.arms.franka import FrankaArm
    from hardware.safety.profiles import find_profile
    from sim.franka_process import ServedWorld, ServedWorldSettings
    from tutelage_core.clock import SteadyClock
    from tutelage_core.contract import load_contract

    contract = load_contract("franka")
    # patient: a busy machine stretches the robot's time, it does not break the control loop
    world = ServedWorld(ServedWorldSettings(seed=SEED, patience_s=5.0))
    try:
        options = {"host": world.host, "realtime": "ignore"}
        contract = replace(contract, arm=replace(contract.arm, options=options))
        arm = make_arm(contract, SteadyClock())
        assert isinstance(arm, FrankaArm)
        arm.connect()
        found = drive(arm, contract)
        arm.disconnect()
    finally:
        world.close()
    limit_m_s = find_profile(contract.safety.speed_profile).max_speed_m_s
    too_fast = int((found.speeds > limit_m_s).sum())
    violations = sum(found.reasons.values()) + too_fast + bool(found.fault)
    lag_s = find_lag_s(found)
    followed, behind = 1000.0 * errors_m(found, lag_s), 1000.0 * errors_m(found, 0.0)
    return {
        "franka_teleop_tracking_mm": Measurement(
            float("nan") if violations else float(np.median(followed)),
            episodes=1,
            seeds=range(SEED, SEED + 1),
            extra={
                "median_mm": float(np.median(followed)),
                "largest_mm": float(followed.max()),
                "lag_ms": 1000.0 * lag_s,
                "median_with_lag_mm": float(np.median(behind)),
                "largest_with_lag_mm": float(behind.max()),
                "violations": violations,
                "gate_reasons": dict(found.reasons),
                "points_above_speed_limit": too_fast,
                "fault": found.fault,
                "largest_speed_m_s": float(found.speeds.max()),
                "points": len(found.seconds),
                "robot_time_over_clock": found.pace,
            },
        )
    }
