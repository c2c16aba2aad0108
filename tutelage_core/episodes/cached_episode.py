"""What a cache did for an episode, and the running of such work over episodes in parallel processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from tutelage_core.episodes.array_pieces import exists
from tutelage_core.errors import EpisodeError, TutelageError
from tutelage_core.parallel import each


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
    done: dict[str, CachedEpisode] = {}
    for cached in each(partial(_named, job), names, processes, title=title, progress=progress):
        done[cached.name] = cached
        for piece in cached.mended if progress else ():
            tqdm.write(f"{cached.name}: made again: {piece}")
    return tuple(done[name] for name in dict.fromkeys(names))


def _named(job: Callable[[str], CachedEpisode], name: str) -> CachedEpisode:
    try:
        return job(name)
    except TutelageError as error:  # of one type that every process can hand on
        raise EpisodeError(f"episode '{name}' cannot be cached: {error}") from None
