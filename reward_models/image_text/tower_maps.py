"""Maps of frozen image encoders, computed once and kept in half precision in files that are read where they lie."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tutelage_core.encoders.image import ImageEncoder, frozen_digest

_AT_ONCE = 64


def kept_maps(images: NDArray[np.uint8], encoders: Mapping[str, ImageEncoder], folder: Path) -> list[Tensor]:
    """Return the maps of all pictures, computing those that `folder` does not hold yet.

    Args:
        images: RGB, shape (N, C, height, width, 3), uint8.
        encoders: by name.
        folder: keeps the maps.

    Returns:
        For each encoder, shape (N, C, channels, rows, columns), half precision.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(np.ascontiguousarray(images[:: max(1, len(images) // 256)]).tobytes())
    digest.update(str(images.shape).encode())
    found: list[Tensor] = []
    for name, encoder in encoders.items():
        of = hashlib.sha256(f"{digest.hexdigest()} {name} {frozen_digest(encoder)}".encode()).hexdigest()[:16]
        path = folder / f"maps-{of}.npy"
        if not path.exists():
            _compute(images, encoder, path)
        found.append(torch.from_numpy(np.load(path, mmap_mode="c")))
    return found


def maps_of(encoder: ImageEncoder, images: NDArray[np.uint8]) -> Tensor:
    """Return an encoder's maps, shape (n, channels, rows, columns), of pictures of shape (n, height, width, 3)."""
    with torch.inference_mode():
        return encoder(as_tensor(images)).float()


def as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Return pictures of shape (n, height, width, 3) as shape (n, 3, height, width), uint8."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


def _compute(images: NDArray[np.uint8], encoder: ImageEncoder, path: Path) -> None:
    fresh = path.with_name(f".{path.name}.new-{os.getpid()}")
    shape = (*images.shape[:2], encoder.channels, *encoder.grid)
    maps = np.lib.format.open_memmap(fresh, mode="w+", dtype=np.float16, shape=shape)
    flat_images, flat_maps = images.reshape(-1, *images.shape[2:]), maps.reshape(-1, *shape[2:])
    for start in tqdm(range(0, len(flat_images), _AT_ONCE), desc=f"maps of {encoder.name}", disable=None):
        part = slice(start, start + _AT_ONCE)
        flat_maps[part] = maps_of(encoder, flat_images[part]).numpy()
    maps.flush()
    fresh.rename(path)
