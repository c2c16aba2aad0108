"""What one update learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policies.hil_serl.config import GRIPPER_CHOICES
from policies.hil_serl.layout import ObservationLayout
from policies.hil_serl.replay_batch import ReplayBatch
from tutelage_core.errors import ConfigurationError

_FLOATS = (np.dtype(np.float16), np.dtype(np.float32))
_SCALARS = ("reward", "grasp_penalty", "mask")


@dataclass(frozen=True)
class ObservationShape:
    """Sizes of an observation.

    Attributes:
        images: camera name to the shape of its stored map (channels, rows, columns), or of its pixels (height, width,
            3) where the trunk learns along; the order is the order of the embeddings. Empty: state only.
        state: numbers of the encoded state.
    """

    images: Mapping[str, tuple[int, int, int]]
    state: int

    def __post_init__(self) -> None:
        """Refuse cameras that cannot go through one product together, and an observation of nothing."""
        if len(set(self.images.values())) > 1:
            told = ", ".join(f"{name} {shape}" for name, shape in self.images.items())
            raise ConfigurationError(f"HIL-SERL reads all cameras in one product, so they must be of one shape: {told}")
        if self.state < 1:
            raise ConfigurationError(f"HIL-SERL needs a state of at least one number, got {self.state}")

    @classmethod
    def of(cls, layout: ObservationLayout) -> ObservationShape:
        """Return the sizes of one view of what a replay of this layout stores."""
        maps = {name: (channels, rows, columns) for name, (_, channels, rows, columns) in layout.maps.items()}
        pixels = {name: (height, width, 3) for name, (height, width) in layout.images.items()}
        return cls(maps or pixels, layout.state_size)


class Observed(NamedTuple):
    """A batch of observations.

    Attributes:
        images: camera name to stored maps, shape (batch, channels, rows, columns), float16 or float32; or to pixels,
            shape (batch, height, width, 3), uint8.
        state: encoded state, shape (batch, state), float32.
    """

    images: dict[str, Tensor]
    state: Tensor


class Batch(NamedTuple):
    """A batch of transitions.

    Attributes:
        observed: what was seen.
        next_observed: what was seen one control period later.
        action: executed continuous action in the units of the actor, shape (batch, action) [-1..1].
        gripper: what the gripper was told: 0 close, 1 hold, 2 open; shape (batch,), int64.
        reward: shape (batch,).
        grasp_penalty: added to the gripper critic's reward, so at most 0; shape (batch,).
        mask: 1 where the next value counts (also at a time-out), 0 after success or failure; shape (batch,).
        shown: 1 where the transition was drawn from what people showed, else 0; shape (batch,).
    """

    observed: Observed
    next_observed: Observed
    action: Tensor
    gripper: Tensor
    reward: Tensor
    grasp_penalty: Tensor
    mask: Tensor
    shown: Tensor

    @classmethod
    def from_arrays(
        cls,
        *,
        images: Mapping[str, NDArray[Any]],
        next_images: Mapping[str, NDArray[Any]],
        state: NDArray[np.float32],
        next_state: NDArray[np.float32],
        action: NDArray[np.float32],
        gripper: NDArray[np.integer[Any]],
        reward: NDArray[np.floating[Any]],
        grasp_penalty: NDArray[np.floating[Any]],
        mask: NDArray[np.floating[Any]],
        shown: NDArray[np.bool_] | None = None,
    ) -> Batch:
        """Return the batch of these arrays; maps, pixels and float32 arrays are shared, not copied.

        Without `shown`, people showed nothing of it.

        Images and states are not looked through here: what is not finite in them shows in the losses, and the learner
        then names it.

        Raises:
            ConfigurationError: an array has another length, shape or type than it should, a reward, penalty, mask or
                action is not finite, a penalty is above 0, or a mask outside 0..1; names the array.
        """
        count = len(state)
        for side, pictures, numbers in (("", images, state), ("next_", next_images, next_state)):
            for camera, stored in pictures.items():
                _check_images(f"{side}images['{camera}']", stored, count)
            if numbers.ndim != 2 or numbers.shape != state.shape or count < 1:
                raise ConfigurationError(f"batch: {side}state has shape {numbers.shape}, expected {state.shape}, 2-D")
        if set(images) != set(next_images):
            raise ConfigurationError(f"batch: cameras {sorted(images)} in images, {sorted(next_images)} in next_images")
        if shown is None:
            shown = np.zeros(count, np.bool_)
        scalars = {
            "reward": reward,
            "grasp_penalty": grasp_penalty,
            "mask": mask,
            "gripper": gripper,
            "shown": shown,
        }
        for name, values in scalars.items():
            if values.shape != (count,):
                raise ConfigurationError(f"batch: {name} has shape {values.shape}, expected ({count},)")
        if action.ndim != 2 or len(action) != count:
            raise ConfigurationError(f"batch: action has shape {action.shape}, expected ({count}, action)")
        for name in (*_SCALARS, "action"):
            values = action if name == "action" else scalars[name]
            if not np.isfinite(values).all():
                raise ConfigurationError(
                    f"batch: {name} holds values that are not finite; leave such transitions out or relabel them"
                )
        if grasp_penalty.max() > 0.0:
            raise ConfigurationError(f"batch: grasp_penalty must be at most 0, got {grasp_penalty.max()}")
        if mask.min() < 0.0 or mask.max() > 1.0:
            raise ConfigurationError(f"batch: mask must be in 0..1, got {mask.min()}..{mask.max()}")
        if gripper.min() < 0 or gripper.max() >= GRIPPER_CHOICES:
            raise ConfigurationError(
                f"batch: gripper must be 0 close, 1 hold or 2 open, got {gripper.min()}..{gripper.max()}"
            )
        return cls(
            Observed({name: torch.from_numpy(stored) for name, stored in images.items()}, _float(state)),
            Observed({name: torch.from_numpy(stored) for name, stored in next_images.items()}, _float(next_state)),
            _float(action),
            torch.from_numpy(np.ascontiguousarray(gripper, np.int64)),
            _float(reward),
            _float(grasp_penalty),
            _float(mask),
            _float(shown),
        )


def from_replay(drawn: ReplayBatch) -> Batch:
    """Return the batch that a replay drew. Memory is shared: learn from it before the replay fills it again.

    Raises:
        ConfigurationError: see `Batch.from_arrays`.
    """
    return Batch.from_arrays(
        images=drawn.maps or drawn.images,
        next_images=drawn.next_maps or drawn.next_images,
        state=drawn.state,
        next_state=drawn.next_state,
        action=drawn.action,
        gripper=drawn.gripper,
        reward=drawn.reward,
        grasp_penalty=drawn.grasp_penalty,
        mask=drawn.mask,
        shown=drawn.is_demonstration,
    )


def _check_images(name: str, stored: NDArray[Any], count: int) -> None:
    pixels = stored.dtype == np.uint8
    if stored.ndim != 4 or len(stored) != count or (pixels and stored.shape[3] != 3):
        expected = f"({count}, height, width, 3)" if pixels else f"({count}, channels, rows, columns)"
        raise ConfigurationError(f"batch: {name} has shape {stored.shape}, expected {expected}")
    if not pixels and stored.dtype not in _FLOATS:
        raise ConfigurationError(f"batch: {name} is {stored.dtype}; maps are float16 or float32, pixels uint8")


def _float(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
