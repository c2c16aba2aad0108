"""RUM as a policy: relative steps, what it keeps, what its checkpoint holds, and how fast a step is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from policies.registry import load_policy
from policies.rum.model import RumModelConfig, RumNetwork
from policies.rum.policy import RumPolicy, make_spec
from policies.rum.scales import RumScales
from tests.contract.test_policy import rum, window
from tutelage_core.contract import CameraNeed
from tutelage_core.errors import CheckpointError, ConfigurationError
from tutelage_core.rotations import matrix_from_6d
from tutelage_core.types import Observation

pytestmark = pytest.mark.unit


def turned(observation: Observation, rotation: np.ndarray) -> Observation:
    columns = np.concatenate([rotation[:, 0], rotation[:, 1]])
    return replace(observation, state={**observation.state, "tcp_rotation_6d": columns})


def test_relative_steps_turn_with_the_hand() -> None:
    policy = rum("mlp")
    seen = window(policy)
    steps = policy.act(seen).steps
    rotation = Rotation.from_rotvec([0.4, -0.2, 1.0]).as_matrix()
    again = policy.act([turned(obs, rotation) for obs in seen]).steps
    np.testing.assert_allclose(again[:, :3], steps[:, :3] @ rotation.T, atol=1e-9)
    np.testing.assert_allclose(again[:, 3:6], steps[:, 3:6] @ rotation.T, atol=1e-9)
    np.testing.assert_array_equal(again[:, 6], steps[:, 6])


def test_steps_in_the_base_frame_do_not_need_the_rotation() -> None:
    policy = rum("mlp", "base")
    assert policy.spec.state_keys == ()
    assert rum("mlp").spec.state_keys == ("tcp_rotation_6d",)


def test_picture_that_was_seen_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = rum("vq_bet")
    assert isinstance(policy, RumPolicy)
    looked: list[str] = []
    encode = policy.network.encode
    monkeypatch.setattr(policy.network, "encode", lambda name, images: looked.append(name) or encode(name, images))
    seen = window(policy)
    policy.act(seen)
    assert len(looked) == 3
    following = window(policy, 3)
    policy.act([*seen[1:], following[0]])
    assert len(looked) == 4
    policy.reset("reach", 0)
    policy.act(seen)
    assert len(looked) == 7, "an episode begins with nothing"


def test_draws_of_diffusion_follow_the_seed_and_the_window() -> None:
    policy = rum("diffusion")
    seen = window(policy)
    policy.reset("reach", 1)
    first = policy.act(seen).steps
    policy.reset("reach", 2)
    assert not np.array_equal(policy.act(seen).steps, first)


@pytest.mark.parametrize("head", ["vq_bet", "diffusion", "act", "mlp"])
def test_checkpoint_gives_the_same_policy(head: str, tmp_path: Path) -> None:
    policy = rum(head)
    assert isinstance(policy, RumPolicy)
    policy.save(tmp_path / "policy", created_by="test")
    loaded = load_policy(tmp_path / "policy")
    assert isinstance(loaded, RumPolicy)
    policy.reset("reach", 5)
    loaded.reset("reach", 5)
    np.testing.assert_allclose(loaded.act(window(policy)).steps, policy.act(window(policy)).steps, atol=1e-6)


def test_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    policy = rum("mlp")
    assert isinstance(policy, RumPolicy)
    checkpoint = policy.checkpoint()
    tensors = dict(checkpoint.tensors)
    tensors.pop("join.0.weight")
    with pytest.raises(CheckpointError, match=r"join\.0\.weight"):
        RumPolicy.from_checkpoint(replace(checkpoint, tensors=tensors))


def test_spec_of_another_network_is_refused() -> None:
    policy = rum("mlp")
    assert isinstance(policy, RumPolicy)
    with pytest.raises(ConfigurationError, match="chunk"):
        RumPolicy(replace(policy.spec, chunk=3), policy.network, RumScales(0.1, 0.1))


def test_scales_are_undone_and_nothing_goes_beyond_what_was_shown() -> None:
    scales = RumScales(0.02, 0.1)
    steps = np.array([[0.02, -0.01, 0.0, 0.1, 0.0, -0.1, 1.0], [0.0] * 6 + [0.0]])
    np.testing.assert_allclose(scales.to_steps(scales.to_numbers(steps)), steps, atol=1e-7)
    assert np.abs(scales.to_numbers(steps)).max() <= 1.0 + 1e-6
    far = scales.to_steps(np.full((1, 7), 50.0))
    np.testing.assert_allclose(far, [[0.02] * 3 + [0.1] * 3 + [1.0]])
    with pytest.raises(ConfigurationError, match="step_m"):
        RumScales(float("nan"), 0.1)


def test_weights_of_another_trunk_are_refused() -> None:
    config = RumModelConfig("mlp", "twin_trunk", encoder_sha256="0" * 64)
    with pytest.raises(ConfigurationError, match="bring that trunk back"):
        RumNetwork(config, {"wrist": CameraNeed(128, 128)})


def test_shipped_trunk_and_the_default_sizes_fit_together() -> None:
    torch.manual_seed(0)
    config, cameras = RumModelConfig(), {"wrist": CameraNeed(128, 128)}
    spec = make_spec(config, cameras, action="tcp_step", control_rate_hz=10.0, tasks=("reach",))
    policy = RumPolicy(spec, RumNetwork(config, cameras), RumScales(0.02, 0.1))
    assert policy.act(window(policy)).steps.shape == (8, 7)


@pytest.mark.parametrize("columns", [np.zeros(6), np.ones(5), np.full(6, np.nan)])
def test_what_is_no_rotation_is_refused(columns: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"rotation|6 numbers"):
        matrix_from_6d(columns)
