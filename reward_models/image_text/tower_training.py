"""Trains the twin tower's head on captioned pictures, whose maps were computed once.

A batch holds whole episodes, so that of the sentences of a batch many are false of a picture for one reason only. A
moment is asked about every sentence of its batch, through each camera and through all of them together. What the robot
was asked to do counts as fitting as far as it is done: `PART_DONE` times the true progress, and 1 after success. What
other episodes in the same scene were asked is left out, since nobody knows whether it is done. Of sentences that answer
the same question, such as what is held, each batch brings some that its episodes do not: a batch has few colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from reward_models.image_text.captioned_frames import NOTHING, CaptionedFrames
from reward_models.image_text.tower_maps import as_tensor
from reward_models.image_text.tower_network import TowerNetwork, TowerShape
from tutelage_core.encoders.sentence import SentenceEncoder
from tutelage_core.errors import ConfigurationError

PART_DONE = 0.6
"""How well a wish fits just before it is fulfilled."""

_BATCHES, _SPLIT, _RIVALS = 41, 43, 47
"""Keys of the named random generators."""


@dataclass(frozen=True)
class TowerConfig:
    """Every number of the training.

    Attributes:
        shape: of the network.
        seed: of weights, batches and the episodes that are held out.
        epochs: times that every moment is shown.
        batch: moments in a batch, about: episodes stay whole.
        learning_rate: largest one; it warms up and falls to 0 along half a cosine.
        warmup: batches until it is reached.
        weight_decay: of AdamW.
        wish_weight: of a pair of a moment and its own wish, where other pairs weigh 1.
        gradient_clip: longest gradient.
        ema_decay: of the running average of the weights, which is what is kept.
        held_out: share of the episodes that are not learnt from.
        share: share of the other episodes that are learnt from, to see what more data gives (0..1].
        rivals: sentences that answer the same question and that each batch brings beside its own, drawn anew each time.
    """

    shape: TowerShape = field(default_factory=lambda: TowerShape(pixels=64))
    seed: int = 0
    epochs: int = 14
    batch: int = 96
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.02
    wish_weight: float = 4.0
    gradient_clip: float = 1.0
    ema_decay: float = 0.998
    held_out: float = 0.05
    share: float = 1.0
    rivals: int = 64

    def __post_init__(self) -> None:
        """Refuse numbers that train nothing."""
        least = min(self.epochs, self.batch, self.warmup, self.rivals + 1)
        if least < 1 or not 0.0 < self.share <= 1.0 or not 0 <= self.held_out < 1:
            raise ConfigurationError(
                f"TowerConfig: needs at least 1 epoch, moment and warm-up batch, share in (0, 1], held_out in [0, 1) "
                f"and no negative rivals, got {self.epochs}, {self.batch}, {self.warmup}, {self.share}, "
                f"{self.held_out}, {self.rivals}"
            )


@dataclass(frozen=True)
class Lesson:
    """What there is to learn from, ready to be shown.

    Attributes:
        frames: the moments.
        maps: of each encoder, shape (N, C, channels, rows, columns), half precision.
        sentences: vectors of the sentences, shape (S, 384).
        scenes: number of each moment's scene, shape (N,): tasks with the same objects share it.
        answers: number of the answer that each sentence gives, shape (S,), `NOTHING` for those that give none.
    """

    frames: CaptionedFrames
    maps: Sequence[Tensor]
    sentences: Tensor
    scenes: NDArray[np.int64]
    answers: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        frames: CaptionedFrames,
        maps: Sequence[Tensor],
        encoder: SentenceEncoder,
        scenes: Mapping[str, str],
        answer: Callable[[str], str | None] = lambda _: None,
    ) -> Lesson:
        """Read the sentences.

        Args:
            frames: the moments.
            maps: of each encoder.
            encoder: of the sentences.
            scenes: each task's scene.
            answer: what a sentence says to a question that has one true answer at a time; None if it says nothing.
        """
        numbers = {name: row for row, name in enumerate(dict.fromkeys(scenes[kind] for kind in frames.kinds))}
        of_kind = np.array([numbers[scenes[kind]] for kind in frames.kinds], np.int64)
        said = [answer(sentence) for sentence in frames.sentences]
        rows = {text: row for row, text in enumerate(dict.fromkeys(text for text in said if text is not None))}
        answers = np.array([NOTHING if text is None else rows[text] for text in said], np.int64)
        return cls(frames, maps, encoder(frames.sentences), of_kind[frames.tasks], answers)


class TowerTraining:
    """One run, batch by batch."""

    def __init__(self, lesson: Lesson, config: TowerConfig) -> None:
        """Build the network from the configuration's seed.

        Raises:
            ConfigurationError: too few episodes to learn from.
        """
        self.config, self._lesson = config, lesson
        shapes = [(maps.shape[2], maps.shape[3], maps.shape[4]) for maps in lesson.maps]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = TowerNetwork(config.shape, shapes)
        weights = dict(self.network.named_parameters())
        self._weights = weights
        self._average = {name: weight.detach().clone() for name, weight in weights.items()}
        self._optimiser = torch.optim.AdamW(
            weights.values(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._episodes, self.held_out = self._split()
        self.step = 0
        self.total_steps = config.epochs * max(1, sum(len(rows) for rows in self._episodes) // config.batch)

    def run(self) -> Iterator[float]:
        """Train to the end; gives the loss of each batch.

        Raises:
            RuntimeError: the gradient is no longer finite.
        """
        config = self.config
        while self.step < self.total_steps:
            for rows in self._batches():
                warm = min(1.0, (self.step + 1) / config.warmup)
                fall = 0.5 * (1.0 + math.cos(math.pi * self.step / self.total_steps))
                for group in self._optimiser.param_groups:
                    group["lr"] = config.learning_rate * warm * fall
                loss = self.loss(rows)
                self._optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self._weights.values(), config.gradient_clip, error_if_nonfinite=True)
                self._optimiser.step()
                self.step += 1
                decay = min(config.ema_decay, self.step / (self.step + 10.0))
                with torch.no_grad():
                    for name, weight in self._weights.items():
                        self._average[name].lerp_(weight.detach(), 1.0 - decay)
                yield float(loss.detach())
                if self.step >= self.total_steps:
                    return

    def loss(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the logistic loss of the moments of these rows with all sentences that their batch brings."""
        frames = self._lesson.frames
        said = np.unique(np.concatenate([frames.captions[rows].ravel(), frames.wishes[rows]]))
        said = said[said != NOTHING]
        targets, weights = self.targets(rows, said)
        rivals = self._rivals(said)
        said = np.concatenate([said, rivals])
        targets = torch.cat([targets, torch.zeros(len(rows), len(rivals))], dim=1)
        weights = torch.cat([weights, self.refuted(rows, rivals)], dim=1)
        network = self.network
        seen = [
            network.see(
                [maps[torch.from_numpy(rows), camera].float() for maps in self._lesson.maps],
                as_tensor(frames.images[rows, camera]),
            )
            for camera in range(len(frames.cameras))
        ]
        read = network.read(self._lesson.sentences[torch.from_numpy(said)])
        cosines = torch.stack([one @ read.T for one in seen])
        if len(seen) > 1:
            cosines = torch.cat([cosines, cosines.mean(dim=0, keepdim=True)])
        found = F.binary_cross_entropy_with_logits(
            network.logits(cosines), targets.expand_as(cosines), weights.expand_as(cosines), reduction="sum"
        )
        return found / (len(cosines) * len(rows))

    def targets(self, rows: NDArray[np.int64], said: NDArray[np.int32]) -> tuple[Tensor, Tensor]:
        """Return how well each sentence fits each moment (0..1), and what the pair weighs, shape (rows, said)."""
        frames, scenes = self._lesson.frames, self._lesson.scenes
        true = (frames.captions[rows][:, :, None] == said[None, None, :]).any(axis=1)
        targets, weights = true.astype(np.float32), np.ones(true.shape, np.float32)
        # a sentence may be the wish of several episodes: its column is unknown in their scene, but in their own rows
        wished_in = scenes[rows][:, None] == scenes[rows][None, :]
        is_wish = frames.wishes[rows][:, None] == said[None, :]
        unknown = (wished_in.astype(np.float32) @ is_wish.astype(np.float32)) > 0.0
        weights[unknown & ~true & ~is_wish] = 0.0
        done = np.where(frames.success[rows], 1.0, PART_DONE * frames.progress[rows]).astype(np.float32)
        targets = np.where(is_wish, np.maximum(done[:, None], targets), targets)
        weights[is_wish] = self.config.wish_weight
        return torch.from_numpy(targets), torch.from_numpy(weights)

    def refuted(self, rows: NDArray[np.int64], rivals: NDArray[np.int32]) -> Tensor:
        """Return 1 where a moment's captions give another answer than a rival, else 0, shape (rows, rivals)."""
        captions = self._lesson.frames.captions[rows]
        given = np.where(captions == NOTHING, NOTHING, self._lesson.answers[captions])
        same = (given[:, :, None] == self._lesson.answers[rivals][None, None, :]).any(axis=1)
        return torch.from_numpy(((given != NOTHING).any(axis=1)[:, None] & ~same).astype(np.float32))

    def _rivals(self, said: NDArray[np.int32]) -> NDArray[np.int32]:
        """Draw sentences with an answer that the batch does not bring."""
        others = np.setdiff1d(np.flatnonzero(self._lesson.answers != NOTHING), said)
        random = np.random.default_rng([self.config.seed, _RIVALS, self.step])
        return random.permutation(others)[: self.config.rivals].astype(np.int32)

    def averaged(self) -> dict[str, Tensor]:
        """Return the running average of the weights, by name."""
        return {name: tensor.clone() for name, tensor in self._average.items()}

    def _split(self) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        frames = self._lesson.frames
        episodes = frames.tasks.astype(np.int64) * (1 << 40) + frames.episodes
        rows = [np.flatnonzero(episodes == number) for number in np.unique(episodes)]
        order = np.random.default_rng([self.config.seed, _SPLIT]).permutation(len(rows))
        apart = round(self.config.held_out * len(rows))
        learning = order[apart:]
        learning = learning[: max(1, round(self.config.share * len(learning)))]
        if len(learning) < 2:
            raise ConfigurationError(f"twin tower: {len(rows)} episodes are too few to learn from")
        kept = [rows[i] for i in order[:apart]]
        return [rows[i] for i in learning], np.concatenate(kept) if kept else np.empty(0, np.int64)

    def _batches(self) -> Iterator[NDArray[np.int64]]:
        order = np.random.default_rng([self.config.seed, _BATCHES, self.step]).permutation(len(self._episodes))
        together: list[NDArray[np.int64]] = []
        for number in order:
            together.append(self._episodes[number])
            if sum(map(len, together)) >= self.config.batch:
                yield np.concatenate(together)
                together = []
        if together and self.step == 0 and len(order) <= len(together):
            yield np.concatenate(together)  # fewer moments than a batch
