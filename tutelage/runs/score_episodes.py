"""Scores whole data sets with a reward model, in several processes; what is there already is not scored again."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from reward_models.golden import check_golden, write_golden
from reward_models.recorded import ScoredEpisode, observations, read_scores, scores_folder, write_scores
from reward_models.registry import Loaded, load_reward_model, place_of
from reward_models.reward_model import ScoreStatus
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError
from tutelage_core.parallel import each


@dataclass(frozen=True)
class ScoreEpisodesConfig:
    """Settings of `tutelage reward score`.

    Attributes:
        datasets: folders of recorded episodes. Scores come to stand in their subfolder `scores`; the recordings are not
            touched.
        model: name of a reward model, as for `tutelage reward evaluate`.
        processes: that score.
        golden: refuse a model that does not answer to the golden picture as was written down.
        again: score episodes anew that have scores of this model.
    """

    datasets: tuple[Path, ...]
    model: str = "twin_tower"
    processes: int = 1
    golden: bool = False
    again: bool = False


@dataclass(frozen=True)
class ScoredEpisodes:
    """What came of it.

    Attributes:
        scored: episodes that were scored now.
        kept: that had scores already.
        statuses: of all their moments.
        folders: where the scores are.
    """

    scored: int
    kept: int
    statuses: Counter[ScoreStatus] = field(default_factory=Counter[ScoreStatus])
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class GoldenConfig:
    """Write down what a reward model answers to the golden picture today; `reward_node` compares with it at its start.

    Attributes:
        model: name of a reward model, as for `tutelage reward evaluate`.
    """

    model: str


def score_episodes(config: ScoreEpisodesConfig) -> ScoredEpisodes:
    """Score the episodes of data sets that have no scores of this model yet.

    Raises:
        ConfigurationError: a data set holds no finished episode.
        UnknownNameError, ConfigurationError, CheckpointError: the model cannot be loaded.
    """
    if config.processes < 1:
        raise ConfigurationError(f"processes must be at least 1, got {config.processes}")
    loaded = load_reward_model(config.model)  # before any process is started: an error is told once
    if config.golden:
        check_golden(loaded.model, place_of(config.model))
    jobs: list[tuple[Path, str]] = []
    kept = 0
    for dataset in config.datasets:
        names = EpisodeStore(dataset).names()
        if not names:
            raise ConfigurationError(f"{dataset}: no finished episode to score")
        there = scores_folder(dataset, config.model)
        missing = [name for name in names if config.again or not (there / f"{name}.json").exists()]
        jobs += [(dataset, name) for name in missing]
        kept += len(names) - len(missing)
    statuses: Counter[ScoreStatus] = Counter()
    for found in each(partial(_score, config.model), jobs, config.processes, title="scores", done_before=kept):
        statuses.update(found)
    folders = tuple(scores_folder(dataset, config.model) for dataset in config.datasets)
    return ScoredEpisodes(len(jobs), kept, statuses, folders)


def write_golden_answer(config: GoldenConfig) -> Path:
    """Write down a model's golden answer and return the file."""
    return write_golden(load_reward_model(config.model).model, place_of(config.model))


def scores_of(dataset: Path, model: str, episode: str) -> ScoredEpisode:
    """Return what a model said of an episode.

    Raises:
        ConfigurationError: it has not been scored, or the file is damaged.
    """
    return read_scores(scores_folder(dataset, model) / f"{episode}.json")


_LOADED: dict[str, Loaded] = {}


def _score(model: str, job: tuple[Path, str]) -> dict[ScoreStatus, int]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if model not in _LOADED:
        _LOADED[model] = load_reward_model(model)
    dataset, name = job
    reward = _LOADED[model].model
    episode = EpisodeStore(dataset).read(name, tuple(reward.spec.cameras))
    scores = reward.score(observations(episode), episode.metadata.instruction)
    write_scores(scores_folder(dataset, model), ScoredEpisode(name, model, episode.metadata.instruction, tuple(scores)))
    return Counter(score.status for score in scores)
