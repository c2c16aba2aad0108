"""How well and how fast the tasks of the twin go: experts in rooms that they have never seen, and control steps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children, usable_cores, wait_for_the_others

SOFT_TASKS = ("PickNapkin", "PickBag", "CoverWithCloth")
"""Tasks with cloth or a bag, which have bounds of their own."""

ROOMS = 200
FIRST_ROOM = 1_000_000
LASTS_S = 5.0
"""How long the pace of each task is measured [s]."""


def task_names(soft: bool) -> list[str]:
    """Return the tasks with or without cloth and bag."""
    from sim.tasks import TASKS

    return [name for name in TASKS if (name in SOFT_TASKS) == soft]


@dataclass(frozen=True)
class Tally:
    """What came of one task in many rooms."""

    successes: int
    mean_steps: float
    largest_force_n: float
    failures: Mapping[str, int]
    rejected: Sequence[str]


def try_rooms(names: Sequence[str], split: str, rooms: range) -> dict[str, Tally]:
    """Let the expert of each task try `rooms` of `split`."""
    from sim.screening import screen
    from sim.twin import Twin
    from tutelage_core.contract import load_contract

    wait_for_the_others()
    found: dict[str, Tally] = {}
    for name in names:
        twin = Twin(load_contract("twin"), name, rooms.start, rooms=split)
        trials = screen(twin, rooms).trials
        reasons = [t.failure for t in trials if not t.success]
        found[name] = Tally(
            successes=sum(t.success for t in trials),
            mean_steps=sum(t.steps for t in trials) / len(trials),
            largest_force_n=max(t.force_n for t in trials),
            failures={reason: reasons.count(reason) for reason in sorted(set(reasons))},
            rejected=[t.room for t in trials if not t.success],
        )
    return found


def measure_experts(names: Sequence[str], split: str) -> Measurement:
    """Return the least success of these tasks' experts; every task's own is in `extra`."""
    from tutelage_core.intervals import wilson_interval

    cores = usable_cores()
    share = ROOMS // len(cores)
    parts = [range(FIRST_ROOM + i * share, FIRST_ROOM + (i + 1) * share) for i in range(len(cores))]
    halves: list[dict[str, Tally]] = measure_in_children(try_rooms, [(names, split, part) for part in parts], pin=True)
    total = share * len(cores)
    table: dict[str, object] = {}
    rates: dict[str, int] = {}
    for name in names:
        tallies = [half[name] for half in halves]
        rates[name] = sum(t.successes for t in tallies)
        low, high = wilson_interval(rates[name], total)
        table[name] = {
            "successes": rates[name],
            "rooms": total,
            "interval": [round(low, 4), round(high, 4)],
            "rejected_share": round(1.0 - rates[name] / total, 4),
            "rejected": [room for t in tallies for room in t.rejected],
            "failures": {k: sum(t.failures.get(k, 0) for t in tallies) for t2 in tallies for k in t2.failures},
            "mean_steps": round(sum(t.mean_steps for t in tallies) / len(tallies), 1),
            "largest_force_n": round(max(t.largest_force_n for t in tallies), 1),
        }
    worst = min(rates, key=lambda name: rates[name])
    return Measurement(
        value=100.0 * rates[worst] / total,
        episodes=total * len(names),
        seeds=range(FIRST_ROOM, FIRST_ROOM + total),
        interval=wilson_interval(rates[worst], total),
        extra={"split": split, "worst": worst, "tasks": table},
    )


@measures(
    Figure(
        "expert_success_rigid_percent",
        2,
        "%",
        98.0,
        Direction.AT_LEAST,
        True,
        "least success of a rigid task's expert over 200 test rooms, none rejected beforehand",
    )
)
def rigid_experts(_: Settings) -> Mapping[str, Measurement]:
    """Measure the experts of the rigid tasks."""
    return {"expert_success_rigid_percent": measure_experts(task_names(soft=False), "test")}


@measures(
    Figure(
        "expert_success_soft_percent",
        2,
        "%",
        90.0,
        Direction.AT_LEAST,
        True,
        "the same for the tasks with cloth or a bag",
    )
)
def soft_experts(_: Settings) -> Mapping[str, Measurement]:
    """Measure the experts of the tasks with cloth or a bag."""
    return {"expert_success_soft_percent": measure_experts(task_names(soft=True), "test")}


@measures(
    Figure(
        "expert_success_held_out_percent",
        2,
        "%",
        None,
        Direction.AT_LEAST,
        True,
        "least success of any task's expert over 200 held-out rooms",
    )
)
def held_out_experts(_: Settings) -> Mapping[str, Measurement]:
    """Measure all experts among kinds of handles, shapes and textures that occur nowhere else."""
    names = task_names(soft=False) + task_names(soft=True)
    return {"expert_success_held_out_percent": measure_experts(names, "held_out")}


def run_tasks(names: Sequence[str]) -> dict[str, float]:
    """Return the control steps per second of each task with its expert and two cameras, resets included."""
    from hardware.safety.gate import make_gate
    from sim.twin import Twin
    from tutelage.drivers import ExpertDriver
    from tutelage.loop import EpisodeOptions, run_episode
    from tutelage_core.contract import load_contract

    contract = load_contract("twin")
    paces: dict[str, float] = {}
    wait_for_the_others()
    for name in names:
        twin = Twin(contract, name, rooms="test")
        driver, gate = ExpertDriver(twin, contract.safety, 0.0), make_gate(contract)
        run_episode(twin, driver, gate, contract, EpisodeOptions(0, max_steps=5))
        steps, seed, begun = 0, 1, time.perf_counter()
        while time.perf_counter() - begun < LASTS_S:
            steps += run_episode(twin, driver, gate, contract, EpisodeOptions(seed)).steps
            seed += 1
        paces[name] = steps / (time.perf_counter() - begun)
        twin.close()
    return paces


def measure_paces(names: Sequence[str]) -> Measurement:
    """Return the pace of the slowest of these tasks; every task's own is in `extra`."""
    paces: dict[str, float] = measure_in_children(run_tasks, [(names,)], pin=True)[0]
    slowest = min(paces, key=lambda name: paces[name])
    return Measurement(paces[slowest], extra={"slowest": slowest, "tasks": {k: round(v, 1) for k, v in paces.items()}})


@measures(
    Figure(
        "rigid_task_steps_per_s",
        2,
        "steps/s",
        80.0,
        Direction.AT_LEAST,
        True,
        "slowest rigid task: expert, test rooms, two 128x128 cameras, one core, resets included",
    )
)
def rigid_paces(_: Settings) -> Mapping[str, Measurement]:
    """Measure the rigid tasks one after the other."""
    return {"rigid_task_steps_per_s": measure_paces(task_names(soft=False))}


@measures(
    Figure(
        "soft_task_steps_per_s",
        2,
        "steps/s",
        25.0,
        Direction.AT_LEAST,
        False,
        "the same for the tasks with cloth or a bag",
    )
)
def soft_paces(_: Settings) -> Mapping[str, Measurement]:
    """Measure the tasks with cloth or a bag one after the other."""
    return {"soft_task_steps_per_s": measure_paces(task_names(soft=True))}
