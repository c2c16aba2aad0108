"""Recorded episodes for the page: the list, one of them with all that was said of it, its pictures."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fastapi import APIRouter, Response

from reward_models.recorded import SCORES, read_scores
from tutelage.film_strip import FilmStrip
from tutelage.looking.jpeg import to_jpeg
from tutelage.looking.spans import SOURCE_COLOURS, changed, edges_s, spans_of
from tutelage_core.contract import NS_PER_S
from tutelage_core.episodes.labels import Judgement, judge, read_labels
from tutelage_core.episodes.manifest import Manifest
from tutelage_core.episodes.reader import Episode
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, EpisodeError, TutelageError, UnknownNameError
from tutelage_core.types import Source

MOST = 200
"""Episodes in a list; of more than so many, those that were recorded last."""

KEPT = 2
"""Episodes whose pixels are kept in memory: those that are compared. One of 20 s is about 20 MB for each camera."""

STRIP_COLUMNS = 10

R = TypeVar("R")


class Library:
    """The recordings in one folder. Reading happens in threads, one at a time: a list never holds the page up."""

    def __init__(self, folder: Path) -> None:
        """Show the episodes of `folder`."""
        self._folder = folder
        self._store = EpisodeStore(folder)
        self._reading = threading.Lock()
        self._kept: OrderedDict[str, Episode] = OrderedDict()
        self._told: dict[str, dict[str, Any]] = {}

    def router(self) -> APIRouter:
        """Return the addresses under which the page finds episodes."""
        router = APIRouter(prefix="/api/episodes")

        @router.get("")
        async def names() -> dict[str, Any]:
            return await self._read(self.listing)

        @router.get("/{name}")
        async def one(name: str) -> dict[str, Any]:
            return await self._read(lambda: self.episode(name))

        @router.get("/{name}/strip.jpg")
        async def strip(name: str) -> Response:
            return Response(await self._read(lambda: self.strip(name)), media_type="image/jpeg")

        @router.get("/{name}/{camera}/{period}.jpg")
        async def picture(name: str, camera: str, period: int) -> Response:
            return Response(await self._read(lambda: self.picture(name, camera, period)), media_type="image/jpeg")

        return router

    def listing(self) -> dict[str, Any]:
        """Return the episodes, those that began last first, and what is not finished."""
        told: list[dict[str, Any]] = []
        for name in self._store.names():
            try:
                told.append(self._row(name))
            except EpisodeError as error:  # a damaged one is shown as what it is
                told.append({"name": name, "error": str(error), "stamp_s": 0.0})
        told.sort(key=lambda row: row["stamp_s"], reverse=True)
        partial = [{"name": item.name, "error": item.reason} for item in self._store.partial()]
        return {"folder": str(self._folder), "episodes": told[:MOST], "all": len(told), "unfinished": partial}

    def episode(self, name: str) -> dict[str, Any]:
        """Return what is known of one episode.

        Raises:
            TutelageError: there is none, or it is damaged.
        """
        episode = self._pixels(name)
        edges = edges_s(episode)
        judgement = self._judgement(name)
        rewards = self._rewards(name, judgement)
        return {
            **self._row(name),
            "instruction": episode.metadata.instruction,
            "policy": episode.metadata.policy,
            "cameras": list(episode.images),
            "periods": len(episode),
            "period_s": episode.metadata.contract.period_ns / NS_PER_S,
            "drivers": [
                {
                    "who": Source(span.value).name.lower(),
                    "colour": SOURCE_COLOURS[Source(span.value)],
                    "first": span.first,
                    "end": span.end,
                }
                for span in spans_of(episode.sources.tolist())
            ],
            "phrases": [
                {"text": span.value, "first": span.first, "end": span.end}
                for span in spans_of(episode.phrases)
                if span.value
            ],
            "changed": np.flatnonzero(changed(episode)).tolist(),
            "seconds": round(float(edges[-1]), 3),
            "progress": [_number(value) for value in episode.progress.tolist()],
            "gripper": [_number(value) for value in episode.executed[:, 6].tolist()],
            "rewards": {model: [_number(value) for value in values] for model, values in rewards.items()},
            "remarks": list(judgement.remarks),
        }

    def strip(self, name: str) -> bytes:
        """Return an episode as one picture, a JPEG."""
        episode = self._pixels(name)
        strip = FilmStrip(columns=STRIP_COLUMNS)
        for period in range(len(episode)):
            label = f"{period} g{episode.executed[period, 6]:.1f}"
            strip.add_images(label, {camera: images[period] for camera, images in episode.images.items()})
        return to_jpeg(strip.draw())

    def picture(self, name: str, camera: str, period: int) -> bytes:
        """Return what a camera saw at one control period, a JPEG.

        Raises:
            TutelageError: there is no such episode, camera or control period.
        """
        episode = self._pixels(name)
        if camera not in episode.images:
            raise UnknownNameError("camera", camera, episode.images, name)
        if not 0 <= period < len(episode):
            raise EpisodeError(f"{name}: control period must be in 0..{len(episode) - 1}, got {period}")
        return to_jpeg(episode.images[camera][period])

    async def _read(self, function: Callable[[], R]) -> R:
        def alone() -> R:
            with self._reading:
                return function()

        return await asyncio.to_thread(alone)

    def _pixels(self, name: str) -> Episode:
        if name in self._kept:
            self._kept.move_to_end(name)
        else:
            self._kept[name] = self._store.read(name)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[name]

    def _row(self, name: str) -> dict[str, Any]:
        if name not in self._told:  # a finished recording never changes; what is said of it does
            self._told[name] = _facts(self._store.manifest(name))
        judgement = self._judgement(name)
        row = {"name": name, **self._told[name]}
        if judgement.success is not None:
            row |= {"success": judgement.success, "failure": judgement.failure, "judged": True}
        scores = {model: _last(values) for model, values in self._rewards(name, judgement).items()}
        return {**row, "scores": scores}

    def _rewards(self, name: str, judgement: Judgement) -> dict[str, tuple[float | None, ...]]:
        """Return each reward model's numbers, of labels and of scores beside the recordings; None where it has none."""
        found = dict(judgement.rewards)
        try:
            for file in sorted((self._folder / SCORES).glob(f"*/{name}.json")):
                scored = read_scores(file)
                found[scored.model] = tuple(score.value if score.valid else None for score in scored.scores)
        except ConfigurationError as error:
            raise EpisodeError(f"{name}: {error}; score it again") from error
        return found

    def _judgement(self, name: str) -> Judgement:
        try:
            return judge(read_labels(self._folder, name))
        except TutelageError as error:
            raise EpisodeError(f"{name}: {error}") from error


def _facts(manifest: Manifest) -> dict[str, Any]:
    metadata, result = manifest.metadata, manifest.result
    return {
        "task": metadata.task or metadata.instruction,
        "seed": metadata.seed,
        "stamp_s": metadata.start_stamp_ns / NS_PER_S,
        "success": result.success,
        "failure": result.failure,
        "termination": result.termination,
        "steps": result.steps,
        "human_periods": result.human_periods,
        "changed_periods": result.interventions,
        "judged": False,
    }


def _number(value: float | None) -> float | None:
    """Return a number as JSON can hold it: one that is missing is null."""
    return round(value, 4) if value is not None and math.isfinite(value) else None


def _last(values: tuple[float | None, ...]) -> float | None:
    return _number(next((value for value in reversed(values) if value is not None), None))
