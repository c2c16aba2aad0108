"""Every number of the success classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tutelage_core.encoders.image import check_image_encoder
from tutelage_core.errors import ConfigurationError, UnknownNameError

LABELS = ("outcome", "truth")


@dataclass(frozen=True)
class LabellingConfig:
    """Which frames count as success, and which as none.

    Attributes:
        labels: `outcome` is what a person can give: whether the episode succeeded, and its end is where it did;
            frames that a person labelled one by one go before. `truth` reads the simulator's ground truth of frames.
        positive_s: how long before the end of a successful episode the goal is kept for certain [s]; demonstrations
            must go on for so long after success. Longer than that, and the classifier learns to fire early.
        margin_s: frames of so long before the first positive one are left out: nobody knows when exactly it was [s].
    """

    labels: str = "outcome"
    positive_s: float = 0.5
    margin_s: float = 0.5

    def __post_init__(self) -> None:
        """Refuse unknown rules and times that leave no frame."""
        if self.labels not in LABELS:
            raise UnknownNameError("labels", self.labels, LABELS, "LabellingConfig")
        if not 0.0 < self.positive_s < math.inf:
            raise ConfigurationError(f"LabellingConfig: positive_s must be above 0 s, got {self.positive_s}")
        if not 0.0 <= self.margin_s < math.inf:
            raise ConfigurationError(f"LabellingConfig: margin_s must not be negative, got {self.margin_s}")


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the network; stored with it.

    HIL-SERL's code has spatial learned embeddings in the place of keypoints. They must see success at every place of
    the picture; a keypoint knows it wherever it is, which a few episodes can teach.

    Attributes:
        encoder: frozen image encoder.
        grid: rows and columns to which each map is averaged; null keeps the trunk's.
        keypoints: attention maps of each camera.
        keypoint_features: numbers that are read at each keypoint, beside its place.
        hidden: width of the layer behind them (HIL-SERL's code: 256).
        dropout: share of that layer's numbers that are dropped in training (HIL-SERL's code: 0.1).
    """

    encoder: str = "twin_trunk"
    grid: tuple[int, int] | None = (8, 8)
    keypoints: int = 16
    keypoint_features: int = 16
    hidden: int = 256
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse unknown encoders and sizes below one."""
        check_image_encoder(self.encoder, "ModelConfig")
        _at_least(self, 1, ("keypoints", "keypoint_features", "hidden"))
        if self.grid is not None and min(self.grid) < 1:
            raise ConfigurationError(f"ModelConfig: grid must be at least 1x1, got {self.grid}")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigurationError(f"ModelConfig: dropout must be in [0, 1), got {self.dropout}")


@dataclass(frozen=True)
class TrainingConfig:
    """How the networks are trained; half of each batch are successes.

    Attributes:
        seed: draws folds, weights, batches and views; the same seed gives the same classifier.
        folds: parts into which the episodes are divided. For each one a network is trained on all the others: what it
            says of the part that it never saw is what the threshold is chosen on, and the classifier is their mean.
        steps: batches of each network, at least (HIL-SERL's code: 150).
        passes: passes over the frames, at least: with many episodes there are more batches than `steps`.
        batch_size: frames in a batch (HIL-SERL's code: 256).
        learning_rate: AdamW's, at the start of a half cosine (HIL-SERL: 3e-4 in the paper, 1e-4 in its code).
        weight_decay: AdamW's.
        shift_px: random shift of the pixels each way (HIL-SERL's code: 4) [px].
        views: shifted views of each frame that are computed, beside the plain one; 0 for none.
    """

    seed: int = 0
    folds: int = 4
    steps: int = 400
    passes: int = 20
    batch_size: int = 128
    learning_rate: float = 3e-4
    weight_decay: float = 1e-2
    shift_px: int = 4
    views: int = 2

    def __post_init__(self) -> None:
        """Refuse numbers with which training cannot run."""
        _at_least(self, 0, ("seed", "passes", "shift_px", "views"))
        _at_least(self, 1, ("steps",))
        _at_least(self, 2, ("batch_size", "folds"))
        if not 0.0 < self.learning_rate < 1.0:
            raise ConfigurationError(f"TrainingConfig: learning_rate must be in (0, 1), got {self.learning_rate}")
        if not 0.0 <= self.weight_decay < 1.0:
            raise ConfigurationError(f"TrainingConfig: weight_decay must be in [0, 1), got {self.weight_decay}")


@dataclass(frozen=True)
class DetectionConfig:
    """How probabilities become a verdict, and how the threshold is chosen.

    Attributes:
        consecutive: frames in a row that must look like success.
        patience: frames in the band below the threshold that may stand between two that look like success.
        band: width of the band below the threshold in which a frame is neither success nor none, in logits.
        target_precision: share of the detections in episodes not learnt from that must be right (0..1).
        caution: where the threshold lies between the lowest that reaches the target (0) and the highest that still
            detects as many successes (1), in logits.
    """

    consecutive: int = 3
    patience: int = 2
    band: float = 1.0
    target_precision: float = 0.99
    caution: float = 0.5

    def __post_init__(self) -> None:
        """Refuse rules that decide nothing."""
        _at_least(self, 1, ("consecutive",))
        _at_least(self, 0, ("patience",))
        if not 0.0 <= self.band < math.inf:
            raise ConfigurationError(f"DetectionConfig: band must not be negative, got {self.band}")
        if not 0.0 < self.target_precision <= 1.0:
            raise ConfigurationError(
                f"DetectionConfig: target_precision must be in (0, 1], got {self.target_precision}"
            )
        if not 0.0 <= self.caution <= 1.0:
            raise ConfigurationError(f"DetectionConfig: caution must be in [0, 1], got {self.caution}")


@dataclass(frozen=True)
class SuccessClassifierConfig:
    """All of it."""

    labelling: LabellingConfig = field(default_factory=LabellingConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    detection: DetectionConfig = field(default_factory=DetectionConfig)


def _at_least(config: object, least: int, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(config, name) < least:
            raise ConfigurationError(
                f"{type(config).__name__}: {name} must be at least {least}, got {getattr(config, name)}"
            )
