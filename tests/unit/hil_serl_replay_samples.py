"""Steps whose observations tell which they are: in their maps, their pixels and their state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from policies.hil_serl.layout import ObservationLayout, ReplayIdentity
from policies.hil_serl.replay_batch import ReplayBatch
from policies.hil_serl.transition import EncodedObservation, Gripper, Step
from tutelage_core.types import Source

VIEWS = 3
LAYOUT = ObservationLayout(2, {"front": (VIEWS, 3, 1, 2)}, {"wrist": (1, 2)})
IDENTITY = ReplayIdentity(
    robot="twin",
    control_rate_hz=10.0,
    action="relative_tcp_step",
    max_step_m=0.025,
    max_step_rad=0.2,
    state_keys=("tcp_position",),
    encoder="lite0",
    encoder_sha256="",
    layout=LAYOUT,
)
LIMIT = 2**30
"""Memory limit of the tests [bytes]."""


def observed(number: int) -> EncodedObservation:
    """Return the observation of this number (below 2**21); each view of its maps bears the view's number, too."""
    maps = np.zeros((VIEWS, 3, 1, 2), np.float16)
    maps[:, 0], maps[:, 1], maps[:, 2] = number % 2048, number // 2048, np.arange(VIEWS)[:, None, None]
    digits = np.array([number & 255, number >> 8 & 255, number >> 16], np.uint8)
    return EncodedObservation(
        {"front": maps},
        np.array([number % 2048, number // 2048], np.float32),
        {"wrist": digits.reshape(1, 1, 3).repeat(2, 1)},
    )


def number_in_maps(maps: np.ndarray) -> int:
    """Return the number of the observation behind one view, shape (3, 1, 2)."""
    return int(maps[0, 0, 0]) + 2048 * int(maps[1, 0, 0])


def number_in_pixels(pixels: np.ndarray) -> int:
    """Return the number of the observation behind an image."""
    return int(pixels[0, 0, 0]) + 256 * int(pixels[0, 0, 1]) + 65536 * int(pixels[0, 0, 2])


def number_in_state(state: np.ndarray) -> int:
    """Return the number of the observation behind a state."""
    return int(state[0]) + 2048 * int(state[1])


def step(
    number: int,
    *,
    actor: str = "a",
    segment: int = 0,
    index: int = 0,
    source: Source = Source.POLICY,
    reward: float = 0.0,
    terminated: bool = False,
    truncated: bool = False,
    after_restart: bool = False,
) -> Step:
    """Return the step on the observation of this number; where it ends its segment, the final one is the next."""
    rng = np.random.default_rng(number)
    return Step(
        actor=actor,
        segment=segment,
        index=index,
        observation=observed(number),
        action=rng.uniform(-1, 1, 6).astype(np.float32),
        gripper=Gripper(int(rng.integers(3))),
        reward=reward,
        source=source,
        grasp_penalty=-0.25 * int(rng.integers(2)),
        terminated=terminated,
        truncated=truncated,
        final_observation=observed(number + 1) if terminated or truncated else None,
        after_restart=after_restart,
    )


def segment_of(
    first: int,
    length: int,
    *,
    actor: str = "a",
    segment: int = 0,
    end: str = "truncated",
    human: frozenset[int] = frozenset(),
) -> list[Step]:
    """Return a segment on the observations from `first` on; `end` is truncated, terminated or open."""
    return [
        step(
            first + i,
            actor=actor,
            segment=segment,
            index=i,
            reward=float(first + i),
            source=Source.HUMAN if i in human else Source.POLICY,
            truncated=end == "truncated" and i == length - 1,
            terminated=end == "terminated" and i == length - 1,
        )
        for i in range(length)
    ]


@dataclass(frozen=True)
class Drawn:
    """One transition of a batch, by the numbers of its observations.

    Attributes:
        maps, pixels, state: which observation each of the three shows.
        next_maps, next_pixels, next_state: likewise after the action.
        reward, mask: of the transition.
        rest: action, gripper, penalty and source.
    """

    maps: int
    pixels: int
    state: int
    next_maps: int
    next_pixels: int
    next_state: int
    reward: float
    mask: float
    rest: tuple[object, ...]


def truth(here: Step, after: int) -> Drawn:
    """Return what must be drawn for a step whose next observation is number `after`."""
    number = number_in_state(here.observation.state)
    mask = 0.0 if here.terminated else 1.0
    rest = (here.action.tobytes(), int(here.gripper), here.grasp_penalty, int(here.source))
    return Drawn(number, number, number, after, after, after, here.reward, mask, rest)


def drawn(batch: ReplayBatch) -> Iterator[Drawn]:
    """Yield the transitions of a batch."""
    for i in range(len(batch)):
        rest = (
            batch.action[i].tobytes(),
            int(batch.gripper[i]),
            float(batch.grasp_penalty[i]),
            int(batch.source[i]),
        )
        yield Drawn(
            number_in_maps(batch.maps["front"][i]),
            number_in_pixels(batch.images["wrist"][i]),
            number_in_state(batch.state[i]),
            number_in_maps(batch.next_maps["front"][i]),
            number_in_pixels(batch.next_images["wrist"][i]),
            number_in_state(batch.next_state[i]),
            float(batch.reward[i]),
            float(batch.mask[i]),
            rest,
        )


def with_reward(here: Step, reward: float) -> Step:
    """Return the step with another reward."""
    return replace(here, reward=reward)
