"""Every number of behaviour cloning."""

from __future__ import annotations

from dataclasses import dataclass, field

from tutelage_core.contract import STATE_KEYS
from tutelage_core.encoders.image import check_image_encoder
from tutelage_core.errors import ConfigurationError, UnknownNameError

GRIPPER_OUTPUTS = ("binary", "value")
"""`binary`: the gripper command is 0 or 1, whichever is likelier; `value`: the predicted opening itself."""

STEP_LOSSES = ("l1", "huber")


@dataclass(frozen=True)
class BcModelConfig:
    """Shape of the network; stored in the checkpoint.

    Attributes:
        encoder: image encoder: `compact`, `lite0`, a shipped trunk, or `trunk:<folder>`; one trunk per camera when it
            is trainable, one shared trunk when frozen.
        encoder_sha256: digest of a trained trunk's weights. Training fills it in, so that a policy never looks
            through another trunk than the one that it learnt with.
        state_keys: state given to the policy, in this order. Joint velocities and wrench are left out: they
            tell what was just commanded, and a clone may copy that instead of looking.
        history: observations in the window, the newest last.
        chunk: steps that are predicted.
        replan_every: steps that are executed before the policy is asked again.
        keypoints: attention maps per camera; each gives a place (spatial softmax) and what is seen there.
        keypoint_features: features read at each keypoint's place; yaw and grasp state live here.
        camera_features: size of one camera's embedding.
        state_features: size of the embedding of the state.
        hidden: width of the fused network.
        layers: hidden layers of the fused network.
        gripper_output: one of `GRIPPER_OUTPUTS`.
    """

    encoder: str = "compact"
    encoder_sha256: str = ""
    state_keys: tuple[str, ...] = ("tcp_position", "tcp_rotation_6d", "gripper_opening")
    history: int = 1
    chunk: int = 8
    replan_every: int = 2
    keypoints: int = 32
    keypoint_features: int = 16
    camera_features: int = 128
    state_features: int = 64
    hidden: int = 256
    layers: int = 2
    gripper_output: str = "binary"

    def __post_init__(self) -> None:
        """Refuse unknown names and sizes below one."""
        check_image_encoder(self.encoder, "BcModelConfig")
        for key in self.state_keys:
            if key not in STATE_KEYS:
                raise UnknownNameError("state key", key, STATE_KEYS, "BcModelConfig")
        if self.gripper_output not in GRIPPER_OUTPUTS:
            raise UnknownNameError("gripper output", self.gripper_output, GRIPPER_OUTPUTS, "BcModelConfig")
        if not self.state_keys or len(set(self.state_keys)) != len(self.state_keys):
            raise ConfigurationError(
                f"BcModelConfig: state_keys must be distinct and at least one, got {self.state_keys}"
            )
        for name in (
            "history",
            "chunk",
            "replan_every",
            "keypoints",
            "keypoint_features",
            "camera_features",
            "state_features",
            "hidden",
            "layers",
        ):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"BcModelConfig: {name} must be at least 1, got {getattr(self, name)}")
        if self.replan_every > self.chunk:
            raise ConfigurationError(
                f"BcModelConfig: replan_every ({self.replan_every}) must not exceed chunk ({self.chunk})"
            )

    @property
    def state_size(self) -> int:
        """Numbers in one observation's state vector."""
        return sum(STATE_KEYS[key] for key in self.state_keys)


@dataclass(frozen=True)
class BcConfig:
    """Behaviour cloning from start to finish.

    Attributes:
        model: shape of the network.
        seed: seeds weights, split, batches and augmentation; the same seed gives the same policy.
        epochs: passes over the training frames; with `budget_s`, whichever ends first.
        budget_s: wall time of the whole training [s]; None for no limit. The learning rate then follows the clock,
            so two runs with a budget are alike but not equal bit for bit.
        batch_size: frames in a batch; a smaller one takes more steps in the same time.
        learning_rate: peak of AdamW's learning rate.
        weight_decay: of AdamW.
        warmup_steps: batches over which the learning rate rises linearly; a half cosine to 0 follows.
        gradient_clip: largest norm of the gradient.
        ema_decay: of the running average of the weights; the average is what is validated and kept.
        step_loss: `l1` or `huber` on the normalised steps. L1 follows the median, so a few odd demonstrations do not
            bend it, and keeps its gradient near zero, where grasps are decided.
        huber_delta: where Huber turns linear, in normalised units.
        chunk_discount: weight of step i in a chunk is chunk_discount**i: the first steps are the ones executed.
        gripper_weight: weight of the gripper's cross-entropy against the step loss.
        gripper_change_weight: extra weight of chunks in which the gripper changes; they are a few per cent of all.
        keyframe_weight: weight of the auxiliary loss, the pose difference to the episode's next gripper change (or
            its end). It is read off the episode itself, needs no labels, and tells the trunk where the object is
            even while the step is saturated at its limit. 0 turns it off; also off without tcp_position.
        shift_px: random shift of the images, up to so many pixels each way, the same within a camera's history [px].
            It costs precision: at 4 mm a pixel, a shift by 4 px hides where the object is by 16 mm.
            This and the next two have no effect on a frozen encoder: its features are computed once.
        brightness: images are scaled by 1 +- this, per sample.
        colour: each channel is scaled by a further 1 +- this, per sample.
        state_noise: standard deviation of the noise on the normalised state.
        state_dropout: chance that one state key is blanked in a sample, so that no shortcut rests on it alone.
        minimum_std_m: floor of the scales that normalise translations [m]: an axis that never moves must not have
            its noise blown up.
        minimum_std_rad: floor of the scales that normalise rotations [rad].
        minimum_state_std: floor of the scales that normalise the state.
        validation_fraction: share of the episodes that is held out.
        log_every: batches between two lines of metrics.
        save_every_s: wall time between two states to resume from [s].
        bf16: trunks train in bfloat16: twice the frames a second on CPUs with AMX. None turns it on where there is
            AMX. Policies always run in float32.
    """

    model: BcModelConfig = field(default_factory=BcModelConfig)
    seed: int = 0
    epochs: int = 60
    budget_s: float | None = None
    batch_size: int = 48
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 200
    gradient_clip: float = 1.0
    ema_decay: float = 0.995
    step_loss: str = "l1"
    huber_delta: float = 0.1
    chunk_discount: float = 0.9
    gripper_weight: float = 0.3
    gripper_change_weight: float = 3.0
    keyframe_weight: float = 0.5
    shift_px: int = 2
    brightness: float = 0.2
    colour: float = 0.1
    state_noise: float = 0.02
    state_dropout: float = 0.1
    minimum_std_m: float = 0.002
    minimum_std_rad: float = 0.01
    minimum_state_std: float = 0.02
    validation_fraction: float = 0.05
    log_every: int = 50
    save_every_s: float = 60.0
    bf16: bool | None = None

    def __post_init__(self) -> None:
        """Refuse numbers with which training cannot run."""
        if self.step_loss not in STEP_LOSSES:
            raise UnknownNameError("step loss", self.step_loss, STEP_LOSSES, "BcConfig")
        for name in (
            "epochs",
            "batch_size",
            "learning_rate",
            "gradient_clip",
            "huber_delta",
            "chunk_discount",
            "minimum_std_m",
            "minimum_std_rad",
            "minimum_state_std",
            "log_every",
            "save_every_s",
        ):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"BcConfig: {name} must be positive, got {getattr(self, name)}")
        for name in ("ema_decay", "brightness", "colour", "state_dropout", "validation_fraction"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigurationError(f"BcConfig: {name} must be in [0, 1), got {getattr(self, name)}")
        for name in (
            "seed",
            "warmup_steps",
            "shift_px",
            "weight_decay",
            "gripper_weight",
            "gripper_change_weight",
            "keyframe_weight",
            "state_noise",
        ):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"BcConfig: {name} must not be negative, got {getattr(self, name)}")
        if self.budget_s is not None and not self.budget_s > 0:
            raise ConfigurationError(f"BcConfig: budget_s must be positive or null, got {self.budget_s}")
