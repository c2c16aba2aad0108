"""Every number of the training of a Robot Utility Model."""

from __future__ import annotations

from dataclasses import dataclass, field

from policies.rum.model import RumModelConfig
from tutelage_core.errors import ConfigurationError


@dataclass(frozen=True)
class RumConfig:
    """Settings of one training run.

    Attributes:
        model: shape of the network.
        seed: seeds weights, split, batches and noise; the same seed gives the same policy.
        vq_steps: batches in which VQ-BeT's quantiser alone learns, before the rest; other heads have none.
        steps: batches in which the policy learns.
        vq_batch_size: chunks in a batch of the quantiser.
        batch_size: windows in a batch of the policy.
        learning_rate: peak of AdamW's learning rate; a linear rise over `warmup_steps` and a half cosine to 0.
        weight_decay: of AdamW.
        warmup_steps: batches over which the rate rises, in each of the two stages.
        gradient_clip: largest norm of the gradient.
        ema_decay: of the running average of the weights, which is validated and kept; the quantiser has none.
        quantile: share of the demonstrated steps that lie within -1..1; what lies beyond is cut.
        minimum_step_m, minimum_step_rad: floor of the scales of steps [m, rad].
        minimum_state_std: floor of the scales of the state.
        state_noise: standard deviation of the noise on the normalised state.
        shift_px, brightness, colour: how pictures are changed [px, share, share], for a trunk that learns; a frozen
            one sees every picture once, as it is.
        bf16: whether a trunk that learns computes in bfloat16; where that is faster if None.
        validation_fraction: share of the episodes that is held out.
        candidates: states that are kept for rollouts to choose from, evenly over the last half of `steps`.
        log_every: batches between two lines of metrics.
        save_every_s: wall time between two states to resume from [s].
    """

    model: RumModelConfig = field(default_factory=RumModelConfig)
    seed: int = 0
    vq_steps: int = 1500
    steps: int = 6000
    vq_batch_size: int = 512
    batch_size: int = 64
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    gradient_clip: float = 1.0
    ema_decay: float = 0.995
    quantile: float = 0.995
    minimum_step_m: float = 0.002
    minimum_step_rad: float = 0.01
    minimum_state_std: float = 0.02
    state_noise: float = 0.02
    shift_px: int = 4
    brightness: float = 0.4
    colour: float = 0.2
    bf16: bool | None = None
    validation_fraction: float = 0.05
    candidates: int = 3
    log_every: int = 50
    save_every_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse numbers with which training cannot run."""
        for name in (
            "steps",
            "vq_batch_size",
            "batch_size",
            "learning_rate",
            "gradient_clip",
            "minimum_step_m",
            "minimum_step_rad",
            "minimum_state_std",
            "candidates",
            "log_every",
            "save_every_s",
        ):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"RumConfig: {name} must be positive, got {getattr(self, name)}")
        for name in ("ema_decay", "validation_fraction", "brightness", "colour"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigurationError(f"RumConfig: {name} must be in [0, 1), got {getattr(self, name)}")
        if not 0.5 < self.quantile <= 1.0:
            raise ConfigurationError(f"RumConfig: quantile must be in (0.5, 1], got {self.quantile}")
        for name in ("seed", "vq_steps", "warmup_steps", "weight_decay", "state_noise", "shift_px"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"RumConfig: {name} must not be negative, got {getattr(self, name)}")
        if self.model.head == "vq_bet" and not self.vq_steps:
            raise ConfigurationError("RumConfig: vq_steps must be positive for VQ-BeT: its codes mean nothing yet")
