"""The contract of `policies.policy.Policy`: every implementation passes this suite.

To add one, give `IMPLEMENTATIONS` a function that builds a small one with random weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from policies.bc.policy import BcPolicy, make_spec
from policies.bc.training import Training
from policies.hil_serl.config import ActorConfig, CriticConfig, EncoderConfig, ModelConfig
from policies.hil_serl.frames import ActionScale
from policies.hil_serl.policy import Scales, make_policy
from policies.hil_serl.policy import make_spec as make_hil_serl_spec
from policies.hil_serl.state_encoder import StateScales
from policies.policy import Policy
from policies.registry import POLICIES
from policies.rum.config import (
    ActConfig,
    DiffusionConfig,
    MlpConfig,
    ResidualVqConfig,
    TransformerConfig,
    VqBetConfig,
)
from policies.rum.model import HEADS, RumModelConfig, RumNetwork
from policies.rum.policy import RumPolicy
from policies.rum.policy import make_spec as make_rum_spec
from policies.rum.scales import RumScales
from tests.unit.bc_samples import QUICK, sample_frames, with_history
from tutelage_core.contract import ACTION_REPRESENTATIONS, NS_PER_S, STATE_KEYS, CameraNeed
from tutelage_core.types import Observation

ROTATION = "tcp_rotation_6d"


def bc(history: int, gripper_output: str) -> Policy:
    config = with_history(QUICK, history)
    config = replace(config, model=replace(config.model, gripper_output=gripper_output))
    training = Training(sample_frames(2, 6, history=history), config)
    spec = make_spec(config.model, training.cameras, action="tcp_step", control_rate_hz=10.0, tasks=("reach",))
    return BcPolicy(spec, training.averaged_network(), training.normalisation)


def hil_serl() -> Policy:
    model = ModelConfig(
        encoder=EncoderConfig("compact", pixels=True, grid=(2, 2), embeddings=2, camera_features=16, state_features=8),
        actor=ActorConfig(hidden=(16,)),
        critic=CriticConfig(hidden=(16,)),
        state_keys=("tcp_position", "tcp_rotation_6d", "gripper_opening"),
    )
    cameras = {"front": CameraNeed(32, 32), "wrist": CameraNeed(32, 32)}
    spec = make_hil_serl_spec(model, cameras, control_rate_hz=10.0, tasks=("reach",))
    return make_policy(spec, model, Scales(ActionScale(0.02, 0.1), StateScales()))


def rum(head: str, actions: str = "relative", state_keys: tuple[str, ...] = ()) -> Policy:
    small = TransformerConfig(layers=1, heads=2, width=16, dropout=0.0)
    config = RumModelConfig(
        head,
        "compact",
        state_keys=state_keys,
        actions=actions,
        keypoints=4,
        keypoint_features=4,
        features=16,
        vq_bet=VqBetConfig(ResidualVqConfig(codes=4, latent=8, hidden=16), small),
        diffusion=DiffusionConfig(small, steps=20, sample_steps=4),
        act=ActConfig(small),
        mlp=MlpConfig(hidden=16),
    )
    torch.manual_seed(0)
    cameras = {"wrist": CameraNeed(32, 32)}
    spec = make_rum_spec(config, cameras, action="tcp_step", control_rate_hz=10.0, tasks=("reach",))
    size = config.state_size
    return RumPolicy(spec, RumNetwork(config, cameras), RumScales(0.02, 0.1, (0.0,) * size, (1.0,) * size))


IMPLEMENTATIONS: dict[str, Callable[[], Policy]] = {
    "bc": lambda: bc(1, "binary"),
    "bc with history": lambda: bc(3, "value"),
    "hil_serl": hil_serl,
    **{f"rum {head}": partial(rum, head) for head in HEADS},
    "rum with state, in the base frame": lambda: rum("mlp", "base", ("tcp_position", "gripper_opening")),
}


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def policy(request: pytest.FixtureRequest) -> Policy:
    return IMPLEMENTATIONS[request.param]()


def observation(policy: Policy, seed: int) -> Observation:
    rng = np.random.default_rng(seed)
    images = {
        name: rng.integers(0, 256, (need.height, need.width, 3), np.uint8) for name, need in policy.spec.cameras.items()
    }
    state = {key: rng.normal(size=STATE_KEYS[key]) for key in policy.spec.state_keys}
    if ROTATION in state:  # any numbers are no rotation, and a policy may say so
        state[ROTATION] = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    return Observation(1_000 + seed, images, state)


def window(policy: Policy, seed: int = 0) -> list[Observation]:
    return [observation(policy, seed + i) for i in range(policy.spec.history)]


def changed(observation: Observation, **state: np.ndarray) -> Observation:
    return replace(observation, state={**observation.state, **state})


def test_it_is_a_policy_with_a_legal_spec(policy: Policy) -> None:
    assert isinstance(policy, Policy)
    spec = policy.spec
    assert spec.name in POLICIES
    assert spec.action in ACTION_REPRESENTATIONS
    assert set(spec.state_keys) <= set(STATE_KEYS)
    assert 1 <= spec.replan_every <= spec.chunk
    assert spec.history >= 1


def test_chunk_is_stamped_with_the_newest_observation(policy: Policy) -> None:
    policy.reset("reach", seed=0)
    seen = window(policy)
    chunk = policy.act(seen)
    assert chunk.stamp_ns == seen[-1].stamp_ns
    assert chunk.period_ns == round(NS_PER_S / policy.spec.control_rate_hz)


def test_steps_are_finite_in_range_and_of_the_promised_shape(policy: Policy) -> None:
    for seed in range(5):
        steps = policy.act(window(policy, seed)).steps
        assert steps.dtype == np.float64
        assert steps.shape == (policy.spec.chunk, 7)
        assert np.isfinite(steps).all()
        assert ((steps[:, 6] >= 0.0) & (steps[:, 6] <= 1.0)).all()


def test_far_off_states_still_give_bounded_steps(policy: Policy) -> None:
    last = window(policy)[-1]
    huge = {key: np.full(STATE_KEYS[key], 1e12) for key in policy.spec.state_keys if key != ROTATION}
    steps = policy.act([changed(last, **huge)] * policy.spec.history).steps
    assert np.isfinite(steps).all()
    assert np.abs(steps[:, :6]).max() < 10.0


def test_same_seed_and_window_give_the_same_chunk_whatever_came_before(policy: Policy) -> None:
    policy.reset("reach", seed=3)
    first = policy.act(window(policy)).steps
    policy.act(window(policy, 50))
    policy.reset("reach", seed=3)
    np.testing.assert_array_equal(policy.act(window(policy)).steps, first)


def test_observations_are_not_altered(policy: Policy) -> None:
    seen, untouched = window(policy), window(policy)
    policy.act(seen)
    for a, b in zip(seen, untouched, strict=True):
        for name in a.images:
            np.testing.assert_array_equal(a.images[name], b.images[name])
        for key in a.state:
            np.testing.assert_array_equal(a.state[key], b.state[key])


def test_chunk_belongs_to_the_caller(policy: Policy) -> None:
    steps = policy.act(window(policy)).steps
    kept = steps.copy()
    policy.act(window(policy, 9))
    np.testing.assert_array_equal(steps, kept)


def test_extra_cameras_and_states_are_ignored(policy: Policy) -> None:
    seen = window(policy)
    roof, mood = np.zeros((4, 4, 3), np.uint8), np.ones(1)
    more = [replace(o, images={"roof": roof, **o.images}, state={"mood": mood, **o.state}) for o in seen]
    np.testing.assert_array_equal(policy.act(more).steps, policy.act(seen).steps)


def test_window_of_another_length_is_refused(policy: Policy) -> None:
    with pytest.raises(ValueError, match="observations"):
        policy.act([*window(policy), observation(policy, 0)])


def test_missing_or_misshapen_camera_is_refused_by_name(policy: Policy) -> None:
    seen = window(policy)
    name = next(iter(policy.spec.cameras))
    for images in (
        {},
        {**seen[-1].images, name: np.zeros((3, 3, 3), np.uint8)},
        {**seen[-1].images, name: seen[-1].images[name].astype(np.float32)},
    ):
        with pytest.raises(ValueError, match=name):
            policy.act([*seen[:-1], replace(seen[-1], images=images)])


def test_missing_misshapen_or_nan_state_is_refused_by_name(policy: Policy) -> None:
    seen = window(policy)
    key = policy.spec.state_keys[0]
    for value in (np.zeros(STATE_KEYS[key] + 1), np.full(STATE_KEYS[key], np.nan)):
        with pytest.raises(ValueError, match=key):
            policy.act([*seen[:-1], changed(seen[-1], **{key: value})])
    for key in policy.spec.state_keys:
        rest = {name: value for name, value in seen[-1].state.items() if name != key}
        with pytest.raises(ValueError, match=key):
            policy.act([*seen[:-1], replace(seen[-1], state=rest)])
