from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from policies.hil_serl.batch import Batch, ObservationShape, Observed
from policies.hil_serl.config import CriticConfig, HilSerlConfig, LossConfig, ScheduleConfig
from policies.hil_serl.finiteness import NonFiniteError
from policies.hil_serl.learner import Learner
from policies.hil_serl.losses import CriticLosses
from tests.unit.hil_serl_samples import PIXELS, SHAPE, SMALL, batches, small, with_encoder, with_model
from tutelage_core.errors import CheckpointError, ConfigurationError

pytestmark = pytest.mark.unit


def everything(learner: Learner) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in learner.state().tensors.items()}


def changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    assert before.keys() <= after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_critic_only_update_leaves_actor_temperature_and_their_moments_bit_identical() -> None:
    learner = Learner(SMALL, SHAPE)
    learner.update(batches(2))  # a full cycle, so that there are moments that could move something
    before = everything(learner)
    assert any(name.startswith("moments/actor/") for name in before)
    metrics = learner.update(batches(1, 5))
    moved = changed(before, everything(learner))
    of_actor = {n for n in before if n.startswith(("actor/", "moments/actor/", "moments/temperature/", "multiplier"))}
    assert not moved & of_actor
    assert {n for n in before if n.startswith("values/") and n.endswith("weight")} <= moved
    assert (metrics.updates, metrics.actor_updates) == (3, 1)
    assert math.isnan(metrics.actor_loss)


def test_every_second_update_moves_actor_and_temperature_however_batches_are_handed_in() -> None:
    together, apart = Learner(SMALL, SHAPE), Learner(SMALL, SHAPE)
    together.update(batches(6))
    for batch in batches(6):
        apart.update([batch])
    assert together.actor_updates == apart.actor_updates == 3
    assert not changed(everything(together), everything(apart))


def test_full_update_moves_everything() -> None:
    learner = Learner(small(critic_actor_ratio=1), SHAPE)
    learner.update(batches(1))
    before = everything(learner)
    learner.update(batches(1, 1))
    still = before.keys() - changed(before, everything(learner))
    assert not still


def test_target_encoder_is_a_copy_that_follows_by_tau() -> None:
    learner = Learner(small(tau=0.25), SHAPE)
    start = {name: tensor.clone() for name, tensor in learner.values.state_dict().items()}
    assert all(torch.equal(start[n], t) for n, t in learner.target.state_dict().items())
    places = {weight.data_ptr() for weight in learner.values.parameters()}
    assert not places & {weight.data_ptr() for weight in learner.target.parameters()}
    learner.update(batches(1))
    for name, followed in learner.target.state_dict().items():
        online = learner.values.state_dict()[name]
        torch.testing.assert_close(followed, start[name] + 0.25 * (online - start[name]))
        if name in ("encoder.embeddings", "encoder.camera_weight", "encoder.state_weight"):
            assert not torch.equal(followed, online)
            assert not torch.equal(followed, start[name])


def test_target_of_the_trunk_differs_from_it_after_an_update_from_pixels() -> None:
    config = with_encoder(SMALL, encoder="compact", pixels=True)
    learner = Learner(config, PIXELS)
    learner.update(batches(2, shape=PIXELS))
    online, target = learner.values.encoder.trunk, learner.target.encoder.trunk
    assert online is not None
    assert target is not None
    pairs = zip(online.parameters(), target.parameters(), strict=True)
    assert all(not torch.equal(weight, follower) for weight, follower in pairs)


def test_encoder_gets_gradients_from_the_critics_losses_only() -> None:
    learner = Learner(small(critic_actor_ratio=1), SHAPE)
    with torch.no_grad():  # critics whose losses vanish: all values, rewards and targets are 0
        for values in (learner.values, learner.target):
            for stack in (values.critics, values.grasp_critic):
                assert stack is not None
                stack.weights[-1].zero_()
                stack.biases[-1].zero_()
    (batch,) = batches(1)
    nothing = torch.zeros_like(batch.reward)
    before = everything(learner)
    metrics = learner.update([batch._replace(reward=nothing, grasp_penalty=nothing)])
    assert metrics.critic_loss == metrics.grasp_loss == metrics.gradient_norm == 0.0
    moved = changed(before, everything(learner))
    assert any(name.startswith("actor/") for name in moved)
    assert not any(name.startswith("values/") for name in moved)
    learner.update([batch, batch])  # the first one moves the last layers away from 0 again
    assert "values/encoder.embeddings" in changed(before, everything(learner))


def test_grasp_penalty_moves_the_gripper_critic_on_every_update() -> None:
    for already in range(4):  # critic-only and full updates alike
        plain, punished = Learner(SMALL, SHAPE), Learner(SMALL, SHAPE)
        for learner in (plain, punished):
            if already:
                learner.update(batches(already))
        (batch,) = batches(1, 9)
        free = plain.update([batch._replace(grasp_penalty=torch.zeros_like(batch.reward))])
        fined = punished.update([batch._replace(grasp_penalty=torch.full_like(batch.reward, -1.0))])
        assert fined.grasp_loss != free.grasp_loss
        assert fined.critic_loss == free.critic_loss
        name = "values/grasp_critic.first_weight"
        assert name in changed(everything(plain), everything(punished))


def test_critics_learn_the_discounted_value_of_a_chain() -> None:
    """Two states, one action value: s0 goes on to s1 (reward 0), s1 ends with reward 1; a time-out in s1 goes on."""
    config = HilSerlConfig(
        model=replace(SMALL.model, action_size=1, gripper=False),
        loss=LossConfig(discount=0.5, temperature_init=1e-6),
        learner=replace(SMALL.learner, critic_rate=3e-3, tau=0.05),
    )
    learner = Learner(config, ObservationShape({}, 2))
    s0, s1 = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    rng = torch.Generator().manual_seed(0)
    for _ in range(250):
        action = torch.rand(64, 1, generator=rng) * 2 - 1
        first = torch.rand(64, generator=rng) < 0.5
        state = torch.where(first[:, None], s0, s1)
        reward, mask = torch.where(first, 0.0, 1.0), torch.where(first, 1.0, 0.0)
        nothing = torch.zeros(64)
        seen, next_seen = Observed({}, state), Observed({}, s1.expand(64, 2))
        batch = Batch(seen, next_seen, action, nothing.long(), reward, nothing, mask, shown=nothing)
        learner.update([batch])
    z = learner.values.encode(learner.values.encoder.prepare(Observed({}, torch.stack([s0, s1]))))
    Q = learner.values.judge(learner.values.read(z), torch.zeros(2, 1))
    torch.testing.assert_close(Q.mean(dim=0).detach(), torch.tensor([0.5, 1.0]), rtol=0.1, atol=0.1)


def test_resumed_learner_goes_on_bit_for_bit(tmp_path: Path) -> None:
    config = with_model(SMALL, critic=CriticConfig((16, 16), 4, 2))
    straight = Learner(config, SHAPE)
    straight.update(batches(7))
    first = Learner(config, SHAPE)
    first.update(batches(3))
    first.save(tmp_path / "learner", created_by="test")
    resumed = Learner.load(tmp_path / "learner")
    assert not changed(everything(first), everything(resumed))
    resumed.update(batches(4, 3))
    assert not changed(everything(straight), everything(resumed))
    assert (resumed.updates, resumed.actor_updates) == (7, 3)


def test_resumed_pixel_learner_goes_on_bit_for_bit(tmp_path: Path) -> None:
    config = with_encoder(SMALL, encoder="compact", pixels=True)
    straight, first = Learner(config, PIXELS), Learner(config, PIXELS)
    straight.update(batches(4, shape=PIXELS))
    first.update(batches(2, shape=PIXELS))
    first.save(tmp_path / "learner", created_by="test")
    resumed = Learner.load(tmp_path / "learner")
    resumed.update(batches(2, 2, shape=PIXELS))
    assert not changed(everything(straight), everything(resumed))


def test_state_of_other_settings_is_refused_and_another_schedule_taken(tmp_path: Path) -> None:
    learner = Learner(SMALL, SHAPE)
    learner.update(batches(1))
    learner.save(tmp_path / "learner", created_by="test")
    scheduled = replace(SMALL, schedule=ScheduleConfig(updates_per_step=4.0))
    assert Learner.load(tmp_path / "learner", scheduled).config.schedule.updates_per_step == 4.0
    other = replace(SMALL, loss=replace(SMALL.loss, discount=0.9))
    with pytest.raises(ConfigurationError, match=r"0\.97.*0\.9"):
        Learner.load(tmp_path / "learner", other)


def test_damaged_state_is_refused(tmp_path: Path) -> None:
    learner = Learner(SMALL, SHAPE)
    learner.save(tmp_path / "learner", created_by="test")
    stored = tmp_path / "learner" / "learner.safetensors"
    stored.write_bytes(stored.read_bytes()[:-4] + b"\x00\x00\xc0\x7f")
    with pytest.raises(CheckpointError, match=r"learner\.safetensors"):
        Learner.load(tmp_path / "learner")


def test_learner_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    Learner(SMALL, SHAPE).update(batches(2))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("where", ["state", "images", "reward"])
def test_not_finite_batch_is_named_and_nothing_moves(where: str) -> None:
    learner = Learner(SMALL, SHAPE)
    learner.update(batches(3))
    before = everything(learner)
    (batch,) = batches(1, 7)
    named = {"state": "next_observed.state", "images": r"observed.images\['wrist'\]", "reward": "batch reward"}[where]
    tensor = {
        "state": batch.next_observed.state,
        "images": batch.observed.images["wrist"],
        "reward": batch.reward,
    }[where]
    tensor.view(-1)[5] = torch.nan
    with pytest.raises(NonFiniteError, match=named):
        learner.update([batch])
    assert changed(before, everything(learner)) <= {"generator"}
    assert learner.updates == 3
    learner.update(batches(1, 8))
    assert learner.updates == 4


def test_not_finite_weight_is_named_and_never_saved(tmp_path: Path) -> None:
    learner = Learner(SMALL, SHAPE)
    with torch.no_grad():
        learner.actor.stack.weights[0][0, 0, 0] = torch.inf
    with pytest.raises(NonFiniteError, match=r"weight of actor 'stack\.weights\.0'"):
        learner.update(batches(2))
    with pytest.raises(CheckpointError, match=r"actor/stack\.weights\.0"):
        learner.save(tmp_path / "learner", created_by="test")
    assert not (tmp_path / "learner").exists()


def test_batch_of_another_robot_is_refused_by_name() -> None:
    learner = Learner(SMALL, SHAPE)
    (batch,) = batches(1)
    with pytest.raises(ValueError, match="actions of 5"):
        learner.update([batch._replace(action=batch.action[:, :5])])
    with pytest.raises(ValueError, match="wrist"):
        learner.update(
            [batch._replace(next_observed=Observed({"front": batch.observed.images["front"]}, batch[0].state))]
        )
    with pytest.raises(ValueError, match="at least one"):
        learner.update([])


def test_values_are_the_mean_of_the_critics_for_the_actions_of_the_batch() -> None:
    learner = Learner(SMALL, SHAPE)
    (batch,) = batches(1)
    values = learner.values_of(batch)
    with torch.no_grad():
        z = learner.values.encode(learner.values.encoder.prepare(batch.observed))
        both = learner.values.judge(learner.values.read(z), batch.action)
    assert values.shape == (len(batch.reward),)
    assert torch.allclose(values, (both[0] + both[1]) / 2)
    assert not torch.allclose(values, learner.values_of(batch._replace(action=-batch.action)))


def test_bfloat16_products_learn_the_same_within_tolerance() -> None:
    exact, rough = Learner(SMALL, SHAPE), Learner(small(precision="bfloat16"), SHAPE)
    start = everything(exact)
    for learner in (exact, rough):
        learner.update(batches(20))
    a, b = everything(exact), everything(rough)
    assert changed(a, b)
    for part in ("values/", "actor/"):
        names = [n for n in start if n.startswith(part)]
        way = torch.cat([(a[n] - start[n]).flatten() for n in names])
        other_way = torch.cat([(b[n] - start[n]).flatten() for n in names])
        assert torch.cosine_similarity(way, other_way, dim=0) > 0.95


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_compiled_losses_learn_the_same_as_plain_ones() -> None:
    plain, compiled = Learner(SMALL, SHAPE), Learner(small(compile=True), SHAPE)
    for learner in (plain, compiled):
        learner.update(batches(10))
    assert compiled.why_not_compiled == ""
    a, b = everything(plain), everything(compiled)
    for name, tensor in a.items():
        torch.testing.assert_close(b[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_compiler_that_fails_is_left_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> object:
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(torch, "compile", broken)
    plain, falling_back = Learner(SMALL, SHAPE), Learner(small(compile=True), SHAPE)
    for learner in (plain, falling_back):
        learner.update(batches(2))
    assert "no compiler here" in falling_back.why_not_compiled
    assert not changed(everything(plain), everything(falling_back))


def test_compiled_loss_that_differs_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(function: Callable[..., CriticLosses], **_: object) -> Callable[..., CriticLosses]:
        def slightly_more(*args: object) -> CriticLosses:
            found = function(*args)
            return found._replace(total=found.total * 1.01)

        return slightly_more

    monkeypatch.setattr(torch, "compile", wrong)
    plain, falling_back = Learner(SMALL, SHAPE), Learner(small(compile=True), SHAPE)
    for learner in (plain, falling_back):
        learner.update(batches(2))
    assert "differs" in falling_back.why_not_compiled
    assert not changed(everything(plain), everything(falling_back))
