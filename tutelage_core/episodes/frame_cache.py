"""Decoded frames and the arrays of each control period on disk, so that training reads windows without decoding.

::

    <root>/<SHA-256 of the recording>/periods.npy
    <root>/<SHA-256 of the recording>/<camera>/frames.npy            as recorded
    <root>/<SHA-256 of the recording>/<camera>/frames-64x48.npy      resized, width x height

The hash comes from the episode's manifest: a recording that changed has another folder, and the old one is never read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from tutelage_core.contract import CAMERA_NAME
from tutelage_core.episodes.array_pieces import fault_of, open_piece, write_piece
from tutelage_core.episodes.cached_episode import CachedEpisode, over_episodes, sort_pieces
from tutelage_core.episodes.manifest import EPISODE_FILE, Manifest
from tutelage_core.episodes.messages import camera_of
from tutelage_core.episodes.reader import Episode
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.window_checks import check_recorded
from tutelage_core.errors import ConfigurationError, EpisodeError, UnknownNameError
from tutelage_core.types import ImageArray

STATE_PREFIX = "state."
"""Before the names of the state keys in `periods`."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FrameCache:
    """Where the decoded frames of recordings are.

    Attributes:
        root: folder of the cache; it may serve several stores.
        image_size: height and width that frames are shrunk to, by area [px]; as recorded if None.
    """

    root: Path
    image_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Refuse sizes that no image has."""
        if self.image_size is not None and min(self.image_size) < 1:
            raise ConfigurationError(
                f"image size (height, width) must be at least 1x1 px or None, got {self.image_size}"
            )

    def folder(self, manifest: Manifest) -> Path:
        """Return the folder of an episode.

        Raises:
            EpisodeError: the manifest names no recording.
        """
        recording = manifest.files.get(EPISODE_FILE)
        if recording is None or not _DIGEST.fullmatch(recording.sha256):
            raise EpisodeError(f"the manifest of an episode of {manifest.robot} has no SHA-256 of its {EPISODE_FILE}")
        return self.root / recording.sha256

    def periods_path(self, manifest: Manifest) -> Path:
        """Return the place of an episode's `periods`."""
        return self.folder(manifest) / "periods.npy"

    def frames_path(self, manifest: Manifest, camera: str) -> Path:
        """Return the place of a camera's frames."""
        height, width = self.size_of(manifest, camera)
        native = manifest.metadata.contract.cameras[camera]
        size = "" if (height, width) == (native.height, native.width) else f"-{width}x{height}"
        return self.camera_folder(manifest, camera) / f"frames{size}.npy"

    def camera_folder(self, manifest: Manifest, camera: str) -> Path:
        """Return the folder of one camera of an episode.

        Raises:
            ConfigurationError: a folder cannot be called like the camera.
            EpisodeError: the manifest names no recording.
        """
        if not CAMERA_NAME.fullmatch(camera):
            raise ConfigurationError(
                f"camera {camera!r}: its frames cannot be cached: a camera's name has 1 to 64 of the characters "
                "A-Z a-z 0-9 _ -, the first a letter or digit; rename it in the robot's contract"
            )
        return self.folder(manifest) / camera

    def size_of(self, manifest: Manifest, camera: str) -> tuple[int, int]:
        """Return height and width of a camera's cached frames [px].

        Raises:
            UnknownNameError: the robot has no such camera.
            ConfigurationError: its frames would have to grow.
        """
        contract = manifest.metadata.contract
        if camera not in contract.cameras:
            raise UnknownNameError("camera", camera, contract.cameras, f"robot '{contract.name}'")
        native = contract.cameras[camera]
        if self.image_size is None:
            return native.height, native.width
        height, width = self.image_size
        if height > native.height or width > native.width:
            raise ConfigurationError(
                f"camera '{camera}' of robot '{contract.name}': frames of {native.width}x{native.height} px are only "
                f"shrunk, and {width}x{height} px was asked; ask for less, or for none to keep them as they are"
            )
        return height, width

    def periods(self, manifest: Manifest) -> NDArray[np.void]:
        """Map the arrays of an episode of T control periods: a structured array, see `periods_of`, shape (T,).

        Raises:
            EpisodeError: the episode is not cached, or its piece is damaged.
        """
        return open_piece(self.periods_path(manifest))

    def frames(self, manifest: Manifest, camera: str) -> ImageArray:
        """Map the frames of a camera, RGB, shape (T, height, width, 3), uint8.

        Raises:
            EpisodeError: they are not cached, or damaged.
        """
        return open_piece(self.frames_path(manifest, camera))


def periods_of(episode: Episode) -> NDArray[np.void]:
    """Return the arrays of an episode as one structured array, shape (T,).

    Its fields are `stamps_ns`, `state.<key>`, `requested`, `executed`, `expert`, `sources`, `phrases`, `success` and
    `progress`, with the types and units of `Episode`.
    """
    columns: dict[str, NDArray[Any]] = {"stamps_ns": episode.stamps_ns}
    columns.update({STATE_PREFIX + key: values for key, values in episode.state.items()})
    columns.update(requested=episode.requested, executed=episode.executed, expert=episode.expert)
    columns.update(sources=episode.sources, phrases=np.array([*episode.phrases, ""])[:-1])
    columns.update(success=episode.success, progress=episode.progress)
    kinds = [(name, values.dtype, values.shape[1:]) for name, values in columns.items()]
    periods = np.empty(len(episode), dtype=kinds)
    for name, values in columns.items():
        periods[name] = values
    return periods


def recorded_cameras(manifest: Manifest) -> tuple[str, ...]:
    """Return the cameras whose images the recording holds."""
    found = {camera_of(topic): None for topic, count in manifest.messages.items() if count}
    return tuple(camera for camera in found if camera is not None)


def cache_episode(
    store_root: Path, name: str, cache: FrameCache, cameras: Sequence[str] | None = None, *, verify: bool = True
) -> CachedEpisode:
    """Make what is missing or damaged of an episode's pieces in the cache; a whole piece is never touched.

    Args:
        store_root: folder of the episodes.
        name: the episode.
        cache: where the pieces shall stand, and in which size.
        cameras: cameras wanted, all that were recorded if None.
        verify: hash the pieces that are there; else only their sizes are looked at.

    Raises:
        UnknownNameError: the episode has no such camera.
        ContractMismatchError: the recorded frames have not the size that the contract says.
        EpisodeError: the recording is missing, unfinished or damaged.
        OSError: the cache cannot be written.
    """
    store = EpisodeStore(store_root)
    manifest = store.manifest(name)
    cameras = recorded_cameras(manifest) if cameras is None else tuple(cameras)
    paths = {camera: cache.frames_path(manifest, camera) for camera in cameras}
    faults = {path: fault_of(path, hashed=verify) for path in (cache.periods_path(manifest), *paths.values())}
    broken = [path for path, fault in faults.items() if fault is not None]
    done = sort_pieces(name, cache.folder(manifest), faults)
    if not broken:
        return done
    episode = store.read(name, tuple(camera for camera, path in paths.items() if path in broken))
    shapes = {camera: pixels.shape[1:] for camera, pixels in episode.images.items()}
    check_recorded(str(store.root), name, len(episode), manifest, manifest.metadata.contract, shapes, {})
    if cache.periods_path(manifest) in broken:
        write_piece(cache.periods_path(manifest), periods_of(episode))
    for camera, pixels in episode.images.items():
        write_piece(paths[camera], _resized(pixels, cache.size_of(manifest, camera)))
    return done


def check_cameras(store: EpisodeStore, cache: FrameCache, names: Sequence[str], cameras: Sequence[str] | None) -> None:
    """Look at the manifests before anything is decoded.

    Raises:
        UnknownNameError: an episode did not record one of the cameras.
        ConfigurationError: frames would have to grow, or a folder cannot be called like a camera.
    """
    for name in names:
        manifest = store.manifest(name)
        recorded = recorded_cameras(manifest)
        for camera in recorded if cameras is None else cameras:
            if camera not in recorded:
                raise UnknownNameError("camera", camera, recorded, f"episode '{name}'")
            cache.frames_path(manifest, camera)


def build(
    store: EpisodeStore,
    cache: FrameCache,
    cameras: Sequence[str] | None = None,
    *,
    names: Sequence[str] | None = None,
    processes: int = 1,
    verify: bool = True,
    progress: bool = False,
) -> tuple[CachedEpisode, ...]:
    """Cache the episodes of a store in parallel processes; what is there already is not made again.

    A run that was cut off is gone on with by calling it again. With more than one process the caller's main module must
    be importable (`if __name__ == "__main__"`), as the processes are spawned.

    Args:
        store: the episodes.
        cache: where their pieces shall stand.
        cameras: cameras wanted, all that each episode recorded if None.
        names: the episodes to cache, all finished ones if None.
        processes: parallel processes; 1 works in this one.
        verify: hash the pieces that are there; else only their sizes are looked at.
        progress: show a progress bar.

    Returns:
        What was done for each episode, in their order.

    Raises:
        ConfigurationError: processes is below 1, or a camera or size that an episode has not is asked for.
        EpisodeError: an episode is damaged or contradicts its manifest; those that were done before are kept.
    """
    names = store.names() if names is None else tuple(names)
    check_cameras(store, cache, names, cameras)
    job = partial(_cache_one, store.root, cache, None if cameras is None else tuple(cameras), verify)
    return over_episodes(job, names, processes, "cache frames", progress)


def _cache_one(
    store_root: Path, cache: FrameCache, cameras: tuple[str, ...] | None, verify: bool, name: str
) -> CachedEpisode:
    return cache_episode(store_root, name, cache, cameras, verify=verify)


def _resized(pixels: ImageArray, size: tuple[int, int]) -> ImageArray:
    if pixels.shape[1:3] == size:
        return pixels
    height, width = size
    shrunk = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in pixels]
    return cast("ImageArray", np.stack(shrunk))
