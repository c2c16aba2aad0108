from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from policies.checkpoint import read_checkpoint
from policies.hil_serl.config import ActorConfig, CriticConfig, EncoderConfig, HilSerlConfig, ModelConfig
from policies.hil_serl.frames import ActionScale, adjoint
from policies.hil_serl.learner import Learner
from policies.hil_serl.policy import HilSerlPolicy, Scales, make_policy, make_spec
from policies.hil_serl.state_encoder import StateScales
from policies.hil_serl.transition import Gripper
from policies.policy import Policy
from tests.unit.hil_serl_samples import batches
from tutelage_core.contract import NS_PER_S, STATE_KEYS, CameraNeed
from tutelage_core.errors import CheckpointError, ConfigurationError
from tutelage_core.types import Observation

pytestmark = pytest.mark.unit

SIDE = 32
KEYS = ("tcp_position", "tcp_rotation_6d", "gripper_opening")
CAMERAS = {"front": CameraNeed(SIDE, SIDE), "wrist": CameraNeed(SIDE, SIDE)}
SCALES = Scales(ActionScale(0.02, 0.1), StateScales())
MODEL = ModelConfig(
    encoder=EncoderConfig("compact", pixels=True, grid=(2, 2), embeddings=2, camera_features=16, state_features=8),
    actor=ActorConfig(hidden=(16,)),
    critic=CriticConfig(hidden=(16,)),
    state_keys=KEYS,
)
FROZEN = replace(MODEL, encoder=replace(MODEL.encoder, encoder="lite0", pixels=False))
TURNED = np.array([0.0, 1.0, 0.0, -1.0, 0.0, 0.0])
"""A quarter turn about z: the TCP's x axis is the base's y axis."""


def policy_of(model: ModelConfig = MODEL, cameras: Mapping[str, CameraNeed] = CAMERAS) -> HilSerlPolicy:
    torch.manual_seed(0)
    policy = make_policy(make_spec(model, cameras, control_rate_hz=10.0, tasks=("reach",)), model, SCALES)
    rng = torch.Generator().manual_seed(1)
    weights = policy.networks.state_dict()
    policy.load_weights({n: t + 0.3 * torch.randn(t.shape, generator=rng) for n, t in weights.items()})
    return policy


def observation(seed: int = 0, **state: np.ndarray) -> Observation:
    rng = np.random.default_rng(seed)
    images = {name: rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for name in CAMERAS}
    known = {
        "tcp_position": rng.normal(size=3) * 0.1,
        "tcp_rotation_6d": np.array([1.0, 0, 0, 0, 1, 0]),
        "gripper_opening": np.array([0.6]),
    }
    return Observation(1_000 + seed, images, {**known, **state})


def with_gripper(policy: HilSerlPolicy, command: Gripper) -> HilSerlPolicy:
    """Make the gripper's critic prefer `command` whatever it sees."""
    assert policy.networks.grasp_critic is not None
    with torch.no_grad():
        policy.networks.grasp_critic.biases[-1].zero_()[..., int(command)] = 1e3
    return policy


@pytest.mark.parametrize("model", [MODEL, FROZEN], ids=["pixels", "frozen"])
def test_it_is_a_policy_of_single_steps(model: ModelConfig) -> None:
    policy = policy_of(model)
    assert isinstance(policy, Policy)
    assert (policy.spec.name, policy.spec.history, policy.spec.chunk, policy.spec.replan_every) == ("hil_serl", 1, 1, 1)
    seen = observation(3)
    chunk = policy.act([seen])
    assert (chunk.stamp_ns, chunk.period_ns) == (seen.stamp_ns, NS_PER_S // 10)
    assert chunk.steps.shape == (1, 7)
    assert chunk.steps.dtype == np.float64


def test_step_is_the_actors_mode_in_the_axes_of_the_tcp_over_the_limits() -> None:
    policy = policy_of()
    seen = observation(0, tcp_rotation_6d=TURNED)
    policy.reset("reach", 0)
    (step,) = policy.act([seen]).steps
    policy.reset("reach", 0)
    observed = policy.observe(seen)
    pi, _ = policy.networks(observed)
    R = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    action = pi.mode()[0].double().numpy()
    expected = adjoint(R) @ (action * np.repeat([0.02, 0.1], 3))
    np.testing.assert_allclose(step[:6], expected)
    assert np.abs(action).max() <= 1.0
    assert np.abs(action).min() > 1e-3


def test_first_observation_is_the_origin_of_the_episode() -> None:
    policy = policy_of()
    here, there = observation(0), observation(0, tcp_position=np.array([0.3, 0.2, 0.1]))
    policy.reset("reach", 0)
    first = policy.act([here]).steps
    moved = policy.act([there]).steps
    policy.reset("reach", 0)
    np.testing.assert_array_equal(policy.act([there]).steps, first)  # only the way since the start is seen
    assert not np.array_equal(moved[:, :6], first[:, :6])


def test_evaluation_is_deterministic_and_exploration_follows_the_seed() -> None:
    policy = policy_of()

    def steps(seed: int) -> np.ndarray:
        policy.reset("reach", seed)
        return np.concatenate([policy.act([observation(i)]).steps for i in range(3)])

    np.testing.assert_array_equal(steps(0), steps(1))
    mode = steps(0)
    policy.explores = True
    np.testing.assert_array_equal(steps(0), steps(0))
    assert not np.array_equal(steps(0)[:, :6], steps(1)[:, :6])
    assert not np.array_equal(steps(0)[:, :6], mode[:, :6])
    np.testing.assert_array_equal(steps(0)[:, 6], mode[:, 6])  # the gripper never explores
    policy.explores = False
    np.testing.assert_array_equal(steps(5), mode)


@pytest.mark.parametrize(("command", "opening"), [(Gripper.CLOSE, 0.0), (Gripper.HOLD, 0.6), (Gripper.OPEN, 1.0)])
def test_gripper_follows_its_critic(command: Gripper, opening: float) -> None:
    policy = with_gripper(policy_of(), command)
    policy.reset("reach", 0)
    assert policy.act([observation()]).steps[0, 6] == opening


def test_hold_keeps_what_was_commanded_last_and_not_what_is_measured() -> None:
    policy = with_gripper(policy_of(), Gripper.CLOSE)
    policy.reset("reach", 0)
    policy.act([observation()])
    with_gripper(policy, Gripper.HOLD)
    assert policy.act([observation(1, gripper_opening=np.array([0.35]))]).steps[0, 6] == 0.0  # an object between
    policy.executed(np.array([0, 0, 0, 0, 0, 0, 1.0]))  # a person opened it
    assert policy.act([observation(2)]).steps[0, 6] == 1.0
    policy.reset("reach", 0)
    assert policy.act([observation(3)]).steps[0, 6] == 0.6


def test_checkpoint_gives_the_same_policy_again(tmp_path: Path) -> None:
    policy = policy_of()
    policy.save(tmp_path / "policy", created_by="test")
    again = HilSerlPolicy.from_checkpoint(read_checkpoint(tmp_path / "policy"))
    assert again.spec == policy.spec
    assert again.scales == SCALES
    for seen in (observation(i) for i in range(3)):
        np.testing.assert_array_equal(again.act([seen]).steps, policy.act([seen]).steps)


def test_checkpoint_of_other_weights_or_another_trunk_is_refused(tmp_path: Path) -> None:
    policy = policy_of()
    checkpoint = policy.checkpoint()
    first = next(iter(checkpoint.tensors))
    with pytest.raises(CheckpointError, match="missing"):
        HilSerlPolicy.from_checkpoint(replace(checkpoint, tensors={}))
    with pytest.raises(CheckpointError, match="shape"):
        HilSerlPolicy.from_checkpoint(replace(checkpoint, tensors={**checkpoint.tensors, first: torch.ones(1)}))
    frozen = policy_of(FROZEN).checkpoint()
    pinned = {**frozen.model, "encoder": {**frozen.model["encoder"], "encoder_sha256": "ab" * 32}}
    with pytest.raises(CheckpointError, match="SHA-256"):
        HilSerlPolicy.from_checkpoint(replace(frozen, model=pinned))


def test_spec_that_does_not_fit_the_networks_is_refused() -> None:
    policy = policy_of()
    for changes, told in (
        ({"history": 2}, "history"),
        ({"state_keys": KEYS[::-1]}, "state_keys"),
        ({"cameras": {"front": CAMERAS["front"]}}, "shape of observations"),
        ({"name": "bc"}, "name"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            HilSerlPolicy(replace(policy.spec, **changes), policy.networks, SCALES)
    blind = replace(MODEL, state_keys=("tcp_position", "tcp_rotation_6d"))
    with pytest.raises(ConfigurationError, match="gripper_opening"):
        policy_of(blind)


def test_weights_of_the_learner_fit_the_policy_and_change_what_it_does() -> None:
    policy = policy_of()
    config = HilSerlConfig(model=MODEL)
    learner = Learner(config, policy.networks.shape)
    learner.update(batches(2, shape=policy.networks.shape))
    before = policy.act([observation()]).steps
    policy.load_weights(learner.acting_state())
    after = policy.act([observation()]).steps
    assert not np.array_equal(before, after)
    observed = policy.observe(observation())
    z = learner.values.encode(learner.values.encoder.prepare(observed))
    torch.testing.assert_close(torch.from_numpy(policy.decide(observed).action).float(), learner.actor(z).mode()[0])


def test_poisoned_weights_are_refused_and_the_policy_goes_on() -> None:
    policy = policy_of()
    expected = policy.act([observation()]).steps
    weights = {n: t.clone() for n, t in policy.networks.state_dict().items()}
    next(iter(weights.values())).view(-1)[0] = torch.nan
    with pytest.raises(ConfigurationError, match="not finite"):
        policy.load_weights(weights)
    np.testing.assert_array_equal(policy.act([observation()]).steps, expected)


def test_what_the_policy_sees_is_what_a_replay_stores() -> None:
    policy = policy_of(FROZEN)
    observed = policy.observe(observation())
    for name, shape in policy.networks.shape.images.items():
        assert tuple(observed.images[name].shape) == (1, *shape)
        assert observed.images[name].dtype == torch.float16
    assert observed.state.shape == (1, policy.networks.shape.state)


def test_bad_observations_are_refused_by_name() -> None:
    policy = policy_of()
    good = observation()
    for seen, told in (
        (replace(good, images={"front": good.images["front"]}), "wrist"),
        (replace(good, images={**good.images, "wrist": np.zeros((3, 3, 3), np.uint8)}), "wrist"),
        (replace(good, state={k: v for k, v in good.state.items() if k != "gripper_opening"}), "gripper_opening"),
        (observation(0, tcp_position=np.full(3, np.nan)), "tcp_position"),
        (observation(0, tcp_rotation_6d=np.ones(STATE_KEYS["tcp_rotation_6d"])), "tcp_rotation_6d"),
    ):
        policy.reset("reach", 0)
        with pytest.raises(ValueError, match=told):
            policy.act([seen])
    with pytest.raises(ValueError, match="2 observations"):
        policy.act([good, good])
