"""How well the Franka driver works in the graph: led by a hand, and by a policy that sees the robot's world."""

from __future__ import annotations

import io
import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.franka import LASTS_S, LONGEST_LAG_S, SEED, hand_at
from tutelage_core.contract import NS_PER_S
from tutelage_core.types import FloatArray

HUMAN = 2
"""A person's source in `tutelage_interfaces/msg/ArmCommand`."""

FIRST_SEED = 1_000_000
EPISODES = 50
EPISODES_LIMIT_S = 1800.0

HAND_RATE_HZ = 50.0
SUITABLE_REASONS = frozenset({"FIRST_MOTION_SLOWED", "GRIPPER_CLAMPED"})
"""What the gate may have to say to a hand that does nothing wrong; a hold keeps the gripper as it is measured."""


def hand_rows(control_period_s: float) -> list[list[float]]:
    """Return the hand's messages, rows of time and velocity over the next control period [s, m/s]."""
    times = np.arange(0.0, LASTS_S, 1.0 / HAND_RATE_HZ)
    velocities = (hand_at(times + control_period_s) - hand_at(times)) / control_period_s
    return np.column_stack([times, velocities]).tolist()


def lead_through_graph(host: str, domain: int, folder: Path) -> dict[str, Any]:
    """Run the production nodes with the Franka driver, let a hand lead the arm, and return what was seen."""
    from bench import ros
    from tutelage.launch import packages
    from tutelage.launch.runner import LaunchRunner
    from tutelage_core.contract import load_contract, robots_folder

    contract, robot = (robots_folder() / "franka.yaml").read_text(encoding="utf-8"), folder / "served.yaml"
    # a simulator has no real-time kernel; everything else is the robot's own contract
    robot.write_text(contract.replace("options: {host:", "options: {realtime: ignore, host:", 1), encoding="utf-8")
    path, out = folder / "path.json", folder / "report.json"
    path.write_text(json.dumps(hand_rows(load_contract(str(robot)).period_ns / NS_PER_S)), encoding="utf-8")
    variables = ros.environment(domain)
    file = packages.package_share("tutelage_bringup", variables) / "launch" / "tutelage.launch.yaml"
    output = io.StringIO()
    with LaunchRunner(environment=variables, stream=output) as runner:
        # no camera is attached: the camera nodes and the policy go without, and no hand needs them
        runner.start(file, {"robot": str(robot), "arm_host": host, "black_box": str(folder / "black_box")})
        with ros.program(domain, "teleop_probe", "--path", str(path), "--out", str(out)) as probe:
            try:
                ros.output_of(probe, "teleop_probe", 4 * LASTS_S)
            except ros.BenchError as error:
                raise ros.BenchError(f"{error}; the graph said: {output.getvalue()[-ros.KEPT_CHARACTERS :]}") from error
    return json.loads(out.read_text(encoding="utf-8"))


def follow_errors_m(report: Mapping[str, Any], lag_s: float) -> FloatArray:
    """Return how far the TCP is from where the executed steps of `lag_s` earlier led, shape (n,) [m]."""
    by_hand = [row for row in report["executed"] if row[1] == HUMAN]
    asked_s = np.array([row[0] for row in by_hand]) / NS_PER_S
    asked = np.cumsum([row[2:5] for row in by_hand], axis=0)
    states = np.array([row[:4] for row in report["states"]])
    seconds = states[:, 0] / NS_PER_S
    start = states[np.searchsorted(seconds, asked_s[0]) - 1, 1:]
    inside = (seconds > asked_s[0] + 1.0) & (seconds < asked_s[-1])
    wanted = np.column_stack([np.interp(seconds[inside] - lag_s, asked_s, asked[:, axis]) for axis in range(3)])
    return np.linalg.norm(states[inside, 1:] - start - wanted, axis=1)


@measures(
    Figure(
        "franka_graph_tracking_mm",
        3,
        "mm",
        10.0,
        Direction.AT_MOST,
        False,
        "the same through the graph: hand, session, arm node with the Franka driver; lag removed, violations void it",
    )
)
def graph_teleoperation(settings: Settings) -> Mapping[str, Measurement]:
    """Lead the arm through the production nodes for 30 s; whatever anybody objects to voids the figure."""
    from hardware.safety.profiles import find_profile
    from sim.franka_process import ServedWorld, ServedWorldSettings
    from tutelage_core.contract import load_contract

    world = ServedWorld(ServedWorldSettings(seed=SEED, patience_s=5.0))
    try:
        with tempfile.TemporaryDirectory() as folder:
            report = lead_through_graph(world.host, settings.domain, Path(folder))
    finally:
        world.close()
    contract = load_contract("franka")
    by_hand = [row for row in report["executed"] if row[1] == HUMAN]
    begun_ns = by_hand[0][0] if by_hand else 0
    reasons = Counter(reason for row in report["executed"] if row[0] >= begun_ns for reason in row[5])
    speeds = [row[4] for row in report["states"] if row[0] >= begun_ns]
    too_fast = sum(speed > find_profile(contract.safety.speed_profile).max_speed_m_s for speed in speeds)
    bad = sum(count for reason, count in reasons.items() if reason not in SUITABLE_REASONS)
    violations = bad + too_fast + (report["result"].get("termination") != "aborted")
    lags = np.arange(0.0, LONGEST_LAG_S, 0.005)
    medians = [float(np.median(follow_errors_m(report, float(lag)))) for lag in lags] if len(by_hand) > 10 else [np.inf]
    lag_s = float(lags[int(np.argmin(medians))])
    errors_mm = 1000.0 * follow_errors_m(report, lag_s) if len(by_hand) > 10 else np.array([np.inf])
    return {
        "franka_graph_tracking_mm": Measurement(
            float("nan") if violations else float(np.median(errors_mm)),
            episodes=1,
            seeds=range(SEED, SEED + 1),
            extra={
                "median_mm": float(np.median(errors_mm)),
                "largest_mm": float(errors_mm.max()),
                "lag_ms": 1000.0 * lag_s,
                "steps_by_hand": len(by_hand),
                "gate_reasons": dict(reasons),
                "points_above_speed_limit": int(too_fast),
                "largest_speed_m_s": float(max(speeds, default=0.0)),
                "result": dict(report["result"]),
                "session": [[state, reason] for _, state, reason in report["session"]],
                "violations": int(violations),
            },
        )
    }


@measures(
    Figure(
        "franka_policy_successes",
        3,
        "%",
        90.0,
        Direction.AT_LEAST,
        False,
        "PickCube by the shipped policy, robot:=franka_twin: all nodes, Franka driver, its protocol, 50 episodes",
    )
)
def policy_through_driver(settings: Settings) -> Mapping[str, Measurement]:
    """Let the shipped policy work through the driver, in real time, and count what the ground truth says."""
    from tutelage_core.intervals import wilson_interval

    outcomes: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="tutelage_bench_") as folder:
        while len(outcomes) < EPISODES:
            outcomes += _run_until_stopped(settings.domain, Path(folder), FIRST_SEED + len(outcomes))
    successes = sum(outcome["success"] for outcome in outcomes)
    return {
        "franka_policy_successes": Measurement(
            100.0 * successes / EPISODES,
            interval=wilson_interval(successes, EPISODES),
            episodes=EPISODES,
            seeds=range(FIRST_SEED, FIRST_SEED + EPISODES),
            extra={
                "terminations": dict(Counter(outcome["termination"] for outcome in outcomes)),
                "failures": dict(Counter(outcome["failure"] for outcome in outcomes if not outcome["success"])),
                "median_steps": float(np.median([outcome["steps"] for outcome in outcomes])),
                "failed_seeds": [outcome["seed"] for outcome in outcomes if not outcome["success"]],
            },
        )
    }


def _run_until_stopped(domain: int, folder: Path, first_seed: int) -> list[dict[str, Any]]:
    """Run the episodes from `first_seed` on in a new graph, and return those that ended.

    An episode in which the robot stops itself, on the way home before it too, is a failure like any other; the session
    then takes no more, as it shall until a person clears the stop.
    """
    from bench import ros

    wanted = ("--episodes", str(FIRST_SEED + EPISODES - first_seed), "--first-seed", str(first_seed))
    arguments = {"robot": "franka_twin", "folder": str(folder), "black_box": str(folder / "black_box")}
    with ros.launched(domain, arguments) as graph, ros.program(domain, "run_episodes", *wanted) as client:
        said, complaint = client.communicate(timeout=EPISODES_LIMIT_S)
        outcomes = [json.loads(line) for line in said.splitlines()]
        stopped = bool(outcomes) and outcomes[-1]["termination"] in ("stopped", "error") and "stopped: " in graph.tail()
        ended = client.returncode == 0 or stopped
        if not ended:
            raise ros.BenchError(
                f"run_episodes ended with {client.returncode}: {complaint}; the graph said: {graph.tail()}"
            )
    return outcomes
