"""What a replay holds of each observation, and whose data it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.hil_serl.transition import EncodedObservation, ReplayError
from tutelage_core.config import to_mapping
from tutelage_core.errors import ConfigurationError, ContractMismatchError

_HALF_EXPONENT = np.uint16(0x7C00)
"""Exponent bits of a float16; all of them are set in infinities and NaN, and nowhere else."""


@dataclass(frozen=True)
class ObservationLayout:
    """Shapes of one stored observation.

    Attributes:
        state_size: numbers of the state, float32.
        maps: camera name to (views, channels, rows, columns), float16; empty in pixel mode.
        images: camera name to (height, width) [px], RGB, uint8; empty where features are stored.
    """

    state_size: int
    maps: Mapping[str, tuple[int, int, int, int]] = field(default_factory=dict[str, tuple[int, int, int, int]])
    images: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def __post_init__(self) -> None:
        """Refuse shapes that hold nothing."""
        if self.state_size < 1:
            raise ConfigurationError(f"observation layout: state_size must be at least 1, got {self.state_size}")
        for what, shapes in (("maps", self.maps), ("images", self.images)):
            for camera, shape in shapes.items():
                if min(shape) < 1:
                    raise ConfigurationError(f"observation layout: {what} of '{camera}' have an empty side: {shape}")

    @property
    def bytes_per_observation(self) -> int:
        """Size of one stored observation [bytes]."""
        maps = sum(int(np.prod(shape)) * 2 for shape in self.maps.values())
        return maps + sum(height * width * 3 for height, width in self.images.values()) + 4 * self.state_size

    def check(self, observation: EncodedObservation, name: str) -> None:
        """Refuse an observation that does not fit, or holds what is not finite; `name` stands in the error.

        Raises:
            ReplayError: names the array, what it is, and what it should be.
        """
        images = {camera: (*shape, 3) for camera, shape in self.images.items()}
        for what, shapes, arrays in (("maps", self.maps, observation.maps), ("images", images, observation.images)):
            if set(arrays) != set(shapes):
                raise ReplayError(
                    f"{name}: {what} of the cameras {sorted(arrays) or 'none'}, this replay stores those of "
                    f"{sorted(shapes) or 'none'}"
                )
        _check_array(observation.state, np.float32, (self.state_size,), f"{name}: state")
        for camera, shape in self.maps.items():
            _check_array(observation.maps[camera], np.float16, shape, f"{name}: maps of '{camera}'")
        for camera, shape in images.items():
            _check_array(observation.images[camera], np.uint8, shape, f"{name}: image of '{camera}'")


@dataclass(frozen=True)
class ReplayIdentity:
    """Whose data a replay holds; data of another identity must never be mixed in.

    Attributes:
        robot: name of its contract.
        control_rate_hz: rate of the steps [Hz].
        action: representation of the actions, see `policies.hil_serl.frames.ACTION`.
        max_step_m, max_step_rad: what an action of 1 means [m, rad].
        state_keys: what the state is made of, in order.
        encoder: image encoder whose maps are stored; empty in pixel mode.
        encoder_sha256: digest of its weights, empty where a version pins them.
        layout: shapes of the observations.
    """

    robot: str
    control_rate_hz: float
    action: str
    max_step_m: float
    max_step_rad: float
    state_keys: tuple[str, ...]
    encoder: str
    encoder_sha256: str
    layout: ObservationLayout

    def check_same(self, other: ReplayIdentity, here: str, there: str) -> None:
        """Refuse `other` data; `here` and `there` name the two sides.

        Raises:
            ContractMismatchError: names both sides and every difference.
        """
        ours, theirs = _flat(to_mapping(self)), _flat(to_mapping(other))
        differences = [
            f"{key}: {ours.get(key, 'none')} here, {theirs.get(key, 'none')} there"
            for key in sorted(set(ours) | set(theirs))
            if ours.get(key) != theirs.get(key)
        ]
        if differences:
            raise ContractMismatchError(here, there, differences)


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _check_array(array: NDArray[Any], dtype: type[np.generic], shape: tuple[int, ...], name: str) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ReplayError(f"{name}: {array.dtype}{array.shape}, expected {np.dtype(dtype)}{shape}")
    if dtype is np.float16:
        finite = bool(((array.view(np.uint16) & _HALF_EXPONENT) != _HALF_EXPONENT).all())  # isfinite is 5 times slower
    else:
        finite = dtype is np.uint8 or bool(np.isfinite(array).all())
    if not finite:
        raise ReplayError(f"{name}: holds numbers that are not finite; the step is refused")
