"""Some windows at once, as training takes them."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage_core.episodes.topics import IntArray
from tutelage_core.types import ImageArray

Window = dict[str, Any]
"""One window: the fields of `WindowBatch` without their first axis."""


@dataclass(frozen=True)
class WindowBatch:
    """B windows. A window looks back on `history` observations, oldest first, and forward on `chunk` steps.

    It is also a sequence of `Window`s, so that torch's own collation works on it; `tensors` is the quicker one.

    Attributes:
        images: camera name to RGB, shape (B, history, height, width, 3), uint8; empty where features are served.
        features: camera name to features of a frozen encoder, shape (B, history, channels, rows, columns), float16 or
            float32; empty where images are served.
        state: the asked state keys in the asked order, shape (B, history, sum of sizes), float32, units as in
            `tutelage_core.contract.STATE_KEYS`.
        steps: target TCP steps, shape (B, chunk, 7), float32 [m, rad, 0..1]; the last one repeats past the end.
        is_padding: True where a step repeats past the end and must not count, shape (B, chunk).
        sources: who drove each step, shape (B, chunk), the numbers of `tutelage_core.types.Source`.
        rewards: of the asked reward model for each step, shape (B, chunk), float32; NaN where it gave none.
        has_reward: where there is one, shape (B, chunk).
        success: 1 if the labels say that the episode succeeded, 0 if it failed, NaN if they do not say, shape (B,).
        has_success: where they say, shape (B,).
        instruction: the episode's task as a sentence, B of them.
        phrase: what the arm does at the window's period: by the labels, else the phrase that the policy followed, else
            empty; B of them.
        episode: number of each window's episode, shape (B,).
        row: number of each window, shape (B,).
    """

    images: Mapping[str, ImageArray]
    features: Mapping[str, NDArray[np.floating]]
    state: NDArray[np.float32]
    steps: NDArray[np.float32]
    is_padding: NDArray[np.bool_]
    sources: NDArray[np.int8]
    rewards: NDArray[np.float32]
    has_reward: NDArray[np.bool_]
    success: NDArray[np.float32]
    has_success: NDArray[np.bool_]
    instruction: list[str]
    phrase: list[str]
    episode: IntArray
    row: IntArray

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.row)

    def __getitem__(self, index: int) -> Window:
        """Return one window, as views of this batch."""
        return {
            name: {camera: pixels[index] for camera, pixels in value.items()}
            if isinstance(value, Mapping)
            else value[index]
            for name, value in self._fields().items()
        }

    def tensors(self) -> dict[str, Any]:
        """Return the fields by name, arrays as tensors that share their memory; sentences stay lists.

        Raises:
            ImportError: torch is not installed.
        """
        from_numpy = importlib.import_module("torch").from_numpy
        return {
            name: {camera: from_numpy(pixels) for camera, pixels in value.items()}
            if isinstance(value, Mapping)
            else value
            if isinstance(value, list)
            else from_numpy(value)
            for name, value in self._fields().items()
        }

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
