from __future__ import annotations

import math
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policies.hil_serl.batch import ObservationShape
from policies.hil_serl.config import HilSerlConfig, ScheduleConfig
from policies.hil_serl.layout import ObservationLayout, ReplayIdentity
from policies.hil_serl.replay_audit import audit
from policies.hil_serl.training_run import MemoryConfig, TrainingRun
from policies.hil_serl.transition import EncodedObservation, Gripper, Relabel, Step
from tests.unit.hil_serl_samples import CHANNELS, GRID, SMALL, STATE
from tests.unit.test_hil_serl_learner import everything
from tutelage_core.clock import ManualClock
from tutelage_core.errors import CheckpointError, ConfigurationError, ContractMismatchError
from tutelage_core.types import Source

pytestmark = pytest.mark.unit

LAYOUT = ObservationLayout(STATE, {"front": (2, CHANNELS, *GRID)})
SHAPE = ObservationShape.of(LAYOUT)
IDENTITY = ReplayIdentity("twin", 10.0, "relative_tcp_step", 0.025, 0.2, ("tcp_position",), "lite0", "", LAYOUT)
CONFIG = replace(SMALL, schedule=ScheduleConfig(training_starts=4, updates_per_step=1.0))
MEMORY = MemoryConfig(online=200, demonstrations=100)
LENGTH = 5


def seen(rng: np.random.Generator) -> EncodedObservation:
    maps = {c: rng.normal(size=shape).astype(np.float16) for c, shape in LAYOUT.maps.items()}
    return EncodedObservation(maps, rng.normal(size=STATE).astype(np.float32))


def segment(number: int, actor: str = "arm", source: Source = Source.POLICY) -> list[Step]:
    """Return an episode that is the same whenever it is asked for; every third step is a person's."""
    rng = np.random.default_rng([number, len(actor)])
    return [
        Step(
            actor,
            number,
            i,
            seen(rng),
            rng.uniform(-1, 1, 6).astype(np.float32),
            Gripper.HOLD,
            float(i + 1 == LENGTH),
            Source.HUMAN if source is Source.POLICY and i % 3 == 1 else source,
            terminated=i + 1 == LENGTH,
            final_observation=seen(rng) if i + 1 == LENGTH else None,
        )
        for i in range(LENGTH)
    ]


def demonstrations() -> list[Step]:
    return [step for n in range(2) for step in segment(0, f"demonstration {n}", Source.EXPERT)]


def begun(
    folder: Path, config: HilSerlConfig = CONFIG, identity: ReplayIdentity = IDENTITY, **of: object
) -> TrainingRun:
    shown = of.pop("demonstrations", None)
    return TrainingRun(
        folder,
        config,
        SHAPE,
        identity,
        MEMORY,
        ManualClock(),
        demonstrations() if shown is None else shown,  # type: ignore[arg-type]
        created_by="test",
        **of,  # type: ignore[arg-type]
    )


def live(run: TrainingRun, first: int, last: int) -> None:
    for number in range(first, last):
        for step in segment(number):
            run.take(step)
        run.flush()
        while run.learn(3) is not None:
            pass


def test_updates_follow_the_steps_and_no_more(tmp_path: Path) -> None:
    with begun(tmp_path) as run:
        live(run, 0, 3)
        assert run.schedule.steps == 3 * LENGTH
        assert run.learner.updates == 3 * LENGTH - CONFIG.schedule.first_step
        assert run.learn(100) is None


def test_people_s_steps_are_learnt_from_twice_and_demonstrations_are_not_logged(tmp_path: Path) -> None:
    with begun(tmp_path) as run:
        live(run, 0, 2)
        assert len(run.mixture.online) == 2 * LENGTH
        assert len(run.mixture.demonstrations) == 2 * LENGTH + 2 * 2  # steps 1 and 4 of each
        assert sum(isinstance(e, Step) for e in run.store.events()) == 2 * LENGTH


def test_run_that_was_saved_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    with begun(tmp_path / "whole") as whole:
        live(whole, 0, 6)
        wanted = everything(whole.learner)
    with begun(tmp_path / "cut") as cut:
        live(cut, 0, 3)
        cut.save()
    with begun(tmp_path / "cut") as again:
        assert again.schedule.steps == 3 * LENGTH
        live(again, 3, 6)
        found = everything(again.learner)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[n], wanted[n]) for n in wanted)


def test_steps_beyond_the_saved_learner_are_kept_and_their_updates_are_owed(tmp_path: Path) -> None:
    with begun(tmp_path) as run:
        live(run, 0, 2)
        run.save()
        live(run, 2, 4)  # killed here: the learner was not saved again
    with begun(tmp_path) as again:
        assert again.schedule.steps == 4 * LENGTH
        assert again.learner.updates == 2 * LENGTH - CONFIG.schedule.first_step
        assert again.schedule.report().owed_steps == 2 * LENGTH
        live(again, 4, 4)
        while again.learn(50) is not None:
            pass
        assert again.learner.updates == 4 * LENGTH - CONFIG.schedule.first_step
        assert not any(audit(again.mixture.online).mismatches.values())


def test_step_that_comes_again_after_a_restart_is_not_doubled(tmp_path: Path) -> None:
    with begun(tmp_path) as run:
        live(run, 0, 2)
    with begun(tmp_path) as again:
        assert not any(again.take(step) for step in segment(1))
        assert again.schedule.steps == 2 * LENGTH
        assert len(again.mixture.online) == 2 * LENGTH


def test_relabelled_reward_survives(tmp_path: Path) -> None:
    with begun(tmp_path) as run:
        live(run, 0, 2)
        run.take(Relabel("arm", 1, {LENGTH - 1: math.nan}))
    with begun(tmp_path) as again:
        assert len(again.mixture.online) == 2 * LENGTH - 1


def test_values_tell_corrections_from_the_policys_own_steps(tmp_path: Path) -> None:
    with begun(tmp_path) as run:
        nothing = run.values()
        assert math.isnan(nothing.corrections)
        assert math.isnan(nothing.policy)
        live(run, 0, 3)
        found = run.values()
        assert np.isfinite([found.corrections, found.policy]).all()
        assert found.corrections != found.policy
        assert found == run.values()


def test_run_without_demonstrations_is_refused_unless_it_is_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no demonstration can be drawn"):
        begun(tmp_path, demonstrations=[])
    with begun(tmp_path, demonstrations=[], may_lack_demonstrations=True) as run:
        live(run, 0, 2)
        assert run.learner.updates > 0


def test_run_of_another_robot_or_configuration_is_refused(tmp_path: Path) -> None:
    with begun(tmp_path) as run:
        live(run, 0, 1)
        run.save()
    with pytest.raises(ContractMismatchError, match="max_step_m"):
        begun(tmp_path, identity=replace(IDENTITY, max_step_m=0.05))
    with pytest.raises(ConfigurationError):
        begun(tmp_path, config=replace(CONFIG, loss=replace(CONFIG.loss, discount=0.5)))
    with begun(tmp_path) as again:  # and refusing let go of the log
        assert again.schedule.steps == LENGTH


def test_two_processes_never_share_a_run(tmp_path: Path) -> None:
    with begun(tmp_path), pytest.raises(CheckpointError, match="another process"):
        begun(tmp_path)


def _live_until_killed(folder: str) -> None:
    with begun(Path(folder)) as run:
        number = run.store.sealed_progress["arm"].segment + 1 if run.store.sealed_progress else 0
        while True:
            live(run, number, number + 1)
            run.save()
            number += 1


@pytest.mark.parametrize("seed", range(2))
def test_killed_learner_goes_on_without_loss_or_double(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    process = multiprocessing.get_context("spawn").Process(target=_live_until_killed, args=(str(tmp_path),))
    process.start()
    while len(list((tmp_path / "replay").glob("block-*"))) < 2 and process.is_alive():
        process.join(0.02)
    process.join(float(rng.uniform(0.0, 0.3)))
    assert process.is_alive()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with begun(tmp_path) as run:
        told = [e for e in run.store.events() if isinstance(e, Step)]
        assert [(s.segment, s.index) for s in told] == [
            (n, i) for n in range(len(told) // LENGTH) for i in range(LENGTH)
        ]
        assert all(np.array_equal(s.action, segment(s.segment)[s.index].action) for s in told)
        assert not any(audit(run.mixture.online).mismatches.values())
        assert not any(audit(run.mixture.demonstrations).mismatches.values())
        assert run.learner.updates <= run.schedule.steps
