"""Reward models that behave badly in every way; a process loads them by name, so they stand at the top of a module."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reward_models.reward_model import RewardSpec, Score, ScoreStatus
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Observation


def frame(brightness: int, stamp_ns: int = 1) -> Observation:
    return Observation(stamp_ns, {"front": np.full((4, 4, 3), brightness, np.uint8)}, {})


class Brightness:
    """Its reward is how bright the picture is; what it does with some sentences is another matter."""

    spec = RewardSpec("brightness", {"front": None})

    def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
        match task:
            case "hang":
                time.sleep(3600.0)
            case "die":
                os._exit(7)
            case "lie":
                return "all is well"  # type: ignore[return-value]
            case "drop":
                return []
            case "raise":
                raise ValueError("the picture is upside down")
            case "doubt":
                return [Score.failed(ScoreStatus.OUT_OF_RANGE, f.stamp_ns, "it said 12") for f in frames]
        return [Score(float(f.images["front"].mean()) / 255.0, ScoreStatus.OK, f.stamp_ns, "hash") for f in frames]


def load(name: str) -> tuple[Brightness, float | None]:
    kind, _, place = name.partition(":")
    match kind:
        case "missing":
            raise ConfigurationError("there is no such folder")
        case "broken":
            raise RuntimeError("out of memory")
        case "slow":
            time.sleep(3600.0)
        case "once":  # its process starts once, and never again
            if Path(place).exists():
                raise ConfigurationError("the folder has gone")
            Path(place).touch()
    return Brightness(), 0.5


class Troubled(Brightness):
    """Refuses the fifth moment and answers nonsense to the twelfth one; its process counts from its start."""

    def __init__(self) -> None:
        self.asked = 0

    def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
        del task
        self.asked += 1
        return super().score(frames, {5: "raise", 12: "lie"}.get(self.asked, "look"))


def make_brightness() -> Brightness:
    return Brightness()


def make_troubled() -> Troubled:
    return Troubled()


def make_nothing() -> str:
    return "a string"
