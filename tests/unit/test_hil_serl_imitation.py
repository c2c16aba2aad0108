from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from policies.hil_serl.batch import Batch
from policies.hil_serl.config import HilSerlConfig, LearnerConfig
from policies.hil_serl.finiteness import NonFiniteError
from policies.hil_serl.imitation import ImitationLearner, imitation_losses
from policies.hil_serl.learner import Learner
from policies.hil_serl.presets import preset
from tests.unit.hil_serl_samples import PIXELS, SHAPE, SMALL, arrays, batches, small, with_encoder, with_model
from tutelage_core.errors import CheckpointError, ConfigurationError

pytestmark = pytest.mark.unit

IMITATES = small(demonstration_ratio=1.0, imitates=True)


def everything(learner: ImitationLearner) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in learner.state().tensors.items()}


def shown(count: int) -> list[Batch]:
    """Return batches in which the state tells action and gripper."""
    found = []
    for seed in range(count):
        drawn = arrays(seed)
        drawn["action"] = np.tanh(drawn["state"][:, [0, 1, 2, 3, 4, 0]]).astype(np.float32)
        drawn["gripper"] = np.where(drawn["state"][:, 0] > 0, 0, 2).astype(np.int8)
        found.append(Batch.from_arrays(**drawn))
    return found


def test_it_learns_what_it_is_shown() -> None:
    config = replace(IMITATES, learner=replace(IMITATES.learner, actor_rate=3e-3))
    learner, (held_out,) = ImitationLearner(config, SHAPE), shown(301)[300:]
    before = [float(loss.detach()) for loss in imitation_losses(learner.networks, held_out)]
    learner.update(shown(300))
    after = [float(loss.detach()) for loss in imitation_losses(learner.networks, held_out)]
    assert after[0] < 0.5 * before[0]
    assert after[1] < 0.7 * before[1]


@pytest.mark.parametrize("config", [IMITATES, with_encoder(IMITATES, encoder="compact", pixels=True, grid=(2, 2))])
def test_each_weight_gets_a_gradient(config: HilSerlConfig) -> None:
    shape = PIXELS if config.model.encoder.pixels else SHAPE
    learner = ImitationLearner(config, shape)
    before = learner.acting_state()
    learner.update(batches(3, shape=shape))
    after = learner.acting_state()
    assert [name for name in before if torch.equal(before[name], after[name])] == []


def test_rewards_and_masks_are_not_looked_at() -> None:
    one, other = ImitationLearner(IMITATES, SHAPE), ImitationLearner(IMITATES, SHAPE)
    one.update(batches(4))
    other.update([b._replace(reward=b.reward + 7.0, mask=1.0 - b.mask) for b in batches(4)])
    assert all(torch.equal(t, other.acting_state()[n]) for n, t in one.acting_state().items())


def test_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole, cut = ImitationLearner(IMITATES, SHAPE), ImitationLearner(IMITATES, SHAPE)
    whole.update(batches(6))
    cut.update(batches(3))
    cut.save(tmp_path / "learner", created_by="test")
    again = ImitationLearner.load(tmp_path / "learner", IMITATES)
    again.update(batches(3, first=3))
    wanted, found = everything(whole), everything(again)
    assert again.updates == 6
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_learner_of_another_kind_or_configuration_is_refused(tmp_path: Path) -> None:
    learner = ImitationLearner(IMITATES, SHAPE)
    learner.update(batches(1))
    learner.save(tmp_path / "learner", created_by="test")
    with pytest.raises(ConfigurationError, match="model"):
        ImitationLearner.load(tmp_path / "learner", with_model(IMITATES, last_scale=0.5))
    with pytest.raises((ConfigurationError, CheckpointError)):
        Learner.load(tmp_path / "learner", SMALL)


def test_what_is_not_finite_is_refused_and_changes_nothing() -> None:
    learner = ImitationLearner(IMITATES, SHAPE)
    learner.update(batches(1))
    before = everything(learner)
    (batch,) = batches(1, first=1)
    with pytest.raises(NonFiniteError, match="action loss"):
        learner.update([batch._replace(action=torch.full_like(batch.action, math.nan))])
    assert learner.updates == 1
    assert all(torch.equal(before[name], tensor) for name, tensor in everything(learner).items())


def test_it_tells_no_values() -> None:
    learner = ImitationLearner(IMITATES, SHAPE)
    assert torch.isnan(learner.values_of(batches(1)[0])).all()
    assert math.isnan(learner.update(batches(1)).value)


def test_imitation_that_would_draw_the_policys_own_steps_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="demonstration_ratio must be 1"):
        LearnerConfig(imitates=True)
    assert preset("hg_dagger").learner.imitates


def test_robot_without_a_gripper_imitates_motion_only() -> None:
    learner = ImitationLearner(with_model(IMITATES, gripper=False), SHAPE)
    assert learner.update(batches(2)).grasp_loss == 0.0
