"""The whole graph: latency in real time, pace in lock-step, coming up and going down."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import ros
from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children
from bench.timeline import Timeline

FIRST_SEED = 1_000_000
LIVE_S = 60.0
LIVE_STEPS = 650
"""Limit of an episode: longer than the minute, so that only success ends one."""

PROBE_LIMIT_S = 150.0
ROUNDS = 3
"""Pairs of graph and loop, one after the other; the figure is the median of their ratios."""

EPISODES, STEPS = 3, 100
"""Episodes of a round and their limit of control periods; one more goes before them, to warm up."""

TIMES = 20
SETTLE_S = 2.0
"""What a graph left behind must be gone after so long."""


def checkpoint(settings: Settings) -> str:
    """Return the checkpoint's folder, as the launch file wants it."""
    from policies.registry import find_checkpoint

    return str(find_checkpoint(settings.policy).resolve())


@measures(
    Figure(
        "live_latency_median_ms",
        1,
        "ms",
        60.0,
        Direction.UNDER,
        False,
        "camera stamp to executed action, real time, whole graph with policy and recorder, median over 60 s",
    ),
    Figure("live_latency_p99_ms", 1, "ms", 100.0, Direction.UNDER, False, "the same, 99th percentile"),
    Figure(
        "live_missed_periods",
        1,
        "periods",
        0.0,
        Direction.AT_MOST,
        False,
        "control periods of those episodes in which no step meant for them was executed: held, skipped or too late",
    ),
)
def live(settings: Settings) -> Mapping[str, Measurement]:
    """Run episodes in real time, recorded, and listen for a minute."""
    import numpy as np

    from tutelage_core.contract import load_contract

    with tempfile.TemporaryDirectory(prefix="tutelage_bench_") as folder:
        arguments = {"clock": "realtime", "policy": checkpoint(settings), "folder": folder}
        with (
            ros.launched(settings.domain, arguments),
            ros.program(settings.domain, "latency_probe", "--seconds", str(LIVE_S)) as probe,
            ros.program(
                settings.domain,
                "run_episodes",
                "--episodes",
                "0",
                "--max-steps",
                str(LIVE_STEPS),
                "--first-seed",
                str(FIRST_SEED),
                "--prefix",
                "live",
            ),
        ):
            seen = json.loads(ros.output_of(probe, "latency_probe", PROBE_LIMIT_S))
    timeline = Timeline.from_probe(seen, load_contract("twin").period_ns)
    fresh, between = timeline.latencies_ms(fresh=True), timeline.latencies_ms(fresh=False)
    if not fresh:
        raise ros.BenchError("no executed action answers an observation of which a chunk was seen")
    gaps = timeline.gaps_ms()
    episodes = len(list(timeline.episodes()))
    inference_ms = [1e3 * float(str(row["inference_s"])) for row in seen["chunks"]]
    extra = {
        "policy": settings.policy,
        "executed": len(seen["executed"]),
        "answers": len(fresh),
        "max_ms": max(fresh),
        "held_periods": timeline.held_periods(),
        "skipped_periods": timeline.skipped_periods(),
        "late_periods": timeline.late_periods(),
        "longest_gap_ms": max(gaps),
        "inference_median_ms": statistics.median(inference_ms),
        "between_chunks_median_ms": statistics.median(between) if between else None,
        "between_chunks_p99_ms": float(np.percentile(between, 99)) if between else None,
    }
    seeds = range(FIRST_SEED, FIRST_SEED + episodes)
    values = {
        "live_latency_median_ms": statistics.median(fresh),
        "live_latency_p99_ms": float(np.percentile(fresh, 99)),
        "live_missed_periods": float(timeline.missed_periods()),
    }
    return {name: Measurement(value, episodes, seeds, extra=extra) for name, value in values.items()}


@dataclass(frozen=True)
class Paced:
    """Episodes of one side: steps of each, time for all of them, resets included [s], and mean stages [ms]."""

    steps: tuple[int, ...]
    seconds: float
    stage_ms: Mapping[str, float]

    @property
    def steps_per_s(self) -> float:
        """Control steps per second."""
        return sum(self.steps) / self.seconds


@measures(
    Figure(
        "graph_vs_loop_ratio",
        1,
        "ratio",
        0.5,
        Direction.AT_LEAST,
        False,
        "control steps/s of the lock-step graph over those of the one-process loop: same policy and seeds, "
        "resets included, nothing recorded",
    )
)
def ratio(settings: Settings) -> Mapping[str, Measurement]:
    """Run graph and loop in turn; both must take the same number of steps."""
    policy = checkpoint(settings)
    pairs: list[tuple[Paced, Paced]] = []
    for number in range(ROUNDS):
        first_seed = FIRST_SEED + number * (EPISODES + 1)
        in_graph = pace_graph(settings.domain, policy, first_seed)
        (in_loop,) = measure_in_children(pace_loop, [(policy, first_seed)], pin=False)
        if in_graph.steps != in_loop.steps:
            raise ros.BenchError(
                f"graph and loop do not do the same: {in_graph.steps} and {in_loop.steps} steps from "
                f"seed {first_seed} on"
            )
        pairs.append((in_graph, in_loop))
    ratios = [g.steps_per_s / p.steps_per_s for g, p in pairs]
    return {
        "graph_vs_loop_ratio": Measurement(
            statistics.median(ratios),
            ROUNDS * EPISODES,
            range(FIRST_SEED, FIRST_SEED + ROUNDS * (EPISODES + 1)),
            extra={
                "policy": settings.policy,
                "ratios": [round(r, 3) for r in ratios],
                "graph_steps_per_s": [round(g.steps_per_s, 1) for g, _ in pairs],
                "loop_steps_per_s": [round(p.steps_per_s, 1) for _, p in pairs],
                "steps": [sum(g.steps) for g, _ in pairs],
                "graph_stage_ms": {k: round(v, 2) for k, v in pairs[-1][0].stage_ms.items()},
                "loop_stage_ms": {k: round(v, 2) for k, v in pairs[-1][1].stage_ms.items()},
            },
        )
    }


def pace_graph(domain: int, policy: str, first_seed: int) -> Paced:
    """Time episodes in the lock-step graph, from the result of the warm-up episode on."""
    arguments = {"clock": "lockstep", "policy": policy, "folder": tempfile.gettempdir()}  # nothing is recorded
    arrivals: list[tuple[float, dict[str, object]]] = []
    with (
        ros.launched(domain, arguments),
        ros.program(
            domain,
            "run_episodes",
            "--episodes",
            str(EPISODES + 1),
            "--max-steps",
            str(STEPS),
            "--first-seed",
            str(first_seed),
        ) as client,
    ):
        for text in client.stdout or ():
            arrivals.append((time.perf_counter(), json.loads(text)))
        ros.output_of(client, "run_episodes", PROBE_LIMIT_S)
    results = [result for _, result in arrivals]
    if len(results) != EPISODES + 1:
        raise ros.BenchError(f"{len(results)} of {EPISODES + 1} episodes ran; the last: {results[-1:]}")
    return Paced(
        tuple(int(str(r["steps"])) for r in results[1:]), arrivals[-1][0] - arrivals[0][0], results[-1]["stage_ms"]
    )  # type: ignore[arg-type]


def pace_loop(policy: str, first_seed: int) -> Paced:
    """Time the same episodes in the one-process loop."""
    import torch

    from hardware.safety.gate import make_gate
    from policies.registry import load_policy
    from sim.twin import Twin
    from tutelage.drivers import PolicyDriver
    from tutelage.loop import EpisodeOptions, run_episode
    from tutelage_core.contract import load_contract

    torch.set_num_threads(1)
    contract = load_contract("twin")
    twin, driver = Twin(contract), PolicyDriver(load_policy(Path(policy)))
    results, begun = [], 0.0
    for number in range(EPISODES + 1):
        results.append(
            run_episode(
                twin,
                driver,
                make_gate(contract),
                contract,
                EpisodeOptions(first_seed + number, max_steps=STEPS),
            )
        )
        begun = begun or time.perf_counter()
    seconds = time.perf_counter() - begun
    twin.close()
    return Paced(tuple(r.steps for r in results[1:]), seconds, results[-1].stage_ms)


@measures(
    Figure(
        "bring_up_tear_down",
        1,
        "times of 20",
        TIMES,
        Direction.AT_LEAST,
        True,
        "the whole graph comes up and ends with 0, no orphan, no leaked shared memory",
    )
)
def bring_up_tear_down(settings: Settings) -> Mapping[str, Measurement]:
    """Bring the graph up and take it down, again and again."""
    arguments = {"clock": "lockstep", "policy": checkpoint(settings), "folder": tempfile.gettempdir()}
    up_s, down_s, faults = [], [], []
    for _ in range(TIMES):
        memory: set[int] = set()
        before = ros.shared_memory_inodes()
        begun = time.perf_counter()
        try:
            with ros.launched(settings.domain, arguments) as graph:
                up_s.append(time.perf_counter() - begun)
                memory = ros.shared_memory_of(ros.processes_in_domain(settings.domain)) - before.keys()
                begun = time.perf_counter()
                graph.shutdown()
                down_s.append(time.perf_counter() - begun)
        except ros.BenchError as error:
            faults.append(str(error))
            continue
        end = time.monotonic() + SETTLE_S
        while left := [*map(str, ros.processes_in_domain(settings.domain)), *ros.leaked_shared_memory(memory)]:
            if time.monotonic() > end:
                faults.append(f"left behind: {', '.join(left)}")
                break
            time.sleep(ros.LOOK_S)
    return {
        "bring_up_tear_down": Measurement(
            TIMES - len(faults),
            TIMES,
            extra={
                "up_median_s": statistics.median(up_s) if up_s else None,
                "down_median_s": statistics.median(down_s) if down_s else None,
                "shared_memory_files": len(memory),
                "faults": faults[:3],
            },
        )
    }
