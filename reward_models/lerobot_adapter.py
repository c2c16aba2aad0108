"""Reward models of LeRobot (0.6) here, and ours there: `compute_reward(batch) -> (B,)` is all that LeRobot asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from reward_models.image_text.image_text_model import check_images, check_texts
from reward_models.reward_model import RewardModel, RewardSpec, Score, ScoreStatus
from tutelage_core.contract import CameraNeed
from tutelage_core.types import Observation

IMAGES, STATE, TASK = "observation.images.", "observation.state", "task"
"""Names that LeRobot gives the parts of a batch."""


class LeRobotReward(Protocol):
    """What LeRobot calls a reward model."""

    def compute_reward(self, batch: dict[str, Any]) -> Tensor:
        """Return a reward for each row of the batch, shape (B,)."""
        ...


class ForLeRobot:
    """Gives one of our models to LeRobot. What was not scored is NaN: whoever learns from it must mask it."""

    def __init__(self, model: RewardModel) -> None:
        """Offer `model`.

        Raises:
            ValueError: it must see whole episodes, and a batch has none.
        """
        if model.spec.whole_episodes:
            raise ValueError(f"{model.spec.name} must see whole episodes; LeRobot asks for single moments")
        self._model = model

    def compute_reward(self, batch: Mapping[str, Any]) -> Tensor:
        """Return the reward of each row, shape (B,), float32, NaN where there is none.

        Args:
            batch: images `observation.images.NAME`, shape (B, 3, height, width), float in 0..1, and `task`, a sentence
                for each row.

        Raises:
            ValueError: a camera lacks, an image has another form, or there is not one sentence for each row.
        """
        cameras = {name: _pixels(batch, name) for name in self._model.spec.cameras}
        rows = {len(images) for images in cameras.values()}
        tasks = batch.get(TASK)
        if len(rows) != 1 or not isinstance(tasks, (list, tuple)) or len(tasks) not in rows:
            raise ValueError(f"the batch needs images of equally many rows and a sentence in '{TASK}' for each of them")
        found = torch.full((len(tasks),), float("nan"))
        for task in dict.fromkeys(tasks):
            mine = [row for row, said in enumerate(tasks) if said == task]
            frames = [Observation(row, {name: images[row] for name, images in cameras.items()}, {}) for row in mine]
            for row, score in zip(mine, self._model.score(frames, task), strict=True):
                found[row] = score.value
        return found

    def reset(self) -> None:
        """Nothing is remembered from one moment to the next."""


class FromLeRobot:
    """Gives a model of LeRobot to us: implements `RewardModel`."""

    def __init__(self, model: LeRobotReward, name: str, cameras: Mapping[str, CameraNeed], digest: str = "") -> None:
        """Wrap `model`.

        Args:
            model: of LeRobot, in evaluation mode.
            name: under which it is listed.
            cameras: that it looks through.
            digest: hash of its weights.
        """
        self._model, self._digest = model, digest
        self._spec = RewardSpec(name, dict(cameras), low=-float("inf"), high=float("inf"))

    @property
    def spec(self) -> RewardSpec:
        """What the model needs and gives."""
        return self._spec

    def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
        """Return a score for each frame; see `RewardModel.score`."""
        check_texts([task])
        whole = [all(name in frame.images for name in self._spec.cameras) for frame in frames]
        seen = [frame for frame, is_whole in zip(frames, whole, strict=True) if is_whole]
        rewards = iter(self._rewards(seen, task) if seen else ())
        return [
            self._told(frame, next(rewards) if is_whole else None)
            for frame, is_whole in zip(frames, whole, strict=True)
        ]

    def _rewards(self, frames: Sequence[Observation], task: str) -> list[float]:
        """Return what the model says of frames that have all pictures."""
        batch: dict[str, Any] = {TASK: [task] * len(frames)}
        for name, need in self._spec.cameras.items():
            images = [frame.images[name] for frame in frames]
            check_images(images)
            shapes = {image.shape for image in images}
            if len(shapes) > 1 or (need is not None and shapes != {(need.height, need.width, 3)}):
                raise ValueError(f"camera '{name}': images of shape {sorted(shapes)}, {self._spec.name} needs {need}")
            stacked = torch.from_numpy(np.stack(images))
            batch[f"{IMAGES}{name}"] = stacked.permute(0, 3, 1, 2).float() / 255.0
        with torch.inference_mode():
            rewards = self._model.compute_reward(batch)
        if tuple(rewards.shape) != (len(frames),):
            raise ValueError(
                f"{self._spec.name} gave rewards of shape {tuple(rewards.shape)}, {len(frames)} were asked for"
            )
        return [float(reward) for reward in rewards]

    def _told(self, frame: Observation, reward: float | None) -> Score:
        if reward is None:
            lacking = ", ".join(name for name in self._spec.cameras if name not in frame.images)
            why = f"there is no picture of camera {lacking}"
            return Score.failed(ScoreStatus.STALE, frame.stamp_ns, why, model=self._digest)
        if not math.isfinite(reward):
            why = f"{self._spec.name} gave {reward}"
            return Score.failed(ScoreStatus.OUT_OF_RANGE, frame.stamp_ns, why, model=self._digest)
        return Score(reward, ScoreStatus.OK, frame.stamp_ns, self._digest)


def _pixels(batch: Mapping[str, Any], camera: str) -> np.ndarray:
    """Return a camera's images, shape (B, height, width, 3), uint8."""
    images = batch.get(f"{IMAGES}{camera}")
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        told = tuple(images.shape) if isinstance(images, Tensor) else "none"
        raise ValueError(f"'{IMAGES}{camera}': needs floats of shape (B, 3, height, width) in 0..1, got {told}")
    if not bool(((images >= 0.0) & (images <= 1.0)).all()):  # so written that NaN is refused
        raise ValueError(f"'{IMAGES}{camera}': floats must be in 0..1; are they still to be divided by 255?")
    return (images * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
