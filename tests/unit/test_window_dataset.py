"""Windows from disk: the same as those in memory, in every order and process, with labels, and clear refusals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from tests.unit.episode_samples import CONTRACT, METADATA, PERIOD_NS, SIZE, record
from tutelage_core.contract import CameraContract
from tutelage_core.episodes import window_dataset
from tutelage_core.episodes.frame_cache import FrameCache, build
from tutelage_core.episodes.labels import Label, RewardScores, add_label
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.window_batch import WindowBatch
from tutelage_core.episodes.window_dataset import WindowDataset
from tutelage_core.episodes.windows import load_windows
from tutelage_core.errors import ConfigurationError, ContractMismatchError, EpisodeError, UnknownNameError

pytestmark = pytest.mark.unit
KEYS = ("gripper_opening", "tcp_position", "joint_positions")
CAMERAS = ("wrist", "front")
LENGTHS = (3, 1, 6)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[EpisodeStore, FrameCache]:
    """Return three cached episodes; every second expert step is known."""
    root = tmp_path_factory.mktemp("store")
    for number, length in enumerate(LENGTHS):
        metadata = replace(METADATA, instruction=f"task {number}")
        record(root, f"e{number}", length, metadata, expert_every=2, offset=20 * number, camera_step=100)
    store, frames = EpisodeStore(root), FrameCache(root / ".cache")
    build(store, frames)
    return store, frames


@pytest.fixture
def fresh(tmp_path: Path) -> tuple[EpisodeStore, FrameCache]:
    """Return two cached episodes that a test may label or damage."""
    record(tmp_path, "a", 3)
    record(tmp_path, "b", 2, offset=10)
    store, frames = EpisodeStore(tmp_path), FrameCache(tmp_path / ".cache")
    build(store, frames)
    return store, frames


def dataset_of(both: tuple[EpisodeStore, FrameCache], history: int = 2, chunk: int = 4, **more: Any) -> WindowDataset:
    return WindowDataset(*both, CAMERAS, KEYS, history, chunk, **more)


@given(
    history=st.integers(1, 9),
    chunk=st.integers(1, 9),
    names=st.lists(st.sampled_from(["e0", "e1", "e2"]), min_size=1, max_size=3, unique=True),
    target=st.sampled_from(["expert", "executed"]),
    data=st.data(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_windows_equal_those_of_load_windows(
    recorded: tuple[EpisodeStore, FrameCache],
    history: int,
    chunk: int,
    names: list[str],
    target: Any,
    data: st.DataObject,
) -> None:
    dataset = dataset_of(recorded, history, chunk, names=names, target=target)
    windows = load_windows(recorded[0], CAMERAS, KEYS, history, chunk, target=target, names=names)
    assert len(dataset) == len(windows) == sum(LENGTHS[int(name[1])] for name in names)
    rows = np.array(data.draw(st.lists(st.integers(0, len(windows) - 1), min_size=1, max_size=20)))
    batch = dataset.__getitems__(rows.tolist())
    for camera in CAMERAS:
        assert batch.images[camera].dtype == np.uint8
        np.testing.assert_array_equal(batch.images[camera], windows.images[camera][windows.history_index[rows]])
    np.testing.assert_array_equal(batch.state, windows.state[windows.history_index[rows]])
    np.testing.assert_array_equal(batch.steps, windows.steps[windows.chunk_index[rows]])
    np.testing.assert_array_equal(batch.sources, windows.sources[windows.chunk_index[rows]])
    np.testing.assert_array_equal(batch.is_padding, windows.chunk_is_padding[rows])
    np.testing.assert_array_equal(batch.episode, windows.episode_of[rows])
    assert batch.instruction == [windows.instructions[i] for i in batch.episode]
    assert (dataset.names, dataset.contract) == (windows.episode_names, windows.contract)


def test_one_window_is_a_row_of_the_batch(recorded: tuple[EpisodeStore, FrameCache]) -> None:
    dataset = dataset_of(recorded)
    batch = dataset.__getitems__([4, 0, 9])
    assert len(batch) == 3
    for place, row in enumerate((4, 0, 9)):
        window = dataset[row]
        assert window["images"]["front"].shape == (2, *SIZE, 3)
        assert window["images"]["front"].tobytes() == batch.images["front"][place].tobytes()
        assert window["instruction"] == batch.instruction[place]
        assert window["row"] == row
    assert dataset[-1]["row"] == 9
    for index in (10, -11):
        with pytest.raises(IndexError, match=r"numbered 0\.\.9"):
            dataset[index]


def test_episode_is_served_in_order_and_never_past_its_end(recorded: tuple[EpisodeStore, FrameCache]) -> None:
    dataset = dataset_of(recorded, history=3, chunk=4)
    assert [dataset.rows_of(i) for i in range(3)] == [range(3), range(3, 4), range(4, 10)]
    batch = dataset.episode(2)
    assert batch.row.tolist() == [4, 5, 6, 7, 8, 9]
    assert batch.images["front"][:, :, 0, 0, 0].tolist() == [
        [max(40, 40 + i - 2 + h) for h in range(3)] for i in range(6)
    ]
    assert batch.steps[:, :, 1].max() < 200
    assert batch.is_padding.sum(axis=1).tolist() == [0, 0, 0, 1, 2, 3]
    assert [w["row"] for w in dataset] == list(range(10))


def test_state_is_found_by_its_key(recorded: tuple[EpisodeStore, FrameCache]) -> None:
    dataset = dataset_of(recorded)
    assert dataset.state_slices == {
        "gripper_opening": slice(0, 1),
        "tcp_position": slice(1, 4),
        "joint_positions": slice(4, 11),
    }
    np.testing.assert_allclose(dataset[5]["state"][-1, dataset.state_slices["tcp_position"]], [41, 0.1, 0.2])


def batches(dataset: WindowDataset, workers: int, start: str | None = None) -> Iterator[dict[str, Any]]:
    generator = np.random.default_rng(0)
    order = [generator.permutation(len(dataset))[:4].tolist() for _ in range(3)]
    return iter(
        DataLoader(
            dataset,  # type: ignore[arg-type]
            batch_sampler=order,
            num_workers=workers,
            collate_fn=WindowBatch.tensors,
            multiprocessing_context=start,
        )
    )


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_loader_with_workers_gives_the_same_as_one_process(
    recorded: tuple[EpisodeStore, FrameCache], start: str
) -> None:
    dataset = dataset_of(recorded)
    alone = list(batches(dataset, 0))  # the parent has files mapped before the workers begin
    with_workers = list(batches(dataset, 2, start))
    assert len(alone) == len(with_workers) == 3
    for one, two in zip(alone, with_workers, strict=True):
        assert one.keys() == two.keys()
        assert one["instruction"] == two["instruction"]
        for camera in CAMERAS:
            assert np.array_equal(one["images"][camera], two["images"][camera])
        for key in set(one) - {"images", "features", "instruction", "phrase"}:
            np.testing.assert_array_equal(one[key], two[key])


def test_torchs_own_collation_gives_the_same_as_ours(recorded: tuple[EpisodeStore, FrameCache]) -> None:
    dataset = dataset_of(recorded)
    loaded = next(iter(DataLoader(dataset, batch_size=10)))  # type: ignore[arg-type]
    ours = dataset.__getitems__(range(10)).tensors()
    assert loaded.keys() == ours.keys()
    assert np.array_equal(loaded["images"]["wrist"], ours["images"]["wrist"])
    assert np.array_equal(loaded["steps"], ours["steps"])
    assert loaded["instruction"] == ours["instruction"]


def test_pickled_dataset_takes_no_frames_along(recorded: tuple[EpisodeStore, FrameCache]) -> None:
    dataset = dataset_of(recorded)
    dataset.episode(2)
    assert len(dataset._maps) == 2
    assert dataset.__getstate__()["_maps"] == {}


def test_forked_process_maps_the_files_anew(
    recorded: tuple[EpisodeStore, FrameCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dataset_of(recorded)
    expected = dataset[0]["images"]["front"].tobytes()
    inherited = dict(dataset._maps)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert dataset[0]["images"]["front"].tobytes() == expected
    assert all(dataset._maps[key] is not inherited[key] for key in inherited)


def test_number_of_mapped_files_is_bounded(
    recorded: tuple[EpisodeStore, FrameCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_dataset, "MAPPED_FILES", 3)
    dataset = dataset_of(recorded)
    expected = [dataset[row]["images"]["front"].tobytes() for row in range(len(dataset))]
    assert len(dataset._maps) == 3
    assert [dataset[row]["images"]["front"].tobytes() for row in range(len(dataset))] == expected


def test_rewards_and_success_come_from_the_labels_and_gaps_are_marked(fresh: tuple[EpisodeStore, FrameCache]) -> None:
    store, _ = fresh
    add_label(store.root, "a", Label(1, rewards=RewardScores("robometer", (0.1, None, 0.3))))
    add_label(store.root, "a", Label(2, success=True))
    add_label(store.root, "a", Label(3, success=False, failure="dropped"))
    batch = dataset_of(fresh, 1, 3, reward_model="robometer").__getitems__(range(5))
    np.testing.assert_allclose(batch.rewards[0], [0.1, np.nan, 0.3], rtol=1e-6)
    assert batch.has_reward.tolist() == [
        [True, False, True],
        [False, True, False],
        [True, False, False],
        *[[False] * 3] * 2,
    ]
    assert np.array_equal(np.isfinite(batch.rewards), batch.has_reward)
    assert batch.success[:3].tolist() == [0, 0, 0]
    assert np.isnan(batch.success[3:]).all()
    assert batch.has_success.tolist() == [True, True, True, False, False]
    assert not dataset_of(fresh, 1, 3).__getitems__(range(5)).has_reward.any()


def test_phrases_of_the_labels_cover_their_span(fresh: tuple[EpisodeStore, FrameCache]) -> None:
    store, _ = fresh
    add_label(store.root, "a", Label(1, phrase="well done"))
    add_label(store.root, "a", Label(1, phrase="go down", phrase_span_ns=(PERIOD_NS, 3 * PERIOD_NS)))
    batch = dataset_of(fresh).__getitems__(range(5))
    assert batch.phrase == ["go down", "go down", "", "", ""]


def test_wrong_rewards_are_refused(fresh: tuple[EpisodeStore, FrameCache]) -> None:
    store, _ = fresh
    with pytest.raises(UnknownNameError, match=r"unknown reward model 'robometer' in the labels of .*\(none\)"):
        dataset_of(fresh, reward_model="robometer")
    add_label(store.root, "b", Label(1, rewards=RewardScores("robometer", (0.1,))))
    with pytest.raises(EpisodeError, match="b: 1 rewards of 'robometer' for 2 control periods"):
        dataset_of(fresh, reward_model="robometer")


def test_episode_that_is_not_cached_is_refused_by_name(fresh: tuple[EpisodeStore, FrameCache]) -> None:
    store, frames = fresh
    record(store.root, "c", 2)
    with pytest.raises(
        EpisodeError, match=r"episode 'c': .*periods\.npy: missing or not finished; .*tutelage data cache"
    ):
        dataset_of(fresh)
    with pytest.raises(EpisodeError, match=r"episode 'a': .*frames-8x6\.npy: missing or not finished"):
        dataset_of((store, replace(frames, image_size=(6, 8))))


def test_file_that_was_cut_off_is_refused(fresh: tuple[EpisodeStore, FrameCache]) -> None:
    store, frames = fresh
    dataset = dataset_of(fresh)
    path = frames.frames_path(store.manifest("b"), "front")
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(EpisodeError, match="truncated or changed"):
        dataset.episode(1)
    with pytest.raises(EpisodeError, match=r"episode 'b': .*truncated or changed"):
        dataset_of(fresh)


def test_shrunk_frames_are_served_in_their_size(fresh: tuple[EpisodeStore, FrameCache]) -> None:
    store, frames = fresh
    small = replace(frames, image_size=(6, 8))
    build(store, small)
    assert dataset_of((store, small))[0]["images"]["front"].shape == (2, 6, 8, 3)


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
    tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    record(tmp_path, "a", 1)
    record(tmp_path, "b", 1, replace(METADATA, contract=replace(CONTRACT, name="franka", **change)))
    store, frames = EpisodeStore(tmp_path), FrameCache(tmp_path / ".cache")
    build(store, frames)
    with pytest.raises(ContractMismatchError, match=match) as refusal:
        WindowDataset(store, frames, ("front",), KEYS, 1, 1)
    assert "'twin'" in str(refusal.value)
    assert "'franka'" in str(refusal.value)


def test_other_action_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage_core.contract.ACTION_REPRESENTATIONS", ("tcp_step", "joint_step"))
    record(tmp_path, "a", 1)
    record(tmp_path, "b", 1, replace(METADATA, contract=replace(CONTRACT, action="joint_step")))
    store, frames = EpisodeStore(tmp_path), FrameCache(tmp_path / ".cache")
    build(store, frames)
    with pytest.raises(ContractMismatchError, match="action: tcp_step in 'a', joint_step in 'b'"):
        WindowDataset(store, frames, (), (), 1, 1)


def test_recorded_joints_that_the_contract_denies_are_refused(tmp_path: Path) -> None:
    contract = replace(CONTRACT, arm=replace(CONTRACT.arm, joints=("j",), home_joint_positions=(0.0,)))
    record(tmp_path, "a", 1, replace(METADATA, contract=contract))
    store, frames = EpisodeStore(tmp_path), FrameCache(tmp_path / ".cache")
    build(store, frames)
    with pytest.raises(ContractMismatchError, match="'joint_positions': 1 values needed, 7 recorded"):
        WindowDataset(store, frames, (), ("joint_positions",), 1, 1)


def test_wrong_arguments_are_refused(recorded: tuple[EpisodeStore, FrameCache]) -> None:
    with pytest.raises(ConfigurationError, match="history must be at least 1"):
        dataset_of(recorded, history=0)
    with pytest.raises(ConfigurationError, match="chunk must be at least 1"):
        dataset_of(recorded, chunk=0)
    with pytest.raises(UnknownNameError, match="unknown target"):
        dataset_of(recorded, target="human")
    with pytest.raises(ContractMismatchError, match="camera 'side'"):
        WindowDataset(*recorded, ("side",), KEYS, 1, 1)
    with pytest.raises(UnknownNameError, match="unknown episode 'e9'"):
        dataset_of(recorded, names=("e9",))
    with pytest.raises(EpisodeError, match="no finished episode"):
        WindowDataset(EpisodeStore(Path("/nowhere")), recorded[1], (), (), 1, 1)


def test_no_camera_and_no_state_key_give_steps_alone(recorded: tuple[EpisodeStore, FrameCache]) -> None:
    batch = WindowDataset(*recorded, (), (), 1, 2).__getitems__([0, 1])
    assert batch.images == {}
    assert batch.state.shape == (2, 1, 0)
    assert batch.steps.shape == (2, 2, 7)
