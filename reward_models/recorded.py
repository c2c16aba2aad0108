"""Recorded episodes as reward models see them, and their scores on disk: beside the recording, never in it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward_models.reward_model import Score, ScoreStatus
from tutelage_core.episodes.reader import Episode
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Observation

SCORES = "scores"
"""Folder of a data set's scores, within its own."""

SCHEMA = 1


def observations(episode: Episode) -> tuple[Observation, ...]:
    """Return the moments of a recorded episode, in order."""
    return tuple(
        Observation(
            int(stamp),
            {camera: pixels[row] for camera, pixels in episode.images.items()},
            {key: vectors[row] for key, vectors in episode.state.items()},
        )
        for row, stamp in enumerate(episode.stamps_ns)
    )


@dataclass(frozen=True)
class ScoredEpisode:
    """What a reward model said of a recorded episode.

    Attributes:
        episode: its name.
        model: how the model was named.
        task: what it was asked.
        scores: one for each moment.
    """

    episode: str
    model: str
    task: str
    scores: tuple[Score, ...]


def scores_folder(dataset: Path, model: str) -> Path:
    """Return where the scores of a model of this name are kept for a data set."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", model).strip("_.")[-60:]
    return dataset / SCORES / f"{readable}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"


def write_scores(folder: Path, scored: ScoredEpisode) -> Path:
    """Write an episode's scores, all at once; older ones of the same model are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "stamp_ns": score.stamp_ns,
            "value": score.value if score.valid else None,
            "status": score.status.value,
            "model": score.model,
            "prompt": score.prompt,
            "success": score.success,
            "progress": score.progress,
            "message": score.message,
            "further": dict(score.further),
        }
        for score in scored.scores
    ]
    told = {"schema": SCHEMA, "episode": scored.episode, "model": scored.model, "task": scored.task, "scores": rows}
    file = folder / f"{scored.episode}.json"
    fresh = file.with_name(f".{file.name}.new-{os.getpid()}")
    fresh.write_text(json.dumps(told, allow_nan=False), encoding="utf-8")
    fresh.rename(file)
    return file


def read_scores(file: Path) -> ScoredEpisode:
    """Read an episode's scores.

    Raises:
        ConfigurationError: the file is missing, damaged or of another schema.
    """
    try:
        told: Any = json.loads(file.read_text(encoding="utf-8"))
        if told["schema"] != SCHEMA:
            raise ConfigurationError(f"{file}: schema {told['schema']!r}, this program reads {SCHEMA}")
        scores = tuple(_score(row) for row in told["scores"])
        return ScoredEpisode(str(told["episode"]), str(told["model"]), str(told["task"]), scores)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{file}: no scores of an episode: {error!r}") from error


def check_same_moments(scored: ScoredEpisode, stamps_ns: Sequence[int]) -> None:
    """Refuse scores that were made of another recording.

    Raises:
        ConfigurationError: the stamps differ.
    """
    if [score.stamp_ns for score in scored.scores] != list(stamps_ns):
        raise ConfigurationError(
            f"scores of '{scored.model}' for episode {scored.episode}: they are of other moments than the recording's; "
            "make them anew"
        )


def _score(row: dict[str, Any]) -> Score:
    return Score(
        math.nan if row["value"] is None else float(row["value"]),
        ScoreStatus(row["status"]),
        int(row["stamp_ns"]),
        str(row["model"]),
        str(row["prompt"]),
        row["success"],
        row["progress"],
        str(row["message"]),
        {str(name): float(value) for name, value in row["further"].items()},
    )
