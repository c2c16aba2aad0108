"""Features of a frozen encoder on disk: what the encoder says, of these weights and no others."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.episode_samples import CONTRACT, METADATA, PERIOD_NS, RESULT, state
from tests.unit.episode_samples import executed as step
from tutelage.runs.cache import CacheConfig, cache
from tutelage_core.contract import CameraContract
from tutelage_core.encoders.image import build_image_encoder
from tutelage_core.encoders.trunk import TrunkNetwork, TrunkShape
from tutelage_core.encoders.trunk_folder import TrunkSpec, save_trunk
from tutelage_core.episodes.cached_episode import CachedEpisode
from tutelage_core.episodes.feature_cache import (
    FeatureCache,
    build_features,
    cache_features,
    make_feature_cache,
    weights_sha256,
)
from tutelage_core.episodes.frame_cache import FrameCache, build
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.window_dataset import WindowDataset
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import CheckpointError, ConfigurationError, EpisodeError, UnknownNameError
from tutelage_core.types import Frame

pytestmark = pytest.mark.unit
SIDE = 32
SHAPE = TrunkShape(channels=6, stride=8, stem=(4, 4), middle=(6, 6, 6))
WIDE = replace(CONTRACT, cameras={name: CameraContract(SIDE, SIDE, 10.0, "twin") for name in ("front", "wrist")})


def seal_trunk(folder: Path, seed: int, scale: float = 1.0) -> str:
    torch.manual_seed(seed)
    network = TrunkNetwork(SHAPE)
    with torch.no_grad():
        for values in network.parameters():
            values.mul_(scale)
    save_trunk(folder, TrunkSpec("state", SIDE, SIDE, ("front",), SHAPE), network, created_by="test", card="a test")
    return f"trunk:{folder}"


def noisy(root: Path, name: str, periods: int) -> EpisodeStore:
    generator = np.random.default_rng(periods)
    with EpisodeWriter(root, name, replace(METADATA, contract=WIDE)) as writer:
        for stamp in range(PERIOD_NS, (periods + 1) * PERIOD_NS, PERIOD_NS):
            for camera in WIDE.cameras:
                writer.image(camera, Frame(generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), stamp, 0))
            writer.state(state(stamp))
            writer.executed(step(stamp))
        writer.close(RESULT)
    return EpisodeStore(root)


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    """Return two episodes of noise."""
    noisy(tmp_path / "store", "a", 3)
    return noisy(tmp_path / "store", "b", 2)


@pytest.fixture
def features(tmp_path: Path) -> FeatureCache:
    """Return the place of the features of a small trunk."""
    return make_feature_cache(FrameCache(tmp_path / "cache"), seal_trunk(tmp_path / "small", 0), (SIDE, SIDE))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_features_are_what_the_encoder_makes_of_the_frames(
    store: EpisodeStore, features: FeatureCache, dtype: str
) -> None:
    features = replace(features, dtype=dtype)
    build_features(store, features)
    encoder = build_image_encoder(features.encoder, SIDE, SIDE)
    for name in store.names():
        images = store.read(name).images
        for camera, pixels in images.items():
            cached = features.features(store.manifest(name), camera)
            assert cached.dtype == dtype
            assert cached.shape == (len(pixels), 6, 4, 4)
            expected = encoder(torch.from_numpy(pixels).permute(0, 3, 1, 2)).numpy()
            np.testing.assert_allclose(cached, expected, rtol=2e-3 if dtype == "float16" else 1e-5, atol=1e-3)
            assert np.abs(expected).max() > 0.1


def test_frames_are_cached_along_and_a_second_run_makes_nothing(store: EpisodeStore, features: FeatureCache) -> None:
    first = build_features(store, features, ("front",))
    name = features.path(store.manifest("a"), "front").name
    assert first[0] == CachedEpisode("a", made=("periods.npy", "front/frames.npy", f"front/{name}"))
    again = build_features(store, features, ("front",))
    assert again[0] == CachedEpisode("a", kept=first[0].made)


def test_other_weights_of_the_same_name_have_other_features(
    tmp_path: Path, store: EpisodeStore, features: FeatureCache
) -> None:
    build_features(store, features)
    old = features.features(store.manifest("a"), "front").copy()
    encoder = seal_trunk(tmp_path / "other" / "small", 1)
    other = make_feature_cache(features.frames, encoder, (SIDE, SIDE))
    assert other.sha256 != features.sha256
    with pytest.raises(EpisodeError, match="missing or not finished"):
        other.features(store.manifest("a"), "front")
    build_features(store, other)
    assert not np.allclose(other.features(store.manifest("a"), "front"), old, atol=0.01)
    assert np.array_equal(features.features(store.manifest("a"), "front"), old)


def test_weights_that_changed_meanwhile_are_refused(store: EpisodeStore, features: FeatureCache) -> None:
    with pytest.raises(ConfigurationError, match="its weights have the hash"):
        cache_features(store.root, "a", replace(features, sha256="0" * 64))


def test_every_weight_counts_in_the_hash() -> None:
    torch.manual_seed(0)
    network = TrunkNetwork(SHAPE)
    before = weights_sha256(network)
    assert before == weights_sha256(network)
    with torch.no_grad():
        next(network.parameters())[0, 0, 0, 0] += 1e-3
    assert weights_sha256(network) != before


def test_size_and_numbers_are_part_of_the_key(store: EpisodeStore, features: FeatureCache) -> None:
    manifest = store.manifest("a")
    others = (
        features,
        replace(features, dtype="float32"),
        replace(features, frames=replace(features.frames, image_size=(16, 16))),
        replace(features, sha256="0" * 64),
    )
    assert len({c.path(manifest, "front") for c in others}) == len(others)
    assert features.path(manifest, "front").parent == features.frames.frames_path(manifest, "front").parent


def test_damaged_features_are_made_again_and_said_so(store: EpisodeStore, features: FeatureCache) -> None:
    build_features(store, features)
    path = features.path(store.manifest("b"), "wrist")
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    done = build_features(store, features)
    assert done[0].mended == ()
    assert len(done[1].mended) == 1
    assert done[1].mended[0].startswith(f"wrist/{path.name}: has {len(whole) - 3} bytes")
    assert path.read_bytes() == whole


@pytest.mark.slow
def test_parallel_processes_make_the_same_as_one(tmp_path: Path, store: EpisodeStore, features: FeatureCache) -> None:
    many = replace(features, frames=FrameCache(tmp_path / "many"))
    assert build_features(store, features) == build_features(store, many, processes=2)
    for name in store.names():
        np.testing.assert_allclose(
            features.features(store.manifest(name), "front"),
            many.features(store.manifest(name), "front"),
            rtol=2e-3,
            atol=1e-3,
        )


def test_dataset_serves_features_in_the_place_of_images(store: EpisodeStore, features: FeatureCache) -> None:
    build_features(store, features)
    dataset = WindowDataset(store, features, ("wrist",), ("tcp_position",), 2, 3)
    batch = dataset.episode(1)
    assert batch.images == {}
    cached = features.features(store.manifest("b"), "wrist")
    assert batch.features["wrist"].dtype == np.float16
    assert np.array_equal(batch.features["wrist"], cached[[[0, 0], [0, 1]]])
    assert dataset[3]["features"]["wrist"].shape == (2, 6, 4, 4)
    assert batch.tensors()["features"]["wrist"].dtype == torch.float16


def test_dataset_without_cached_features_is_refused(store: EpisodeStore, features: FeatureCache) -> None:
    build(store, features.frames)
    with pytest.raises(EpisodeError, match=r"episode 'a': .*features-small-.*missing or not finished"):
        WindowDataset(store, features, ("wrist",), (), 1, 1)


def test_features_too_large_for_half_precision_are_refused(tmp_path: Path, store: EpisodeStore) -> None:
    loud = make_feature_cache(FrameCache(tmp_path / "cache"), seal_trunk(tmp_path / "loud", 0, 20.0), (SIDE, SIDE))
    with pytest.raises(EpisodeError, match="is not finite in float16; try float32"):
        cache_features(store.root, "a", loud)
    assert not loud.path(store.manifest("a"), "front").exists()
    cache_features(store.root, "a", replace(loud, dtype="float32"))


def test_encoder_that_learns_or_does_not_fit_is_refused(tmp_path: Path, features: FeatureCache) -> None:
    frames = features.frames
    with pytest.raises(ConfigurationError, match="'compact' learns along"):
        make_feature_cache(frames, "compact", (SIDE, SIDE))
    with pytest.raises(UnknownNameError, match="unknown image encoder 'lite1'"):
        make_feature_cache(frames, "lite1", (SIDE, SIDE))
    with pytest.raises(ConfigurationError, match="this trunk was trained on 32x32 px"):
        make_feature_cache(frames, features.encoder, (64, 64))
    with pytest.raises(CheckpointError, match="no such folder"):
        make_feature_cache(frames, f"trunk:{tmp_path / 'nothing'}", (SIDE, SIDE))
    with pytest.raises(UnknownNameError, match="type of features"):
        replace(features, dtype="int8")


def test_the_command_caches_features_of_the_named_encoder(store: EpisodeStore, features: FeatureCache) -> None:
    report = cache(CacheConfig(store.root, cameras=("front",), encoder=features.encoder, processes=1))
    assert report.features == FeatureCache(FrameCache(store.root / ".cache"), features.encoder, features.sha256)
    assert "2 episodes" in report.summary()
    assert "6 pieces made" in report.summary()
    assert len(WindowDataset(store, report.features, ("front",), (), 1, 1)) == 5


READ = """
import sys
from pathlib import Path
from tutelage_core.episodes.feature_cache import FeatureCache
from tutelage_core.episodes.frame_cache import FrameCache
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.window_dataset import WindowDataset
root, cache, encoder, sha256 = sys.argv[1:]
features = FeatureCache(FrameCache(Path(cache)), encoder, sha256)
assert WindowDataset(EpisodeStore(Path(root)), features, ("front",), (), 1, 1).episode(0).features["front"].any()
assert "torch" not in sys.modules
"""


def test_reading_needs_no_torch(store: EpisodeStore, features: FeatureCache) -> None:
    build_features(store, features)
    given = [str(store.root), str(features.frames.root), features.encoder, features.sha256]
    subprocess.run([sys.executable, "-c", READ, *given], check=True, timeout=60)
