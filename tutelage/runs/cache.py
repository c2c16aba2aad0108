"""Caches what training reads of a folder of recorded episodes: decoded frames, and features of a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from tutelage_core.episodes.cached_episode import CachedEpisode
from tutelage_core.episodes.feature_cache import FeatureCache, build_features, make_feature_cache
from tutelage_core.episodes.frame_cache import FrameCache, build, check_cameras, recorded_cameras
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, EpisodeError

CACHE_FOLDER = ".cache"
"""Where the cache stands in the folder of the episodes, if nothing else is said."""


@dataclass(frozen=True)
class CacheConfig:
    """Settings of `tutelage data cache`.

    Attributes:
        dataset: folder of episodes.
        output: folder of the cache; `.cache` in the folder of the episodes if None.
        cameras: cameras to cache; all that each episode recorded if empty.
        image_size: height and width that frames are shrunk to [px]; as recorded if None.
        encoder: frozen encoder whose features are cached too: `lite0`, a shipped trunk, or `trunk:<folder>`; none if
            empty.
        dtype: numbers in which features are stored.
        processes: parallel processes.
        verify: hash what is cached already, and make again what is damaged; else only sizes are looked at.
    """

    dataset: tyro.conf.Positional[Path]
    output: Path | None = None
    cameras: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    encoder: str = ""
    dtype: Literal["float16", "float32"] = "float16"
    processes: int = 2
    verify: bool = True


@dataclass(frozen=True)
class CacheReport:
    """What was cached.

    Attributes:
        frames: the cache of frames, for `WindowDataset`.
        features: the cache of features, likewise; None if no encoder was named.
        episodes: what was done for each episode.
    """

    frames: FrameCache
    features: FeatureCache | None
    episodes: tuple[CachedEpisode, ...]

    def summary(self) -> str:
        """Return what was done in a line, and a line for each piece that was damaged."""
        made, mended, kept = (sum(len(getattr(e, w)) for e in self.episodes) for w in ("made", "mended", "kept"))
        counts = f"{made} pieces made, {mended} damaged ones made again, {kept} were there"
        damaged = [f"  {episode.name}: {piece}" for episode in self.episodes for piece in episode.mended]
        return "\n".join([f"{len(self.episodes)} episodes in {self.frames.root}: {counts}", *damaged])


def cache(config: CacheConfig) -> CacheReport:
    """Make what is missing in the cache; a run that was cut off is gone on with by calling it again.

    Raises:
        ConfigurationError: a setting is out of range, or an episode has no such camera or size.
        CheckpointError: a trunk's folder is missing or damaged.
        EpisodeError: there is no finished episode, or one is damaged.
        OSError: the cache cannot be written.
    """
    store = EpisodeStore(config.dataset)
    names = store.names()
    if not names:
        raise EpisodeError(f"{config.dataset}: no finished episode to cache")
    frames = FrameCache(config.output or config.dataset / CACHE_FOLDER, config.image_size)
    cameras = config.cameras or None
    check_cameras(store, frames, names, cameras)
    features = _feature_cache(config, store, frames) if config.encoder else None
    if features is None:
        done = build(store, frames, cameras, processes=config.processes, verify=config.verify, progress=True)
    else:
        done = build_features(store, features, cameras, processes=config.processes, verify=config.verify, progress=True)
    return CacheReport(frames, features, done)


def _feature_cache(config: CacheConfig, store: EpisodeStore, frames: FrameCache) -> FeatureCache:
    for name in store.names():
        manifest = store.manifest(name)
        for camera in config.cameras or recorded_cameras(manifest):
            return make_feature_cache(frames, config.encoder, frames.size_of(manifest, camera), config.dtype)
    raise ConfigurationError(f"{config.dataset}: no episode has a camera, so there is nothing for '{config.encoder}'")
