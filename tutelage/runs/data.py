"""What is asked of a folder of episodes: list, look closely, repair, label, split, statistics."""

from __future__ import annotations

import getpass
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from tutelage_core.clock import WallClock
from tutelage_core.config import to_mapping
from tutelage_core.contract import NS_PER_S
from tutelage_core.episodes.health import Health, examine
from tutelage_core.episodes.index import EpisodeRow, read_index
from tutelage_core.episodes.labels import Label, add_label
from tutelage_core.episodes.manifest import Manifest, read_manifest, write_synced
from tutelage_core.episodes.reader import read_episode
from tutelage_core.episodes.repair import RepairReport, repair, unfinished
from tutelage_core.episodes.store import EpisodeStore, PartialEpisode
from tutelage_core.errors import ConfigurationError, EpisodeError

TRIED_SEEDS = 1000
"""So many seeds are tried for one to advise where a split leaves a part empty."""


@dataclass(frozen=True)
class ListConfig:
    """Settings of `tutelage data list`.

    Attributes:
        dataset: folder of the episodes.
        task: only those of this task.
        outcome: only those that succeeded, or only those that did not.
    """

    dataset: tyro.conf.Positional[Path]
    task: str = ""
    outcome: Literal["any", "success", "failure"] = "any"


@dataclass(frozen=True)
class InfoConfig:
    """Settings of `tutelage data info`.

    Attributes:
        episode: the episode's folder.
    """

    episode: tyro.conf.Positional[Path]


@dataclass(frozen=True)
class RepairConfig:
    """Settings of `tutelage data repair`.

    Attributes:
        dataset: folder of the episodes.
        episodes: names of those to repair, aborted ones too if named; without names, each whose writer died and each
            that is damaged.
    """

    dataset: tyro.conf.Positional[Path]
    episodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelConfig:
    """Settings of `tutelage data label`.

    Attributes:
        episode: the episode's folder.
        outcome: whether the task was done; unsaid if the label is about something else.
        failure: kind of the failure.
        phrase: what was said, or what the arm does.
        from_s: begin of what the phrase is about [s from the first control period]; the whole episode without.
        to_s: its end [s].
        author: who says so.
    """

    episode: tyro.conf.Positional[Path]
    outcome: Literal["unsaid", "success", "failure"] = "unsaid"
    failure: str = ""
    phrase: str = ""
    from_s: float | None = None
    to_s: float | None = None
    author: str = field(default_factory=getpass.getuser)


@dataclass(frozen=True)
class SplitConfig:
    """Settings of `tutelage data split`.

    Attributes:
        dataset: folder of the episodes.
        output: file to write; it must not exist.
        parts: names and shares of the parts; the shares must sum to 1.
        group: what must not be torn apart: episodes of one scene (task, room and seed; one without a room, such as a
            robot's, is a scene of its own), or nothing.
        seed: draws the split; an episode that is added later moves no other.
    """

    dataset: tyro.conf.Positional[Path]
    output: Path
    parts: tuple[tuple[str, float], ...] = (("train", 0.9), ("validation", 0.1))
    group: Literal["scene", "episode"] = "scene"
    seed: int = 0


def list_episodes(config: ListConfig) -> tuple[EpisodeRow, ...]:
    """Return a row for each episode that is asked for, damaged ones always included."""
    _check_dataset(config.dataset)
    return tuple(
        row
        for row in read_index(EpisodeStore(config.dataset))
        if row.fault
        or (config.task in ("", row.task) and config.outcome in ("any", "success" if row.success else "failure"))
    )


def info(config: InfoConfig) -> tuple[Manifest, Health]:
    """Return what is known of one episode, and what is to be said against it.

    Raises:
        EpisodeError: it is unfinished, damaged or foreign.
    """
    return read_manifest(config.episode), examine(config.episode)


def repair_episodes(config: RepairConfig, say: Callable[[RepairReport], None]) -> int:
    """Repair what is asked for, and report each; return how many are hopeless."""
    _check_dataset(config.dataset)
    store = EpisodeStore(config.dataset)
    names = config.episodes or (*unfinished(config.dataset), *store.names())
    hopeless = 0
    for name in names:
        report = repair(config.dataset, name)
        hopeless += report.outcome == "hopeless"
        if config.episodes or report.outcome != "sound":
            say(report)
    return hopeless


def label(config: LabelConfig) -> Path:
    """Add a label to an episode; return the file that it is kept in.

    Raises:
        ConfigurationError: the label says nothing, contradicts itself, or its span is not within the episode.
        EpisodeError: there is no such episode.
    """
    given = (config.from_s is not None, config.to_s is not None)
    if any(given) and not all(given):
        raise ConfigurationError("a phrase about a part of an episode needs both --from-s and --to-s")
    span = None
    if config.from_s is not None and config.to_s is not None:
        stamps = read_episode(config.episode, cameras=()).stamps_ns
        length_s = (int(stamps[-1]) - int(stamps[0])) / NS_PER_S
        if not 0.0 <= config.from_s < config.to_s:
            raise ConfigurationError(f"need 0 <= from_s < to_s, got {config.from_s:g} and {config.to_s:g}")
        if config.from_s > length_s:
            raise ConfigurationError(
                f"{config.episode} is {length_s:.1f} s long, the phrase begins at {config.from_s:g} s"
            )
        span = (int(stamps[0]) + round(config.from_s * NS_PER_S), int(stamps[0]) + round(config.to_s * NS_PER_S))
    success = None if config.outcome == "unsaid" else config.outcome == "success"
    judged = Label(WallClock().now_ns(), success, config.failure, config.phrase, config.author, span)
    return add_label(config.episode.parent, config.episode.name, judged)


def split(config: SplitConfig) -> dict[str, list[str]]:
    """Divide the episodes into parts, write the names to a file, and return them.

    The part of an episode depends on the seed and on its scene (or name) alone.

    Raises:
        ConfigurationError: the shares do not sum to 1, a part stays empty, or the file exists; nothing is written.
        EpisodeError: an episode is damaged, or there is none.
    """
    _check_dataset(config.dataset)
    parts = dict(config.parts)
    if not parts or len(parts) < len(config.parts) or any(share <= 0.0 for share in parts.values()):
        raise ConfigurationError(f"each part needs a name of its own and a share above 0, got {config.parts}")
    if abs(sum(parts.values()) - 1.0) > 1e-6:
        raise ConfigurationError(f"the shares must sum to 1, got {sum(parts.values()):g} of {config.parts}")
    if config.output.exists():
        raise ConfigurationError(f"{config.output}: exists; choose another file, none is overwritten")
    rows = read_index(EpisodeStore(config.dataset))
    if damaged := [row for row in rows if row.fault]:
        raise EpisodeError(f"{damaged[0].fault}; repair or remove it first")
    if not rows:
        raise EpisodeError(f"{config.dataset}: no finished episode to split")
    scenes = {row.name: _scene_of(row, config.group) for row in rows}
    found: dict[str, list[str]] = {part: [] for part in parts}
    for name, scene in scenes.items():
        found[_part_of(f"{config.seed} {scene}", parts)].append(name)
    if empty := [part for part, names in found.items() if not names]:
        raise ConfigurationError(_why_empty(empty[0], config, set(scenes.values()), parts))
    config.output.parent.mkdir(parents=True, exist_ok=True)
    write_synced(config.output, json.dumps({"split": to_mapping(_said(config)), "parts": found}, indent=2) + "\n")
    return found


def _scene_of(row: EpisodeRow, group: str) -> str:
    is_alone = group == "episode" or not row.room  # without a room, the seed does not say what stood where
    return row.name if is_alone else f"{row.task} {row.room} {row.seed}"


def _why_empty(part: str, config: SplitConfig, scenes: set[str], parts: dict[str, float]) -> str:
    what = "scenes" if config.group == "scene" else "episodes"
    finer = " or split with --group episode" if config.group == "scene" else ""
    said = f"part '{part}' (share {parts[part]:g}) would hold no episode"
    if len(scenes) < len(parts):
        return f"{said}: {len(scenes)} {what} cannot fill {len(parts)} parts; record more {what}{finer}"
    for seed in range(TRIED_SEEDS):
        if len({_part_of(f"{seed} {scene}", parts) for scene in scenes}) == len(parts):
            return (
                f"{said}: seed {config.seed} puts none of the {len(scenes)} {what} there; choose --seed {seed}, a "
                f"larger share, or record more {what}"
            )
    return (
        f"{said}: none of {TRIED_SEEDS} seeds puts one of the {len(scenes)} {what} in each part; choose a larger "
        f"share, or record more {what}"
    )


def _said(config: SplitConfig) -> dict[str, object]:
    return {"shares": dict(config.parts), "group": config.group, "seed": config.seed}


def _part_of(key: str, parts: dict[str, float]) -> str:
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2.0**64
    reached = 0.0
    for part, share in parts.items():
        reached += share
        if place < reached:
            return part
    return next(reversed(parts))


def partial_episodes(dataset: Path) -> tuple[PartialEpisode, ...]:
    """Return the episodes that were aborted, are being written, or whose writer died."""
    return EpisodeStore(dataset).partial()


def _check_dataset(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no such folder; record one with tutelage collect or run")
