"""One short learning run: the default preset on a task that needs no simulator."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from policies.hil_serl.batch import Batch, ObservationShape, Observed
from policies.hil_serl.config import HilSerlConfig
from policies.hil_serl.learner import Learner
from tests.unit.hil_serl_samples import with_model

pytestmark = pytest.mark.unit


class Reach:
    """A point in the square [-1, 1]^2 that shall come to a goal; reward 1 and the end within 0.25 of it."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def reset(self) -> np.ndarray:
        self.point, self.goal = self.rng.uniform(-1, 1, (2, 2))
        self.steps = 0
        return self.seen()

    def seen(self) -> np.ndarray:
        return np.concatenate([self.point, self.goal, self.goal - self.point]).astype(np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        self.point = np.clip(self.point + 0.2 * action, -1, 1)
        self.steps += 1
        there = bool(np.linalg.norm(self.goal - self.point) < 0.25)
        return self.seen(), float(there), there, not there and self.steps >= 20


def act(learner: Learner, seen: np.ndarray, rng: torch.Generator | None) -> np.ndarray:
    """Return an action, drawn with `rng` or the mode."""
    with torch.no_grad():
        z = learner.values.encode(learner.values.encoder.prepare(Observed({}, torch.from_numpy(seen)[None])))
        pi = learner.actor(z)
        return (pi.mode() if rng is None else pi.sample(torch.randn(1, 2, generator=rng))[0])[0].numpy()


def mean_return(learner: Learner | None, episodes: int = 40) -> float:
    """Return the mean return of the actor's mode, or of random actions, on rooms of their own."""
    env, rng, total = Reach(1000), np.random.default_rng(7), 0.0
    for _ in range(episodes):
        seen, over = env.reset(), False
        while not over:
            action = rng.uniform(-1, 1, 2) if learner is None else act(learner, seen, None)
            seen, reward, ended, timed_out = env.step(action)
            total += reward
            over = ended or timed_out
    return total / episodes


def row(seen: np.ndarray, action: np.ndarray, reward: float, ended: bool, following: np.ndarray) -> np.ndarray:
    return np.concatenate([seen, action, [reward, not ended], following]).astype(np.float32)


def demonstrations(episodes: int) -> np.ndarray:
    """Return what a clumsy expert did, a row each step: towards the goal, with noise."""
    env, rng, rows = Reach(500), np.random.default_rng(1), []
    for _ in range(episodes):
        seen, over = env.reset(), False
        while not over:
            action = np.clip(5 * seen[4:] + 0.5 * rng.normal(size=2), -1, 1)
            following, reward, ended, timed_out = env.step(action)
            rows.append(row(seen, action, reward, ended, following))
            seen, over = following, ended or timed_out
    return np.stack(rows)


def batch_of(rows: np.ndarray) -> Batch:
    state, action, reward, mask, next_state = np.split(rows, (6, 8, 9, 10), axis=1)
    return Batch.from_arrays(
        images={},
        next_images={},
        state=state,
        next_state=next_state,
        action=action,
        gripper=np.ones(len(rows), np.int8),
        reward=reward[:, 0],
        grasp_penalty=np.zeros(len(rows), np.float32),
        mask=mask[:, 0],
    )


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Such small products are slower on two threads, much slower where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.timeout(400)  # 15 s of processor time, but neighbours may be busy
@pytest.mark.usefixtures("one_thread")
def test_default_preset_learns_to_reach_within_a_minute() -> None:
    """At least 0.5 above random actions, from 20 demonstrations and 500 steps of its own with a sparse reward."""
    begun_s = time.process_time()
    config = with_model(HilSerlConfig(), action_size=2, gripper=False)
    half = round(config.learner.batch_size * config.learner.demonstration_ratio)
    learner = Learner(config, ObservationShape({}, 6))
    env, rng, noise = Reach(0), np.random.default_rng(0), torch.Generator().manual_seed(0)
    shown, own = demonstrations(20), np.zeros((500, 16), np.float32)
    seen = env.reset()
    for step in range(len(own)):
        action = act(learner, seen, noise)
        following, reward, ended, timed_out = env.step(action)
        own[step] = row(seen, action, reward, ended, following)
        seen = env.reset() if ended or timed_out else following
        if step >= config.schedule.training_starts:
            mine = own[rng.integers(0, step + 1, (2, config.learner.batch_size - half))]
            theirs = shown[rng.integers(0, len(shown), (2, half))]
            learner.update([batch_of(rows) for rows in np.concatenate([mine, theirs], axis=1)])
    assert mean_return(learner) >= mean_return(None) + 0.5
    assert time.process_time() - begun_s < 60.0
