"""Camera images with the true places of named points: what a simulator can give and no recording can.

On disk, a folder of shards: `<number>.npz`, plain arrays without pickle, each written under a hidden name and renamed.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage_core.errors import ConfigurationError

FloatRows = NDArray[np.float32]

_ARRAYS = ("images", "points", "pixels", "visible", "rooms")


@dataclass(frozen=True)
class LabelledFrames:
    """N moments, each seen by C cameras, with P named points.

    Attributes:
        names: names of the points.
        cameras: names of the cameras.
        images: RGB, shape (N, C, height, width, 3), uint8.
        points: true positions in the frame of what the camera is mounted on (the robot's base for a camera on a
            tripod, the hand for one on the wrist), shape (N, C, P, 3) [m]; NaN where a moment lacks the point.
        pixels: where the camera sees them, right and down, -1..1 from edge to edge, shape (N, C, P, 2); NaN where
            the point is missing or behind the camera.
        visible: whether the point is inside the picture and nothing stands before it, shape (N, C, P).
        rooms: number of the room of each moment, shape (N,).
    """

    names: tuple[str, ...]
    cameras: tuple[str, ...]
    images: NDArray[np.uint8]
    points: FloatRows
    pixels: FloatRows
    visible: NDArray[np.bool_]
    rooms: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit each other.

        Raises:
            ConfigurationError: names the array, its shape and the one that is needed.
        """
        count, height, width = self.images.shape[0], *self.images.shape[2:4]
        seen = (count, len(self.cameras), len(self.names))
        for name, shape in (
            ("images", (*seen[:2], height, width, 3)),
            ("points", (*seen, 3)),
            ("pixels", (*seen, 2)),
            ("visible", seen),
            ("rooms", (count,)),
        ):
            if getattr(self, name).shape != shape:
                raise ConfigurationError(
                    f"labelled frames: {name} has shape {getattr(self, name).shape}, expected {shape}"
                )

    def __len__(self) -> int:
        """Return the number of moments."""
        return len(self.images)


def shard_path(folder: Path, number: int) -> Path:
    """Return the file of shard `number`."""
    return folder / f"{number:06d}.npz"


def write_shard(path: Path, frames: LabelledFrames) -> None:
    """Write a shard all at once; its folder must exist."""
    header = np.frombuffer(json.dumps({"names": frames.names, "cameras": frames.cameras}).encode(), dtype=np.uint8)
    fresh = path.with_name(f".{path.name}.new-{os.getpid()}")
    with fresh.open("wb") as file:
        np.savez(file, allow_pickle=False, header=header, **{name: getattr(frames, name) for name in _ARRAYS})
    fresh.rename(path)


def read_shard(path: Path) -> LabelledFrames:
    """Read a shard.

    Raises:
        ConfigurationError: the file is missing or damaged; it is named.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            header = json.loads(stored["header"].tobytes())
            arrays = {name: stored[name] for name in _ARRAYS}
        return LabelledFrames(tuple(header["names"]), tuple(header["cameras"]), **arrays)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path}: not a shard of labelled frames: {error}") from error


def read_shards(paths: Sequence[Path]) -> LabelledFrames:
    """Read shards as one; points that only some of them have are missing in the others.

    Raises:
        ConfigurationError: there is none, one is damaged, or their cameras or image sizes differ.
    """
    if not paths:
        raise ConfigurationError("labelled frames: no shard to read")
    images: NDArray[np.uint8] | None = None
    bare: list[LabelledFrames] = []
    first = read_shard(paths[0])
    counts = [_count(path) for path in paths]
    start = 0
    for path, count in zip(paths, counts, strict=True):
        part = read_shard(path)
        if part.cameras != first.cameras or part.images.shape[1:] != first.images.shape[1:]:
            raise ConfigurationError(
                f"{path}: cameras {part.cameras}, images {part.images.shape[2:]}; "
                f"{paths[0]} has {first.cameras}, {first.images.shape[2:]}"
            )
        if images is None:
            images = np.empty((sum(counts), *part.images.shape[1:]), np.uint8)
        images[start : start + count] = part.images
        start += count
        # pixels are what fills the memory: they are held once
        bare.append(replace(part, images=np.empty((count, len(part.cameras), 0, 0, 3), np.uint8)))
    whole = joined(bare)
    return whole if images is None else replace(whole, images=images)


def joined(parts: Sequence[LabelledFrames]) -> LabelledFrames:
    """Return frames of the same cameras as one; points that only some have are missing in the others."""
    names = tuple(sorted({name for part in parts for name in part.names}))
    count, cameras = sum(len(part) for part in parts), len(parts[0].cameras)
    points = np.full((count, cameras, len(names), 3), np.nan, np.float32)
    pixels = np.full((count, cameras, len(names), 2), np.nan, np.float32)
    visible = np.zeros((count, cameras, len(names)), np.bool_)
    start = 0
    for part in parts:
        rows, columns = slice(start, start + len(part)), [names.index(name) for name in part.names]
        points[rows, :, columns] = part.points
        pixels[rows, :, columns] = part.pixels
        visible[rows, :, columns] = part.visible
        start += len(part)
    images, rooms = (np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "rooms"))
    return LabelledFrames(names, parts[0].cameras, images, points, pixels, visible, rooms)


def _count(path: Path) -> int:
    """Return the moments of a shard without reading its pixels."""
    with np.load(path, allow_pickle=False) as stored:
        return len(stored["rooms"])
