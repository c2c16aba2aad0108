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

from tutelage_core.contract import STATE_KEYS, RobotContract
from tutelage_core.episodes.messages import EXECUTED_TOPIC
from tutelage_core.episodes.reader import Episode
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.topics import IntArray
from tutelage_core.errors import ConfigurationError, ContractMismatchError, EpisodeError, UnknownNameError
from tutelage_core.types import STEP_SIZE, FloatArray, ImageArray

TARGETS = ("expert", "executed")


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
    _check_arguments(state_keys, history, chunk, target)
    names = store.names() if names is None else tuple(names)
    if not names:
        partial = len(store.partial())
        raise EpisodeError(f"{store.root}: no finished episode to load" + (f", {partial} partial" if partial else ""))
    manifests = [store.manifest(name) for name in names]
    contract = manifests[0].metadata.contract
    for name, manifest in zip(names, manifests, strict=True):
        _check_contract(manifest.metadata.contract, name, contract, names[0], cameras)

    lengths = [manifest.messages.get(EXECUTED_TOPIC, 0) for manifest in manifests]
    total = sum(lengths)
    images = {c: np.empty((total, contract.cameras[c].height, contract.cameras[c].width, 3), np.uint8) for c in cameras}
    state = np.empty((total, sum(_state_sizes(contract, state_keys))), np.float32)
    steps = np.empty((total, STEP_SIZE), np.float32)
    sources = np.empty(total, np.int8)
    start = 0
    for name, length in zip(tqdm(names, desc="episodes", unit="episode", disable=not progress), lengths, strict=True):
        episode = store.read(name, cameras)
        _check_arrays(episode, length, contract, state_keys, images, str(store.root))
        rows = slice(start, start + length)
        for camera in cameras:
            images[camera][rows] = episode.images[camera]
        if state_keys:
            state[rows] = np.concatenate([episode.state[key] for key in state_keys], axis=1)
        steps[rows] = _targets(episode, target)
        sources[rows] = episode.sources
        start += length
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
    first = (ends - lengths_array)[episode_of][:, None]
    last = (ends - 1)[episode_of][:, None]
    row = np.arange(len(episode_of))[:, None]
    wanted = row + np.arange(chunk)
    return np.maximum(row + np.arange(1 - history, 1), first), np.minimum(wanted, last), wanted > last, episode_of


def _targets(episode: Episode, target: str) -> FloatArray:
    if target == "executed":
        return episode.executed
    asked = np.isfinite(episode.expert).all(axis=1, keepdims=True)
    return np.where(asked, episode.expert, episode.executed)


def _check_arguments(state_keys: tuple[str, ...], history: int, chunk: int, target: str) -> None:
    for name, value in (("history", history), ("chunk", chunk)):
        if value < 1:
            raise ConfigurationError(f"{name} must be at least 1, got {value}")
    if target not in TARGETS:
        raise UnknownNameError("target", target, TARGETS)
    for key in state_keys:
        if key not in STATE_KEYS:
            raise UnknownNameError("state key", key, STATE_KEYS)


def _state_sizes(contract: RobotContract, state_keys: tuple[str, ...]) -> list[int]:
    joints = len(contract.arm.joints)
    return [joints if key.startswith("joint_") else STATE_KEYS[key] for key in state_keys]


def _check_contract(
    have: RobotContract, name: str, first: RobotContract, first_name: str, cameras: tuple[str, ...]
) -> None:
    differences: list[str] = []
    for camera in cameras:
        ours, theirs = have.cameras.get(camera), first.cameras.get(camera)
        if ours is None:
            differences.append(f"camera '{camera}': needed, but the robot has {', '.join(sorted(have.cameras))}")
        elif theirs is not None and (ours.width, ours.height) != (theirs.width, theirs.height):
            differences.append(
                f"camera '{camera}': {theirs.width}x{theirs.height} px in '{first_name}', "
                f"{ours.width}x{ours.height} px in '{name}'"
            )
    if have.action != first.action:
        differences.append(f"action: {first.action} in '{first_name}', {have.action} in '{name}'")
    if abs(have.control_rate_hz - first.control_rate_hz) > 1e-6:
        differences.append(
            f"control rate: {first.control_rate_hz:g} Hz in '{first_name}', {have.control_rate_hz:g} Hz in '{name}'"
        )
    if len(have.arm.joints) != len(first.arm.joints):
        differences.append(f"joints: {len(first.arm.joints)} in '{first_name}', {len(have.arm.joints)} in '{name}'")
    if differences:
        raise ContractMismatchError(
            f"windows (cameras {', '.join(cameras) or 'none'}; first episode '{first_name}' of robot '{first.name}')",
            f"episode '{name}' of robot '{have.name}'",
            differences,
        )


def _check_arrays(
    episode: Episode,
    length: int,
    contract: RobotContract,
    state_keys: tuple[str, ...],
    images: dict[str, ImageArray],
    where: str,
) -> None:
    if len(episode) != length:
        raise EpisodeError(
            f"{where}/{episode.name}: the manifest says {length} control periods, the recording has {len(episode)}"
        )
    differences = [
        f"camera '{camera}': {pixels.shape[1:]} needed, {episode.images[camera].shape[1:]} recorded"
        for camera, pixels in images.items()
        if episode.images[camera].shape[1:] != pixels.shape[1:]
    ]
    differences += [
        f"state '{key}': {size} values needed, {episode.state[key].shape[1]} recorded"
        for key, size in zip(state_keys, _state_sizes(contract, state_keys), strict=True)
        if episode.state[key].shape[1] != size
    ]
    if differences:
        raise ContractMismatchError(f"robot '{contract.name}'", f"episode '{episode.name}'", differences)
