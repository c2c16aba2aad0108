"""The network of behaviour cloning, its scales, losses and keyframes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from policies.bc.batches import split_rows
from policies.bc.config import BcConfig, BcModelConfig
from policies.bc.keyframes import KEYFRAME_SCALE_M, KEYFRAME_SCALE_RAD, keyframe_targets, next_keyframe
from policies.bc.losses import Targets, bc_losses
from policies.bc.model import BcNetwork, KeypointReader, Prediction
from policies.bc.normalisation import Normalisation, fit_normalisation
from policies.bc.policy import gripper_command
from policies.image_augmentation import shifted
from tests.unit.bc_samples import QUICK, SIDE, SMALL
from tutelage_core.contract import CameraNeed
from tutelage_core.errors import ConfigurationError, UnknownNameError

CAMERAS = {"front": CameraNeed(SIDE, SIDE), "wrist": CameraNeed(2 * SIDE, SIDE)}


def network(config: BcModelConfig = SMALL) -> BcNetwork:
    torch.manual_seed(0)
    return BcNetwork(config, CAMERAS).eval()


def inputs(batch: int, history: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = {
        name: torch.randint(0, 256, (batch * history, 3, n.height, n.width), dtype=torch.uint8, generator=generator)
        for name, n in CAMERAS.items()
    }
    return images, torch.randn(batch, history, SMALL.state_size, generator=generator)


@pytest.mark.parametrize("history", [1, 3])
def test_a_window_becomes_a_chunk(history: int) -> None:
    said = network(replace(SMALL, history=history))(*inputs(5, history))
    assert said.motion.shape == (5, SMALL.chunk, 6)
    assert said.gripper_logit.shape == (5, SMALL.chunk)
    assert said.keyframe.shape == (5, 6)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    model, (images, state) = network(), inputs(4, 1)
    alone = model({name: image[2:3] for name, image in images.items()}, state[2:3])
    torch.testing.assert_close(model(images, state).motion[2:3], alone.motion, rtol=1e-4, atol=1e-5)


def test_each_camera_and_the_state_change_what_is_said() -> None:
    model, (images, state) = network(), inputs(1, 1)
    said = model(images, state).motion
    for name in CAMERAS:
        assert not torch.allclose(model({**images, name: 255 - images[name]}, state).motion, said)
    assert not torch.allclose(model(images, state + 1).motion, said)


def test_keypoint_follows_a_lone_bright_cell() -> None:
    reader = KeypointReader(channels=1, grid=(5, 9), keypoints=1, features=1, out=4)
    with torch.no_grad():
        reader.attention_and_values.weight[0] = 50.0
    seen: list[torch.Tensor] = []
    reader.embed.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    features = torch.zeros(1, 1, 5, 9)
    features[0, 0, 1, 6] = 1.0
    reader(features)
    torch.testing.assert_close(seen[0][0, :2], torch.tensor([0.5, -0.5]))


def test_frozen_trunk_is_shared_and_not_stored() -> None:
    torch.manual_seed(0)
    same = {name: CameraNeed(SIDE, SIDE) for name in ("front", "wrist")}
    model = BcNetwork(replace(SMALL, encoder="lite0"), same)
    assert model.encoders["front"] is model.encoders["wrist"]
    assert not any(name.startswith("encoders.") for name in model.learned_state())
    assert any(name.startswith("encoders.") for name in network().learned_state())


def test_weights_of_another_shape_or_name_are_refused() -> None:
    model = network()
    state = model.learned_state()
    with pytest.raises(ConfigurationError, match=r"tensor 'keyframe\.bias': shape \(7,\), expected \(6,\)"):
        model.load_learned_state({**state, "keyframe.bias": torch.zeros(7)})
    with pytest.raises(ConfigurationError, match="unknown tensor 'more'"):
        model.load_learned_state({**state, "more": torch.zeros(1)})
    del state["keyframe.bias"]
    with pytest.raises(ConfigurationError, match=r"missing tensor 'keyframe\.bias'"):
        model.load_learned_state(state)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"encoder": "resnet"}, "unknown image encoder 'resnet'"),
        ({"state_keys": ("tcp_pos",)}, "unknown state key 'tcp_pos'"),
        ({"state_keys": ()}, "at least one"),
        ({"gripper_output": "soft"}, "legal: binary, value"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"chunk": 2, "replan_every": 3}, r"replan_every \(3\) must not exceed chunk"),
    ],
)
def test_impossible_shapes_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        replace(BcModelConfig(), **setting)


@pytest.mark.parametrize(
    "setting", [{"epochs": 0}, {"ema_decay": 1.0}, {"budget_s": 0.0}, {"shift_px": -1}, {"step_loss": "l2"}]
)
def test_impossible_trainings_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises((ConfigurationError, UnknownNameError), match=next(iter(setting)).replace("_", ".")):
        replace(BcConfig(), **setting)


def test_motion_survives_the_scales_and_is_held_in_the_range_of_the_data() -> None:
    rng = np.random.default_rng(0)
    steps = np.concatenate([rng.normal(0.01, 0.005, (50, 6)), rng.random((50, 1))], axis=1)
    steps[:, 5] = 0.0
    scales = fit_normalisation(
        rng.normal(size=(50, 3)), steps, minimum_std_m=0.002, minimum_std_rad=0.01, minimum_state_std=0.02
    )
    np.testing.assert_allclose(scales.motion_si(scales.motion(steps[:, :6])), steps[:, :6], atol=1e-6)
    assert scales.step_scale[5] == pytest.approx(0.01)
    assert np.abs(scales.motion_si(np.full(6, 1e9))).max() <= max(0.01, np.abs(steps[:, :6]).max())
    assert np.abs(scales.state(np.full(3, 1e9))).max() <= 10.0


def test_scales_that_are_not_finite_or_not_positive_are_refused() -> None:
    good = ((0.0,), (1.0,), (0.0,) * 6, (1.0,) * 6, (1.0,) * 6)
    Normalisation(*good)
    with pytest.raises(ConfigurationError, match="step_mean is not finite"):
        Normalisation(*good[:2], (float("nan"),) * 6, *good[3:])
    with pytest.raises(ConfigurationError, match="state_scale must be positive"):
        Normalisation(good[0], (0.0,), *good[2:])


def targets(**changes: torch.Tensor) -> Targets:
    plain = Targets(torch.zeros(2, 4, 6), torch.ones(2, 4), torch.ones(2, 4), torch.zeros(2, 6), torch.ones(2, 6))
    return plain._replace(**changes)


def test_steps_past_the_end_cost_nothing() -> None:
    said = Prediction(torch.zeros(2, 4, 6), torch.full((2, 4), 50.0), torch.zeros(2, 6))
    said.motion[:, 2:] = 9.0
    valid = torch.tensor([[1.0, 1, 0, 0]]).repeat(2, 1)
    assert float(bc_losses(said, targets(valid=valid), QUICK).total) == pytest.approx(0.0, abs=1e-6)
    assert float(bc_losses(said, targets(), QUICK).motion) > 1.0


def test_early_steps_weigh_more_than_late_ones() -> None:
    early, late = (Prediction(torch.zeros(2, 4, 6), torch.zeros(2, 4), torch.zeros(2, 6)) for _ in range(2))
    early.motion[:, 0] = 1.0
    late.motion[:, 3] = 1.0
    assert float(bc_losses(early, targets(), QUICK).motion) > 1.2 * float(bc_losses(late, targets(), QUICK).motion)


def test_a_change_of_the_gripper_weighs_more() -> None:
    said = Prediction(torch.zeros(2, 4, 6), torch.zeros(2, 4), torch.zeros(2, 6))
    changing = torch.tensor([[1.0, 1, 0, 0]]).repeat(2, 1)
    ratio = bc_losses(said, targets(gripper=changing), QUICK).gripper / bc_losses(said, targets(), QUICK).gripper
    assert float(ratio) == pytest.approx(1.0 + QUICK.gripper_change_weight)


def test_next_keyframe_is_the_next_change_or_the_end_of_the_episode() -> None:
    gripper = np.array([1.0, 1, 0, 0, 1, 1, 1])
    assert next_keyframe(gripper, np.array([0, 0, 0, 0, 1, 1, 1])).tolist() == [2, 2, 3, 3, 6, 6, 6]


def test_keyframe_is_the_pose_difference_in_the_base_frame() -> None:
    turn = 0.5
    state = np.array(
        [
            [0.1, 0.2, 0.3, 1, 0, 0, 0, 1, 0],
            [0.15, 0.2, 0.25, np.cos(turn), np.sin(turn), 0, -np.sin(turn), np.cos(turn), 0],
        ]
    )
    keys = ("tcp_position", "tcp_rotation_6d")
    difference, known = keyframe_targets(state, np.array([1.0, 0.0]), np.array([0, 0]), keys)
    np.testing.assert_allclose(difference[0, :3] * KEYFRAME_SCALE_M, [0.05, 0, -0.05], atol=1e-6)
    np.testing.assert_allclose(difference[0, 3:] * KEYFRAME_SCALE_RAD, [0, 0, turn], atol=1e-6)
    assert known.all()
    assert not keyframe_targets(state[:, 3:], np.array([1.0, 0.0]), np.array([0, 0]), keys[1:])[1][:, :3].any()


def test_shift_moves_the_picture_and_repeats_its_border() -> None:
    image = np.arange(5 * 6, dtype=np.uint8).reshape(1, 5, 6, 1).repeat(3, axis=3)
    for down, right in ((0, 0), (2, -1), (-3, 2), (1, 4)):
        rows = np.clip(np.arange(5) - down, 0, 4)
        columns = np.clip(np.arange(6) - right, 0, 5)
        np.testing.assert_array_equal(shifted(image, np.array([[down, right]]))[0], image[0][rows][:, columns])


def test_whole_episodes_are_held_out() -> None:
    episode_of = np.repeat(np.arange(10), 3)
    train, held_out = split_rows(episode_of, 0.2, seed=0)
    assert len(held_out) == 6
    assert not set(episode_of[train]) & set(episode_of[held_out])
    assert len(split_rows(np.zeros(5, int), 0.5, seed=0)[1]) == 0


def test_gripper_is_told_in_one_of_two_ways() -> None:
    logit = np.array([-2.0, 0.5])
    assert gripper_command(logit, "binary").tolist() == [0.0, 1.0]
    np.testing.assert_allclose(gripper_command(logit, "value"), [0.1192, 0.6225], atol=1e-4)
