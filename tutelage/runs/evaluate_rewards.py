"""Evaluates reward models on recorded episodes with the simulator's ground truth, beside four baselines."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from reward_models.evaluation.baselines import baselines
from reward_models.evaluation.table import NOTES, Row, rows_of
from reward_models.evaluation.trials import Trial
from reward_models.recorded import observations
from reward_models.registry import Loaded, load_reward_model
from tutelage.film_strip import write_picture
from tutelage.looking.picture import render
from tutelage.looking.reward_table import draw_reward_table
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError
from tutelage_core.versions import versions

REPORT, TABLE, PICTURE = "rewards.json", "rewards.csv", "rewards.png"


@dataclass(frozen=True)
class EvaluateRewardsConfig:
    """Settings of `tutelage reward evaluate`.

    Attributes:
        datasets: folders of recorded episodes of the twin, successes and failures.
        models: reward models, see `load_reward_model`; the four baselines are always there.
        output: folder that the table and its picture are written into; it is only printed if None.
        most: episodes of each folder, the first ones by name; 0 for all.
        seed: of shuffles and of the random baseline.
    """

    datasets: tuple[Path, ...]
    models: tuple[str, ...] = ()
    output: Path | None = None
    most: int = 0
    seed: int = 0


def evaluate_rewards(config: EvaluateRewardsConfig) -> list[Row]:
    """Return a row for each model and kind of task, the baselines first.

    Raises:
        ConfigurationError: there is no episode, or none with a ground truth; or a model cannot be loaded.
        UnknownNameError: a model needs a camera that was not recorded, or its kind is unknown.
        CheckpointError: a model is damaged.
        EpisodeError: an episode is damaged.
    """
    if config.most < 0:
        raise ConfigurationError(f"reward evaluate: most must not be negative, got {config.most}")
    loaded = [load_reward_model(name) for name in config.models]
    cameras = tuple(dict.fromkeys(camera for known in loaded for camera in known.model.spec.cameras))
    trials = list(_trials(config, cameras))
    if not trials:
        raise ConfigurationError(f"reward evaluate: no finished episode in {', '.join(map(str, config.datasets))}")
    every = [Loaded(model.spec.name, model) for model in baselines(trials, config.seed)] + loaded
    rows: list[Row] = []
    for known in tqdm(every, desc="reward models", unit="model", disable=None):
        rows += rows_of(known.model, trials, name=known.name, threshold=known.threshold, seed=config.seed)
    if config.output is not None:
        _write(config, rows)
    return rows


def _trials(config: EvaluateRewardsConfig, cameras: tuple[str, ...]) -> Iterator[Trial]:
    for folder in config.datasets:
        store = EpisodeStore(folder)
        names = sorted(store.names())
        for name in names[: config.most or None]:
            episode = store.read(name, cameras)
            frames = observations(episode)
            metadata = episode.metadata
            try:
                success = episode.success.astype(np.float64)
                yield Trial(
                    f"{folder.name}/{name}", metadata.task, metadata.instruction, frames, success, episode.progress
                )
            except ValueError as error:
                raise ConfigurationError(
                    f"{folder}: {error}. The table compares with the simulator's truth: take episodes of the twin"
                ) from error


def _write(config: EvaluateRewardsConfig, rows: Sequence[Row]) -> None:
    assert config.output is not None
    config.output.mkdir(parents=True, exist_ok=True)
    told = {
        "config": {key: str(value) for key, value in asdict(config).items()},
        "versions": versions(),
        "notes": NOTES,
        "rows": [
            {
                **asdict(row),
                "values": {name: value if math.isfinite(value) else None for name, value in row.values.items()},
            }
            for row in rows
        ],
    }
    (config.output / REPORT).write_text(json.dumps(told, indent=1), encoding="utf-8")
    with (config.output / TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "kind", "successes", "failures", *rows[0].values])
        for row in rows:
            values = [f"{value:.6g}" if math.isfinite(value) else "" for value in row.values.values()]
            writer.writerow([row.model, row.kind, row.successes, row.failures, *values])
    write_picture(config.output / PICTURE, render(draw_reward_table(rows)))
