"""Every number of the four policy classes. Defaults are RUM's as released, but sizes that suit two cores."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from tutelage_core.errors import ConfigurationError, UnknownNameError

OFFSET_CODES = ("right", "sampled")


def _refuse_sizes_below_one(config: object, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ConfigurationError(f"{type(config).__name__}: {name} must be at least 1, got {getattr(config, name)}")


def _refuse_what_is_not(config: object, low: float, high: float, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise ConfigurationError(f"{type(config).__name__}: {name} must be in {low:g}..{high:g}, got {value}")


@dataclass(frozen=True)
class HeadShape:
    """What every head is told.

    Attributes:
        features: size of one observation's embedding.
        history: observations in the window, the newest last.
        chunk: steps that are predicted from each observation on.
        action: numbers of one step.
    """

    features: int
    history: int
    chunk: int
    action: int

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        _refuse_sizes_below_one(self, *(field.name for field in fields(self)))

    @property
    def size(self) -> int:
        """Numbers of one chunk."""
        return self.chunk * self.action


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of a transformer.

    Attributes:
        layers: blocks.
        heads: attention heads of each.
        width: size of a token; a multiple of `heads`.
        dropout: share of activations that are dropped in training.
    """

    layers: int = 4
    heads: int = 4
    width: int = 128
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        _refuse_sizes_below_one(self, "layers", "heads", "width")
        _refuse_what_is_not(self, 0.0, 0.9, "dropout")
        if self.width % self.heads:
            raise ConfigurationError(f"TransformerConfig: width {self.width} is no multiple of heads {self.heads}")


@dataclass(frozen=True)
class ResidualVqConfig:
    """The residual vector quantiser of VQ-BeT.

    Attributes:
        codes: entries of each codebook.
        groups: codebooks; each quantises what the ones before it have left.
        latent: size of an entry.
        hidden: width of encoder and decoder.
        commitment: weight of the distance between latents and their codes.
        decay: of the moving averages that the entries are.
        dead_below: an entry that stands for fewer chunks than this share of its fair part is set to one of the batch.
    """

    codes: int = 16
    groups: int = 2
    latent: int = 64
    hidden: int = 128
    commitment: float = 1.0
    decay: float = 0.95
    dead_below: float = 0.02

    def __post_init__(self) -> None:
        """Refuse what cannot be built; the head has a primary and a secondary code, no more and no less."""
        _refuse_sizes_below_one(self, "codes", "latent", "hidden")
        _refuse_what_is_not(self, 0.0, 100.0, "commitment")
        _refuse_what_is_not(self, 0.0, 0.9999, "decay")
        _refuse_what_is_not(self, 0.0, 1.0, "dead_below")
        if self.groups != 2:
            raise ConfigurationError(f"ResidualVqConfig: groups must be 2, got {self.groups}")


@dataclass(frozen=True)
class VqBetConfig:
    """VQ-BeT (Lee et al. 2024, arXiv 2403.03181) with RUM's weights.

    Attributes:
        vq: the quantiser; it is trained first and frozen then.
        transformer: over the window.
        primary, secondary, offset: weights of the code losses and of the L1 loss of the offset.
        focal_gamma: how much less well-told codes weigh.
        offset_of: the code whose offset is learnt: the `right` one, or the `sampled` one as RUM does it. Where two ways
            are equally good the latter draws each of them toward the other: a sampled code is as often the wrong one.
        temperature: of the codes that are sampled in training.
    """

    vq: ResidualVqConfig = ResidualVqConfig()
    transformer: TransformerConfig = TransformerConfig()
    primary: float = 5.0
    secondary: float = 0.5
    offset: float = 10.0
    focal_gamma: float = 2.0
    offset_of: str = "right"
    temperature: float = 2.0

    def __post_init__(self) -> None:
        """Refuse weights that are none."""
        if self.offset_of not in OFFSET_CODES:
            raise UnknownNameError("code of the offset", self.offset_of, OFFSET_CODES, "VqBetConfig")
        _refuse_what_is_not(self, 0.0, 1e5, "primary", "secondary", "offset", "focal_gamma")
        _refuse_what_is_not(self, 1e-6, 100.0, "temperature")


@dataclass(frozen=True)
class DiffusionConfig:
    """Diffusion Policy (Chi et al. 2023, arXiv 2303.04137), the transformer variant, sampled by DDIM.

    Attributes:
        transformer: over the noisy steps of a chunk, which look at the window.
        steps: noise levels in training.
        sample_steps: of them, those that are visited when a chunk is drawn.
        clip: what a chunk's numbers are cut to while it is drawn; normalised actions lie within.
    """

    transformer: TransformerConfig = TransformerConfig()
    steps: int = 100
    sample_steps: int = 10
    clip: float = 1.5

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        _refuse_sizes_below_one(self, "steps", "sample_steps")
        _refuse_what_is_not(self, 1e-3, 1e3, "clip")
        if self.sample_steps > self.steps:
            raise ConfigurationError(
                f"DiffusionConfig: sample_steps must be {self.steps} at most, as steps, got {self.sample_steps}"
            )


@dataclass(frozen=True)
class ActConfig:
    """ACT (Zhao et al. 2023, arXiv 2304.13705): a conditional VAE whose decoder writes the chunk at once.

    Attributes:
        transformer: of encoder and decoder.
        latent: size of the style that the encoder finds in a chunk; zero when a chunk is written.
        kl: weight of the divergence of the style.
    """

    transformer: TransformerConfig = TransformerConfig()
    latent: int = 32
    kl: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        _refuse_sizes_below_one(self, "latent")
        _refuse_what_is_not(self, 0.0, 1e5, "kl")


@dataclass(frozen=True)
class MlpConfig:
    """Behaviour cloning by a plain network on the whole window.

    Attributes:
        hidden: width of its layers.
        layers: hidden layers.
        dropout: share of activations that are dropped in training.
    """

    hidden: int = 256
    layers: int = 2
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        _refuse_sizes_below_one(self, "hidden", "layers")
        _refuse_what_is_not(self, 0.0, 0.9, "dropout")


HeadConfig = VqBetConfig | DiffusionConfig | ActConfig | MlpConfig
