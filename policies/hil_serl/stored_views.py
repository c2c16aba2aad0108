"""What a replay stores of an observation: the frozen trunk's maps of the plain picture and of k-1 shifted ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from policies.hil_serl.augmentation import random_shift
from policies.hil_serl.frames import ACTION
from policies.hil_serl.layout import ObservationLayout, ReplayIdentity
from policies.hil_serl.policy import HilSerlPolicy
from policies.hil_serl.transition import EncodedObservation
from tutelage_core.encoders.image import frozen_digest
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Observation


@dataclass(frozen=True)
class ViewsConfig:
    """How stored maps are augmented; pixels are stored as they are and shifted when they are learnt from.

    Attributes:
        views: maps stored of each picture, the plain one among them.
        shift_px: random shift of the others each way, before the trunk (HIL-SERL's code: 4, drawn at each update)
            [px].
    """

    views: int = 4
    shift_px: int = 4

    def __post_init__(self) -> None:
        """Refuse what stores nothing, or the same thing several times."""
        if self.views < 1 or self.shift_px < 0 or (self.views > 1 and self.shift_px == 0):
            raise ConfigurationError(
                f"ViewsConfig: needs views of at least 1, and a shift_px of at least 1 for more than one, got "
                f"{self.views} views and {self.shift_px} px"
            )


class StoredViews:
    """Encodes observations for the replay through a policy's own trunk, so that learner and actor see the same."""

    def __init__(self, policy: HilSerlPolicy, config: ViewsConfig, seed: int) -> None:
        """Encode what `policy` sees; the shifts follow `seed`."""
        self._policy = policy
        self._config = config
        self._generator = torch.Generator().manual_seed(seed)
        encoder = policy.networks.config.encoder
        images = policy.networks.shape.images
        self._pixels = encoder.pixels or not images
        self.layout = (
            ObservationLayout(policy.networks.shape.state, images={c: (s[0], s[1]) for c, s in images.items()})
            if self._pixels
            else ObservationLayout(
                policy.networks.shape.state, maps={c: (config.views, *shape) for c, shape in images.items()}
            )
        )

    def restart(self, seed: int) -> None:
        """Begin an episode: its shifts follow `seed`."""
        self._generator.manual_seed(seed)

    def encode(self, obs: Observation) -> EncodedObservation:
        """Return what is stored of `obs`.

        Raises:
            ValueError: the observation does not fit the policy; see `HilSerlPolicy.observe`.
        """
        observed = self._policy.observe(obs)
        state = observed.state[0].numpy()
        if self._pixels:
            return EncodedObservation({}, state, {c: obs.images[c] for c in self.layout.images})
        plain = {camera: maps.numpy() for camera, maps in observed.images.items()}
        extra = self._config.views - 1
        if extra == 0:
            return EncodedObservation(plain, state)
        pixels = torch.from_numpy(np.stack([obs.images[camera] for camera in plain])).repeat_interleave(extra, 0)
        shifted = random_shift(pixels, self._config.shift_px, self._generator)
        more = self._policy.maps_of(shifted.numpy()).numpy()
        maps = {c: np.concatenate([own, more[i * extra : (i + 1) * extra]]) for i, (c, own) in enumerate(plain.items())}
        return EncodedObservation(maps, state)

    def identity(self, robot: str) -> ReplayIdentity:
        """Return whose data a replay of these observations holds."""
        policy = self._policy
        encoder = policy.networks.config.encoder
        return ReplayIdentity(
            robot=robot,
            control_rate_hz=policy.spec.control_rate_hz,
            action=ACTION,
            max_step_m=policy.scales.action.max_step_m,
            max_step_rad=policy.scales.action.max_step_rad,
            state_keys=policy.spec.state_keys,
            encoder="" if self._pixels else encoder.encoder,
            encoder_sha256="" if policy.trunk is None else frozen_digest(policy.trunk),
            layout=self.layout,
        )
