from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from policies.hil_serl.actor import GRASP_PENALTY, StepMaker
from policies.hil_serl.config import EncoderConfig
from policies.hil_serl.replay import ReplayBuffer
from policies.hil_serl.replay_audit import audit
from policies.hil_serl.stored_views import StoredViews, ViewsConfig
from policies.hil_serl.transition import Gripper, ReplayError, Step
from tests.unit.test_hil_serl_policy import CAMERAS, FROZEN, MODEL, SIDE, observation, policy_of
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Observation, Source

pytestmark = pytest.mark.unit

STILL = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
OPEN = np.array([1.0])


def moved(x_m: float = 0.0, opening: float = 1.0) -> np.ndarray:
    return np.array([x_m, 0.0, 0.0, 0.0, 0.0, 0.0, opening])


def maker_of(views: int = 1, **of: object) -> StepMaker:
    policy = policy_of(FROZEN)
    policy.reset("", 0)
    return StepMaker(policy, StoredViews(policy, ViewsConfig(views), 0), "arm", **of)  # type: ignore[arg-type]


def episode(maker: StepMaker, length: int, first: int = 0, *, terminated: bool = True) -> list[Step]:
    maker.restart(first)
    steps = []
    for i in range(length):
        maker.took(observation(first + i, gripper_opening=OPEN), moved(0.001 * i), Source.POLICY)
        if i + 1 < length:
            steps.append(maker.go_on())
    final = observation(first + length, gripper_opening=OPEN)
    return [*steps, maker.end(final, 1.0 if terminated else 0.0, terminated=terminated)]


def test_steps_are_numbered_segment_by_segment_and_fit_a_replay_without_a_mismatch() -> None:
    maker = maker_of(views=3)
    steps = [*episode(maker, 4), *episode(maker, 3, first=10, terminated=False)]
    assert [(s.segment, s.index) for s in steps] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2)]
    assert [(s.terminated, s.truncated) for s in steps if s.ends_segment] == [(True, False), (False, True)]
    views = StoredViews(policy_of(FROZEN), ViewsConfig(3), 0)
    replay = ReplayBuffer(views.layout, 20, limit_bytes=2**30)
    assert all(replay.add(step) for step in steps)
    found = audit(replay)
    assert (found.transitions, found.terminated, found.truncated) == (7, 1, 1)
    assert not any(found.mismatches.values())


def test_executed_step_is_stored_in_the_grippers_axes_over_the_robots_limit() -> None:
    maker = maker_of()
    maker.restart(0)
    turned = np.array([0.0, 1.0, 0.0, -1.0, 0.0, 0.0])  # the TCP's y axis points along the base's -x
    maker.took(observation(0, tcp_rotation_6d=turned, gripper_opening=OPEN), moved(0.01), Source.HUMAN)
    step = maker.go_on()
    assert np.allclose(step.action, [0.0, -0.5, 0.0, 0.0, 0.0, 0.0], atol=1e-6)
    assert step.source is Source.HUMAN


def test_gripper_is_told_once_and_then_holds_and_each_command_costs() -> None:
    maker = maker_of()
    maker.restart(0)
    found = []
    for i, opening in enumerate([1.0, 0.0, 0.0, 1.0]):
        maker.took(observation(i, gripper_opening=OPEN), moved(opening=opening), Source.POLICY)
        found.append(maker.go_on())
    assert [s.gripper for s in found] == [Gripper.HOLD, Gripper.CLOSE, Gripper.HOLD, Gripper.OPEN]
    assert [s.grasp_penalty for s in found] == [0.0, GRASP_PENALTY, 0.0, GRASP_PENALTY]


def test_policy_holds_what_a_person_told_the_gripper() -> None:
    policy = policy_of(FROZEN)
    policy.reset("", 0)
    maker = StepMaker(policy, StoredViews(policy, ViewsConfig(1), 0), "arm")
    maker.restart(0)
    assert policy.networks.grasp_critic is not None
    with torch.no_grad():
        policy.networks.grasp_critic.biases[-1].zero_()[..., int(Gripper.HOLD)] = 1e3
    seen = observation(0, gripper_opening=OPEN)
    assert policy.act([seen]).steps[0, 6] == 1.0
    maker.took(seen, moved(opening=0.0), Source.HUMAN)
    maker.go_on()
    assert policy.act([observation(1, gripper_opening=OPEN)]).steps[0, 6] == 0.0


def test_unknown_reward_is_kept_as_such() -> None:
    maker = maker_of()
    maker.restart(0)
    maker.took(observation(0, gripper_opening=OPEN), moved(), Source.POLICY)
    assert np.isnan(maker.go_on(float("nan")).reward)


def test_outcome_is_told_once_for_each_step() -> None:
    maker = maker_of()
    maker.restart(0)
    with pytest.raises(ReplayError, match="no step was taken"):
        maker.go_on()
    maker.took(observation(0, gripper_opening=OPEN), moved(), Source.POLICY)
    with pytest.raises(ReplayError, match="was not told"):
        maker.took(observation(1, gripper_opening=OPEN), moved(), Source.POLICY)


def test_restarted_actor_goes_on_counting_and_says_so_once() -> None:
    maker = maker_of(next_segment=7, after_restart=True)
    steps = [*episode(maker, 2), *episode(maker, 2, first=5)]
    assert [(s.segment, s.after_restart) for s in steps] == [(7, True), (7, False), (8, False), (8, False)]


def test_first_view_is_what_the_policy_acts_on_and_the_others_are_of_shifted_pictures() -> None:
    policy = policy_of(FROZEN)
    policy.reset("", 0)
    views = StoredViews(policy, ViewsConfig(4, shift_px=4), 0)
    seen = observation(0)
    stored = views.encode(seen)
    for camera, maps in stored.maps.items():
        assert maps.shape == views.layout.maps[camera] == (4, *policy.networks.shape.images[camera])
        assert np.array_equal(maps[0], policy.observe(seen).images[camera][0].numpy())
        assert not any(np.array_equal(maps[0], maps[i]) for i in range(1, 4))


def test_shifts_follow_the_seed_of_the_episode() -> None:
    policy = policy_of(FROZEN)
    policy.reset("", 0)
    views = StoredViews(policy, ViewsConfig(2), 0)

    def stored(seed: int) -> np.ndarray:
        views.restart(seed)
        return views.encode(observation(0)).maps["front"][1]

    assert np.array_equal(stored(3), stored(3))
    assert not np.array_equal(stored(3), stored(4))


def test_picture_is_encoded_once_for_acting_and_storing(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of(FROZEN)
    policy.reset("", 0)
    views = StoredViews(policy, ViewsConfig(1), 0)
    seen, calls = observation(0), []
    whole = policy.maps_of
    monkeypatch.setattr(policy, "maps_of", lambda pixels: calls.append(len(pixels)) or whole(pixels))
    policy.act([seen])
    views.encode(seen)
    assert calls == [len(CAMERAS)]
    views.encode(Observation(seen.stamp_ns, seen.images, seen.state))
    assert calls == [len(CAMERAS)] * 2


def test_pixels_are_stored_as_they_are_where_the_trunk_learns_along() -> None:
    policy = policy_of(MODEL)
    policy.reset("", 0)
    views = StoredViews(policy, ViewsConfig(4), 0)
    seen = observation(0)
    stored = views.encode(seen)
    assert not stored.maps
    assert views.layout.images == dict.fromkeys(CAMERAS, (SIDE, SIDE))
    assert all(stored.images[c] is seen.images[c] for c in CAMERAS)
    assert views.identity("twin").encoder == ""


def test_identity_names_robot_trunk_and_limits() -> None:
    policy = policy_of(FROZEN)
    identity = StoredViews(policy, ViewsConfig(2), 0).identity("twin")
    assert (identity.robot, identity.encoder, identity.max_step_m) == ("twin", "lite0", 0.02)
    other = policy_of(replace(FROZEN, encoder=EncoderConfig("lite0", grid=(1, 1), embeddings=2)))
    assert StoredViews(other, ViewsConfig(2), 0).identity("twin") != identity


@pytest.mark.parametrize("wrong", [{"views": 0}, {"views": 2, "shift_px": 0}, {"shift_px": -1}])
def test_views_that_store_nothing_or_one_thing_twice_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="ViewsConfig"):
        ViewsConfig(**wrong)
