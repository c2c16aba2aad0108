"""One training run of behaviour cloning: its network, optimiser and running average, batch by batch."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from policies.bc.batches import Batch, BatchMaker, Frames, check_frames, epoch_order, split_rows
from policies.bc.config import BcConfig
from policies.bc.keyframes import KEYFRAME_SCALE_M
from policies.bc.losses import bc_losses
from policies.bc.model import BcNetwork, Prediction
from policies.bc.normalisation import Normalisation, fit_normalisation
from policies.training_state import TrainingState, moments_of, restore_moments
from tutelage_core.config import to_mapping
from tutelage_core.contract import CameraNeed

_EVALUATION_BATCH = 256


class Training:
    """One run: its network, optimiser and running average."""

    def __init__(self, frames: Frames, config: BcConfig) -> None:
        """Split the data, fit the scales and build the network, all from the configuration's seed.

        Raises:
            ConfigurationError: the data do not fit the configuration.
        """
        check_frames(frames, config)
        self.config = config
        self.train_rows, self.held_out_rows = split_rows(frames.episode_of, config.validation_fraction, config.seed)
        self.normalisation: Normalisation = fit_normalisation(
            frames.state[self.train_rows],
            frames.steps[self.train_rows],
            minimum_std_m=config.minimum_std_m,
            minimum_std_rad=config.minimum_std_rad,
            minimum_state_std=config.minimum_state_std,
        )
        self.cameras = {name: CameraNeed(store.shape[2], store.shape[1]) for name, store in frames.images.items()}
        self.network = seeded_network(config, self.cameras)
        self._stored = None if self.network.trunks_learn else _features_of_all(self.network, frames)
        self.batches = BatchMaker(frames, config, self.normalisation, load_images=self._stored is None)
        self.average = {name: tensor.clone() for name, tensor in self.network.learned_state().items()}
        self._weights = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        self._optimiser = torch.optim.AdamW(
            self._weights.values(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._bf16 = cpu_likes_bf16() if config.bf16 is None else config.bf16
        self.step = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; a last, smaller batch is left out unless it is the only one."""
        return max(1, len(self.train_rows) // self.config.batch_size)

    @property
    def total_steps(self) -> int:
        """Batches in all epochs."""
        return self.steps_per_epoch * self.config.epochs

    def take_step(self, progress: float) -> dict[str, float]:
        """Train on the next batch; `progress` is the part of the run that is over, 0..1."""
        epoch, place = divmod(self.step, self.steps_per_epoch)
        order = epoch_order(self.train_rows, self.config.seed, epoch)
        rows = order[place * self.config.batch_size : (place + 1) * self.config.batch_size]
        batch = self.batches.training(rows, self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.step, progress)
        losses = bc_losses(self._predict(self.network, batch), batch.targets, self.config)
        self._optimiser.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(self._weights.values(), self.config.gradient_clip, error_if_nonfinite=True)
        self._optimiser.step()
        self.step += 1
        keep = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        for name, tensor in self.network.learned_state().items():
            self.average[name].lerp_(tensor, 1.0 - keep)
        return {name: float(term.detach()) for name, term in losses._asdict().items()}

    def validate(self) -> dict[str, float]:
        """Return the averaged network's errors on the held-out frames; empty when none is held out."""
        if not len(self.held_out_rows):
            return {}
        network = self.averaged_network()
        sums: dict[str, float] = {}
        with torch.inference_mode():
            for start in range(0, len(self.held_out_rows), _EVALUATION_BATCH):
                batch = self.batches.plain(self.held_out_rows[start : start + _EVALUATION_BATCH])
                said = self._predict(network, batch)
                share = len(batch.state) / len(self.held_out_rows)
                for name, value in self._errors(said, batch).items():
                    sums[name] = sums.get(name, 0.0) + share * value
        return sums

    def averaged_network(self) -> BcNetwork:
        """Return a copy of the network with the averaged weights, in evaluation mode."""
        network = seeded_network(self.config, self.cameras)
        network.load_learned_state(self.average)
        return network.eval()

    def state(self, elapsed_s: float) -> TrainingState:
        """Return all that a later process needs to go on."""
        moments = moments_of(self._optimiser, self._weights)
        return TrainingState(
            self.step,
            elapsed_s,
            len(self.train_rows),
            to_mapping(self.config),
            dict(self.network.learned_state()),
            dict(self.average),
            moments,
        )

    def restore(self, state: TrainingState) -> None:
        """Go on from `state`.

        Raises:
            ConfigurationError: it belongs to other data or another configuration.
        """
        state.check_belongs_to(self.config, len(self.train_rows))
        self.network.load_learned_state(state.weights)
        self.average = {name: state.average[name].clone() for name in self.average}
        restore_moments(self._optimiser, self._weights, state.moments)
        self.step = state.step

    def _predict(self, network: BcNetwork, batch: Batch) -> Prediction:
        if self._stored is not None:
            return network.decode({name: store[batch.rows] for name, store in self._stored.items()}, batch.state)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16 and network.training):
            features = network.encode(batch.images)
        return network.decode(features, batch.state)

    def _errors(self, said: Prediction, batch: Batch) -> dict[str, float]:
        first = self.normalisation.motion_si(said.motion[:, 0].numpy())
        truth = self.normalisation.motion_si(batch.targets.motion[:, 0].numpy())
        agree = (said.gripper_logit[:, 0] > 0) == (batch.targets.gripper[:, 0] > 0.5)
        reach = (said.keyframe - batch.targets.keyframe)[:, :3].norm(dim=1) * KEYFRAME_SCALE_M
        return {
            "validation_loss": float(bc_losses(said, batch.targets, self.config).total),
            "validation_translation_mm": float(np.linalg.norm(first[:, :3] - truth[:, :3], axis=1).mean() * 1e3),
            "validation_rotation_rad": float(np.linalg.norm(first[:, 3:] - truth[:, 3:], axis=1).mean()),
            "validation_gripper_error": 1.0 - float(agree.float().mean()),
            "validation_keyframe_mm": float(reach.mean() * 1e3),
        }


def learning_rate(config: BcConfig, step: int, progress: float) -> float:
    """Return the learning rate of batch `step`: linear warm-up, then a half cosine over `progress` (0..1)."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    return config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def seeded_network(config: BcConfig, cameras: dict[str, CameraNeed]) -> BcNetwork:
    """Return a network whose random weights follow the seed; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return BcNetwork(config.model, cameras)


def cpu_likes_bf16() -> bool:
    """Return whether bfloat16 convolutions are faster than float32 ones on this CPU."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def _features_of_all(network: BcNetwork, frames: Frames) -> dict[str, Tensor]:
    """Return the frozen trunk's features of every frame, in half precision: they never change, so compute them once."""
    features: dict[str, list[Tensor]] = {name: [] for name in network.cameras}
    count = len(frames.state)
    with torch.no_grad():
        for start in tqdm(range(0, count, _EVALUATION_BATCH), desc="frozen features", disable=count < 10_000):
            pixels = {
                name: torch.from_numpy(frames.images[name][start : start + _EVALUATION_BATCH]).permute(0, 3, 1, 2)
                for name in network.cameras
            }
            for name, part in network.encode(pixels).items():
                features[name].append(part.half())
    return {name: torch.cat(parts) for name, parts in features.items()}
