"""Online learning in the twin: a few short episodes through the whole loop, with networks too small to learn much."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from policies.hil_serl.config import ActorConfig, CriticConfig, EncoderConfig, ModelConfig, ScheduleConfig
from policies.hil_serl.learner import Learner
from policies.hil_serl.presets import preset
from policies.hil_serl.replay_store import ReplayStore
from policies.hil_serl.stored_views import StoredViews, ViewsConfig
from policies.hil_serl.training_run import LEARNER_FOLDER, REPLAY_FOLDER, MemoryConfig
from policies.hil_serl.transition import Step
from policies.registry import load_policy
from sim.human import InterventionSettings
from sim.lookout import LookoutSettings
from tutelage.learning.actor_process import ActorError, ActorProcess
from tutelage.learning.demonstrations import DemonstrationReader
from tutelage.learning.training_log import LOG_FILE, read_log
from tutelage.learning.training_rows import EpisodeRow, EvaluationRow, LearnerRow
from tutelage.learning.twin_actor import ActorSettings, Job, TwinActor, actor_policy, arrays_of
from tutelage.runs.collect import CollectConfig, collect
from tutelage.runs.evaluate_run import evaluate_run
from tutelage.runs.train_hil_serl import TrainHilSerlConfig, train_hil_serl
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError, ContractMismatchError, TutelageError
from tutelage_core.types import Source

pytestmark = pytest.mark.sim

MODEL = ModelConfig(
    encoder=EncoderConfig(grid=(2, 2), embeddings=2, camera_features=16, state_features=8),
    actor=ActorConfig(hidden=(16,)),
    critic=CriticConfig(hidden=(16,)),
)
HIL_SERL = replace(
    preset("hil_serl"),
    model=MODEL,
    learner=replace(preset("hil_serl").learner, batch_size=16),
    schedule=ScheduleConfig(training_starts=10, updates_per_step=0.5),
)
HASTY = InterventionSettings(lookout=LookoutSettings(stall_s=0.3))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demonstrations")
    collect(CollectConfig(output=folder, episodes=2, processes=1))
    return folder


def config_of(output: Path, demonstrations: Path | None, **of: object) -> TrainHilSerlConfig:
    plain = TrainHilSerlConfig(
        output,
        demonstrations,
        steps=40,
        max_steps=15,
        actors=0,
        film_strips=2,
        views=ViewsConfig(2),
        memory=MemoryConfig(500, 200),
        person=HASTY,
        hil_serl=HIL_SERL,
    )
    return replace(plain, **of)  # type: ignore[arg-type]


def steps_in(config: TrainHilSerlConfig) -> list[Step]:
    contract = load_contract("twin")
    views = StoredViews(actor_policy(config.actor, contract), config.views, 0)
    with ReplayStore(config.output / REPLAY_FOLDER, views.identity("twin"), created_by="test") as store:
        return [event for event in store.events() if isinstance(event, Step)]


def same(a: list[Step], b: list[Step]) -> bool:
    return len(a) == len(b) and all(
        (x.segment, x.index, x.reward, x.source, x.gripper) == (y.segment, y.index, y.reward, y.source, y.gripper)
        and np.array_equal(x.action, y.action)
        and all(np.array_equal(x.observation.maps[c], y.observation.maps[c]) for c in x.observation.maps)
        for x, y in zip(a, b, strict=True)
    )


def test_run_writes_policy_log_and_pictures_and_the_same_seed_gives_the_same_run(
    tmp_path: Path, demonstrations: Path
) -> None:
    configs = [config_of(tmp_path / name, demonstrations) for name in ("a", "b")]
    policies = [load_policy(train_hil_serl(config)) for config in configs]
    rows = read_log(configs[0].output / LOG_FILE)
    episodes = [row for row in rows if isinstance(row, EpisodeRow)]
    assert [row.episode for row in episodes] == [0, 1, 2]
    assert episodes[-1].steps == sum(row.length for row in episodes) >= 40
    reports = [row for row in rows if isinstance(row, LearnerRow)]
    assert reports[-1].updates == int(0.5 * (episodes[-1].steps - 10))
    assert (configs[0].output / "film_strips" / "00002.jpg").exists()
    assert same(steps_in(configs[0]), steps_in(configs[1]))
    weights = [policy.checkpoint().tensors for policy in policies]  # type: ignore[attr-defined]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_person_s_steps_are_marked_and_end_in_both_buffers(tmp_path: Path, demonstrations: Path) -> None:
    config = config_of(tmp_path, demonstrations)
    train_hil_serl(config)
    steps = steps_in(config)
    sources = {step.source for step in steps}
    assert sources == {Source.POLICY, Source.HUMAN}
    rows = [row for row in read_log(tmp_path / LOG_FILE) if isinstance(row, EpisodeRow)]
    assert sum(row.human_steps for row in rows) == sum(step.source is Source.HUMAN for step in steps)
    assert all(step.truncated and not step.terminated for step in steps if step.index == 14)


def test_run_goes_on_where_it_ended_and_counts_on(tmp_path: Path, demonstrations: Path) -> None:
    config = config_of(tmp_path, demonstrations)
    train_hil_serl(config)
    first = steps_in(config)
    with pytest.raises(ConfigurationError, match="set resume"):
        train_hil_serl(config)
    longer = replace(config, steps=80, resume=True)
    train_hil_serl(longer)
    steps = steps_in(longer)
    assert same(steps[: len(first)], first)
    assert sorted({step.segment for step in steps}) == list(range(6))
    assert Learner.load(tmp_path / LEARNER_FOLDER).updates == int(0.5 * (len(steps) - 10))
    rows = [row for row in read_log(tmp_path / LOG_FILE) if isinstance(row, EpisodeRow)]
    assert [row.seed - longer.first_seed for row in rows] == list(range(6))
    assert [row.wall_s for row in rows] == sorted(row.wall_s for row in rows)


def test_killed_actor_process_runs_its_episode_again_and_nothing_differs(tmp_path: Path) -> None:
    settings = ActorSettings(model=MODEL, views=ViewsConfig(1), max_steps=30)
    contract = load_contract("twin")
    weights = arrays_of(actor_policy(settings, contract).networks.state_dict())
    own = TwinActor(settings, "arm").run(Job(7, 3, weights))
    actor = ActorProcess(settings, "arm")
    try:
        actor.start(Job(7, 3, weights))
        assert actor.pid is not None
        os.kill(actor.pid, signal.SIGKILL)
        found = actor.result()
        assert actor.restarts == 1
        assert found.summary == own.summary
        assert same(list(found.steps), list(own.steps))
        broken = {name: np.full_like(array, np.nan) for name, array in weights.items()}
        actor.start(Job(7, 3, broken))
        with pytest.raises(ActorError, match="not finite"):
            actor.result()
    finally:
        actor.close()


def test_demonstration_ends_with_its_first_success_and_shows_the_executed_steps(demonstrations: Path) -> None:
    contract = load_contract("twin")
    settings = ActorSettings(model=MODEL)
    policy = actor_policy(settings, contract)
    reader = DemonstrationReader(policy, StoredViews(policy, ViewsConfig(1), 0), contract, None)
    shown = list(reader.read(demonstrations, ("PickCube",)))
    assert len(shown) == 2
    for demonstration in shown:
        rewards = [step.reward for step in demonstration.steps]
        assert rewards == [0.0] * (len(rewards) - 1) + [1.0]
        assert demonstration.steps[-1].terminated
        assert demonstration.judged
        assert {step.source for step in demonstration.steps} == {Source.EXPERT}
        assert sum(step.gripper == 0 for step in demonstration.steps) == 1  # told to close once
    with pytest.raises(ConfigurationError, match="no success among 2 finished episodes of PickCube"):
        list(reader.read(demonstrations, ("PegInsertion",)))


def test_demonstrations_of_a_robot_with_other_limits_are_refused(demonstrations: Path) -> None:
    contract = load_contract("twin")
    slower = replace(contract, safety=replace(contract.safety, max_step_m=0.02))
    policy = actor_policy(ActorSettings(model=MODEL), slower)
    reader = DemonstrationReader(policy, StoredViews(policy, ViewsConfig(1), 0), slower, None)
    with pytest.raises(ContractMismatchError, match=r"max_step_m: 0\.02 here, 0\.025 in the recording"):
        list(reader.read(demonstrations))


def test_run_without_demonstrations_draws_from_its_own_steps(tmp_path: Path) -> None:
    config = config_of(tmp_path, None, interventions=False)
    train_hil_serl(config)
    assert {step.source for step in steps_in(config)} == {Source.POLICY}
    assert Learner.load(tmp_path / LEARNER_FOLDER).updates > 0


def test_run_begins_with_another_s_networks_and_none_of_its_steps(tmp_path: Path, demonstrations: Path) -> None:
    earlier = config_of(tmp_path / "earlier", demonstrations)
    train_hil_serl(earlier)
    patient = replace(
        HIL_SERL,
        learner=replace(HIL_SERL.learner, demonstration_ratio=0.0),
        schedule=ScheduleConfig(warmup_steps=1_000, updates_per_step=1.0),
    )
    later = config_of(tmp_path / "later", None, start=earlier.output, hil_serl=patient, interventions=False, seed=1)
    train_hil_serl(later)
    then, now = (Learner.load(config.output / LEARNER_FOLDER) for config in (earlier, later))
    assert now.updates == 0, "the starting policy drives before anything is learnt"
    for name, tensor in now.state().tensors.items():
        if name.startswith(("values/", "target/", "actor/")):
            assert torch.equal(tensor, then.state().tensors[name]), name
    assert now.temperature != then.temperature
    assert {step.segment for step in steps_in(later)} == {0, 1, 2}

    other = replace(patient, model=replace(MODEL, last_scale=0.5))
    with pytest.raises(ConfigurationError, match="another learner's networks"):
        train_hil_serl(config_of(tmp_path / "other", None, start=earlier.output, hil_serl=other))
    imitates = replace(patient, learner=replace(patient.learner, demonstration_ratio=1.0, imitates=True))
    with pytest.raises(ConfigurationError, match="imitation begins with no other run"):
        train_hil_serl(config_of(tmp_path / "third", demonstrations, start=earlier.output, hil_serl=imitates))
    with pytest.raises(TutelageError, match="nowhere"):
        train_hil_serl(config_of(tmp_path / "fourth", None, start=tmp_path / "nowhere", hil_serl=patient))


def test_imitation_runs_through_the_same_loop(tmp_path: Path, demonstrations: Path) -> None:
    imitates = replace(
        HIL_SERL, learner=replace(HIL_SERL.learner, batch_size=16, demonstration_ratio=1.0, imitates=True)
    )
    config = config_of(tmp_path, demonstrations, hil_serl=imitates)
    policy = load_policy(train_hil_serl(config))
    assert policy.spec.name == "hil_serl"
    losses = [row.actor_loss for row in read_log(tmp_path / LOG_FILE) if isinstance(row, LearnerRow)]
    assert np.isfinite(losses).all()


def test_evaluation_is_written_into_the_log(tmp_path: Path, demonstrations: Path) -> None:
    config = config_of(tmp_path, demonstrations, evaluation_episodes=2)
    train_hil_serl(config)
    found = evaluate_run(config, processes=1)
    rows = [row for row in read_log(tmp_path / LOG_FILE) if isinstance(row, EvaluationRow)]
    assert [(row.successes, row.episodes, row.first_seed) for row in rows] == [(found.successes, 2, 1_000_000)]


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"actors": -1}, {"seed": 99}, {"minutes": -1.0}, {"save_minutes": 0.0}]
)
def test_numbers_of_which_no_run_can_be_made_are_refused(tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="train hil-serl"):
        config_of(tmp_path, None, **wrong)
