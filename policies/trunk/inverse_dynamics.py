"""Method `inverse_dynamics`: what was done between two frames of an episode? Needs no labels but the recorded steps.

From what one camera sees at t and at t + k (1 <= k <= horizon), predict the first step, the mean of all steps between,
and the gripper's first and last command: L1 on normalised motions, cross-entropy on the gripper. What the arm's own
motion cannot tell (the object that it is going to) enters where the later frame shows how it ended.
(Multi-step inverse models: Lamb et al. 2022, arXiv:2207.08229; they predict the first action only.)
"""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from policies.bc.model import KeypointReader
from policies.trunk.config import TrunkConfig
from policies.trunk.objective import Rows, augmented
from tutelage_core.errors import ConfigurationError

_MOTION = 6
_SMALLEST_STD = np.repeat(np.array([0.002, 0.01], np.float32), 3)
"""Floor of the scales of a step's translation [m] and rotation [rad]."""


class RecordedSteps(Protocol):
    """What this method reads; `tutelage_core.episodes.windows.Windows` is one. See there for the shapes."""

    @property
    def images(self) -> dict[str, NDArray[np.uint8]]: ...  # noqa: D102
    @property
    def steps(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def episode_of(self) -> Rows: ...  # noqa: D102


class _PairReader(nn.Module):
    """Reads what was done between two feature maps of one camera."""

    def __init__(self, grid: tuple[int, int], config: TrunkConfig) -> None:
        super().__init__()
        self.reader = KeypointReader(
            config.shape.channels, grid, config.keypoints, config.keypoint_features, config.hidden
        )
        self.out = nn.Sequential(
            nn.Linear(2 * config.hidden + 1, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 2 * (_MOTION + 1))
        )

    def forward(self, earlier: Tensor, later: Tensor, gap: Tensor) -> Tensor:
        """Return first step and mean step, normalised, shape (n, 2, 7); the last number is the gripper's log-odds."""
        read = torch.cat([self.reader(earlier), self.reader(later), gap], dim=1)
        return cast("Tensor", self.out(read)).unflatten(1, (2, _MOTION + 1))


class InverseDynamicsObjective:
    """Implements `Objective` on recorded episodes."""

    def __init__(self, recorded: RecordedSteps, grid: tuple[int, int], config: TrunkConfig) -> None:
        """Build the heads, drawn from torch's global generator, for feature maps of `grid` rows and columns.

        Raises:
            ConfigurationError: there is no camera, or no episode has two control periods.
        """
        self._recorded = recorded
        self._config = config
        episode = recorded.episode_of
        ends = np.searchsorted(episode, episode, side="right") - 1
        self._ahead = ends - np.arange(len(episode))
        if not recorded.images or not (self._ahead > 0).any():
            raise ConfigurationError("inverse dynamics: the data hold no camera, or no episode of two control periods")
        motion = recorded.steps[:, :_MOTION]
        self._mean = motion.mean(axis=0)
        self._scale = np.maximum(motion.std(axis=0), _SMALLEST_STD)
        self._summed = np.concatenate([np.zeros((1, _MOTION)), np.cumsum(motion, axis=0, dtype=np.float64)])
        self.heads = nn.ModuleDict({name: _PairReader(grid, config) for name in recorded.images})
        self._gap = torch.empty(0)
        self._motion = self._gripper = torch.empty(0)

    @property
    def groups(self) -> Rows:
        """The episode of each control period."""
        return self._recorded.episode_of

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras of the recordings."""
        return tuple(self._recorded.images)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width [px]."""
        height, width = next(iter(self._recorded.images.values())).shape[1:3]
        return int(height), int(width)

    def images(self, rows: Rows, rng: np.random.Generator | None) -> Tensor:
        """Return the images camera by camera, the earlier ones of a camera before its later ones.

        An episode's last period has nothing after it: the one before it stands in for it.
        """
        rows = np.where(self._ahead[rows] > 0, rows, np.maximum(rows - 1, 0))
        longest = np.clip(self._ahead[rows], 0, self._config.horizon)
        gap = longest if rng is None else np.minimum(rng.integers(1, self._config.horizon + 1, len(rows)), longest)
        later = rows + gap
        count = np.maximum(gap, 1)[:, None]
        first = self._recorded.steps[rows]
        last = self._recorded.steps[rows + count[:, 0] - 1]
        mean = (self._summed[rows + count[:, 0]] - self._summed[rows]) / count
        motion = (np.stack([first[:, :_MOTION], mean], axis=1) - self._mean) / self._scale
        self._motion = torch.from_numpy(motion.astype(np.float32))
        self._gripper = torch.from_numpy(np.stack([first[:, -1], last[:, -1]], axis=1).clip(0.0, 1.0))
        self._gap = torch.from_numpy((count / self._config.horizon).astype(np.float32))
        pairs = [np.stack([store[rows], store[later]], axis=1) for store in self._recorded.images.values()]
        images = augmented(np.concatenate(pairs, axis=1), self._config, rng)
        return images.unflatten(0, (len(rows), -1)).transpose(0, 1).flatten(0, 1)

    def losses(self, features: Tensor) -> dict[str, Tensor]:
        """Return the terms of the loss, over all cameras."""
        motion, gripper = torch.zeros(()), torch.zeros(())
        for said in self._said(features):
            motion = motion + (said[..., :_MOTION] - self._motion).abs().mean()
            gripper = gripper + F.binary_cross_entropy_with_logits(said[..., _MOTION], self._gripper)
        return {"motion": motion, "gripper": self._config.gripper_weight * gripper}

    def errors(self, features: Tensor) -> dict[str, float]:
        """Return the mean error of the mean step's translation."""
        errors: dict[str, float] = {}
        scale = torch.from_numpy(self._scale[:3])
        for name, said in zip(self.cameras, self._said(features), strict=True):
            wrong = (said[:, 1, :3] - self._motion[:, 1, :3]) * scale
            errors[f"{name}_mean_step_mm"] = float(wrong.norm(dim=1).mean()) * 1e3
        return errors

    def _said(self, features: Tensor) -> list[Tensor]:
        parts = features.chunk(2 * len(self.cameras))
        return [self.heads[name](parts[2 * i], parts[2 * i + 1], self._gap) for i, name in enumerate(self.cameras)]
