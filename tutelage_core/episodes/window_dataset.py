"""Windows of a cached store for training: frames are read from disk as they are asked for, the rest is held in memory.

Map-style, as `torch.utils.data.DataLoader` wants it, and it needs no torch by itself::

    loader = DataLoader(dataset, batch_size=64, shuffle=True, num_workers=2, collate_fn=WindowBatch.tensors)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tutelage_core.episodes.array_pieces import open_piece
from tutelage_core.episodes.feature_cache import FeatureCache
from tutelage_core.episodes.frame_cache import STATE_PREFIX, FrameCache
from tutelage_core.episodes.labels import judge, read_labels
from tutelage_core.episodes.manifest import Manifest
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.topics import IntArray
from tutelage_core.episodes.window_batch import Window, WindowBatch
from tutelage_core.episodes.window_checks import (
    check_arguments,
    check_recorded,
    chosen_episodes,
    common_contract,
    periods_in,
    state_sizes,
)
from tutelage_core.episodes.windows import rows_of_windows, target_steps
from tutelage_core.errors import ContractMismatchError, EpisodeError, UnknownNameError
from tutelage_core.types import STEP_SIZE

MAPPED_FILES = 16_384
"""So many files are mapped at once in a process; Linux allows 65,530 maps."""


class WindowDataset:
    """Windows of `history` observations and `chunk` steps, one for each control period of the chosen episodes.

    Windows are numbered through all episodes, in the order of the names; none crosses an episode's end. Files are
    mapped when they are first read, by each process for itself, so that workers may be forked or spawned.

    Attributes:
        names: name of each episode.
        cameras: cameras of each window.
        contract: contract of the robot of the first episode; the others agree in all that matters here.
        state_slices: state key to its place in the state.
        features: where features are served from; None if images are.
    """

    def __init__(
        self,
        store: EpisodeStore,
        cache: FrameCache | FeatureCache,
        cameras: Sequence[str],
        state_keys: Sequence[str],
        history: int,
        chunk: int,
        *,
        target: Literal["expert", "executed"] = "expert",
        names: Sequence[str] | None = None,
        reward_model: str | None = None,
        progress: bool = False,
    ) -> None:
        """Look at the cached episodes.

        Args:
            store: the recordings; manifests and labels are read from there.
            cache: serves the images, or features of them in their stead.
            cameras: cameras to serve.
            state_keys: state keys in the order in which they are concatenated.
            history: observations in a window.
            chunk: steps in a chunk.
            target: which steps to learn: the expert's (where it was not asked, the executed one) or the executed.
            names: the episodes to serve, all finished ones if None.
            reward_model: the model whose rewards are served; none are if None.
            progress: show a progress bar.

        Raises:
            ConfigurationError: history or chunk is below 1, or a state key or target is not known.
            ContractMismatchError: an episode lacks a camera, or differs from the first in rate, action or a size.
            UnknownNameError: no episode has rewards of this model.
            EpisodeError: there is no episode, one is unfinished or not cached, a piece of the cache is damaged, or a
                model's rewards are not one for each control period.
        """
        self.cameras, state_keys = tuple(cameras), tuple(state_keys)
        check_arguments(state_keys, history, chunk, target)
        self.names, self._manifests = chosen_episodes(store, names)
        self.contract = common_contract(self.names, self._manifests, self.cameras)
        self.features = cache if isinstance(cache, FeatureCache) else None
        self._cache, self._history, self._chunk = cache, history, chunk
        frames = cache.frames if isinstance(cache, FeatureCache) else cache
        ends = np.cumsum([0, *(periods_in(manifest) for manifest in self._manifests)])
        self._starts, self._ends = ends[:-1], ends[1:]
        sizes = state_sizes(self.contract, state_keys)
        places = np.cumsum([0, *sizes]).tolist()
        self.state_slices = {key: slice(*places[i : i + 2]) for i, key in enumerate(state_keys)}

        total = int(ends[-1])
        self._state = np.empty((total, sum(sizes)), np.float32)
        self._steps = np.empty((total, STEP_SIZE), np.float32)
        self._sources = np.empty(total, np.int8)
        self._stamps_ns = np.empty(total, np.int64)
        self._rewards = np.full(total, np.nan, np.float32)
        self._success = np.full(len(self.names), np.nan, np.float32)
        self._phrases: list[str] = []
        self._shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        models: set[str] = set()
        shown = tqdm(self.names, desc="cached episodes", unit="episode", disable=not progress)
        for episode, (name, manifest) in enumerate(zip(shown, self._manifests, strict=True)):
            rows = slice(int(self._starts[episode]), int(self._ends[episode]))
            periods = _of_episode(name, frames.periods_path(manifest))
            recorded = {key: int(periods.dtype[STATE_PREFIX + key].shape[0]) for key in state_keys}
            check_recorded(str(store.root), name, len(periods), manifest, self.contract, {}, recorded)
            for key, place in self.state_slices.items():
                self._state[rows, place] = periods[STATE_PREFIX + key]
            self._steps[rows] = target_steps(periods["expert"], periods["executed"], target)
            self._sources[rows], self._stamps_ns[rows] = periods["sources"], periods["stamps_ns"]
            models |= self._take_labels(store.root, episode, periods["phrases"].tolist(), reward_model)
            for camera in self.cameras:
                self._check_pixels(episode, camera)
        if reward_model is not None and reward_model not in models:
            raise UnknownNameError("reward model", reward_model, models, f"the labels of {store.root}")
        self._maps: dict[tuple[int, str], NDArray[Any]] = {}
        self._process = os.getpid()

    def __len__(self) -> int:
        """Return the number of windows, which is that of the control periods."""
        return len(self._steps)

    def __getitem__(self, index: int) -> Window:
        """Return one window: the fields of a `WindowBatch`, without their first axis.

        Raises:
            IndexError: there is no such window.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> WindowBatch:
        """Return many windows at once; a DataLoader asks for its batches so.

        Raises:
            IndexError: there is no such window.
            EpisodeError: a file of the cache has vanished or was cut off.
        """
        rows = np.asarray(indices, dtype=np.int64).reshape(-1)
        rows = np.where(rows < 0, rows + len(self), rows)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"windows are numbered 0..{len(self) - 1}, got {rows.min()}..{rows.max()}")
        episode = np.searchsorted(self._ends, rows, side="right")
        history, chunk, is_padding = rows_of_windows(
            rows, self._starts[episode], self._ends[episode], self._history, self._chunk
        )
        rewards = np.where(is_padding, np.float32(np.nan), self._rewards[chunk])
        success = self._success[episode]
        pixels = {camera: self._gathered(camera, episode, history) for camera in self.cameras}
        return WindowBatch(
            images=pixels if self.features is None else {},
            features={} if self.features is None else pixels,
            state=self._state[history],
            steps=self._steps[chunk],
            is_padding=is_padding,
            sources=self._sources[chunk],
            rewards=rewards,
            has_reward=np.isfinite(rewards),
            success=success,
            has_success=np.isfinite(success),
            instruction=[self._manifests[i].metadata.instruction for i in episode.tolist()],
            phrase=[self._phrases[row] for row in rows.tolist()],
            episode=episode,
            row=rows,
        )

    def rows_of(self, episode: int) -> range:
        """Return the numbers of all windows of the episode with this number, in time's order."""
        return range(int(self._starts[episode]), int(self._ends[episode]))

    def episode(self, episode: int) -> WindowBatch:
        """Return all windows of the episode with this number, in time's order."""
        return self.__getitems__(self.rows_of(episode))

    def cached_files(self) -> tuple[Path, ...]:
        """Return the files that images or features are read from."""
        return tuple(self._path(episode, camera) for episode in range(len(self.names)) for camera in self.cameras)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the maps out: pickled, they would be copies of whole files."""
        return {**self.__dict__, "_maps": {}}

    def _gathered(self, camera: str, episode: IntArray, history: IntArray) -> NDArray[Any]:
        shape, kind = self._shapes[camera]
        gathered = np.empty((*history.shape, *shape), kind)
        local = history - self._starts[episode][:, None]
        order = np.argsort(history[:, 0], kind="stable").tolist()  # neighbours on the disk are read one after the other
        episodes, places = episode.tolist(), local.tolist()
        for i in order:
            pixels, target = self._mapped(episodes[i], camera), gathered[i]
            for h, place in enumerate(places[i]):
                target[h] = pixels[place]
        return gathered

    def _mapped(self, episode: int, camera: str) -> NDArray[Any]:
        if self._process != os.getpid():
            self._maps, self._process = {}, os.getpid()
        found = self._maps.get((episode, camera))
        if found is None:
            if len(self._maps) >= MAPPED_FILES:
                del self._maps[next(iter(self._maps))]
            found = self._maps[episode, camera] = open_piece(self._path(episode, camera))
        return found

    def _path(self, episode: int, camera: str) -> Path:
        manifest: Manifest = self._manifests[episode]
        if isinstance(self._cache, FeatureCache):
            return self._cache.path(manifest, camera)
        return self._cache.frames_path(manifest, camera)

    def _check_pixels(self, episode: int, camera: str) -> None:
        pixels = _of_episode(self.names[episode], self._path(episode, camera))
        length = int(self._ends[episode] - self._starts[episode])
        if len(pixels) != length:
            raise EpisodeError(f"{self._path(episode, camera)}: {len(pixels)} rows for {length} control periods")
        found = (pixels.shape[1:], pixels.dtype)
        needed = self._shapes.setdefault(camera, found)
        if found != needed:
            differences = [f"camera '{camera}': {needed[0]} {needed[1]} needed, {found[0]} {found[1]} cached"]
            raise ContractMismatchError(f"episode '{self.names[0]}'", f"episode '{self.names[episode]}'", differences)

    def _take_labels(self, root: Path, episode: int, followed: list[str], reward_model: str | None) -> set[str]:
        """Keep what the labels of an episode say, and return the reward models that are in them."""
        name = self.names[episode]
        rows = slice(int(self._starts[episode]), int(self._ends[episode]))
        judgement = judge(read_labels(root, name))
        if judgement.success is not None:
            self._success[episode] = judgement.success
        stamps = self._stamps_ns[rows].tolist()
        for phrase in judgement.phrases:
            followed = [
                phrase.text if phrase.from_ns <= stamp < phrase.to_ns else was
                for stamp, was in zip(stamps, followed, strict=True)
            ]
        self._phrases += followed
        values = judgement.rewards.get(reward_model) if reward_model is not None else None
        if values is not None:
            if len(values) != len(stamps):
                raise EpisodeError(
                    f"{root}/{name}: {len(values)} rewards of '{reward_model}' for {len(stamps)} control periods"
                )
            self._rewards[rows] = [np.nan if value is None else value for value in values]
        return set(judgement.rewards)


def _of_episode(name: str, path: Path) -> NDArray[Any]:
    try:
        return open_piece(path)
    except EpisodeError as error:
        raise EpisodeError(f"episode '{name}': {error}") from error
