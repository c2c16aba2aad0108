"""What imitation makes of the very steps that people showed a HIL-SERL run: its demonstrations and its corrections.

The same networks, views and batches, the actor trained on the error of its mode (behaviour cloning). It needs the runs
of `hil_serl_learning`; what lacks is learnt first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench import hil_serl_learning as learning
from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children, usable_cores

UPDATES = 20_000


def _register(cell: learning.Cell) -> None:
    name = f"hil_serl_{learning.SHORT[cell.task]}_imitated_successes"

    @measures(
        Figure(
            name,
            5,
            f"% of {len(learning.SEEDS)} x {learning.EPISODES} episodes",
            None,
            Direction.AT_LEAST,
            True,
            f"behaviour cloning of all that people showed HIL-SERL on {cell.task}, {UPDATES} updates",
        )
    )
    def _(_: Settings) -> Mapping[str, Measurement]:
        learning.demonstrations(cell.task)
        learning.classifier(cell.task)
        cores = len(usable_cores())
        found: list[dict[str, Any]] = []
        for start in range(0, len(learning.SEEDS), cores):
            jobs = [(cell, seed) for seed in learning.SEEDS[start : start + cores]]
            found += measure_in_children(imitate, jobs, pin=True)
        return {name: learning.success_rate(found)}


for _cell in (learning.PICK, learning.PEG):
    _register(_cell)


def imitate(cell: learning.Cell, seed: int) -> dict[str, Any]:
    """Imitate what people showed the full run of this seed, evaluate that, and return what is known of it."""
    import numpy as np
    import torch

    from policies.hil_serl.batch import from_replay
    from policies.hil_serl.imitation import ImitationLearner
    from policies.hil_serl.mixture import Mixture
    from policies.hil_serl.presets import preset
    from policies.hil_serl.replay_batch import empty_batch
    from policies.hil_serl.replay_store import read_events
    from policies.hil_serl.stored_views import StoredViews
    from policies.hil_serl.training_run import REPLAY_FOLDER
    from tutelage.learning.demonstrations import DemonstrationReader
    from tutelage.learning.judge import load_judge
    from tutelage.learning.twin_actor import actor_policy
    from tutelage.runs.evaluate import EvaluateConfig, evaluate
    from tutelage_core.contract import load_contract

    torch.set_num_threads(1)
    learning.learn(cell, seed)
    config = learning.configuration(cell, seed)
    assert config.demonstrations is not None
    contract = load_contract(config.robot)
    policy = actor_policy(config.actor, contract)
    views = StoredViews(policy, config.views, seed)
    memory = config.memory
    identity = views.identity(contract.name)
    mixture = Mixture.allocate(
        identity.layout, memory.online, memory.demonstrations, limit_bytes=memory.limit_bytes, ratio=1.0
    )
    reader = DemonstrationReader(policy, views, contract, load_judge(config.actor.classifier, contract, config.reward))
    for demonstration in reader.read(config.demonstrations, (config.task,)):
        for step in demonstration.steps:
            mixture.add_demonstration(step)
    for event in read_events(config.output / REPLAY_FOLDER, identity):
        mixture.apply(event)
    settings = preset("hg_dagger")
    settings = replace(settings, model=config.hil_serl.model, learner=replace(settings.learner, seed=seed))
    learner = ImitationLearner(settings, policy.networks.shape)
    room = empty_batch(identity.layout, settings.learner.batch_size)
    for number in range(UPDATES):
        drawn = mixture.sample(len(room), np.random.default_rng([seed, number]), room)
        learner.update([from_replay(drawn)])
    policy.load_weights(learner.acting_state())
    folder = config.output / "imitated"
    policy.save(folder, created_by="bench")
    found = evaluate(EvaluateConfig(str(folder), task=cell.task, episodes=learning.EPISODES, processes=1))
    return {
        "seed": seed,
        "successes": found.successes,
        "episodes": len(found.results),
        "shown_steps": mixture.demonstrations.counts.held,
    }
