"""Training of a trunk: both methods learn, repeat themselves, and go on where they stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from policies.training_state import read_training_state, write_training_state
from policies.trunk.config import TrunkConfig
from policies.trunk.inverse_dynamics import InverseDynamicsObjective
from policies.trunk.localisation import LocaliserConfig, localisation_errors
from policies.trunk.points import PointObjective, bilinear_map
from policies.trunk.train import train_trunk
from policies.trunk.training import TrunkTraining
from tests.unit.episode_samples import CONTRACT, METADATA, record
from tutelage_core.encoders.image import build_image_encoder
from tutelage_core.encoders.trunk import TrunkShape
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.windows import load_windows
from tutelage_core.errors import ConfigurationError
from tutelage_core.labelled_frames import LabelledFrames, joined, read_shards, shard_path, write_shard

SIDE = 32
QUICK = TrunkConfig(
    shape=TrunkShape(channels=8, stem=(8, 8), middle=(8, 12, 16)),
    epochs=4,
    batch_size=8,
    warmup_steps=3,
    learning_rate=3e-3,
    keypoints=4,
    keypoint_features=4,
    hidden=16,
    log_every=2,
    horizon=3,
    validation_fraction=0.25,
    bf16=False,
)


def frames(count: int = 48, seed: int = 0, names: tuple[str, ...] = ("block",)) -> LabelledFrames:
    """Return pictures of a bright square; where it is in the picture tells where it is in space."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (count, 1, SIDE, SIDE, 3), dtype=np.uint8)
    corner = rng.integers(2, SIDE - 8, (count, 2))
    for image, (row, column) in zip(images[:, 0], corner, strict=True):
        image[row : row + 6, column : column + 6] = 250
    pixels = ((corner[:, ::-1] + 3.0) / SIDE * 2.0 - 1.0).astype(np.float32)
    places = np.concatenate([0.1 * pixels, np.zeros((count, 1), np.float32)], axis=1)
    return LabelledFrames(
        names,
        ("front",),
        images,
        np.repeat(places[:, None, None], len(names), axis=2),
        np.repeat(pixels[:, None, None], len(names), axis=2),
        np.ones((count, 1, len(names)), np.bool_),
        np.arange(count) // 4,
    )


def state_training(config: TrunkConfig = QUICK, data: LabelledFrames | None = None) -> TrunkTraining:
    data = data or frames()
    return TrunkTraining((SIDE, SIDE), lambda grid, numbers: PointObjective(data, grid, numbers), config)


def losses(training: TrunkTraining, steps: int) -> list[float]:
    return [training.take_step(0.0)["loss"] for _ in range(steps)]


def recorded(folder: Path) -> EpisodeStore:
    """Record two episodes whose images and steps are brighter and longer with time."""
    cameras = {name: replace(camera, width=SIDE, height=SIDE) for name, camera in CONTRACT.cameras.items()}
    metadata = replace(METADATA, contract=replace(CONTRACT, cameras=cameras))
    for number in range(2):
        record(folder, f"episode-{number}", 14, metadata, offset=120 * number)
    return EpisodeStore(folder)


def test_loss_falls_on_a_small_fixed_set() -> None:
    course = losses(state_training(), 60)
    assert np.mean(course[-5:]) < 0.6 * np.mean(course[:3])


def test_points_that_are_not_there_or_not_seen_teach_no_place() -> None:
    data = frames()
    data = replace(data, visible=np.zeros_like(data.visible), points=np.full_like(data.points, np.nan))
    terms = state_training(data=data).take_step(0.0)
    assert terms["place"] == terms["pixel"] == terms["heat"] == terms["visible"] == 0.0


def test_bilinear_map_has_the_place_as_its_mean() -> None:
    cells = torch.tensor([[1.25, 2.5], [0.0, 3.0]])
    maps = bilinear_map(cells, (4, 5)).unflatten(-1, (4, 5))
    assert torch.allclose(maps.sum(dim=(1, 2)), torch.ones(2))
    assert torch.allclose((maps.sum(dim=1) * torch.arange(5)).sum(dim=1), cells[:, 0])
    assert torch.allclose((maps.sum(dim=2) * torch.arange(4)).sum(dim=1), cells[:, 1])


def test_same_seed_gives_the_same_losses_and_another_seed_others() -> None:
    first = losses(state_training(), 4)
    torch.manual_seed(99)
    assert losses(state_training(), 4) == first
    assert losses(state_training(replace(QUICK, seed=1)), 4) != first


def test_resumed_training_takes_the_same_next_steps(tmp_path: Path) -> None:
    unbroken = state_training()
    losses(unbroken, 3)
    write_training_state(tmp_path / "resume", unbroken.state(1.0), "a test")
    resumed = state_training()
    resumed.restore(read_training_state(tmp_path / "resume"))
    assert losses(resumed, 3) == losses(unbroken, 3)


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    training = state_training()
    losses(training, 1)
    write_training_state(tmp_path / "resume", training.state(1.0), "a test")
    with pytest.raises(ConfigurationError, match=r"learning_rate: 0\.003 then, 0\.1 now"):
        state_training(replace(QUICK, learning_rate=0.1)).restore(read_training_state(tmp_path / "resume"))


def test_run_leaves_a_trunk_that_policies_can_name(tmp_path: Path) -> None:
    data = frames()
    errors = train_trunk(
        (SIDE, SIDE),
        lambda grid, numbers: PointObjective(data, grid, numbers),
        QUICK,
        tmp_path / "run",
        method="state",
        data="bright squares",
        show_progress=False,
    )
    assert set(errors) == {"validation_front_block_mm"}
    encoder = build_image_encoder(f"trunk:{tmp_path / 'run' / 'trunk'}", SIDE, SIDE)
    assert (encoder.channels, encoder.grid, encoder.trainable) == (8, (4, 4), False)
    assert "bright squares" in (tmp_path / "run" / "trunk" / "card.md").read_text()
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["validation_front_block_mm"] == errors["validation_front_block_mm"]
    with pytest.raises(ConfigurationError, match="holds another run"):
        train_trunk((SIDE, SIDE), lambda g, n: PointObjective(data, g, n), QUICK, tmp_path / "run", method="", data="")


def test_inverse_dynamics_learns_from_recorded_episodes(tmp_path: Path) -> None:
    windows = load_windows(recorded(tmp_path), ("front", "wrist"), (), 1, 1, target="executed")
    config = replace(QUICK, validation_fraction=0.0, batch_size=12, brightness=0.0, colour=0.0)
    training = TrunkTraining((SIDE, SIDE), lambda g, n: InverseDynamicsObjective(windows, g, n), config)
    assert training.objective.cameras == ("front", "wrist")
    course = losses(training, 40)
    assert np.mean(course[-5:]) < 0.8 * np.mean(course[:3])


def test_pairs_never_cross_an_episodes_end(tmp_path: Path) -> None:
    windows = load_windows(recorded(tmp_path), ("front",), (), 1, 1, target="executed")
    objective = InverseDynamicsObjective(windows, (4, 4), QUICK)
    rows = np.arange(len(windows))
    rng = np.random.default_rng(0)
    brightness = ((objective.images(rows, None).mean(dim=(1, 2, 3)) + 1.0) * 127.5).round().long().numpy()
    earlier, later = brightness[: len(rows)], brightness[len(rows) :]
    assert ((later - earlier) > 0).all()
    assert ((later - earlier) <= QUICK.horizon).all()
    assert later[:14].max() == 13
    objective.images(rows, rng)


def test_frames_come_back_from_their_shards_and_missing_points_are_unknown(tmp_path: Path) -> None:
    one, other = frames(5), frames(3, seed=1, names=("block", "bowl"))
    for number, part in enumerate((one, other)):
        write_shard(shard_path(tmp_path, number), part)
    whole = read_shards(sorted(tmp_path.glob("*.npz")))
    assert whole.names == ("block", "bowl")
    assert np.array_equal(whole.images, np.concatenate([one.images, other.images]))
    assert np.isnan(whole.points[:5, :, 1]).all()
    assert not whole.visible[:5, :, 1].any()
    assert np.array_equal(whole.points[5:], other.points)
    assert np.array_equal(whole.points, joined([one, other]).points, equal_nan=True)


def test_damaged_shard_is_named(tmp_path: Path) -> None:
    write_shard(shard_path(tmp_path, 0), frames(3))
    shard_path(tmp_path, 0).write_bytes(b"not a shard")
    with pytest.raises(ConfigurationError, match=r"000000\.npz: not a shard"):
        read_shards([shard_path(tmp_path, 0)])


def test_localiser_reads_a_place_off_a_trunk_that_learns() -> None:
    data = frames(96)
    both = data.images[:, 0], data.points[:, 0, 0, :2]
    torch.manual_seed(0)
    encoder = build_image_encoder("compact", SIDE, SIDE)
    errors = localisation_errors(encoder, both, both, LocaliserConfig(epochs=15, batch_size=16, hidden=32))
    guess = np.linalg.norm(both[1] - both[1].mean(axis=0), axis=1)
    assert np.median(errors) < 0.5 * np.median(guess)
