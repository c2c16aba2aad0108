"""One picture and one sentence whose score is known: a model that answers otherwise is not the one that it was.

The picture is computed, so nothing but the answer is stored: `golden.json` in the folder of a model, or beside the
settings file of one, as `<file>.golden.json`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from reward_models.reward_model import RewardModel
from tutelage_core.config import from_mapping
from tutelage_core.errors import CheckpointError, ConfigurationError
from tutelage_core.types import ImageArray, Observation

GOLDEN = "golden.json"
SENTENCE = "pick up the red cube"
TOLERANCE = 1e-3
_SIDE_PX = 128


@dataclass(frozen=True)
class Golden:
    """What a model said of the golden picture when its answer was written down.

    Attributes:
        sentence: that it was asked with.
        value: reward.
        tolerance: how far an answer may be off: processors add up differently.
    """

    sentence: str
    value: float
    tolerance: float = TOLERANCE


def golden_file(place: Path) -> Path:
    """Return where the golden answer of a model is kept; `place` is its folder or settings file."""
    return place / GOLDEN if place.is_dir() else place.with_name(f"{place.name}.{GOLDEN}")


def golden_frame(model: RewardModel) -> Observation:
    """Return the moment that it is about: slanted waves of colour, through every camera that the model needs.

    Raises:
        ConfigurationError: the model looks at the robot's state, of which nothing is made up.
    """
    if model.spec.state_keys:
        raise ConfigurationError(f"a golden answer needs a model that looks at pictures only, not at {model.spec.name}")
    images: dict[str, ImageArray] = {}
    for number, (name, need) in enumerate(model.spec.cameras.items()):
        height, width = (_SIDE_PX, _SIDE_PX) if need is None else (need.height, need.width)
        rows, columns = np.mgrid[0:height, 0:width] / _SIDE_PX
        waves = [np.sin(6.0 * (rows * (k + 1) + columns * (3 - k)) + k + number) for k in range(3)]
        images[name] = np.round(127.5 + 127.5 * np.stack(waves, axis=2)).astype(np.uint8)
    return Observation(0, images, {})


def answer(model: RewardModel, sentence: str = SENTENCE) -> Golden:
    """Return what a model says of the golden picture.

    Raises:
        ConfigurationError: it says nothing.
    """
    (score,) = model.score([golden_frame(model)], sentence)
    if not score.valid:
        raise ConfigurationError(f"no golden answer: {score.status.value}: {score.message}")
    return Golden(sentence, score.value)


def write_golden(model: RewardModel, place: Path) -> Path:
    """Write down what a model answers today, and return the file."""
    file = golden_file(place)
    file.write_text(json.dumps(asdict(answer(model)), indent=1) + "\n", encoding="utf-8")
    return file


def check_golden(model: RewardModel, place: Path) -> None:
    """Compare a model's answer with the one that was written down.

    Raises:
        ConfigurationError: none was written down; says how to do that.
        CheckpointError: the file is damaged, or the answer is another one.
    """
    file = golden_file(place)
    try:
        known = from_mapping(json.loads(file.read_text(encoding="utf-8")), Golden, str(file))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{file} is missing, so nobody can tell whether the model is the one that it was: write down what it "
            "answers with 'tutelage reward golden', or switch the check off"
        ) from error
    except (OSError, ValueError, ConfigurationError) as error:
        raise CheckpointError(f"{file}: no golden answer: {error}") from error
    now = answer(model, known.sentence)
    if not abs(now.value - known.value) <= known.tolerance:  # so written that NaN differs
        raise CheckpointError(
            f"{file}: the model answers {now.value:.6f} to the golden picture, {known.value:.6f} was written down "
            f"(tolerance {known.tolerance:g}): it is not the model that it was"
        )
