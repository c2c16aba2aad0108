"""The words of the learner: what can be no step is refused where it is made; whose data a replay holds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from policies.hil_serl.layout import ObservationLayout
from policies.hil_serl.segments import Progress, Segments
from policies.hil_serl.transition import EncodedObservation, Relabel, ReplayError
from tests.unit.hil_serl_replay_samples import IDENTITY, LAYOUT, observed, step
from tutelage_core.errors import ConfigurationError, ContractMismatchError

pytestmark = pytest.mark.unit
STEP = step(7, segment=3, index=5)
END = step(7, segment=3, index=5, truncated=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actor": ""}, "needs an actor's name"),
        ({"index": -1}, "index of at least 0"),
        ({"action": np.zeros(7, np.float32)}, r"float32\(7,\), expected float32\(6,\)"),
        ({"action": np.zeros(6)}, r"float64\(6,\), expected float32"),
        ({"action": np.full(6, np.nan, np.float32)}, r"finite and within \[-1, 1\]"),
        ({"action": np.full(6, 1.01, np.float32)}, r"finite and within \[-1, 1\]"),
        ({"gripper": 3}, "legal: 0 close, 1 hold, 2 open"),
        ({"source": 9}, "legal: 0 HOLD, 1 POLICY"),
        ({"reward": math.inf}, "NaN to mark it as invalid"),
        ({"grasp_penalty": math.nan}, "finite and at most 0"),
        ({"grasp_penalty": 0.02}, "finite and at most 0"),
        ({"terminated": True}, "must bring a final observation"),
        ({"final_observation": observed(8)}, "must not bring a final observation"),
        ({"after_restart": True}, "only the first step"),
    ],
)
def test_what_can_be_no_step_is_refused_by_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(ReplayError, match=message) as caught:
        replace(STEP, **change)  # type: ignore[arg-type]
    assert f"segment {change.get('segment', 3)} of actor" in str(caught.value)


def test_an_invalid_reward_is_a_step_all_the_same() -> None:
    assert math.isnan(replace(STEP, reward=math.nan).reward)
    assert math.isnan(Relabel("a", 0, {1: math.nan}).rewards[1])
    with pytest.raises(ReplayError, match="step 1 of segment 0 of actor 'a': reward -inf"):
        Relabel("a", 0, {1: -math.inf})


def test_termination_and_truncation_both_end_a_segment() -> None:
    assert not STEP.ends_segment
    assert END.ends_segment
    assert replace(END, terminated=True).ends_segment


def spoilt(**changes: object) -> EncodedObservation:
    return replace(observed(1), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (spoilt(maps={}), r"maps of the cameras none, this replay stores those of \['front'\]"),
        (spoilt(images={"wrist": np.zeros((1, 2, 3), np.uint8), "top": np.zeros(1)}), r"\['top', 'wrist'\]"),
        (spoilt(state=np.zeros(2)), "state: float64"),
        (spoilt(state=np.array([0, np.nan], np.float32)), "state: holds numbers that are not finite"),
        (
            spoilt(maps={"front": np.zeros((2, 3, 1, 2), np.float16)}),
            r"maps of 'front': float16\(2, 3, 1, 2\), expected",
        ),
        (spoilt(maps={"front": np.full((3, 3, 1, 2), np.inf, np.float16)}), "maps of 'front': holds numbers"),
        (spoilt(maps={"front": np.full((3, 3, 1, 2), np.nan, np.float16)}), "maps of 'front': holds numbers"),
        (spoilt(images={"wrist": np.zeros((2, 1, 3), np.uint8)}), "image of 'wrist': uint8"),
    ],
)
def test_an_observation_of_another_layout_is_refused_by_name(observation: EncodedObservation, message: str) -> None:
    with pytest.raises(ReplayError, match=message):
        LAYOUT.check(observation, "here")


def test_every_finite_half_is_let_through() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    layout = ObservationLayout(1, {"c": (1, 1, 1, 1)})
    for half in halves[:: 2**16 // 512]:
        seen = EncodedObservation({"c": np.full((1, 1, 1, 1), half, np.float16)}, np.zeros(1, np.float32))
        if np.isfinite(half):
            layout.check(seen, "here")
        else:
            with pytest.raises(ReplayError, match="not finite"):
                layout.check(seen, "here")


def test_a_layout_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="state_size must be at least 1"):
        ObservationLayout(0)
    with pytest.raises(ConfigurationError, match=r"maps of 'front' have an empty side: \(4, 0, 8, 8\)"):
        ObservationLayout(1, {"front": (4, 0, 8, 8)})


def test_bytes_of_an_observation_are_those_of_its_arrays() -> None:
    seen = observed(3)
    size = seen.maps["front"].nbytes + seen.images["wrist"].nbytes + seen.state.nbytes
    assert LAYOUT.bytes_per_observation == size


def test_data_of_another_robot_encoder_or_action_are_refused_with_every_difference() -> None:
    other = replace(
        IDENTITY, robot="franka", encoder="twin_trunk", max_step_m=0.01, layout=ObservationLayout(2, LAYOUT.maps)
    )
    with pytest.raises(ContractMismatchError) as caught:
        IDENTITY.check_same(other, "this run", "the store")
    assert str(caught.value).startswith("this run does not fit the store:")
    assert set(caught.value.differences) == {
        "robot: twin here, franka there",
        "encoder: lite0 here, twin_trunk there",
        "max_step_m: 0.025 here, 0.01 there",
        "layout.images.wrist: [1, 2] here, none there",
    }
    IDENTITY.check_same(replace(IDENTITY), "this run", "the store")


def walked(*keys: tuple[int, int, str], partial: bool = False) -> Segments:
    segments = Segments(partial=partial)
    for segment, index, end in keys:
        here = step(1, segment=segment, index=index, truncated=end == "end", after_restart=end == "restart")
        assert segments.is_new(here)
        segments.take(here)
    return segments


def test_gaps_are_refused_by_the_name_of_what_is_missing() -> None:
    with pytest.raises(ReplayError, match="first step of a new actor must have index 0"):
        Segments().is_new(step(1, segment=4, index=1))
    open_one = walked((4, 0, ""), (4, 1, ""))
    with pytest.raises(ReplayError, match="step 2 of segment 4 of actor 'a' is missing; send it first"):
        open_one.is_new(step(1, segment=4, index=3))
    with pytest.raises(ReplayError, match="segment 4 is still open and step 2 of segment 4"):
        open_one.is_new(step(1, segment=5, index=0))
    ended = walked((4, 0, "end"))
    with pytest.raises(ReplayError, match="that segment ended with step 0"):
        ended.is_new(step(1, segment=4, index=1))
    for segment, index in ((6, 0), (5, 1)):
        with pytest.raises(ReplayError, match="step 0 of segment 5 of actor 'a' is missing"):
            ended.is_new(step(1, segment=segment, index=index))


def test_steps_that_come_again_are_known_but_a_restarted_count_is_refused() -> None:
    segments = walked((0, 0, ""), (0, 1, "end"), (1, 0, ""))
    for segment, index in ((0, 0), (0, 1), (1, 0)):
        assert not segments.is_new(step(1, segment=segment, index=index))
    with pytest.raises(ReplayError, match="must go on counting; it is at segment 1, so begin with segment 2"):
        segments.is_new(step(1, segment=0, index=0, after_restart=True))


def test_a_restarted_actor_leaves_an_open_segment_behind() -> None:
    segments = walked((0, 0, ""), (1, 0, "restart"))
    assert segments.progress == {"a": Progress(1, 1, True)}


def test_actors_are_counted_apart() -> None:
    segments = walked((0, 0, ""))
    assert segments.is_new(step(1, actor="b", segment=9, index=0))
    assert not segments.has_seen("b", 9, 0)


def test_a_partial_count_lets_steps_be_left_out_but_not_come_late() -> None:
    segments = walked((0, 5, ""), (0, 9, ""), (3, 2, ""), partial=True)
    assert not segments.is_new(step(1, segment=0, index=7))
    assert segments.is_new(step(1, segment=3, index=8))
