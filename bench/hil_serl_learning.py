"""How well, and how fast, HIL-SERL learns in the twin; against imitation of the same people, and without them.

Every run keeps its folder under `runs/bench_hil_serl`, goes on where it was cut off, and is evaluated once it is over.
Runs of one cell share the machine: as many at once as there are cores, each on a core of its own, so the wall time that
a run is given is that of one core.

The person who demonstrates and corrects PickCube moves half as fast as the twin's expert, as people who teleoperate do:
0.09 m/s at most, where the robot's limit is 0.25 m/s. At that pace PegInsertion would take most of its time limit, so
there the person is as fast as the expert. The reward comes from a success classifier, trained before; the ground truth
is looked at for evaluation only.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import success_classifier
from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children, usable_cores

if TYPE_CHECKING:
    from tutelage.runs.train_hil_serl import TrainHilSerlConfig

RUNS = Path(__file__).resolve().parent.parent / "runs" / "bench_hil_serl"
SEEDS = (0, 1, 2)
DEMONSTRATIONS = 20
KEPT = 10
"""Control periods for which demonstrations go on after success: the classifier waits for some before it fires."""
EPISODES = 100
CONTROL_RATE_HZ = 10.0
PACE = {"PickCube": 0.5, "PegInsertion": 1.0}
"""Of the person, as a share of the expert's."""


@dataclass(frozen=True)
class Cell:
    """One row of the table, with a run for each seed.

    Attributes:
        task: to learn.
        minutes: wall time of a run [min].
        variant: what is different; see `configuration`.
    """

    task: str
    minutes: float
    variant: str = "full"

    @property
    def name(self) -> str:
        """Of its folder, and how figures begin."""
        return f"{SHORT[self.task]}_{self.variant}"


SHORT = {"PickCube": "pick_cube", "PegInsertion": "peg_insertion"}
PICK, PEG = Cell("PickCube", 30.0), Cell("PegInsertion", 90.0)
ABLATED = Cell("PickCube", 15.0)
"""The cheapest task, and half the time: by then HIL-SERL with everything has learnt it. That row of the comparison is
the copy that each full run kept at that time."""
PULLED = {"cloning": 6.0, "cloning_encoder": 0.3, "grasp_margin": 0.05, "temperature_init": 0.0002}
"""For PegInsertion: without a pull towards what people showed its first success alone takes too long."""
VARIANTS = ("no_corrections", "nobody", "hg_dagger")
"""Demonstrations only; neither demonstrations nor corrections; imitation of the same people."""


def _figures(cell: Cell, bound: float | None, what: str) -> tuple[Figure, ...]:
    return (
        Figure(
            f"hil_serl_{cell.name}_successes",
            5,
            f"% of {len(SEEDS)} x {EPISODES} episodes",
            bound,
            Direction.AT_LEAST,
            True,
            f"{what}, {cell.task}, {cell.minutes:g} min of one core, images of two cameras",
        ),
    )


@measures(
    *_figures(PICK, 95.0, f"HIL-SERL, {DEMONSTRATIONS} demonstrations and corrections"),
    Figure("hil_serl_pick_cube_speed_up", 5, "x", 1.8, Direction.AT_LEAST, True, "demonstrations' cycle over policy's"),
)
def pick_cube(_: Settings) -> Mapping[str, Measurement]:
    """Learn PickCube with everything."""
    return _measured(PICK, speed=True)


@measures(
    *_figures(PEG, 95.0, f"HIL-SERL, {DEMONSTRATIONS} demonstrations and corrections"),
    Figure(
        "hil_serl_peg_insertion_speed_up", 5, "x", 1.8, Direction.AT_LEAST, True, "demonstrations' cycle over policy's"
    ),
)
def peg_insertion(_: Settings) -> Mapping[str, Measurement]:
    """Learn PegInsertion with everything."""
    return _measured(PEG, speed=True)


def _register(cell: Cell, what: str) -> None:
    @measures(*_figures(cell, None, what))
    def _(_: Settings) -> Mapping[str, Measurement]:
        return _measured(cell)


@measures(*_figures(replace(ABLATED, variant="full_15_min"), None, "HIL-SERL with everything"))
def pick_cube_halfway(_: Settings) -> Mapping[str, Measurement]:
    """Evaluate what the full runs had learnt by the time that the ablated runs are given."""
    cores = len(usable_cores())
    found: list[dict[str, Any]] = []
    for start in range(0, len(SEEDS), cores):
        found += measure_in_children(halfway, [(seed,) for seed in SEEDS[start : start + cores]], pin=True)
    return {f"hil_serl_{ABLATED.name}_15_min_successes": success_rate(found)}


_register(replace(ABLATED, variant="no_corrections"), f"HIL-SERL, {DEMONSTRATIONS} demonstrations, no corrections")
_register(replace(ABLATED, variant="nobody"), "HIL-SERL, neither demonstrations nor corrections")
for _base in (ABLATED, PEG):
    _register(replace(_base, variant="hg_dagger"), f"HG-DAgger, {DEMONSTRATIONS} demonstrations and corrections")


def _measured(cell: Cell, *, speed: bool = False) -> dict[str, Measurement]:
    """Train and evaluate a cell's runs, and draw its curves."""
    from tutelage.learning.curves import draw_curves

    shown = demonstrations(cell.task)
    classifier(cell.task)
    cores = len(usable_cores())
    found: list[dict[str, Any]] = []
    for start in range(0, len(SEEDS), cores):
        found += measure_in_children(learn, [(cell, seed) for seed in SEEDS[start : start + cores]], pin=True)
    draw_curves(
        {cell.name: [RUNS / cell.name / f"seed-{seed}" / "log.jsonl" for seed in SEEDS]},
        RUNS / f"{cell.name}.png",
        control_rate_hz=CONTROL_RATE_HZ,
    )
    rate = success_rate(found, demonstrated_steps=shown)
    answer = {f"hil_serl_{cell.name}_successes": rate}
    if speed:
        cycle = statistics.fmean(run["steps_to_success"] for run in found)
        answer[f"hil_serl_{SHORT[cell.task]}_speed_up"] = Measurement(
            statistics.fmean(shown) / cycle,
            sum(run["successes"] for run in found),
            rate.seeds,
            extra={"policy_steps": cycle, "demonstrated_steps": shown},
        )
    return answer


def success_rate(found: Sequence[Mapping[str, Any]], **extra: object) -> Measurement:
    """Return the share of the episodes of all runs that succeeded [%]."""
    from tutelage.runs.collect import EVALUATION_SEEDS_FROM
    from tutelage_core.intervals import wilson_interval

    successes, episodes = sum(run["successes"] for run in found), sum(run["episodes"] for run in found)
    low, high = wilson_interval(successes, episodes)
    return Measurement(
        100.0 * successes / episodes,
        episodes,
        range(EVALUATION_SEEDS_FROM, EVALUATION_SEEDS_FROM + EPISODES),
        (100.0 * low, 100.0 * high),
        {"runs": list(found), "seeds_of_runs": list(SEEDS), **extra},
    )


def halfway(seed: int) -> dict[str, Any]:
    """Evaluate the last copy that a full run kept before the ablated runs' time was over."""
    from tutelage.learning.learning_session import SNAPSHOTS_FOLDER
    from tutelage.learning.training_log import LOG_FILE, read_log
    from tutelage.runs.evaluate import EvaluateConfig, evaluate

    folder = configuration(PICK, seed).output
    end_s = 60.0 * ABLATED.minutes + 30.0  # a copy is made at the end of an episode
    known = max(row.steps for row in read_log(folder / LOG_FILE) if row.wall_s <= end_s)
    copy = max(path for path in (folder / SNAPSHOTS_FOLDER).iterdir() if int(path.name) <= known)
    config = EvaluateConfig(str(copy), task=PICK.task, episodes=EPISODES, processes=1, output=folder / "halfway")
    found = evaluate(config)
    steps = [result.steps for result in found.results if result.success]
    return {
        "seed": seed,
        "successes": found.successes,
        "episodes": len(found.results),
        "steps_to_success": statistics.fmean(steps) if steps else float("nan"),
        "robot_minutes": int(copy.name) / CONTROL_RATE_HZ / 60.0,
    }


def learn(cell: Cell, seed: int) -> dict[str, Any]:
    """Train one run, or go on with it, evaluate it, and return what is known of it."""
    return trained(configuration(cell, seed))


def trained(config: TrainHilSerlConfig) -> dict[str, Any]:
    """Train a run, or go on with it, evaluate it, and return what is known of it."""
    from tutelage.learning.training_log import LOG_FILE, read_log
    from tutelage.learning.training_rows import EpisodeRow, EvaluationRow
    from tutelage.runs.evaluate_run import evaluate_run
    from tutelage.runs.train_hil_serl import train_hil_serl

    log = config.output / LOG_FILE
    if not log.exists() or not any(isinstance(row, EvaluationRow) for row in read_log(log)):
        train_hil_serl(replace(config, resume=log.exists()))
        evaluate_run(config, processes=1)
    rows = read_log(log)
    evaluation = next(row for row in reversed(rows) if isinstance(row, EvaluationRow))
    episodes = [row for row in rows if isinstance(row, EpisodeRow)]
    return {
        "seed": config.seed,
        "successes": evaluation.successes,
        "episodes": evaluation.episodes,
        "steps_to_success": evaluation.mean_steps_to_success,
        "wall_minutes": evaluation.wall_s / 60.0,
        "robot_minutes": evaluation.steps / CONTROL_RATE_HZ / 60.0,
        "updates": evaluation.updates,
        "training_episodes": len(episodes),
        "human_steps": sum(row.human_steps for row in episodes),
        "takeovers": sum(row.takeovers for row in episodes),
    }


def configuration(cell: Cell, seed: int) -> TrainHilSerlConfig:
    """Return the settings of one run."""
    from tutelage.learning.settings import coach, hg_dagger_settings
    from tutelage.runs.train_hil_serl import TrainHilSerlConfig

    person = coach()
    config = TrainHilSerlConfig(
        RUNS / cell.name / f"seed-{seed}",
        RUNS / "demonstrations" / cell.task,
        task=cell.task,
        classifier=classifier_folder(cell.task),
        person=replace(person, correction=replace(person.correction, gain=PACE[cell.task])),
        seed=seed,
        steps=1_000_000,
        minutes=cell.minutes,
        actors=0,
        evaluation_episodes=EPISODES,
    )
    if cell.task == "PegInsertion":
        config = replace(config, hil_serl=replace(config.hil_serl, loss=replace(config.hil_serl.loss, **PULLED)))
    match cell.variant:
        case "full":
            return config
        case "no_corrections":
            return replace(config, interventions=False)
        case "nobody":
            return replace(config, interventions=False, demonstrations=None)
        case "hg_dagger":
            return replace(config, hil_serl=hg_dagger_settings())
        case _:
            raise ValueError(cell.variant)


def demonstrations(task: str) -> list[int]:
    """Record the demonstrations that are missing; return the steps to success of each."""
    from tutelage.runs.collect import CollectConfig, collect

    config = CollectConfig(
        output=RUNS / "demonstrations" / task,
        task=task,
        episodes=DEMONSTRATIONS,
        disturbance=0.0,
        pace=PACE[task],
        extra_steps=KEPT,
    )
    store = collect(config)
    steps = [store.manifest(name).result.steps for name in store.names()]
    return [count - config.extra_steps for count in steps]


def classifier_folder(task: str) -> Path:
    """Return where the success classifier of a task stands."""
    return success_classifier.classifier_folder(task, None)


def classifier(task: str) -> None:
    """Record attempts and train the classifier that gives the reward, unless it is there."""
    if not classifier_folder(task).exists():
        policy = Settings().policy
        success_classifier.train_and_evaluate(task, policy, None, success_classifier.MANY_ROOMS)


def curves(cells: Sequence[Cell], output: Path) -> Path:
    """Draw several cells into one picture."""
    from tutelage.learning.curves import draw_curves

    runs = {
        cell.variant.replace("_", " "): [RUNS / cell.name / f"seed-{seed}" / "log.jsonl" for seed in SEEDS]
        for cell in cells
    }
    return draw_curves(runs, output, control_rate_hz=CONTROL_RATE_HZ)
