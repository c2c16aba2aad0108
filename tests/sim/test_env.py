"""The Gymnasium environment."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sim.env import TwinEnv
from sim.vector import make_vector_env
from tutelage_core.errors import ConfigurationError


@pytest.fixture(scope="module")
def env() -> TwinEnv:
    return TwinEnv(render_mode="rgb_array")


def test_the_environment_passes_gymnasiums_checker() -> None:
    env = gymnasium.make("Tutelage/PickCube-v0", render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it advises against unbounded state vectors
        check_env(env.unwrapped)
    env.close()


def test_the_seed_is_honoured_bit_for_bit(env: TwinEnv) -> None:
    def run() -> list[bytes]:
        observation, _ = env.reset(seed=5)
        out = [v.tobytes() for v in observation.values()]
        for _ in range(3):
            observation, *_ = env.step(env.expert_step())
            out += [v.tobytes() for v in observation.values()]
        return out

    assert run() == run()


def test_resets_without_a_seed_differ_and_follow_from_the_last_seed(env: TwinEnv) -> None:
    def run() -> list[float]:
        env.reset(seed=5)
        return [float(env.reset()[0]["tcp_position"][0]) for _ in range(3)]

    first = run()
    assert len(set(first)) == 3
    assert first == run()


def test_the_expert_is_rewarded_once_and_ends_the_episode() -> None:
    env = TwinEnv(cameras=False)
    env.reset(seed=3)
    rewards, terminated, truncated = [], False, False
    while not (terminated or truncated):
        observation, reward, terminated, truncated, info = env.step(env.expert_step())
        rewards.append(reward)
    assert terminated
    assert not truncated
    assert rewards[-1] == 1.0 == sum(rewards)
    assert info["success"]
    assert info["progress"] == 1.0
    assert "front" not in observation


def test_doing_nothing_is_truncated_at_the_limit() -> None:
    env = TwinEnv(cameras=False)
    env.reset(seed=3)
    for index in range(env.step_limit):
        _, reward, terminated, truncated, info = env.step(np.append(np.zeros(6), 1.0))
        assert truncated == (index == env.step_limit - 1)
        assert (reward, terminated) == (0.0, False)
    assert info["failure"] == "timeout"


def test_actions_go_through_the_gate(env: TwinEnv) -> None:
    env.reset(seed=0)
    before = env.twin.arm_state().T_base_tcp.position
    *_, info = env.step(np.array([np.nan, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
    assert info["reasons"] == ("NOT_FINITE",)
    assert np.abs(env.twin.arm_state().T_base_tcp.position - before).max() < 1e-3
    *_, info = env.step(np.array([0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
    assert "TRANSLATION_CLAMPED" in info["reasons"]
    assert np.linalg.norm(info["executed"][:3]) <= env.contract.safety.max_step_m + 1e-9


def test_a_latched_gate_is_free_again_after_reset(env: TwinEnv) -> None:
    env.reset(seed=0)
    for _ in range(4):
        *_, info = env.step(np.full(7, np.nan))
    assert info["reasons"] == ("LATCHED",)
    env.reset(seed=0)
    *_, info = env.step(np.append(np.zeros(6), 1.0))
    assert info["reasons"] == ()


def test_rendering_gives_the_front_picture_and_other_modes_are_refused(env: TwinEnv) -> None:
    observation, _ = env.reset(seed=1)
    assert np.array_equal(env.render(), observation["front"])
    with pytest.raises(ConfigurationError, match="rgb_array"):
        TwinEnv(render_mode="human")


def test_parallel_twins_equal_single_ones() -> None:
    vector = make_vector_env(2, cameras=False)
    observations, _ = vector.reset(seed=[4, 5])
    single = TwinEnv(cameras=False)
    for index, seed in enumerate((4, 5)):
        alone, _ = single.reset(seed=seed)
        assert np.array_equal(observations["tcp_position"][index], alone["tcp_position"])
    vector.close()
    single.close()


def test_vectorised_environments_show_what_single_ones_show_bit_for_bit() -> None:
    vector = make_vector_env(2, rooms="test")
    singles = [TwinEnv(rooms="test") for _ in range(2)]
    for _ in range(2):
        observations, _info = vector.reset(seed=[4, 5])
        alone = [env.reset(seed=seed)[0] for env, seed in zip(singles, (4, 5), strict=True)]
        for _step in range(4):
            for key, batch in observations.items():
                for index, one in enumerate(alone):
                    assert batch[index].tobytes() == one[key].tobytes(), key
            actions = np.stack([env.expert_step() for env in singles])
            observations = vector.step(actions)[0]
            alone = [env.step(action)[0] for env, action in zip(singles, actions, strict=True)]
    vector.close()
    for env in singles:
        env.close()


def test_a_room_is_chosen_by_name(env: TwinEnv) -> None:
    _, info = env.reset(seed=5, options={"room": "held_out:3"})
    assert info["room"] == "held_out:3"
    with pytest.raises(ConfigurationError, match="split:number"):
        env.reset(seed=5, options={"room": "held_out:x"})


def test_contact_force_is_reported_each_step(env: TwinEnv) -> None:
    _, info = env.reset(seed=5)
    assert info["contact_force_n"] == 0.0
    forces = []
    for _ in range(25):
        *_, info = env.step(env.expert_step())
        forces.append(info["contact_force_n"])
    assert forces[0] == 0.0
    assert max(forces) > 20.0  # the grip
