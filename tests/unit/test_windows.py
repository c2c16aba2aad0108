"""Training windows: right rows, right padding, no crossing of episodes, clear refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.episode_samples import CONTRACT, METADATA, SIZE, record
from tutelage_core.contract import CameraContract, CellBox
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.windows import load_windows, window_indices
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import ConfigurationError, ContractMismatchError, EpisodeError, UnknownNameError

pytestmark = pytest.mark.unit
KEYS = ("gripper_opening", "tcp_position")


def two_episodes(root: Path) -> EpisodeStore:
    record(root, "a", 3, expert_every=2, camera_step=100)
    record(root, "b", 4, replace(METADATA, instruction="push"), offset=10, camera_step=100)
    return EpisodeStore(root)


def test_periods_of_all_episodes_stand_one_after_the_other(tmp_path: Path) -> None:
    windows = load_windows(two_episodes(tmp_path), ("wrist", "front"), KEYS, history=2, chunk=3)
    assert len(windows) == 7
    numbers = [0, 1, 2, 10, 11, 12, 13]
    assert list(windows.images) == ["wrist", "front"]
    assert windows.images["wrist"].shape == (7, *SIZE, 3)
    assert windows.images["front"][:, 5, 5, 1].tolist() == numbers
    assert windows.images["wrist"][:, 5, 5, 1].tolist() == [100 + number for number in numbers]
    assert windows.state.dtype == np.float32
    np.testing.assert_allclose(windows.state, [[n, n, 0.1, 0.2] for n in numbers], rtol=1e-6)
    assert windows.episode_of.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert windows.sources.tolist() == [1] * 7
    assert windows.episode_names == ("a", "b")
    assert windows.instructions == ("reach the red cube", "push")
    assert windows.contract == CONTRACT


def test_expert_target_falls_back_to_the_executed_step(tmp_path: Path) -> None:
    store = two_episodes(tmp_path)
    expert = load_windows(store, (), KEYS, 1, 1, target="expert")
    assert expert.steps[:, 3].tolist() == [100, 1, 102, 10, 11, 12, 13]
    assert expert.steps.dtype == np.float32
    assert load_windows(store, (), KEYS, 1, 1, target="executed").steps[:, 3].tolist() == [0, 1, 2, 10, 11, 12, 13]


def test_history_repeats_the_first_frame_and_chunks_repeat_the_last_step_masked() -> None:
    history, chunk, padding, episode_of = window_indices([3, 1], history=3, chunk=2)
    assert history.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [3, 3, 3]]
    assert chunk.tolist() == [[0, 1], [1, 2], [2, 2], [3, 3]]
    assert padding.tolist() == [[False, False], [False, False], [False, True], [False, True]]
    assert episode_of.tolist() == [0, 0, 0, 1]


def test_no_window_crosses_an_episodes_end(tmp_path: Path) -> None:
    windows = load_windows(two_episodes(tmp_path), ("front",), KEYS, history=5, chunk=9)
    own = windows.episode_of[:, None]
    assert (windows.episode_of[windows.history_index] == own).all()
    assert (windows.episode_of[windows.chunk_index] == own).all()
    assert (windows.history_index[:, -1] == np.arange(len(windows))).all()
    assert not windows.chunk_is_padding[:, 0].any()
    assert windows.chunk_is_padding.sum(axis=1).tolist() == [6, 7, 8, 5, 6, 7, 8]


def test_chosen_episodes_only(tmp_path: Path) -> None:
    assert load_windows(two_episodes(tmp_path), (), KEYS, 1, 1, names=("b",)).steps[:, 0].tolist() == [10, 11, 12, 13]


def test_no_state_key_gives_a_state_of_width_zero(tmp_path: Path) -> None:
    assert load_windows(two_episodes(tmp_path), ("front",), (), 1, 1).state.shape == (7, 0)


def test_progress_bar_is_shown_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = two_episodes(tmp_path)
    load_windows(store, (), KEYS, 1, 1)
    assert capsys.readouterr().err == ""
    load_windows(store, (), KEYS, 1, 1, progress=True)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"control_rate_hz": 20.0}, "control rate: 10 Hz in 'a', 20 Hz in 'b'"),
        ({"cameras": {"front": CameraContract(8, 8, 10.0, "uvc")}}, "camera 'front': 16x12 px in 'a', 8x8 px in 'b'"),
        ({"cameras": {"side": CameraContract(8, 8, 10.0, "uvc")}}, "camera 'front': needed, but the robot has side"),
        (
            {"arm": replace(CONTRACT.arm, joints=("j",), home_joint_positions=(0.0,))},
            r"joints: joint0, .* in 'a', j in",
        ),
        ({"arm": replace(CONTRACT.arm, joints=tuple("abcdefg"))}, r"joints: joint0, .* in 'a', a, b, c, d, e, f, g in"),
        ({"state_keys": ("tcp_position",)}, "state keys: gripper_opening, tcp_position in 'a', tcp_position in 'b'"),
        ({}, "robot: 'twin' in 'a', 'franka' in 'b'"),
    ],
)
def test_episode_that_differs_is_refused_and_both_sides_are_named(
    tmp_path: Path, change: dict[str, object], match: str
) -> None:
    record(tmp_path, "a", 1)
    record(tmp_path, "b", 1, replace(METADATA, contract=replace(CONTRACT, name="franka", **change)))  # type: ignore[arg-type]
    with pytest.raises(ContractMismatchError, match=match) as refusal:
        load_windows(EpisodeStore(tmp_path), ("front",), KEYS, 1, 1)
    assert "'twin'" in str(refusal.value)
    assert "'franka'" in str(refusal.value)


def test_same_robot_with_other_limits_drivers_and_home_is_mixed(tmp_path: Path) -> None:
    """What a person may set on one and the same robot from one day to the next is no reason to refuse."""
    other = replace(
        CONTRACT,
        safety=replace(CONTRACT.safety, workspace_max_m=(0.7, 0.3, 0.4)),
        arm=replace(CONTRACT.arm, options={"host": "10.0.0.7"}, home_joint_positions=(0.1,) * 7, model="fr3.xml"),
        cameras={
            **{name: replace(camera, rate_hz=30.0, driver="uvc") for name, camera in CONTRACT.cameras.items()},
            "side": CameraContract(8, 8, 10.0, "uvc"),
        },
        state_keys=CONTRACT.state_keys[::-1],
        cell=(CellBox("table", (0.4, 0.0, -0.3), (1.0, 1.0, 0.5)),),
    )
    record(tmp_path, "a", 2)
    record(tmp_path, "b", 3, replace(METADATA, contract=other))
    assert len(load_windows(EpisodeStore(tmp_path), ("front", "wrist"), KEYS, 1, 1)) == 5


def test_camera_that_no_robot_has_is_refused(tmp_path: Path) -> None:
    record(tmp_path, "a", 1)
    with pytest.raises(ContractMismatchError, match="camera 'side'"):
        load_windows(EpisodeStore(tmp_path), ("side",), KEYS, 1, 1)


def test_recorded_joints_that_the_contract_denies_are_refused(tmp_path: Path) -> None:
    contract = replace(CONTRACT, arm=replace(CONTRACT.arm, joints=("j",), home_joint_positions=(0.0,)))
    record(tmp_path, "a", 1, replace(METADATA, contract=contract))
    with pytest.raises(ContractMismatchError, match="'joint_positions': 1 values needed, 7 recorded"):
        load_windows(EpisodeStore(tmp_path), (), ("joint_positions",), 1, 1)


def test_store_with_nothing_finished_is_refused_and_partial_ones_are_counted(tmp_path: Path) -> None:
    EpisodeWriter(tmp_path, "b", METADATA).abort("test")
    with pytest.raises(EpisodeError, match="no finished episode to load, 1 partial"):
        load_windows(EpisodeStore(tmp_path), (), KEYS, 1, 1)


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    store = two_episodes(tmp_path)
    with pytest.raises(ConfigurationError, match="history must be at least 1"):
        load_windows(store, (), KEYS, 0, 1)
    with pytest.raises(ConfigurationError, match="chunk must be at least 1"):
        load_windows(store, (), KEYS, 1, 0)
    with pytest.raises(UnknownNameError, match="Did you mean 'wrench'"):
        load_windows(store, (), ("wrenches",), 1, 1)
    with pytest.raises(UnknownNameError, match="unknown target"):
        load_windows(store, (), KEYS, 1, 1, target="human")  # type: ignore[arg-type]
