"""Every number of HIL-SERL; its relatives RLPD and WSRL are settings of the same code, see `presets`.

Defaults are those of HIL-SERL (Luo et al. 2024, arXiv:2410.21845, and its published code); RLPD is Ball et al. 2023,
arXiv:2302.02948; WSRL is Zhou et al. 2024, arXiv:2412.07762.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tutelage_core.contract import STATE_KEYS
from tutelage_core.encoders.image import check_image_encoder
from tutelage_core.errors import ConfigurationError, UnknownNameError

PRECISIONS = ("float32", "bfloat16")

GRIPPER_CHOICES = 3
"""0 close, 1 hold, 2 open."""


@dataclass(frozen=True)
class EncoderConfig:
    """What turns an observation into features; shared by critics, gripper critic and actor (HIL-SERL's code).

    Attributes:
        encoder: image encoder; the maps of a frozen one are stored in the replay.
        pixels: the replay holds pixels, and the trunk learns along; for trainable encoders such as `compact`.
        encoder_sha256: digest of a trained trunk's weights, so that a policy never looks through another trunk than
            the one that it learnt with; empty where none is known.
        grid: rows and columns to which each map is averaged before anything is learnt from it; null keeps the trunk's.
        embeddings: spatial learned embeddings of each channel (paper: 8).
        camera_features: size of one camera's embedding (paper: 256).
        state_features: size of the proprioception's embedding (paper: 64).
    """

    encoder: str = "twin_trunk"
    pixels: bool = False
    encoder_sha256: str = ""
    grid: tuple[int, int] | None = (4, 4)
    embeddings: int = 8
    camera_features: int = 256
    state_features: int = 64

    def __post_init__(self) -> None:
        """Refuse unknown encoders and sizes below one."""
        check_image_encoder(self.encoder, "EncoderConfig")
        _at_least_one(self, ("embeddings", "camera_features", "state_features"))
        if self.grid is not None and min(self.grid) < 1:
            raise ConfigurationError(f"EncoderConfig: grid must be at least 1x1, got {self.grid}")


@dataclass(frozen=True)
class ActorConfig:
    """The actor: a Gaussian squashed by tanh.

    Attributes:
        hidden: widths of its layers, each followed by LayerNorm and tanh (HIL-SERL's code: 256, 256).
        std_min, std_max: bounds of the Gaussian's standard deviation before squashing (HIL-SERL's code: 1e-5, 5).
    """

    hidden: tuple[int, ...] = (256, 256)
    std_min: float = 1e-5
    std_max: float = 5.0

    def __post_init__(self) -> None:
        """Refuse empty networks and bounds that are none."""
        _check_hidden(self, self.hidden)
        if not 0.0 < self.std_min < self.std_max < float("inf"):
            raise ConfigurationError(
                f"ActorConfig: needs 0 < std_min < std_max, both finite, got {self.std_min} and {self.std_max}"
            )


@dataclass(frozen=True)
class CriticConfig:
    """The critics; the gripper's critic has the same layers.

    Attributes:
        hidden: widths of the layers, each followed by LayerNorm and tanh (HIL-SERL's code: 256, 256).
        critics: size of the ensemble (HIL-SERL: 2, RLPD: 10).
        drawn: critics drawn at random for each target, of which the least is taken; null takes all (RLPD: 2).
    """

    hidden: tuple[int, ...] = (256, 256)
    critics: int = 2
    drawn: int | None = None

    def __post_init__(self) -> None:
        """Refuse empty networks and draws that the ensemble cannot give."""
        _check_hidden(self, self.hidden)
        _at_least_one(self, ("critics",))
        if self.drawn is not None and not 1 <= self.drawn <= self.critics:
            raise ConfigurationError(f"CriticConfig: drawn must be in 1..critics ({self.critics}), got {self.drawn}")


@dataclass(frozen=True)
class ModelConfig:
    """Shape of all networks; stored in the checkpoint.

    Attributes:
        encoder, actor, critic: the parts.
        state_keys: what of the robot's state is given, in this order.
        action_size: continuous numbers of an action, the gripper not counted.
        gripper: there is a gripper, with a critic of its own over close, hold and open.
        last_scale: factor on the Glorot-uniform weights with which the last layers of actor and critics begin. At 1, as
            in HIL-SERL's code, values and actions begin far from 0 and differ from state to state by chance, which must
            be unlearnt first: after 800 updates of the reach task in the tests, 5 seeds, 0.51 of the episodes succeed
            with 1 and 0.97 with 0.1.
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    actor: ActorConfig = field(default_factory=ActorConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    state_keys: tuple[str, ...] = ("tcp_position", "tcp_rotation_6d", "tcp_velocity", "wrench", "gripper_opening")
    action_size: int = 6
    gripper: bool = True
    last_scale: float = 0.1

    def __post_init__(self) -> None:
        """Refuse unknown state keys and actions without numbers."""
        for key in self.state_keys:
            if key not in STATE_KEYS:
                raise UnknownNameError("state key", key, STATE_KEYS, "ModelConfig")
        if not self.state_keys or len(set(self.state_keys)) != len(self.state_keys):
            raise ConfigurationError(
                f"ModelConfig: state_keys must be distinct and at least one, got {self.state_keys}"
            )
        _at_least_one(self, ("action_size",))
        if not 0.0 < self.last_scale <= 1.0:
            raise ConfigurationError(f"ModelConfig: last_scale must be in (0, 1], got {self.last_scale}")


@dataclass(frozen=True)
class LossConfig:
    """Numbers of the losses.

    Attributes:
        discount: gamma, per control period (HIL-SERL: 0.97 at 10 Hz).
        backup_entropy: the target counts the next action's entropy (HIL-SERL, WSRL: no).
        temperature_init: alpha at the start (HIL-SERL's code: 0.01).
        one_next_encoding: the next observation goes through the target's encoder only, and the next action is chosen
            from its features too; saves one of three encodings. HIL-SERL's code: no.
        entropy_per_dimension: target entropy per *continuous* dimension [nat]. HIL-SERL's code means -1/2 but counts
            the gripper, which its Gaussian does not drive; here it is not counted.
        cloning: weight, in the actor's loss, of the error of its mode on what people showed (TD3+BC, Fujimoto and Gu
            2021, arXiv:2106.06860; beside reinforcement Nair et al. 2018, arXiv:1709.10089). HIL-SERL: 0.
        cloning_encoder: weight of the same error in the critics' loss, where it trains the encoder. HIL-SERL: 0.
        grasp_margin: by how much the gripper's critic shall prefer what people told the gripper to all else (deep
            Q-learning from demonstrations, Hester et al. 2018, arXiv:1704.03732). HIL-SERL: 0.
    """

    discount: float = 0.97
    backup_entropy: bool = False
    one_next_encoding: bool = False
    temperature_init: float = 0.01
    entropy_per_dimension: float = -0.5
    cloning: float = 0.0
    cloning_encoder: float = 0.0
    grasp_margin: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that no loss can have."""
        if not 0.0 <= self.discount < 1.0:
            raise ConfigurationError(f"LossConfig: discount must be in [0, 1), got {self.discount}")
        if not 0.0 < self.temperature_init < float("inf"):
            raise ConfigurationError(f"LossConfig: temperature_init must be positive, got {self.temperature_init}")
        for name in ("cloning", "cloning_encoder", "grasp_margin"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ConfigurationError(f"LossConfig: {name} must be at least 0, got {getattr(self, name)}")
        if not abs(self.entropy_per_dimension) < float("inf"):
            raise ConfigurationError(
                f"LossConfig: entropy_per_dimension must be finite, got {self.entropy_per_dimension}"
            )


@dataclass(frozen=True)
class LearnerConfig:
    """How the networks are trained.

    Attributes:
        seed: seeds weights and the learner's noise.
        batch_size: transitions of an update (HIL-SERL: 256).
        demonstration_ratio: share of the batch drawn from demonstrations and interventions (HIL-SERL, RLPD: 1/2).
        critic_actor_ratio: updates of the critics for each update of actor and temperature (HIL-SERL's code: 2).
        critic_rate, actor_rate, temperature_rate: Adam's learning rates (HIL-SERL's code: 3e-4); no clipping.
        tau: share of the online weights that flows into the target at each update (HIL-SERL's code: 0.005).
        shift_px: random shift of pixels each way, of the observation and of the next one (HIL-SERL's code: 4) [px].
            Stored maps are not shifted here: their augmented views are made when they are stored.
        precision: one of `PRECISIONS`, of the big matrix products. Weights, moments, norms, values and losses are
            float32 in any case. bfloat16 is slower on processors without AMX.
        compile: compile the losses with torch.compile, after a comparison with the plain ones.
        imitates: the actor imitates people's steps, and nothing is learnt from rewards: HG-DAgger, to compare with.
    """

    seed: int = 0
    batch_size: int = 256
    demonstration_ratio: float = 0.5
    critic_actor_ratio: int = 2
    critic_rate: float = 3e-4
    actor_rate: float = 3e-4
    temperature_rate: float = 3e-4
    tau: float = 0.005
    shift_px: int = 4
    precision: str = "float32"
    compile: bool = False
    imitates: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers with which training cannot run."""
        if self.imitates and self.demonstration_ratio != 1.0:
            raise ConfigurationError(
                f"LearnerConfig: imitation draws people's steps only: demonstration_ratio must be 1, got "
                f"{self.demonstration_ratio}"
            )
        _at_least_one(self, ("batch_size", "critic_actor_ratio"))
        for name in ("critic_rate", "actor_rate", "temperature_rate"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigurationError(f"LearnerConfig: {name} must be in (0, 1), got {getattr(self, name)}")
        if not 0.0 < self.tau <= 1.0:
            raise ConfigurationError(f"LearnerConfig: tau must be in (0, 1], got {self.tau}")
        if not 0.0 <= self.demonstration_ratio <= 1.0:
            raise ConfigurationError(
                f"LearnerConfig: demonstration_ratio must be in [0, 1], got {self.demonstration_ratio}"
            )
        for name in ("seed", "shift_px"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"LearnerConfig: {name} must not be negative, got {getattr(self, name)}")
        if self.precision not in PRECISIONS:
            raise UnknownNameError("precision", self.precision, PRECISIONS, "LearnerConfig")


@dataclass(frozen=True)
class ScheduleConfig:
    """How many updates follow a step of the environment.

    Attributes:
        training_starts: steps before the first update (HIL-SERL's code: 100).
        warmup_steps: steps that the starting policy drives before anything is learnt (WSRL: 5,000).
        updates_per_step: target update-to-data ratio; null lets the learner run freely (as HIL-SERL does).
        burst: most updates that are handed out at once.
        lag_steps: the actor should wait while the learner owes the updates of more steps than this; 0 never asks.
    """

    training_starts: int = 100
    warmup_steps: int = 0
    updates_per_step: float | None = None
    burst: int = 64
    lag_steps: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that lead nowhere."""
        _at_least_one(self, ("burst",))
        for name in ("training_starts", "warmup_steps", "lag_steps"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"ScheduleConfig: {name} must not be negative, got {getattr(self, name)}")
        if self.updates_per_step is not None and not 0.0 < self.updates_per_step < float("inf"):
            raise ConfigurationError(
                f"ScheduleConfig: updates_per_step must be positive or null, got {self.updates_per_step}"
            )

    @property
    def first_step(self) -> int:
        """Steps of the environment before the first update."""
        return max(self.training_starts, self.warmup_steps)


@dataclass(frozen=True)
class HilSerlConfig:
    """All of it."""

    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)


def _at_least_one(config: object, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ConfigurationError(f"{type(config).__name__}: {name} must be at least 1, got {getattr(config, name)}")


def _check_hidden(config: object, hidden: tuple[int, ...]) -> None:
    if not hidden or min(hidden) < 1:
        raise ConfigurationError(
            f"{type(config).__name__}: hidden needs at least one width of at least 1, got {hidden}"
        )
