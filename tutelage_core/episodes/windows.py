"""A store of episodes in memory, cut into windows of past observations and chunks of coming steps for training.

Pixels are held once per control period; a window is a row of indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tutelage_core.contract import RobotContract
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.topics import IntArray
from tutelage_core.episodes.window_checks import (
    check_arguments,
    check_recorded,
    chosen_episodes,
    common_contract,
    periods_in,
    state_sizes,
)
from tutelage_core.types import STEP_SIZE, FloatArray, ImageArray


@dataclass(frozen=True)
class Windows:
    """N control periods of all episodes, one after the other, and the indices that make windows of them.

    The observations of window n are rows `history_index[n]`, oldest first; the steps it shall predict are
    `steps[chunk_index[n]]`, where padding is to be masked out of the loss.

    Attributes:
        images: camera name to RGB pixels, shape (N, height, width, 3), uint8.
        state: the asked state keys in the asked order, shape (N, sum of sizes), float32, units as in `STATE_KEYS`.
        steps: target TCP steps, shape (N, 7), float32 [m, rad, 0..1].
        sources: who drove, shape (N,), the numbers of `tutelage_core.types.Source`.
        episode_of: index of each period's episode, shape (N,).
        history_index: shape (N, history); before the start, the first observation repeats.
        chunk_index: shape (N, chunk); past the end, the last step repeats.
        chunk_is_padding: shape (N, chunk); True where a step repeats past the end.
        episode_names: name of each episode.
        instructions: instruction of each episode.
        contract: contract of the robot of the first episode; the others agree in all that matters here.
    """

    images: dict[str, ImageArray]
    state: NDArray[np.float32]
    steps: NDArray[np.float32]
    sources: NDArray[np.int8]
    episode_of: IntArray
    history_index: IntArray
    chunk_index: IntArray
    chunk_is_padding: NDArray[np.bool_]
    episode_names: tuple[str, ...]
    instructions: tuple[str, ...]
    contract: RobotContract

    def __len__(self) -> int:
        """Return the number of control periods, and of windows."""
        return len(self.steps)


def load_windows(
    store: EpisodeStore,
    cameras: Sequence[str],
    state_keys: Sequence[str],
    history: int,
    chunk: int,
    *,
    target: Literal["expert", "executed"] = "expert",
    names: Sequence[str] | None = None,
    progress: bool = False,
) -> Windows:
    """Load episodes for training.

    Args:
        store: where they are.
        cameras: cameras to load.
        state_keys: state keys in the order in which they are concatenated.
        history: observations in a window.
        chunk: steps in a chunk.
        target: which steps to learn: the expert's (the executed one where the expert was not asked) or the executed.
        names: the episodes to load, all finished ones if None.
        progress: show a progress bar.

    Raises:
        ConfigurationError: history or chunk is below 1, or a state key or target is not known.
        ContractMismatchError: an episode lacks a camera, or differs from the first in rate, action or a size.
        EpisodeError: there is no episode, or one is damaged or unfinished.
    """
    cameras, state_keys = tuple(cameras), tuple(state_keys)
    check_arguments(state_keys, history, chunk, target)
    names, manifests = chosen_episodes(store, names)
    contract = common_contract(names, manifests, cameras)
    lengths = [periods_in(manifest) for manifest in manifests]
    total = sum(lengths)
    images = {c: np.empty((total, contract.cameras[c].height, contract.cameras[c].width, 3), np.uint8) for c in cameras}
    state = np.empty((total, sum(state_sizes(contract, state_keys))), np.float32)
    steps = np.empty((total, STEP_SIZE), np.float32)
    sources = np.empty(total, np.int8)
    start = 0
    shown = tqdm(names, desc="episodes", unit="episode", disable=not progress)
    for name, manifest in zip(shown, manifests, strict=True):
        episode = store.read(name, cameras)
        shapes = {camera: pixels.shape[1:] for camera, pixels in episode.images.items()}
        sizes = {key: episode.state[key].shape[1] for key in state_keys}
        check_recorded(str(store.root), name, len(episode), manifest, contract, shapes, sizes)
        rows = slice(start, start + len(episode))
        for camera in cameras:
            images[camera][rows] = episode.images[camera]
        if state_keys:
            state[rows] = np.concatenate([episode.state[key] for key in state_keys], axis=1)
        steps[rows] = target_steps(episode.expert, episode.executed, target)
        sources[rows] = episode.sources
        start += len(episode)
    history_index, chunk_index, chunk_is_padding, episode_of = window_indices(lengths, history, chunk)
    return Windows(
        images,
        state,
        steps,
        sources,
        episode_of,
        history_index,
        chunk_index,
        chunk_is_padding,
        names,
        tuple(m.metadata.instruction for m in manifests),
        contract,
    )


def window_indices(
    lengths: Sequence[int], history: int, chunk: int
) -> tuple[IntArray, IntArray, NDArray[np.bool_], IntArray]:
    """Return the indices of all windows of episodes that lie one after the other; no window crosses an episode's end.

    Args:
        lengths: control periods of each episode, N in all.
        history: observations in a window.
        chunk: steps in a chunk.

    Returns:
        history_index (N, history), chunk_index (N, chunk), chunk_is_padding (N, chunk) and episode_of (N,).
    """
    lengths_array = np.asarray(lengths, dtype=np.int64)
    ends = np.cumsum(lengths_array)
    episode_of = np.repeat(np.arange(len(lengths_array)), lengths_array)
    starts = ends - lengths_array
    rows = np.arange(len(episode_of))
    return *rows_of_windows(rows, starts[episode_of], ends[episode_of], history, chunk), episode_of


def rows_of_windows(
    rows: IntArray, starts: IntArray, ends: IntArray, history: int, chunk: int
) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
    """Return which rows the windows at `rows` are made of.

    Args:
        rows: control period of each window, shape (n,).
        starts: first row of each window's episode, shape (n,).
        ends: row after the last one of each window's episode, shape (n,).
        history: observations in a window.
        chunk: steps in a chunk.

    Returns:
        history_index (n, history), chunk_index (n, chunk) and chunk_is_padding (n, chunk), as in `Windows`.
    """
    row, first, last = rows[:, None], starts[:, None], ends[:, None] - 1
    wanted = row + np.arange(chunk)
    return np.maximum(row + np.arange(1 - history, 1), first), np.minimum(wanted, last), wanted > last


def target_steps(expert: FloatArray, executed: FloatArray, target: str) -> FloatArray:
    """Return the steps to learn, shape (T, 7) [m, rad, 0..1]: the expert's where it was asked, or the executed."""
    if target == "executed":
        return executed
    asked = np.isfinite(expert).all(axis=1, keepdims=True)
    return np.where(asked, expert, executed)
