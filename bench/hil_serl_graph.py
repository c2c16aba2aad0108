"""HIL-SERL in the graph: what is left after kills and a parted network, and how fast it goes."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench import ros
from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.learning_graph import ACTOR, FIRST_SEED, learning_graph, settings_of
from bench.learning_log import compare
from bench.machine import measure_in_children

KILLS, KILL_SEED = 20, 1

LONGEST_PAUSE_S = 4.0
"""A kill comes so long after the last one was overcome at most."""

PACED_EPISODES, PACED_STEPS, PACED_ROUNDS = 4, 60, 3
PARTED_S = (5.0, 60.0)
BOUND_MB = 200.0

SMALL = """
overrides:
  model:
    encoder: {embeddings: 2, camera_features: 16, state_features: 8}
    actor: {hidden: [16, 16]}
    critic: {hidden: [16, 16]}
  learner: {batch_size: 16}
  schedule: {updates_per_step: 1.0, lag_steps: 1, training_starts: 20}
tasks: [PickCube]
memory: {online: 20000, demonstrations: 4000, limit_gib: 1.0}
stream: {save_s: 5.0}
"""
"""Small networks: what is killed and parted does not depend on their size."""

WHOLE = """
overrides:
  schedule: {updates_per_step: 1.0, lag_steps: 1, training_starts: 20}
tasks: [PickCube]
memory: {online: 4000, demonstrations: 4000, limit_gib: 1.0}
"""
"""The networks, batches and views of HIL-SERL, one update for each step."""


@measures(
    Figure(
        "hil_serl_resumed",
        5,
        "of 20 kills",
        KILLS,
        Direction.AT_LEAST,
        True,
        "kill -9 of actor or learner at random instants in the lock-step graph: a whole episode follows, the learner's "
        "log holds what was executed, once, and its replay's audit is clean",
    )
)
def resumed(settings: Settings) -> Mapping[str, Measurement]:
    """Kill again and again, then compare the learner's log with the recordings of what was executed."""
    import numpy as np

    rng = np.random.default_rng(KILL_SEED)
    overcome = 0
    recovery_s: list[float] = []
    victims: list[str] = []
    with learning_graph(settings.domain, SMALL, record=True) as graph:
        graph.wait_for_episodes(1)
        for _ in range(KILLS):
            time.sleep(float(rng.uniform(0.0, LONGEST_PAUSE_S)))
            victim = str(rng.choice(["policy_node", "learner_node"]))
            victims.append(victim)
            begun = time.monotonic()
            graph.kill(victim)
            graph.wait_for_episodes(len(graph.outcomes()) + 2)  # the one under way, and a whole one
            recovery_s.append(time.monotonic() - begun)
            overcome += 1
        graph.settle()
        outcomes = graph.outcomes()
        found = compare(graph)
    extra = {
        "victims": {name: victims.count(name) for name in sorted(set(victims))},
        "episodes_cut": sum(o["termination"] == "aborted" for o in outcomes),
        "recovery_median_s": statistics.median(recovery_s) if recovery_s else None,
        "recovery_most_s": max(recovery_s, default=0.0),
        **found.extra(),
    }
    seeds = range(FIRST_SEED, FIRST_SEED + len(outcomes))
    return {"hil_serl_resumed": Measurement(0 if found.faults else overcome, len(outcomes), seeds, extra=extra)}


@measures(
    Figure(
        "hil_serl_parted_mb",
        5,
        "MB",
        BOUND_MB,
        Direction.UNDER,
        True,
        "memory that the actor takes more while its learner stands still for 5 s and for 60 s; nothing lost or doubled",
    )
)
def parted(settings: Settings) -> Mapping[str, Measurement]:
    """Stop the learner's process, let the arm go on, and let the learner go on."""
    import psutil

    more_mb: list[float] = []
    caught_up_s: list[float] = []
    with learning_graph(settings.domain, SMALL, record=True) as graph:
        graph.wait_for_episodes(2)
        actor, learner = psutil.Process(graph.pid("policy_node")), psutil.Process(graph.pid("learner_node"))
        for seconds in PARTED_S:
            before = actor.memory_info().rss
            most = before
            learner.suspend()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.1)
                most = max(most, actor.memory_info().rss)
            learner.resume()
            begun = time.monotonic()
            graph.wait_for_episodes(len(graph.outcomes()) + 2)
            caught_up_s.append(time.monotonic() - begun)
            more_mb.append((most - before) / 1e6)
        graph.settle()
        outcomes = graph.outcomes()
        found = compare(graph)
    if found.faults:
        raise ros.BenchError(f"the learner's log is not what was executed: {found.faults[:3]}")
    extra = {"parted_s": list(PARTED_S), "more_mb": more_mb, "two_episodes_later_s": caught_up_s, **found.extra()}
    return {"hil_serl_parted_mb": Measurement(max(more_mb), len(outcomes), extra=extra)}


@measures(
    Figure(
        "hil_serl_graph_vs_loop",
        5,
        "ratio",
        0.5,
        Direction.AT_LEAST,
        True,
        "steps/s of actor, learner and scripted person in the lock-step graph over those of the one-process loop: same "
        "networks, seeds and one update for each step",
    )
)
def pace(settings: Settings) -> Mapping[str, Measurement]:
    """Time graph and loop in turn."""
    rows: list[tuple[float, float]] = []
    for number in range(PACED_ROUNDS):
        first_seed = FIRST_SEED + 1000 + number * (PACED_EPISODES + 1)
        with learning_graph(
            settings.domain, WHOLE, record=False, first_seed=first_seed, steps=PACED_STEPS, person=True
        ) as graph:
            graph.wait_for_episodes(PACED_EPISODES + 1)
            arrivals = graph.arrivals()[: PACED_EPISODES + 1]
            steps = sum(int(str(o["steps"])) for o in graph.outcomes()[1 : PACED_EPISODES + 1])
        in_graph = steps / (arrivals[-1] - arrivals[0])
        (in_loop,) = measure_in_children(pace_loop, [(first_seed,)], pin=False)
        rows.append((in_graph, in_loop))
    extra = {
        "graph_steps_per_s": [round(g, 2) for g, _ in rows],
        "loop_steps_per_s": [round(p, 2) for _, p in rows],
        "updates_per_step": 1.0,
    }
    ratio = statistics.median(g / p for g, p in rows)
    return {"hil_serl_graph_vs_loop": Measurement(ratio, PACED_ROUNDS * PACED_EPISODES, extra=extra)}


def pace_loop(first_seed: int) -> float:
    """Return steps/s of acting and learning in turn, in one process, without its first episode."""
    import torch

    from policies.hil_serl.training_run import TrainingRun
    from sim.human import InterventionSettings
    from tutelage.learning.twin_actor import ActorSettings, Job, TwinActor
    from tutelage_core.clock import SteadyClock

    torch.set_num_threads(1)
    settings = settings_of(WHOLE)
    config = settings.algorithm(seed=0)
    actor = TwinActor(
        ActorSettings(model=config.model, views=settings.views, person=InterventionSettings(), max_steps=PACED_STEPS),
        ACTOR,
    )
    steps, begun = 0, 0.0
    with (
        tempfile.TemporaryDirectory(prefix="tutelage_bench_") as folder,
        TrainingRun(
            Path(folder),
            config,
            actor.policy.networks.shape,
            actor.views.identity(actor.contract.name),
            settings.memory,
            SteadyClock(),
            created_by="bench",
            may_lack_demonstrations=True,
        ) as run,
    ):
        for number in range(PACED_EPISODES + 1):
            weights = {name: tensor.numpy() for name, tensor in run.learner.acting_state().items()}
            made = actor.run(Job(first_seed + number, number, weights)).steps
            for step in made:
                run.take(step)
            run.flush()
            while run.learn(16) is not None:
                pass
            steps += len(made) if begun else 0
            begun = begun or time.perf_counter()
        seconds = time.perf_counter() - begun
    actor.close()
    return steps / seconds
