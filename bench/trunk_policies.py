"""How well policies do on each image trunk, learnt from the same demonstrations, in rooms never seen before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children, usable_cores
from bench.trunk import EPISODE_TRUNK, IMAGENET, OWN_TRUNK

RUNS = Path(__file__).resolve().parent.parent / "runs" / "bench_trunk_policies"
"""Folder that keeps demonstrations and policies; a run that was cut off goes on there."""

TASK = "PickCube"
DEMONSTRATIONS = 400
"""In rooms of split `train`."""

EPOCHS = 20
EPISODES = 100
"""In rooms of split `test`."""

TRAINED_ALONG = "compact"
NAMES = (OWN_TRUNK, EPISODE_TRUNK, IMAGENET, TRAINED_ALONG)
FIGURES = {name: f"bc_{name}_test_rooms_successes" for name in NAMES}
WHAT = {
    OWN_TRUNK: "frozen twin_trunk",
    EPISODE_TRUNK: "frozen episode_trunk",
    IMAGENET: "frozen Lite0",
    TRAINED_ALONG: "compact trunk that learns along",
}


@measures(
    *(
        Figure(
            FIGURES[name],
            2,
            f"episodes of {EPISODES}",
            None,
            Direction.AT_LEAST,
            True,
            f"behaviour cloning of {DEMONSTRATIONS} {TASK} demonstrations on a {WHAT[name]}, in test rooms",
        )
        for name in NAMES
    )
)
def policies(_: Settings) -> Mapping[str, Measurement]:
    """Train all policies on the same demonstrations, as many at once as there are cores, and evaluate them."""
    from tutelage.runs.collect import CollectConfig, collect
    from tutelage.runs.evaluate import EvaluateConfig, evaluate
    from tutelage_core.encoders.image import shipped_trunks

    cores = len(usable_cores())
    data = RUNS / "demonstrations"
    collect(CollectConfig(output=data, task=TASK, episodes=DEMONSTRATIONS, rooms="train", processes=cores))
    names = [name for name in NAMES if name in {*shipped_trunks(), IMAGENET, TRAINED_ALONG}]
    for start in range(0, len(names), cores):
        measure_in_children(train_one, [(data, name) for name in names[start : start + cores]], pin=False)
    found: dict[str, Measurement] = {}
    for name in names:
        folder = RUNS / name
        config = EvaluateConfig(
            str(folder / "policy"),
            task=TASK,
            episodes=EPISODES,
            processes=cores,
            output=folder / "evaluation",
            rooms="test",
            film_strips=True,
        )
        done = evaluate(config)
        failures = [r.failure or r.termination for r in done.results if not r.success]
        found[FIGURES[name]] = Measurement(
            done.successes,
            len(done.results),
            range(done.seeds[0], done.seeds[-1] + 1),
            done.interval,
            {
                "failures": {kind: failures.count(kind) for kind in sorted(set(failures))},
                "rejected": len(done.rejected),
            },
        )
    return found


def train_one(data: Path, name: str) -> None:
    """Train a policy on the encoder `name`, one thread."""
    from policies.bc.config import BcConfig, BcModelConfig
    from tutelage.runs.train_bc import TrainBcConfig, train_bc

    folder = RUNS / name
    if not (folder / "policy").exists():
        bc = BcConfig(BcModelConfig(encoder=name), epochs=EPOCHS)
        train_bc(TrainBcConfig(data, folder, resume=True, threads=1, bc=bc))
