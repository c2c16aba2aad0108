"""Weights on their way from learner to actor, and the gate that they have to pass before they may drive.

::

    safetensors header   metadata: identity (JSON, see `ReplayIdentity`)
    safetensors arrays   weights/NAME           of `ActingNetworks`
                         canary/state, canary/images/CAMERA, canary/mean, canary/log_std, canary/grasp

Beside the bytes go their SHA-256, the run, and the version. The canary batch comes with the outputs that the learner's
own networks had on it: an actor whose networks say something else has other networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from policies.hil_serl.acknowledgement import WeightsVersion
from policies.hil_serl.batch import Observed
from policies.hil_serl.canary import CanaryBounds, Outputs, faults_of, outputs_of
from policies.hil_serl.layout import ReplayIdentity
from policies.hil_serl.networks import ActingNetworks
from policies.hil_serl.policy import HilSerlPolicy
from policies.hil_serl.step_codec import check_identity, identity_text, metadata_of
from policies.hil_serl.weights import put_weights
from tutelage_core.errors import ConfigurationError, TutelageError

_WEIGHTS, _CANARY, _IMAGES, _IDENTITY = "weights/", "canary/", "images/", "identity"
_CANARY_BYTES = 32 * 2**20
"""Room for header and canary batch beside the weights."""


class WeightsRefusedError(TutelageError):
    """New weights must not be used; those in use stay."""


@dataclass(frozen=True)
class WeightsPacket:
    """Weights as they travel.

    Attributes:
        run: name of the training run.
        version: which weights of it.
        sha256: of `data`.
        data: see the top of this file.
    """

    run: str
    version: WeightsVersion
    sha256: str
    data: bytes


def pack_weights(
    policy: HilSerlPolicy, identity: ReplayIdentity, run: str, version: WeightsVersion, canary: Observed
) -> WeightsPacket:
    """Return the weights of `policy` for the actors.

    Args:
        policy: has the learner's weights.
        identity: of what the learner learns from.
        run: name of the training run.
        version: of the weights.
        canary: observations that they are tried on.
    """
    outputs = outputs_of(policy.networks, canary)
    tensors = {f"{_WEIGHTS}{name}": tensor for name, tensor in policy.networks.state_dict().items()}
    tensors |= {f"{_CANARY}{name}": value for name, value in outputs._asdict().items()}
    tensors |= {f"{_CANARY}{_IMAGES}{name}": value for name, value in canary.images.items()}
    tensors[f"{_CANARY}state"] = canary.state
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    data = save_safetensors(contiguous, {_IDENTITY: identity_text(identity)})
    return WeightsPacket(run, version, hashlib.sha256(data).hexdigest(), data)


class WeightsGate:
    """Looks at new weights, and gives the good ones to a policy when its owner says so."""

    def __init__(self, policy: HilSerlPolicy, identity: ReplayIdentity, bounds: CanaryBounds | None = None) -> None:
        """Guard `policy`, whose steps are of `identity`."""
        self._policy = policy
        self._identity = identity
        self._bounds = bounds or CanaryBounds()
        own = policy.networks
        with torch.random.fork_rng(devices=[]):
            self._candidate = ActingNetworks(own.config, own.shape).eval().requires_grad_(False)
        weights = sum(tensor.numel() * tensor.element_size() for tensor in own.state_dict().values())
        self._most_bytes = weights + _CANARY_BYTES
        self._waiting: tuple[WeightsVersion, Mapping[str, Tensor]] | None = None
        self.run = ""
        """Run of the weights that were offered last."""
        self.heard: WeightsVersion | None = None
        """The newest version of that run that was offered, good or not."""
        self.good: WeightsVersion | None = None
        """The newest good one of that run."""
        self.applied: WeightsVersion | None = None
        """The one that the policy has; None while it has none of that run."""
        self.refused = 0
        """How often weights were refused."""
        self.trouble = ""
        """Why the newest weights were refused, empty if they were good."""

    def offer(self, packet: WeightsPacket) -> bool:
        """Look at new weights and keep them for `apply`; return False for those that were offered already.

        Raises:
            WeightsRefusedError: says what is wrong with them; what was kept before stays.
        """
        if packet.run != self.run:
            self.run, self.heard, self.good, self.applied, self._waiting = packet.run, None, None, None, None
        if packet.version == self.heard:
            return False
        try:
            tensors = self._checked(packet)
        except TutelageError as error:
            self.refused += 1
            self.trouble = f"weights of {packet.version.updates} updates are refused: {error}"
            raise WeightsRefusedError(self.trouble) from error
        finally:
            self.heard = packet.version if self.heard is None else max(self.heard, packet.version)
        self._waiting, self.good, self.trouble = (packet.version, tensors), packet.version, ""
        return True

    def apply(self) -> bool:
        """Give the policy the newest good weights; return whether there were new ones."""
        if self._waiting is None:
            return False
        self.applied, tensors = self._waiting
        self._policy.load_weights(tensors)
        self._waiting = None
        return True

    def _checked(self, packet: WeightsPacket) -> Mapping[str, Tensor]:
        if self.good is not None and packet.version < self.good:
            raise WeightsRefusedError(f"{packet.version} is older than {self.good}, which was good")
        if len(packet.data) > self._most_bytes:
            raise WeightsRefusedError(f"{len(packet.data)} bytes, at most {self._most_bytes} are expected")
        digest = hashlib.sha256(packet.data).hexdigest()
        if digest != packet.sha256:
            raise WeightsRefusedError(f"their SHA-256 is {digest[:12]}..., it should be {packet.sha256[:12]}...")
        identity = metadata_of(packet.data, "weights").get(_IDENTITY, "")
        check_identity(identity, self._identity, "this actor", "their learner")
        try:
            tensors = load_safetensors(packet.data)
        except Exception as error:  # safetensors raises its own Rust-made types
            raise WeightsRefusedError(f"not a safetensors file: {error}") from error
        if foreign := [name for name in tensors if not name.startswith((_WEIGHTS, _CANARY))]:
            raise WeightsRefusedError(f"they hold the unknown arrays {', '.join(sorted(foreign)[:4])}")
        weights = _part(tensors, _WEIGHTS)
        for name, own in self._policy.networks.state_dict().items():
            if name in weights and weights[name].dtype != own.dtype:
                raise WeightsRefusedError(f"'{name}' is {weights[name].dtype}, the policy's is {own.dtype}")
        put_weights(self._candidate, weights, "policy's networks")
        self._try_on(_part(tensors, _CANARY))
        return weights

    def _try_on(self, canary: Mapping[str, Tensor]) -> None:
        try:
            observed = Observed(_part(canary, _IMAGES), canary["state"])
            expected = Outputs(canary["mean"], canary["log_std"], canary["grasp"])
            found = outputs_of(self._candidate, observed)
        except (KeyError, RuntimeError, ValueError, ConfigurationError) as error:
            raise WeightsRefusedError(f"the canary batch does not fit the networks: {error}") from error
        if faults := faults_of(found, expected, self._bounds):
            raise WeightsRefusedError(f"on the canary batch of {len(observed.state)} observations {'; '.join(faults)}")


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
