"""What a policy refuses of an observation: a silent reorder or resize would only show in motion."""

from __future__ import annotations

import numpy as np

from tutelage_core.contract import STATE_KEYS, CameraNeed
from tutelage_core.types import FloatArray, ImageArray, Observation


def checked_image(obs: Observation, name: str, need: CameraNeed) -> ImageArray:
    """Return what a camera saw, shape (height, width, 3), uint8, RGB.

    Raises:
        ValueError: the camera is missing, or its picture has another shape or type.
    """
    image = obs.images.get(name)
    if image is None:
        raise ValueError(f"observation lacks camera '{name}'; it has {', '.join(sorted(obs.images)) or 'none'}")
    if image.shape != (need.height, need.width, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"camera '{name}': image of shape {image.shape} {image.dtype}, the policy needs "
            f"{(need.height, need.width, 3)} uint8"
        )
    return image


def checked_state(obs: Observation, keys: tuple[str, ...]) -> FloatArray:
    """Return state vectors one after the other, shape (sum of their sizes,), units as in `STATE_KEYS`.

    Raises:
        ValueError: a key is missing, or its vector has another size or is not finite.
    """
    parts: list[FloatArray] = []
    for key in keys:
        value = obs.state.get(key)
        if value is None:
            raise ValueError(f"observation lacks state '{key}'; it has {', '.join(sorted(obs.state)) or 'none'}")
        if value.shape != (STATE_KEYS[key],) or not np.all(np.isfinite(value)):
            raise ValueError(f"state '{key}': {value}, the policy needs {STATE_KEYS[key]} finite numbers")
        parts.append(value)
    return np.concatenate(parts)
