"""Training batches: windows of frames, augmented.

A batch depends on the seed and its number only, so that a resumed run sees the very batches it would have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policies.bc.config import BcConfig
from policies.bc.keyframes import keyframe_targets
from policies.bc.losses import Targets
from policies.bc.normalisation import Normalisation
from policies.image_augmentation import ImageBatch, augmented, plain
from tutelage_core.contract import STATE_KEYS
from tutelage_core.errors import ConfigurationError

_SHUFFLE, _AUGMENT, _SPLIT = 1, 2, 3
"""Keys of the named random generators."""


class Frames(Protocol):
    """What training reads; `tutelage_core.episodes.windows.Windows` is one.

    Attributes:
        images: camera name to RGB, shape (frames, height, width, 3), uint8.
        state: state keys in the policy's order, shape (frames, state_size).
        steps: TCP steps to imitate, shape (frames, 7) [m, rad, 0..1].
        episode_of: episode of each frame, shape (frames,); an episode's frames follow each other in time.
        history_index: frames of the window that ends in each frame, oldest first, shape (frames, history).
        chunk_index: frames of the steps from each frame on, shape (frames, chunk).
        chunk_is_padding: true past the episode's end, shape (frames, chunk).
        episode_names: name of each episode.
    """

    @property
    def images(self) -> Mapping[str, ImageBatch]: ...  # noqa: D102  described above
    @property
    def state(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def steps(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def episode_of(self) -> NDArray[np.integer]: ...  # noqa: D102
    @property
    def history_index(self) -> NDArray[np.integer]: ...  # noqa: D102
    @property
    def chunk_index(self) -> NDArray[np.integer]: ...  # noqa: D102
    @property
    def chunk_is_padding(self) -> NDArray[np.bool_]: ...  # noqa: D102
    @property
    def episode_names(self) -> Sequence[str]: ...  # noqa: D102


@dataclass(frozen=True)
class Batch:
    """Input and targets of one training step.

    Attributes:
        images: camera name to RGB in [-1, 1], shape (batch * history, 3, height, width); empty with stored features.
        state: normalised, shape (batch, history, state_size).
        targets: what the demonstrations did.
        rows: frame behind each image, shape (batch * history,).
    """

    images: Mapping[str, Tensor]
    state: Tensor
    targets: Targets
    rows: NDArray[np.integer]


class BatchMaker:
    """Makes augmented batches for training and plain ones for validation."""

    def __init__(self, frames: Frames, config: BcConfig, normalisation: Normalisation, *, load_images: bool) -> None:
        """Prepare the targets of all frames; with `load_images` off the batches hold no images."""
        self._frames = frames
        self._config = config
        self._load_images = load_images
        self._state = normalisation.state(frames.state)
        self._motion = normalisation.motion(frames.steps[:, :6])
        self._gripper = np.clip(frames.steps[:, 6], 0.0, 1.0).astype(np.float32)
        self._keyframe, self._keyframe_known = keyframe_targets(
            frames.state, frames.steps[:, 6], frames.episode_of, config.model.state_keys
        )

    def training(self, rows: NDArray[np.integer], step: int) -> Batch:
        """Return the augmented batch number `step`: `rows` come from `epoch_order`."""
        return self._make(rows, np.random.default_rng([self._config.seed, _AUGMENT, step]))

    def plain(self, rows: NDArray[np.integer]) -> Batch:
        """Return these frames as they are."""
        return self._make(rows, None)

    def _make(self, rows: NDArray[np.integer], rng: np.random.Generator | None) -> Batch:
        windows = self._frames.history_index[rows]
        flat = windows.reshape(-1)
        images: dict[str, Tensor] = {}
        if self._load_images:
            for name, store in self._frames.images.items():
                images[name] = self._images(store[flat], windows.shape[1], rng)
        state = self._state[windows]
        if rng is not None:
            state = self._disturbed(state, rng)
        chunks = self._frames.chunk_index[rows]
        targets = Targets(
            *(
                torch.from_numpy(a)
                for a in (
                    self._motion[chunks],
                    self._gripper[chunks],
                    (~self._frames.chunk_is_padding[rows]).astype(np.float32),
                    self._keyframe[rows],
                    self._keyframe_known[rows],
                )
            )
        )
        return Batch(images, torch.from_numpy(state), targets, flat)

    def _images(self, pixels: ImageBatch, history: int, rng: np.random.Generator | None) -> Tensor:
        if rng is None:
            return plain(pixels)
        config = self._config
        return augmented(
            pixels, history, rng, shift_px=config.shift_px, brightness=config.brightness, colour=config.colour
        )

    def _disturbed(self, state: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        state = state + rng.normal(0.0, self._config.state_noise, state.shape).astype(np.float32)
        start = 0
        for key in self._config.model.state_keys:
            end = start + STATE_KEYS[key]
            state[rng.random(len(state)) < self._config.state_dropout, :, start:end] = 0.0
            start = end
        return state


def epoch_order(rows: NDArray[np.integer], seed: int, epoch: int) -> NDArray[np.integer]:
    """Return the training frames in the order of this epoch."""
    return np.random.default_rng([seed, _SHUFFLE, epoch]).permutation(rows)


def split_rows(
    episode_of: NDArray[np.integer], fraction: float, seed: int
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return the frames of the training episodes and those of the held-out ones.

    At least one episode is held out, and one is left; with a fraction of 0, or a single episode, none is held out.
    """
    episodes = np.unique(episode_of)
    held_out = 0
    if fraction > 0 and len(episodes) > 1:
        held_out = min(max(1, round(fraction * len(episodes))), len(episodes) - 1)
    chosen = np.random.default_rng([seed, _SPLIT]).permutation(episodes)[:held_out]
    is_held_out = np.isin(episode_of, chosen)
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def check_frames(frames: Frames, config: BcConfig) -> None:
    """Refuse frames that this configuration cannot be trained on.

    Raises:
        ConfigurationError: names what does not fit.
    """
    model = config.model
    count = len(frames.state)
    if count == 0 or not frames.images:
        raise ConfigurationError("behaviour cloning: the data hold no frame or no camera")
    for what, got, need in (
        ("state", frames.state.shape, (count, model.state_size)),
        ("steps", frames.steps.shape, (count, 7)),
        ("history_index", frames.history_index.shape, (count, model.history)),
        ("chunk_index", frames.chunk_index.shape, (count, model.chunk)),
        ("chunk_is_padding", frames.chunk_is_padding.shape, (count, model.chunk)),
        *(
            (f"images of '{name}' (frames, channels)", store.shape[:1] + store.shape[3:], (count, 3))
            for name, store in frames.images.items()
        ),
    ):
        if got != need:
            raise ConfigurationError(f"behaviour cloning: {what} has shape {got}, the configuration needs {need}")
    check_finite(frames)


def check_finite(frames: Frames) -> None:
    """Refuse data that hold numbers that are none.

    Raises:
        ConfigurationError: says how many frames, and the first one by episode and place.
    """
    for what, values in (("state", frames.state), ("steps", frames.steps)):
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            episode = int(frames.episode_of[bad[0]])
            place = int(bad[0] - np.flatnonzero(frames.episode_of == episode)[0])
            raise ConfigurationError(
                f"{what} of {len(bad)} frames hold numbers that are not finite; the first: episode "
                f"{frames.episode_names[episode]}, frame {place}"
            )
