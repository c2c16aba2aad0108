"""Training of RUM's policies: it learns, goes on where it stood, and refuses what does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from policies.rum.config import (
    ActConfig,
    DiffusionConfig,
    MlpConfig,
    ResidualVqConfig,
    TransformerConfig,
    VqBetConfig,
)
from policies.rum.model import HEADS, RumModelConfig
from policies.rum.relative_chunk import to_base
from policies.rum.train_config import RumConfig
from policies.rum.training import RumTraining
from policies.rum.windows import chunks_of, fit_scales
from policies.training_state import read_training_state, write_training_state
from tests.unit.bc_samples import SMALL, SampleFrames, sample_frames
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import matrix_from_6d

pytestmark = pytest.mark.unit
KEYS = SMALL.state_keys
T = TransformerConfig(layers=1, heads=2, width=32, dropout=0.1)
MODEL = RumModelConfig(
    "mlp",
    "lite0",
    history=2,
    chunk=4,
    keypoints=4,
    keypoint_features=4,
    features=32,
    vq_bet=VqBetConfig(ResidualVqConfig(codes=8, latent=8, hidden=32), T),
    diffusion=DiffusionConfig(T, steps=20, sample_steps=5),
    act=ActConfig(T),
    mlp=MlpConfig(hidden=64),
)
QUICK = RumConfig(MODEL, vq_steps=20, steps=40, batch_size=24, learning_rate=3e-3, warmup_steps=5)


def frames(episodes: int = 4) -> SampleFrames:
    made = sample_frames(episodes, 12, history=2)
    return replace(made, images={"wrist": made.images["wrist"]})


def config(head: str, **changes: object) -> RumConfig:
    return replace(QUICK, model=replace(MODEL, head=head), **changes)


@pytest.mark.parametrize("head", HEADS)
def test_loss_falls_and_what_is_kept_is_finite(head: str) -> None:
    training = RumTraining(frames(), config(head, validation_fraction=0.25), KEYS)
    found = [training.take_step() for _ in range(training.total_steps)]
    policy = [figures["loss"] for figures in found if "loss" in figures]
    assert np.mean(policy[-8:]) < 0.7 * np.mean(policy[:8])
    if head == "vq_bet":
        codes = [figures["vq_l1"] for figures in found if "vq_l1" in figures]
        assert len(codes) == 20
        assert codes[-1] < codes[0]
    assert all(np.isfinite(value) for value in training.validate().values())
    assert all(torch.isfinite(tensor).all() for tensor in training.averaged_network().learned_state().values())


@pytest.mark.parametrize(("head", "stops_at"), [("vq_bet", 12), ("vq_bet", 33), ("diffusion", 7)])
def test_run_that_was_cut_off_goes_on_to_the_same_weights(head: str, stops_at: int, tmp_path: Path) -> None:
    whole = RumTraining(frames(2), config(head), KEYS)
    cut = RumTraining(frames(2), config(head), KEYS)
    for _ in range(stops_at):
        whole.take_step()
        cut.take_step()
    write_training_state(tmp_path / "resume", cut.state(1.0), "test")
    again = RumTraining(frames(2), config(head), KEYS)
    again.restore(read_training_state(tmp_path / "resume"))
    for _ in range(10):
        assert whole.take_step() == again.take_step()
    for name, tensor in whole.average.items():
        assert torch.equal(tensor, again.average[name]), name


def test_trunk_that_learns_looks_at_changed_pictures_and_changes() -> None:
    training = RumTraining(frames(2), replace(config("mlp"), model=replace(MODEL, head="mlp", encoder="compact")), KEYS)
    names = [name for name in training.network.learned_state() if name.startswith("encoders.")]
    before = {name: training.network.learned_state()[name].clone() for name in names}
    some = training.windows.window(training.train_rows[:2])[0]
    plain = training.seen.maps(training.network, some, None)
    other = training.seen.maps(training.network, some, np.random.default_rng(0))
    assert not torch.equal(plain["wrist"], other["wrist"])
    found = [training.take_step()["loss"] for _ in range(30)]
    assert np.mean(found[-8:]) < 0.8 * np.mean(found[:8])
    assert any(not torch.equal(tensor, training.network.learned_state()[name]) for name, tensor in before.items())
    averaged = training.seen.maps(training.averaged_network(), some, None)
    now = training.seen.maps(training.network, some, None)
    assert not torch.equal(averaged["wrist"], now["wrist"]), "what is validated is what is kept"
    assert set(names) <= set(training.averaged_network().learned_state()), "a checkpoint holds it"


def test_quantiser_rests_while_the_policy_learns() -> None:
    training = RumTraining(frames(2), config("vq_bet"), KEYS)
    for _ in range(20):
        training.take_step()
    before = {n: t.clone() for n, t in training.network.learned_state().items() if n.startswith("head.vq.")}
    other = training.network.learned_state()["head.primary.0.weight"].clone()
    for _ in range(5):
        training.take_step()
    after = training.network.learned_state()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert not torch.equal(other, after["head.primary.0.weight"])
    averaged = training.averaged_network().learned_state()
    assert all(torch.equal(tensor, averaged[name]) for name, tensor in before.items()), "no average of codebooks"


def test_chunks_are_told_in_the_axes_of_the_hand() -> None:
    made = frames(1)
    relative = chunks_of(made, QUICK, KEYS)
    base = chunks_of(made, replace(QUICK, model=replace(MODEL, actions="base")), KEYS)
    rotation = matrix_from_6d(made.state[0, 3:9].astype(np.float64))
    np.testing.assert_allclose(to_base(relative[0], rotation), base[0], atol=1e-7)
    assert not np.allclose(relative, base), "the sample's hand points down"
    assert not base[-1, 1:, :6].any(), "past the end nothing moves"
    assert base[-1, 1:, 6].tolist() == [made.steps[-1, 6]] * 3, "and the gripper stays"


def test_scales_hold_nearly_all_of_what_was_shown() -> None:
    chunks = np.zeros((5000, 4, 7))
    chunks[..., :3] = np.random.default_rng(0).normal(0.0, 0.01, (5000, 4, 3))
    scales = fit_scales(chunks, np.zeros((5000, 0)), QUICK)
    beyond = (np.abs(scales.to_numbers(chunks)[..., :3]) > 1.0).mean()
    assert beyond == pytest.approx(1.0 - QUICK.quantile, abs=5e-4)
    assert scales.step_rad == QUICK.minimum_step_rad, "an axis that never turns is not blown up"
    assert RumTraining(frames(), QUICK, KEYS).windows.chunks.abs().max() <= 1.0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model": replace(MODEL, chunk=5)}, "chunk"),
        ({"model": replace(MODEL, history=3)}, "history"),
    ],
)
def test_data_that_do_not_fit_are_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        RumTraining(frames(1), replace(QUICK, **changes), KEYS)


def test_rotation_that_relative_steps_need_is_asked_for() -> None:
    with pytest.raises(ConfigurationError, match="tcp_rotation_6d"):
        chunks_of(frames(1), QUICK, ("tcp_position",))


def test_numbers_that_are_none_are_refused() -> None:
    made = frames(1)
    made.steps[3, 2] = np.nan
    with pytest.raises(ConfigurationError, match="first: episode episode-0, frame 3"):
        RumTraining(made, QUICK, KEYS)


def test_other_settings_do_not_go_on_with_a_run() -> None:
    training = RumTraining(frames(1), QUICK, KEYS)
    state = training.state(0.0)
    other = RumTraining(frames(1), replace(QUICK, batch_size=8), KEYS)
    with pytest.raises(ConfigurationError, match="batch_size"):
        other.restore(state)


@pytest.mark.parametrize("changes", [{"steps": 0}, {"quantile": 0.4}, {"ema_decay": 1.0}, {"seed": -1}])
def test_numbers_with_which_nothing_can_be_learnt_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        replace(QUICK, **changes)
    with pytest.raises(ConfigurationError, match="vq_steps"):
        config("vq_bet", vq_steps=0)
