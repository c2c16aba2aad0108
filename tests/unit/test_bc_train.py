"""Training of behaviour cloning: it learns, repeats itself, and goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from policies.bc.train import train
from policies.bc.training import Training, learning_rate
from policies.registry import load_policy
from policies.training_state import read_training_state, write_training_state
from tests.unit.bc_samples import DEMONSTRATED, QUICK, SIDE, sample_frames, with_history
from tutelage_core.clock import ManualClock
from tutelage_core.contract import CameraNeed
from tutelage_core.errors import ConfigurationError


def losses(training: Training, steps: int) -> list[float]:
    return [training.take_step(0.0)["total"] for _ in range(steps)]


def same_weights(a: Training, b: Training) -> bool:
    ours, theirs = a.network.learned_state(), b.network.learned_state()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("history", [1, 2])
def test_loss_falls(history: int) -> None:
    training = Training(sample_frames(history=history), with_history(QUICK, history))
    course = losses(training, 40)
    assert np.mean(course[-5:]) < 0.8 * np.mean(course[:3])


def test_loss_falls_with_a_frozen_trunk() -> None:
    training = Training(sample_frames(2, 12), replace(QUICK, model=replace(QUICK.model, encoder="lite0"), batch_size=8))
    course = losses(training, 25)
    assert np.mean(course[-3:]) < 0.8 * np.mean(course[:3])


def test_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    frames = sample_frames()
    first, again = Training(frames, QUICK), Training(frames, QUICK)
    torch.manual_seed(123)
    assert losses(first, 4) == losses(again, 4)
    assert same_weights(first, again)
    other = Training(frames, replace(QUICK, seed=1))
    assert losses(other, 4) != losses(Training(frames, QUICK), 4)


def test_resumed_training_takes_the_same_next_steps(tmp_path: Path) -> None:
    frames = sample_frames()
    unbroken = Training(frames, QUICK)
    losses(unbroken, 3)
    write_training_state(tmp_path / "resume", unbroken.state(elapsed_s=1.5), "a test")
    resumed = Training(frames, QUICK)
    resumed.restore(read_training_state(tmp_path / "resume"))
    assert losses(resumed, 4) == losses(unbroken, 4)
    assert same_weights(resumed, unbroken)
    assert all(torch.equal(resumed.average[name], unbroken.average[name]) for name in unbroken.average)


def test_run_writes_policy_metrics_and_provenance(tmp_path: Path) -> None:
    policy = train(sample_frames(), QUICK, DEMONSTRATED, tmp_path / "run", show_progress=False)
    assert policy.spec.cameras == {name: CameraNeed(SIDE, SIDE) for name in ("front", "wrist")}
    assert policy.spec.tasks == ("reach",)
    assert load_policy(tmp_path / "run" / "policy").spec == policy.spec
    facts = json.loads((tmp_path / "run" / "config.json").read_text())
    assert facts["config"]["epochs"] == QUICK.epochs
    assert {"torch", "git"} <= facts["versions"].keys()
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    validation = [line["validation_loss"] for line in metrics if "validation_loss" in line]
    assert len(validation) == QUICK.epochs + 1
    assert validation[-1] < validation[0]


def test_finished_run_can_be_resumed_with_more_epochs(tmp_path: Path) -> None:
    frames = sample_frames()
    train(frames, QUICK, DEMONSTRATED, tmp_path, show_progress=False)
    before = read_training_state(tmp_path / "resume").step
    train(frames, replace(QUICK, epochs=5), DEMONSTRATED, tmp_path, resume=True, show_progress=False)
    assert read_training_state(tmp_path / "resume").step == before * 5 // 4


def test_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    frames = sample_frames()
    quick = replace(QUICK, epochs=1)
    train(frames, quick, DEMONSTRATED, tmp_path, show_progress=False)
    with pytest.raises(ConfigurationError, match="holds another run"):
        train(frames, quick, DEMONSTRATED, tmp_path, show_progress=False)
    with pytest.raises(ConfigurationError, match=r"cannot resume this run: seed: 0 then, 7 now"):
        train(frames, replace(quick, seed=7), DEMONSTRATED, tmp_path, resume=True, show_progress=False)


def test_time_budget_ends_the_run(tmp_path: Path) -> None:
    class TickingClock(ManualClock):
        def now_ns(self) -> int:
            self.advance_ns(1_000_000_000)
            return super().now_ns()

    train(
        sample_frames(),
        replace(QUICK, epochs=1000, budget_s=20.0),
        DEMONSTRATED,
        tmp_path,
        show_progress=False,
        clock=TickingClock(),
    )
    assert 2 <= read_training_state(tmp_path / "resume").step <= 20


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    rates = [learning_rate(QUICK, step, step / 100) for step in range(101)]
    assert rates[0] < rates[4]
    assert max(rates) <= QUICK.learning_rate
    assert rates[100] == pytest.approx(0.0)


@pytest.mark.parametrize(("field", "message"), [("state", "state has shape"), ("chunk_index", "chunk_index has shape")])
def test_data_of_another_shape_are_refused(field: str, message: str) -> None:
    frames = sample_frames()
    with pytest.raises(ConfigurationError, match=message):
        Training(replace(frames, **{field: getattr(frames, field)[:, :2]}), QUICK)


def test_data_that_are_not_finite_are_refused() -> None:
    frames = sample_frames()
    frames.steps[3, 1] = np.nan
    with pytest.raises(ConfigurationError, match="not finite"):
        Training(frames, QUICK)
