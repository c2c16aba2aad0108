"""Every number of a trunk's training."""

from __future__ import annotations

from dataclasses import dataclass, field

from tutelage_core.encoders.trunk import TrunkShape
from tutelage_core.errors import ConfigurationError


@dataclass(frozen=True)
class TrunkConfig:
    """Training of one trunk, by either method.

    Attributes:
        shape: size of the network; stored with the trunk.
        seed: seeds weights, split, batches and augmentation.
        epochs: passes over the moments; with `budget_s`, whichever ends first.
        budget_s: wall time of the whole training [s]; None for no limit. The learning rate then follows the clock.
        batch_size: moments in a batch; each of them brings one image of each camera (two with inverse dynamics).
        learning_rate: peak of AdamW's learning rate.
        weight_decay: of AdamW.
        warmup_steps: batches over which the learning rate rises linearly; a half cosine to 0 follows.
        gradient_clip: largest norm of the gradient.
        ema_decay: of the running average of the weights; the average is what is validated and kept.
        brightness: images are scaled by 1 +- this, per moment.
        colour: each channel is scaled by a further 1 +- this, per moment.
        keypoints: attention maps of the heads that training throws away afterwards.
        keypoint_features: numbers that such a head reads at each of its places.
        hidden: width of such a head.
        heat_weight: `state`: weight of the cross-entropy between a point's attention map and its true cell.
        pixel_weight: `state`: weight of the distance in the picture [cells].
        place_weight: `state`: weight of the distance in space, in standard deviations of the place.
        visible_weight: `state`: weight of telling whether a point can be seen.
        horizon: `inverse_dynamics`: the later frame comes 1 to so many control periods after the earlier one.
        gripper_weight: `inverse_dynamics`: weight of the gripper's command.
        validation_fraction: share of the rooms, or episodes, that is held out.
        log_every: batches between two lines of metrics.
        save_every_s: wall time between two states to resume from [s].
        bf16: train in bfloat16. None turns it on where the CPU has AMX. Trunks always run in float32.
    """

    shape: TrunkShape = field(default_factory=TrunkShape)
    seed: int = 0
    epochs: int = 40
    budget_s: float | None = None
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 200
    gradient_clip: float = 1.0
    ema_decay: float = 0.998
    brightness: float = 0.2
    colour: float = 0.1
    keypoints: int = 16
    keypoint_features: int = 16
    hidden: int = 128
    heat_weight: float = 0.3
    pixel_weight: float = 0.3
    place_weight: float = 1.0
    visible_weight: float = 0.1
    horizon: int = 12
    gripper_weight: float = 0.5
    validation_fraction: float = 0.04
    log_every: int = 50
    save_every_s: float = 60.0
    bf16: bool | None = None

    def __post_init__(self) -> None:
        """Refuse numbers with which training cannot run."""
        for name in (
            "epochs",
            "batch_size",
            "learning_rate",
            "gradient_clip",
            "keypoints",
            "keypoint_features",
            "hidden",
            "horizon",
            "log_every",
            "save_every_s",
        ):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"TrunkConfig: {name} must be positive, got {getattr(self, name)}")
        for name in ("ema_decay", "brightness", "colour", "validation_fraction"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigurationError(f"TrunkConfig: {name} must be in [0, 1), got {getattr(self, name)}")
        for name in (
            "seed",
            "weight_decay",
            "warmup_steps",
            "heat_weight",
            "pixel_weight",
            "place_weight",
            "visible_weight",
            "gripper_weight",
        ):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"TrunkConfig: {name} must not be negative, got {getattr(self, name)}")
        if self.budget_s is not None and not self.budget_s > 0:
            raise ConfigurationError(f"TrunkConfig: budget_s must be positive or null, got {self.budget_s}")
