"""What a cache did for an episode, and the running of such work over episodes in parallel processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
from tqdm import tqdm

from tutelage_core.episodes.array_pieces import exists
from tutelage_core.errors import ConfigurationError, EpisodeError, TutelageError


@dataclass(frozen=True)
class CachedEpisode:
    """What was done for one episode; pieces are named by their path in the episode's folder of the cache.

    Attributes:
        name: the episode.
        made: pieces that were not there.
        mended: pieces that were damaged and made again, each with what was wrong.
        kept: pieces that were there already.
    """

    name: str
    made: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def __add__(self, other: CachedEpisode) -> CachedEpisode:
        """Return what was done in both."""
        return CachedEpisode(self.name, self.made + other.made, self.mended + other.mended, self.kept + other.kept)


def sort_pieces(name: str, folder: Path, faults: Mapping[Path, str | None]) -> CachedEpisode:
    """Sort pieces into those that are whole, those that are not there, and those that are damaged."""
    label = {path: path.relative_to(folder).as_posix() for path in faults}
    return CachedEpisode(
        name,
        made=tuple(label[path] for path, fault in faults.items() if fault is not None and not exists(path)),
        mended=tuple(f"{label[path]}: {fault}" for path, fault in faults.items() if fault and exists(path)),
        kept=tuple(label[path] for path, fault in faults.items() if fault is None),
    )


def over_episodes(
    job: Callable[[str], CachedEpisode], names: Sequence[str], processes: int, title: str, progress: bool
) -> tuple[CachedEpisode, ...]:
    """Call `job` for each episode, in spawned processes if more than one is asked for, and say what was mended."""
    if processes < 1:
        raise ConfigurationError(f"processes must be at least 1, got {processes}")
    done: dict[str, CachedEpisode] = {}
    with tqdm(total=len(names), desc=title, unit="episode", disable=not progress) as bar:

        def tell(cached: CachedEpisode) -> None:
            done[cached.name] = cached
            for piece in cached.mended if progress else ():
                bar.write(f"{cached.name}: made again: {piece}")
            bar.update()

        if processes == 1 or len(names) < 2:
            for name in names:
                tell(_named(job, name))
        else:
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(min(processes, len(names)), spawn, initializer=_one_thread) as pool:
                futures = [pool.submit(_named, job, name) for name in names]
                try:
                    for future in as_completed(futures):
                        tell(future.result())
                finally:  # after an error nothing new is begun
                    pool.shutdown(cancel_futures=True)
    return tuple(done[name] for name in dict.fromkeys(names))


def _named(job: Callable[[str], CachedEpisode], name: str) -> CachedEpisode:
    try:
        return job(name)
    except TutelageError as error:  # of one type that every process can hand on
        raise EpisodeError(f"episode '{name}' cannot be cached: {error}") from None


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)
