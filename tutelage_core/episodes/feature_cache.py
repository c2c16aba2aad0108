"""What a frozen image encoder makes of every cached frame, on disk beside the frames.

::

    <root>/<SHA-256 of the recording>/<camera>/features-twin_trunk-<SHA-256>-64x48-float16.npy

The name holds the encoder, its weights' hash and the size of the images (width x height), so that features of another
encoder are never taken for these.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from tutelage_core.episodes.array_pieces import fault_of, open_piece, write_piece
from tutelage_core.episodes.cached_episode import CachedEpisode, over_episodes, sort_pieces
from tutelage_core.episodes.frame_cache import FrameCache, cache_episode, check_cameras, recorded_cameras
from tutelage_core.episodes.manifest import Manifest
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, EpisodeError, UnknownNameError
from tutelage_core.types import ImageArray

if TYPE_CHECKING:
    from torch import nn

    from tutelage_core.encoders.image import ImageEncoder

FEATURE_TYPES = ("float16", "float32")

_BATCH = 64
"""Frames that are encoded at once."""


@dataclass(frozen=True)
class FeatureCache:
    """Where the features of cached frames are. Made by `make_feature_cache`.

    Attributes:
        frames: the cached frames that they are computed from.
        encoder: name of the encoder, as `tutelage_core.encoders.image.build_image_encoder` takes it.
        sha256: hash of its weights.
        dtype: numbers that are stored, `float16` or `float32`.
    """

    frames: FrameCache
    encoder: str
    sha256: str
    dtype: Literal["float16", "float32"] = "float16"

    def __post_init__(self) -> None:
        """Refuse a type of numbers that is not stored."""
        if self.dtype not in FEATURE_TYPES:
            raise UnknownNameError("type of features", self.dtype, FEATURE_TYPES)

    def path(self, manifest: Manifest, camera: str) -> Path:
        """Return the place of a camera's features."""
        height, width = self.frames.size_of(manifest, camera)
        encoder = re.sub(r"[^A-Za-z0-9_.-]", "_", Path(self.encoder.rpartition(":")[2]).name)
        return (
            self.frames.camera_folder(manifest, camera)
            / f"features-{encoder}-{self.sha256}-{width}x{height}-{self.dtype}.npy"
        )

    def features(self, manifest: Manifest, camera: str) -> NDArray[np.floating]:
        """Map the features of a camera, shape (T, channels, rows, columns).

        Raises:
            EpisodeError: they are not cached, or damaged.
        """
        return open_piece(self.path(manifest, camera))


def make_feature_cache(
    frames: FrameCache,
    encoder: str,
    image_size: tuple[int, int],
    dtype: Literal["float16", "float32"] = "float16",
) -> FeatureCache:
    """Build the encoder to learn the hash of its weights, and return the place of its features.

    Args:
        frames: the cached frames.
        encoder: a frozen encoder: `lite0`, a shipped trunk, or `trunk:<folder>`.
        image_size: height and width of the cached images [px].
        dtype: numbers to store.

    Raises:
        ConfigurationError: the encoder is unknown, learns along with a policy, or cannot take such images.
        CheckpointError: a trunk's folder is missing or damaged.
    """
    return FeatureCache(frames, encoder, _built(encoder, *image_size)[1], dtype)


def cache_features(
    store_root: Path, name: str, cache: FeatureCache, cameras: Sequence[str] | None = None, *, verify: bool = True
) -> CachedEpisode:
    """Make what is missing or damaged of an episode's features, and of the frames that they need.

    Args:
        store_root: folder of the episodes.
        name: the episode.
        cache: where the features shall stand, and of which encoder.
        cameras: cameras wanted, all that were recorded if None.
        verify: hash the pieces that are there; else only their sizes are looked at.

    Raises:
        ConfigurationError: the encoder cannot take such images, or has other weights than `cache` says.
        EpisodeError: the recording is missing or damaged, or a feature is not finite in `cache.dtype`.
        OSError: the cache cannot be written.
    """
    manifest = EpisodeStore(store_root).manifest(name)
    cameras = recorded_cameras(manifest) if cameras is None else tuple(cameras)
    framed = cache_episode(store_root, name, cache.frames, cameras, verify=verify)
    paths = {camera: cache.path(manifest, camera) for camera in cameras}
    faults = {path: fault_of(path, hashed=verify) for path in paths.values()}
    done = sort_pieces(name, cache.frames.folder(manifest), faults)
    for camera, path in paths.items():
        if faults[path] is not None:
            write_piece(path, _encoded(cache, cache.frames.frames(manifest, camera), f"episode '{name}', '{camera}'"))
    return framed + done


def build_features(
    store: EpisodeStore,
    cache: FeatureCache,
    cameras: Sequence[str] | None = None,
    *,
    names: Sequence[str] | None = None,
    processes: int = 1,
    verify: bool = True,
    progress: bool = False,
) -> tuple[CachedEpisode, ...]:
    """Cache the features of a store in parallel processes; arguments and resumption as in `frame_cache.build`.

    Raises:
        ConfigurationError: processes is below 1, or a camera or size that an episode has not is asked for.
        EpisodeError: an episode is damaged or its features cannot be made; those that were done before are kept.
    """
    names = store.names() if names is None else tuple(names)
    check_cameras(store, cache.frames, names, cameras)
    job = partial(_cache_one, store.root, cache, None if cameras is None else tuple(cameras), verify)
    return over_episodes(job, names, processes, f"cache features of {cache.encoder}", progress)


def weights_sha256(module: nn.Module) -> str:
    """Return the SHA-256 of the names, shapes and values of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _cache_one(
    store_root: Path, cache: FeatureCache, cameras: tuple[str, ...] | None, verify: bool, name: str
) -> CachedEpisode:
    return cache_features(store_root, name, cache, cameras, verify=verify)


@lru_cache(maxsize=4)
def _built(name: str, height: int, width: int) -> tuple[ImageEncoder, str]:
    """Return the encoder and the hash of its weights; torch is imported here, so that readers need none."""
    image = importlib.import_module("tutelage_core.encoders.image")
    encoder = cast("ImageEncoder", image.build_image_encoder(name, height, width))
    if encoder.trainable:
        raise ConfigurationError(
            f"image encoder '{name}' learns along with a policy, so its features cannot be stored; "
            "use a frozen one: lite0, a shipped trunk, or trunk:<folder>"
        )
    return encoder, image.frozen_digest(encoder) or weights_sha256(cast("nn.Module", encoder))


def _encoded(cache: FeatureCache, frames: ImageArray, what: str) -> NDArray[Any]:
    encoder, sha256 = _built(cache.encoder, *frames.shape[1:3])
    if sha256 != cache.sha256:
        raise ConfigurationError(
            f"image encoder '{cache.encoder}': its weights have the hash {sha256[:12]}, the cache is for "
            f"{cache.sha256[:12]}; make the cache's description again"
        )
    torch = importlib.import_module("torch")
    features = np.empty((len(frames), encoder.channels, *encoder.grid), cache.dtype)
    with torch.inference_mode(), np.errstate(over="ignore"):  # what overflows is refused below
        for start in range(0, len(frames), _BATCH):
            pixels = torch.from_numpy(np.array(frames[start : start + _BATCH])).permute(0, 3, 1, 2).contiguous()
            features[start : start + _BATCH] = encoder(pixels).numpy()
    if not np.isfinite(features).all():
        raise EpisodeError(f"{what}: a feature of '{cache.encoder}' is not finite in {cache.dtype}; try float32")
    return features
