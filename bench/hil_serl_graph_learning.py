"""Whether HIL-SERL learns in the lock-step graph as it does in the one-process loop: same seeds, person and numbers.

Both learn PickCube from the same demonstrations, with the same person and the ground truth as the reward, until the
robot has made `STEPS` steps, with one update for each; then both policies are evaluated alike. What was found of each
run is kept under `runs/bench_hil_serl/graph`, so that a measurement that was cut off goes on with the runs that lack.
"""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import hil_serl_learning as learning
from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.learning_graph import learning_graph
from bench.machine import measure_in_children

RUNS = learning.RUNS / "graph"
STEPS = 10_000
LATELY, ALONE = 20, 0.8
"""So many episodes in a row of which such a share succeeds without a person: then it is learnt."""


@measures(
    Figure(
        "hil_serl_graph_learning_gap",
        5,
        "points",
        None,
        Direction.AT_MOST,
        True,
        f"success of HIL-SERL on PickCube after {STEPS} steps in the loop, less that after as many in the graph",
    )
)
def graph_learning(settings: Settings) -> Mapping[str, Measurement]:
    """Learn in the graph, then in the loop, with each seed."""
    learning.demonstrations("PickCube")
    rows: dict[str, list[dict[str, Any]]] = {"graph": [], "loop": []}
    for seed in learning.SEEDS:
        kept = RUNS / f"graph-{seed}" / "found.json"
        if not kept.exists():
            shutil.rmtree(kept.parent, ignore_errors=True)
            kept.parent.mkdir(parents=True)
            kept.write_text(json.dumps(learn_in_graph(settings.domain, seed, kept.parent)), encoding="utf-8")
        rows["graph"].append(json.loads(kept.read_text(encoding="utf-8")))
        (loop,) = measure_in_children(learn_in_loop, [(seed,)], pin=False)
        rows["loop"].append(loop)
    success = {where: statistics.fmean(row["successes"] for row in found) for where, found in rows.items()}
    gap = 100.0 * (success["loop"] - success["graph"]) / learning.EPISODES
    extra = {f"{where}_{key}": [row[key] for row in found] for where, found in rows.items() for key in found[0]}
    return {"hil_serl_graph_learning_gap": Measurement(gap, learning.EPISODES * len(learning.SEEDS), extra=extra)}


def learn_in_graph(domain: int, seed: int, output: Path) -> dict[str, Any]:
    """Learn in the graph until the robot has made its steps; return what is known of it."""
    import yaml

    from tutelage.runs.train_hil_serl import SEEDS_OF_A_RUN, TRAINING_SEEDS_FROM
    from tutelage_core.config import to_mapping

    loop = learning.configuration(learning.PICK, seed)
    schedule = replace(loop.hil_serl.schedule, lag_steps=1)  # each episode's updates are waited for, as the loop does
    numbers = {
        "overrides": to_mapping(replace(loop.hil_serl, schedule=schedule)),
        "tasks": [loop.task],
        "views": to_mapping(loop.views),
        "memory": to_mapping(loop.memory),
    }
    with learning_graph(
        domain,
        yaml.safe_dump(numbers),
        record=False,
        first_seed=TRAINING_SEEDS_FROM + SEEDS_OF_A_RUN * seed,
        steps=0,
        person=True,
        person_settings=yaml.safe_dump(to_mapping(loop.person)),
        demonstrations=loop.demonstrations,
        learner_seed=seed,
    ) as graph:
        while sum(int(o["steps"]) for o in graph.outcomes()) < STEPS:
            graph.wait_for_episodes(len(graph.outcomes()) + 1)
        episodes = [(int(o["steps"]), bool(o["success"]), int(o["interventions"])) for o in graph.outcomes()]
        seconds = graph.arrivals()[-1] - graph.arrivals()[0]
        graph.settle()
        graph.end_learner()
        shutil.copytree(graph.folder / "run" / "policy", output / "policy")
    return {**told(episodes), **evaluated(output / "policy"), "steps_per_s": sum(e[0] for e in episodes[1:]) / seconds}


def learn_in_loop(seed: int) -> dict[str, Any]:
    """Do the same in one process."""
    from tutelage.learning.training_log import LOG_FILE, read_log
    from tutelage.learning.training_rows import EpisodeRow
    from tutelage.runs.train_hil_serl import train_hil_serl

    plain = learning.configuration(learning.PICK, seed)
    config = replace(plain, output=RUNS / f"loop-{seed}", classifier=None, minutes=0.0, steps=STEPS)
    log = config.output / LOG_FILE
    policy = train_hil_serl(replace(config, resume=log.exists()))
    rows = [row for row in read_log(log) if isinstance(row, EpisodeRow)]
    found = told([(row.length, bool(row.true_success), row.takeovers) for row in rows])
    return {**found, **evaluated(policy), "steps_per_s": rows[-1].steps / rows[-1].wall_s}


def told(episodes: Sequence[tuple[int, bool, int]]) -> dict[str, Any]:
    """Return what a run's episodes (steps, success, take-overs) tell of how it learnt."""
    alone = [success and not takeovers for _, success, takeovers in episodes]
    learnt = next(
        (n for n in range(LATELY, len(alone) + 1) if sum(alone[n - LATELY : n]) >= ALONE * LATELY), len(alone)
    )
    return {
        "episodes": len(episodes),
        "steps": sum(steps for steps, _, _ in episodes),
        "steps_until_learnt": sum(steps for steps, _, _ in episodes[:learnt]),
        "alone": [sum(alone[n : n + LATELY]) for n in range(0, len(alone) - LATELY + 1, LATELY)],
    }


def evaluated(policy: Path) -> dict[str, Any]:
    """Return how a policy does on the evaluation's scenes."""
    from tutelage.runs.evaluate import EvaluateConfig, evaluate

    found = evaluate(EvaluateConfig(str(policy), task="PickCube", episodes=learning.EPISODES, processes=1))
    return {"successes": found.successes}
