"""Procedural textures, in families: smooth noise stretched, striped, tiled or veined."""

from __future__ import annotations

import colorsys

import mujoco
import numpy as np
from numpy.typing import NDArray

from tutelage_core.types import ImageArray

TEXTURE_SIZE = 64
"""Width and height of a texture [px]."""

COMMON_PATTERNS = ("plain", "wood", "speckle", "cloth")
HELD_OUT_PATTERNS = ("tiles", "marble")

Colour = tuple[float, float, float]


def rgb(hue: float, saturation: float, value: float) -> Colour:
    """Return a colour as red, green and blue, each 0..1; `hue` wraps round at 1."""
    red, green, blue = colorsys.hsv_to_rgb(float(hue) % 1.0, float(saturation), float(value))
    return (red, green, blue)


def texture(pattern: str, seed: int, first: Colour, second: Colour) -> ImageArray:
    """Return a texture that mixes two colours, shape (TEXTURE_SIZE, TEXTURE_SIZE, 3), uint8."""
    grain = _grain(pattern, np.random.default_rng(seed))[..., None]
    mixed = np.array(first) * (1.0 - grain) + np.array(second) * grain
    return np.round(255.0 * np.clip(mixed, 0.0, 1.0)).astype(np.uint8)


def add_texture(spec: mujoco.MjSpec, name: str, picture: ImageArray, repeat: float = 1.0) -> None:
    """Add a picture, shape (height, width, 3), uint8, as texture and material `name`, laid `repeat` times a side."""
    height, width, channels = picture.shape
    texture = spec.add_texture(
        name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=channels
    )
    texture.data = picture.tobytes()
    material = spec.add_material(name=name, specular=0.1, shininess=0.1, reflectance=0.0, texrepeat=[repeat, repeat])
    material.textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = name


def _grain(pattern: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a grey pattern, shape (TEXTURE_SIZE, TEXTURE_SIZE), each 0..1."""
    place = np.arange(TEXTURE_SIZE) / TEXTURE_SIZE
    if pattern == "plain":
        return np.full((TEXTURE_SIZE, TEXTURE_SIZE), 0.5) + 0.1 * (_noise(rng, 8, 8) - 0.5)
    if pattern == "wood":
        return np.clip(0.7 * _noise(rng, 4, 32) + 0.3 * _noise(rng, 8, 64), 0.0, 1.0)
    if pattern == "cloth":
        stripes = 0.5 + 0.5 * np.sin(place * 2.0 * np.pi * rng.integers(4, 12))
        return 0.4 * stripes[:, None] + 0.4 * stripes[None, :] + 0.2 * _noise(rng, 16, 16)
    if pattern == "tiles":
        count = int(rng.integers(3, 7))
        row, column = np.floor(place * count).astype(int)[:, None], np.floor(place * count).astype(int)[None, :]
        tone = 0.25 + 0.5 * rng.random((count, count))
        joint = np.minimum(place * count % 1.0, 1.0 - place * count % 1.0) < 0.06
        return np.where(joint[:, None] | joint[None, :], 1.0, tone[row, column])
    if pattern == "marble":
        veins = np.sin(2.0 * np.pi * (place[:, None] * 2 + 1.6 * _noise(rng, 4, 4) + 0.4 * _noise(rng, 16, 16)))
        return 1.0 - np.sqrt(np.abs(veins))
    return np.clip(0.5 * _noise(rng, 64, 64) + 0.5 * _noise(rng, 8, 8), 0.0, 1.0)


def _noise(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """Return smooth value noise from a grid of `rows` x `columns`, shape (TEXTURE_SIZE, TEXTURE_SIZE)."""
    grid = rng.random((rows, columns))
    rows_at, columns_at = (np.arange(TEXTURE_SIZE) * n / TEXTURE_SIZE for n in (rows, columns))
    r, c = rows_at.astype(int), columns_at.astype(int)
    fr, fc = (rows_at - r)[:, None], (columns_at - c)[None, :]
    r2, c2 = (r + 1) % rows, (c + 1) % columns
    upper = grid[np.ix_(r, c)] * (1.0 - fc) + grid[np.ix_(r, c2)] * fc
    lower = grid[np.ix_(r2, c)] * (1.0 - fc) + grid[np.ix_(r2, c2)] * fc
    return upper * (1.0 - fr) + lower * fr
