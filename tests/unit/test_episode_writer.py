"""The episode writer: what it refuses, what it leaves behind, and that other programs can read it."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from tests.unit.episode_samples import METADATA, PERIOD_NS, RESULT, SIZE, executed, frame, record, state
from tutelage_core.episodes import messages, pictures, schemas
from tutelage_core.episodes.manifest import read_manifest, stored_file
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import ConfigurationError, EpisodeError, UnknownNameError
from tutelage_core.types import ActionChunk, Frame, TaskStatus


def decoded(folder: Path) -> list[tuple[str, int, object]]:
    reader = make_reader(io.BytesIO((folder / "episode.mcap").read_bytes()), decoder_factories=[DecoderFactory()])
    return [(channel.topic, message.log_time, ros) for _, channel, message, ros in reader.iter_decoded_messages()]


def test_mcap_ros2_reads_every_topic_with_the_values_that_were_written(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    pixels = frame(3_000_000_007)
    writer.image("front", pixels)
    writer.state(state(3_000_000_007, 0.5))
    requested = np.array([np.nan, np.inf, 0, 0, 0, 0, 1.0])
    writer.executed(replace(executed(3_000_000_007), requested=requested, reasons=("NOT_FINITE",)), 3_000_000_009)
    writer.status(3_000_000_007, TaskStatus(True, 0.75, "dropped"))
    writer.expert(3_000_000_007, np.arange(7.0))
    steps = np.arange(14.0).reshape(2, 7)
    writer.chunk(ActionChunk(3_000_000_007, 1_500_000_000, steps, "move left"), "bc", 0.02)
    by_topic = {topic: (stamp, ros) for topic, stamp, ros in decoded(writer.close(RESULT))}

    assert {stamp for stamp, _ in by_topic.values()} == {3_000_000_007}
    image = by_topic["/camera/front/image_raw"][1]
    assert (image.encoding, image.height, image.width, image.step) == ("rgb8", *SIZE, 3 * SIZE[1])
    assert bytes(image.data) == pixels.image.tobytes()
    assert (image.header.stamp.sec, image.header.stamp.nanosec, image.header.frame_id) == (3, 7, "front")
    arm = by_topic["/arm/state"][1]
    np.testing.assert_array_equal(arm.joint_positions, state(0, 0.5).joint_positions)
    np.testing.assert_array_equal(arm.wrench, state(0, 0.5).wrench)
    assert (arm.pose.position.x, arm.pose.orientation.w, arm.gripper_opening) == (0.5, 1.0, 0.5)
    action = by_topic["/arm/executed"][1]
    np.testing.assert_array_equal(action.requested, requested)
    assert (list(action.reasons), action.executed_at.nanosec) == (["NOT_FINITE"], 9)
    status = by_topic["/twin/task_status"][1]
    assert (status.success, status.progress, status.failure) == (True, 0.75, "dropped")
    expert = by_topic["/expert/step"][1]
    assert (expert.source, list(expert.step)) == (3, list(range(7)))
    chunk = by_topic["/policy/chunk"][1]
    assert (chunk.length, chunk.phrase, chunk.policy, chunk.inference_s) == (2, "move left", "bc", 0.02)
    assert (chunk.period.sec, chunk.period.nanosec) == (1, 500_000_000)
    np.testing.assert_array_equal(chunk.steps, steps.reshape(-1))


def test_file_carries_the_units_of_our_messages_and_the_metadata(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 2)
    reader = make_reader(io.BytesIO((folder / "episode.mcap").read_bytes()))
    summary = reader.get_summary()
    assert summary is not None
    texts = {schema.name: schema.data.decode() for schema in summary.schemas.values()}
    assert "# [rad/s]" in texts["tutelage_interfaces/msg/ArmState"]
    assert "MSG: geometry_msgs/Quaternion" in texts["tutelage_interfaces/msg/ArmState"]
    record_of_metadata = next(iter(reader.iter_metadata()))
    assert json.loads(record_of_metadata.metadata["metadata"])["task"] == METADATA.task


def test_folder_appears_only_on_close_and_holds_recording_and_manifest(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path, "a", METADATA) as writer:
        writer.executed(executed(0))
        assert [p.name for p in tmp_path.iterdir()] == ["a.partial"]
        folder = writer.close(RESULT)
    assert folder == tmp_path / "a"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert sorted(p.name for p in folder.iterdir()) == ["episode.mcap", "manifest.json"]
    manifest = read_manifest(folder)
    assert manifest.metadata == METADATA
    assert manifest.result == RESULT
    assert manifest.messages == {"/arm/executed": 1}
    assert manifest.files["episode.mcap"].bytes == (folder / "episode.mcap").stat().st_size


def test_existing_name_is_refused_whether_finished_or_partial(tmp_path: Path) -> None:
    record(tmp_path, "done", 1)
    EpisodeWriter(tmp_path, "half", METADATA).abort("test")
    for name in ("done", "half"):
        with pytest.raises(EpisodeError, match="of this name exists"):
            EpisodeWriter(tmp_path, name, METADATA)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", ".hidden", "a.partial", "a b", "a\n", 129 * "x"])
def test_illegal_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EpisodeError, match="not legal"):
        EpisodeWriter(tmp_path, name, METADATA)
    assert not list(tmp_path.iterdir())


def test_abort_keeps_the_partial_folder_with_its_reason(tmp_path: Path) -> None:
    folder = EpisodeWriter(tmp_path, "a", METADATA).abort("the camera died")
    assert folder == tmp_path / "a.partial"
    assert json.loads((folder / "abort.json").read_text())["reason"] == "the camera died"


def test_error_inside_the_context_aborts_the_episode(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), EpisodeWriter(tmp_path, "a", METADATA):
        raise RuntimeError("boom")
    assert json.loads((tmp_path / "a.partial" / "abort.json").read_text())["reason"] == "RuntimeError: boom"


def test_writing_after_the_end_is_refused(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    writer.executed(executed(0))
    writer.close(RESULT)
    for call in (lambda: writer.state(state(1)), lambda: writer.close(RESULT), lambda: writer.abort("late")):
        with pytest.raises(EpisodeError, match="has ended"):
            call()


def test_episode_without_steps_cannot_be_closed_and_can_be_aborted(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    with pytest.raises(EpisodeError, match="no executed step"):
        writer.close(RESULT)
    assert writer.abort("empty").name == "a.partial"


def test_result_that_json_cannot_hold_leaves_the_recording_open(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    writer.executed(executed(0))
    with pytest.raises(EpisodeError, match="result"):
        writer.close(replace(RESULT, stage_ms={"policy": float("nan")}))
    assert writer.close(RESULT).name == "a"


def test_executed_steps_must_be_finite_and_their_stamps_must_grow(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    with pytest.raises(EpisodeError, match="finite"):
        writer.executed(replace(executed(0), executed=np.full(7, np.nan)))
    writer.executed(executed(PERIOD_NS))
    for stamp in (PERIOD_NS, 0):
        with pytest.raises(EpisodeError, match="growing stamps"):
            writer.executed(executed(stamp))


def test_wrong_shapes_stamps_and_cameras_are_refused_by_name(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    with pytest.raises(UnknownNameError, match="Did you mean 'front'"):
        writer.image("fronts", frame(0))
    with pytest.raises(EpisodeError, match=r"\(5, 5, 3\), the contract of robot 'twin'"):
        writer.image("front", Frame(np.zeros((5, 5, 3), np.uint8), 0, 0))
    with pytest.raises(EpisodeError, match="uint8"):
        writer.image("front", Frame(np.zeros((*SIZE, 3), np.float32), 0, 0))  # type: ignore[arg-type]
    with pytest.raises(EpisodeError, match="joint_velocities"):
        writer.state(replace(state(0), joint_velocities=np.empty(0)))
    with pytest.raises(EpisodeError, match="at least one"):
        writer.state(replace(state(0), joint_positions=np.empty(0), joint_velocities=np.empty(0)))
    with pytest.raises(EpisodeError, match="at least one"):
        writer.chunk(ActionChunk(0, 1, np.empty((0, 7))), "bc", 0.0)
    with pytest.raises(EpisodeError, match="step must have shape"):
        writer.expert(0, np.zeros(6))
    for stamp in (-1, 2**31 * 1_000_000_000):
        with pytest.raises(EpisodeError, match="fit a ROS time"):
            writer.status(stamp, TaskStatus(False, 0.0))


def test_missing_message_files_are_named_with_every_place_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schemas, "interface_folders", lambda: iter([tmp_path / "one", tmp_path / "two"]))
    with pytest.raises(ConfigurationError, match=r"one, .*two"):
        schemas.interface_texts.__wrapped__()


def test_sourced_workspace_is_searched_for_message_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert tmp_path / "share" / "tutelage_interfaces" / "msg" in list(schemas.interface_folders())


def test_images_and_states_are_encoded_without_touching_single_elements() -> None:
    big = Frame(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8), 1, 0)
    arm = state(1)
    encoders = ((0.3, lambda: pictures.encode_image("front", big)), (0.2, lambda: messages.encode_state(arm)))
    for limit_ms, encode in encoders:
        encode()
        times: list[float] = []
        for _ in range(200):
            start = time.perf_counter()
            encode()
            times.append(time.perf_counter() - start)
        assert 1e3 * float(np.median(times)) < limit_ms


@pytest.mark.parametrize("stamp_ns", [-1, 2**63, messages.MAX_STAMP_NS + 1])
def test_stamp_that_is_no_time_is_refused_and_the_recording_can_be_closed(tmp_path: Path, stamp_ns: int) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    with pytest.raises(EpisodeError, match="stamp must be in"):
        writer.write(messages.ARM_STATE_TOPIC, messages.ARM_STATE, stamp_ns, b"")
    writer.state(state(1))
    writer.executed(executed(1))
    assert writer.close(RESULT).is_dir()


def test_messages_of_one_topic_with_two_definitions_keep_their_own(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    today = schemas.definition(messages.STATUS)
    writer.status(1, TaskStatus(True, 0.5))
    writer.write("/other", "a/msg/B", 1, b"1", defined_as="int32 one")
    writer.write("/other", "a/msg/B", 2, b"2", defined_as="int32 two")
    writer.state(state(1))
    writer.executed(executed(1))
    reader = make_reader(io.BytesIO((writer.close(RESULT) / "episode.mcap").read_bytes()))
    found = {(channel.topic, message.data): schema.data.decode() for schema, channel, message in reader.iter_messages()}
    assert found["/other", b"1"] == "int32 one"
    assert found["/other", b"2"] == "int32 two"
    assert today in found.values()


def test_hash_in_the_manifest_is_that_of_the_file(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 20)
    assert read_manifest(folder).files["episode.mcap"] == stored_file(folder / "episode.mcap")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_image_that_asks_for_gigabytes_is_refused_unseen(tmp_path: Path) -> None:
    bomb = np.zeros((12_000, 12_000, 3), np.uint8)
    data = pictures.encode_compressed_image("front", Frame(bomb, 1, 0), "png")
    message = schemas.decode(data, messages.COMPRESSED_IMAGE, schemas.definition(messages.COMPRESSED_IMAGE))
    with pytest.raises(EpisodeError, match="more than 50000000 pixels"):
        pictures.to_image(message)
