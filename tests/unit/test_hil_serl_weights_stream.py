"""New weights pass hash, names, shapes, types, finiteness and canary batch, or the old ones stay."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from policies.hil_serl.acknowledgement import WeightsVersion
from policies.hil_serl.canary import ROWS, CanaryBounds, canary_batch, outputs_of
from policies.hil_serl.config import EncoderConfig, ModelConfig
from policies.hil_serl.frames import ActionScale
from policies.hil_serl.learner import Learner
from policies.hil_serl.mixture import Mixture
from policies.hil_serl.policy import HilSerlPolicy, Scales, make_policy, make_spec
from policies.hil_serl.state_encoder import StateScales
from policies.hil_serl.step_codec import metadata_of
from policies.hil_serl.stored_views import StoredViews, ViewsConfig
from policies.hil_serl.transition import EncodedObservation, Gripper, Step
from policies.hil_serl.weights_stream import WeightsGate, WeightsPacket, WeightsRefusedError, pack_weights
from tests.unit.hil_serl_samples import SMALL
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Source

pytestmark = pytest.mark.unit

CONFIG = replace(SMALL, model=replace(SMALL.model, encoder=EncoderConfig(embeddings=2, camera_features=8)))


def policy_of(model: ModelConfig = CONFIG.model) -> HilSerlPolicy:
    spec = make_spec(model, {}, control_rate_hz=10.0, tasks=("reach",))
    return make_policy(spec, model, Scales(ActionScale(0.02, 0.1), StateScales()))


def identity_of(policy: HilSerlPolicy):
    return StoredViews(policy, ViewsConfig(views=1), 0).identity("twin")


def mixture_of(policy: HilSerlPolicy, steps: int) -> Mixture:
    layout = identity_of(policy).layout
    mixture = Mixture.allocate(layout, 50, 50, limit_bytes=2**24)
    rng = np.random.default_rng(0)

    def seen() -> EncodedObservation:
        return EncodedObservation({}, rng.normal(size=layout.state_size).astype(np.float32))

    for index in range(steps):
        last = index == steps - 1
        action = rng.uniform(-1, 1, 6).astype(np.float32)
        kind = Step("a", 0, index, seen(), action, Gripper.HOLD, 0.0, Source.HUMAN)
        mixture.add(replace(kind, truncated=last, final_observation=seen() if last else None))
    return mixture


def version(updates: int, start: int = 1) -> WeightsVersion:
    return WeightsVersion(start, updates)


def packet(updates: int = 1, seed: int = 0, start: int = 1, run: str = "r", steps: int = 6) -> WeightsPacket:
    """Return what a learner of this seed publishes."""
    policy = policy_of()
    config = replace(CONFIG, learner=replace(CONFIG.learner, seed=seed))
    policy.load_weights(Learner(config, policy.networks.shape).acting_state())
    return pack_weights(
        policy, identity_of(policy), run, version(updates, start), canary_batch(mixture_of(policy, steps))
    )


def altered(
    good: WeightsPacket, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], **fields: object
) -> WeightsPacket:
    """Return the packet with other arrays, in a sound file with a sound hash."""
    data = save(change(dict(load(good.data))), dict(metadata_of(good.data, "weights")))
    return replace(good, data=data, sha256=hashlib.sha256(data).hexdigest(), **fields)


@pytest.fixture
def policy() -> HilSerlPolicy:
    return policy_of()


@pytest.fixture
def gate(policy: HilSerlPolicy) -> WeightsGate:
    return WeightsGate(policy, identity_of(policy))


def weights_of(policy: HilSerlPolicy) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in policy.networks.state_dict().items()}


def same_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_good_weights_wait_until_they_are_applied_and_are_the_learners(gate: WeightsGate, policy: HilSerlPolicy):
    before = weights_of(policy)
    learners = policy_of()
    learners.load_weights(Learner(CONFIG, learners.networks.shape).acting_state())
    assert gate.offer(packet(updates=7))
    assert same_weights(weights_of(policy), before), "nothing changes before somebody says so"
    assert gate.apply()
    assert same_weights(weights_of(policy), weights_of(learners))
    assert gate.applied == version(7)
    assert not gate.apply()


def test_same_weights_again_change_nothing_and_older_ones_are_refused(gate: WeightsGate):
    assert gate.offer(packet(updates=7))
    assert not gate.offer(packet(updates=7))
    with pytest.raises(WeightsRefusedError, match="older"):
        gate.offer(packet(updates=6))
    assert gate.good == version(7)


def test_learner_that_was_started_again_may_count_from_its_last_saved_weights(gate: WeightsGate):
    gate.offer(packet(updates=700))
    assert gate.offer(packet(updates=600, start=2))
    with pytest.raises(WeightsRefusedError, match="older"):
        gate.offer(packet(updates=900, start=1))


def test_weights_of_another_run_are_a_beginning(gate: WeightsGate):
    gate.offer(packet(updates=700))
    gate.apply()
    assert gate.offer(packet(updates=1, run="other"))
    assert gate.applied is None
    gate.apply()
    assert gate.applied == version(1)


def last_weight(tensors: dict[str, torch.Tensor]) -> str:
    return max(name for name in tensors if name.startswith("weights/actor.stack.weights"))  # of the last layer


def spoiled(name_of: Callable[[dict[str, torch.Tensor]], str], change: Callable[[torch.Tensor], torch.Tensor]):
    def spoil(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        name = name_of(tensors)
        return {**tensors, name: change(tensors[name].clone())}

    return spoil


def not_finite(tensor: torch.Tensor) -> torch.Tensor:
    tensor.view(-1)[0] = float("nan")
    return tensor


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (spoiled(last_weight, not_finite), "not finite"),
        (spoiled(last_weight, lambda t: t[..., :-1].contiguous()), "shape"),
        (spoiled(last_weight, lambda t: t.double()), "float64"),
        (spoiled(last_weight, lambda t: t + 1.0), "differs from the learner's"),
        (spoiled(last_weight, lambda t: t * 1e38), "not finite|differs"),
        (lambda t: {k: v for k, v in t.items() if k != last_weight(t)}, "missing"),
        (lambda t: {**t, "weights/more": torch.zeros(1)}, "unknown"),
        (lambda t: {**t, "more": torch.zeros(1)}, "unknown"),
        (lambda t: {k: v for k, v in t.items() if k != "canary/state"}, "canary batch"),
        (spoiled(lambda _: "canary/state", lambda t: t[:, :-1].contiguous()), "canary batch"),
        (spoiled(lambda _: "canary/mean", not_finite), "differs"),
        (spoiled(lambda _: "canary/mean", lambda t: t[:-1].contiguous()), "shape"),
    ],
)
def test_bad_weights_are_refused_by_name_and_the_old_ones_stay(gate, policy, change, told: str):
    gate.offer(packet(updates=1))
    gate.apply()
    before = weights_of(policy)
    with pytest.raises(WeightsRefusedError, match=told):
        gate.offer(altered(packet(updates=2, seed=1), change))
    assert not gate.apply()
    assert same_weights(weights_of(policy), before)
    assert (gate.applied, gate.good, gate.heard, gate.refused) == (version(1), version(1), version(2), 1)
    assert "2 updates" in gate.trouble
    assert gate.offer(packet(updates=3, seed=1)), "and the next good ones are taken"
    assert gate.trouble == ""


def test_damaged_bytes_are_refused_by_their_hash(gate: WeightsGate):
    good = packet()
    flipped = bytearray(good.data)
    flipped[-1] ^= 1
    for data in (bytes(flipped), good.data[:-1], b""):
        with pytest.raises(WeightsRefusedError, match="SHA-256"):
            gate.offer(replace(good, version=version(1 + len(data)), data=data))


def test_weights_larger_than_any_are_refused_before_they_are_opened(gate: WeightsGate):
    data = bytes(64 * 2**20)
    with pytest.raises(WeightsRefusedError, match="at most"):
        gate.offer(WeightsPacket("r", version(1), hashlib.sha256(data).hexdigest(), data))


def test_weights_of_another_robot_or_trunk_are_refused_by_name(policy: HilSerlPolicy):
    gate = WeightsGate(policy, replace(identity_of(policy), max_step_m=0.5, encoder_sha256="ab"))
    with pytest.raises(WeightsRefusedError) as refused:
        gate.offer(packet())
    assert "max_step_m: 0.5 here, 0.02 there" in str(refused.value)
    assert "encoder_sha256" in str(refused.value)


@pytest.mark.parametrize("bounds", [CanaryBounds(most_mean=1e-6), CanaryBounds(most_std=1e-6)])
def test_outputs_beyond_the_bounds_are_refused(policy: HilSerlPolicy, bounds: CanaryBounds):
    with pytest.raises(WeightsRefusedError, match="is allowed"):
        WeightsGate(policy, identity_of(policy), bounds).offer(packet())


def test_canary_batch_is_nothing_first_and_then_what_was_shown_and_seen(policy: HilSerlPolicy):
    empty = canary_batch(mixture_of(policy, 0))
    assert empty.state.shape == (1, policy.networks.shape.state)
    assert not empty.state.any()
    mixture = mixture_of(policy, 30)
    batch = canary_batch(mixture)
    assert len(batch.state) == 1 + ROWS
    torch.testing.assert_close(batch.state[1 + ROWS // 2], torch.from_numpy(mixture.online.arrays.state[0]))
    assert torch.isfinite(outputs_of(policy.networks, batch).mean).all()


def test_bounds_that_are_none_are_refused():
    with pytest.raises(ConfigurationError, match="most_mean"):
        CanaryBounds(most_mean=float("nan"))
