"""The episode reader: alignment by control period, and clear refusals of everything that is not a whole episode."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mcap.writer import Writer
from rosbags.typesys.store import Typestore

from tests.unit.episode_samples import CONTRACT, METADATA, PERIOD_NS, RESULT, SIZE, executed, frame, record, state
from tutelage_core.contract import STATE_KEYS, CameraContract
from tutelage_core.episodes import messages, schemas
from tutelage_core.episodes.reader import read_episode
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import EpisodeError, UnknownNameError
from tutelage_core.types import EpisodeResult, Source, TaskStatus


def change_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def make_manifest_agree(folder: Path) -> None:
    data = (folder / "episode.mcap").read_bytes()
    change_manifest(folder, files={"episode.mcap": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}})


def test_every_array_has_one_row_per_control_period(tmp_path: Path) -> None:
    episode = read_episode(record(tmp_path, "a", 5, expert_every=2))
    assert len(episode) == 5
    np.testing.assert_array_equal(episode.stamps_ns, np.arange(1, 6) * PERIOD_NS)
    for camera in ("front", "wrist"):
        assert episode.images[camera].shape == (5, *SIZE, 3)
        np.testing.assert_array_equal(episode.images[camera][:, 0, 0, 0], np.arange(5))
    assert {key: values.shape for key, values in episode.state.items()} == {k: (5, n) for k, n in STATE_KEYS.items()}
    np.testing.assert_array_equal(episode.state["tcp_position"][:, 0], np.arange(5.0))
    np.testing.assert_array_equal(episode.executed[:, 6], np.arange(5.0))
    np.testing.assert_array_equal(episode.requested[:, 6], 2 * np.arange(5.0))
    np.testing.assert_array_equal(episode.expert[:, 0], [100.0, np.nan, 102.0, np.nan, 104.0])
    np.testing.assert_array_equal(episode.success, [False, False, False, False, True])
    np.testing.assert_allclose(episode.progress, np.arange(5) / 5)
    assert episode.name == "a"
    assert episode.metadata == METADATA
    assert episode.result == replace(RESULT, steps=5)


def test_sources_and_reasons_are_kept(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    writer.state(state(1))
    writer.executed(replace(executed(1), source=Source.HUMAN))
    writer.executed(replace(executed(2), source=Source.HOLD, reasons=("STALE", "TOO_LONG")))
    episode = read_episode(writer.close(RESULT))
    assert episode.sources.tolist() == [2, 0]
    assert episode.reasons == ((), ("STALE", "TOO_LONG"))
    assert episode.images == {}


def test_newest_image_and_state_that_are_not_later_are_joined(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    for stamp, value in ((90, 3), (10, 1), (50, 2), (101, 4)):  # out of order, as messages come from a network
        writer.image("front", frame(stamp, value))
        writer.state(state(stamp, float(value)))
        writer.status(stamp, TaskStatus(value == 2, value / 10))
    for stamp in (50, 100, 101):
        writer.executed(executed(stamp))
    episode = read_episode(writer.close(RESULT), tolerance_ns=10)
    assert episode.images["front"][:, 0, 0, 0].tolist() == [2, 3, 4]
    assert episode.state["gripper_opening"][:, 0].tolist() == [2.0, 3.0, 4.0]
    assert episode.success.tolist() == [True, False, False]


@pytest.mark.parametrize("lacking", ["image", "state"])
def test_period_without_a_fresh_enough_image_or_state_is_refused(tmp_path: Path, lacking: str) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    old, fresh = 1, 5 * PERIOD_NS
    writer.image("front", frame(old if lacking == "image" else fresh))
    writer.state(state(old if lacking == "state" else fresh))
    writer.executed(executed(fresh))
    with pytest.raises(EpisodeError, match=rf"episode.mcap: control period 0 at {fresh} ns has no .*{lacking}"):
        read_episode(writer.close(RESULT))


def test_image_that_comes_later_is_never_joined(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    writer.state(state(10))
    writer.image("front", frame(11))
    writer.executed(executed(10))
    with pytest.raises(EpisodeError, match="image_raw"):
        read_episode(writer.close(RESULT))


def test_expert_step_joins_only_its_own_period(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    writer.state(state(10))
    writer.expert(10, np.ones(7))
    for stamp in (10, 11):
        writer.executed(executed(stamp))
    assert np.isfinite(read_episode(writer.close(RESULT)).expert).all(axis=1).tolist() == [True, False]


def test_no_ground_truth_reads_as_no_success_and_unknown_progress(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    writer.state(state(10))
    writer.executed(executed(10))
    episode = read_episode(writer.close(RESULT))
    assert not episode.success.any()
    assert np.isnan(episode.progress).all()


def test_only_the_asked_cameras_are_decoded(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 2)
    assert list(read_episode(folder, ("wrist",)).images) == ["wrist"]
    assert read_episode(folder, ()).images == {}
    with pytest.raises(UnknownNameError, match="front, wrist"):
        read_episode(folder, ("side",))


def test_partial_folder_is_refused(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    writer.executed(executed(0))
    with pytest.raises(EpisodeError, match=r"a\.partial: this episode was never finished"):
        read_episode(writer.abort("test"))


def test_missing_manifest_is_refused(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 1)
    (folder / "manifest.json").unlink()
    with pytest.raises(EpisodeError, match=r"manifest\.json: no such file"):
        read_episode(folder)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "not readable as JSON"),
        ("[]", "format_version is None"),
        ('{"format_version": 99}', "format_version is 99"),
        ('{"format_version": 1}', "'robot' is missing"),
        ('{"format_version": 1, "colour": 2}', "colour"),
    ],
)
def test_manifest_that_is_not_ours_is_refused(tmp_path: Path, text: str, match: str) -> None:
    folder = record(tmp_path, "a", 1)
    (folder / "manifest.json").write_text(text)
    with pytest.raises(EpisodeError, match=match) as refusal:
        read_episode(folder)
    assert "manifest.json" in str(refusal.value)


def test_truncated_changed_or_missing_recording_is_refused(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 3)
    path = folder / "episode.mcap"
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    with pytest.raises(EpisodeError, match=r"episode\.mcap: has \d+ bytes, .*truncated"):
        read_episode(folder)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(EpisodeError, match=r"episode\.mcap: wrong checksum"):
        read_episode(folder)
    path.unlink()
    with pytest.raises(EpisodeError, match=r"episode\.mcap: cannot be read"):
        read_episode(folder)
    change_manifest(folder, files={})
    with pytest.raises(EpisodeError, match="lists no file"):
        read_episode(folder)


def test_damaged_recording_is_refused_even_if_the_manifest_agrees(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 3)
    path = folder / "episode.mcap"
    whole = path.read_bytes()
    middle = len(whole) // 4
    for data in (
        whole[: len(whole) // 2],
        b"",
        b"not an mcap file" * 10,
        whole[:middle] + bytes(64) + whole[middle + 64 :],
    ):
        path.write_bytes(data)
        make_manifest_agree(folder)
        with pytest.raises(EpisodeError, match=r"episode\.mcap"):
            read_episode(folder)


def test_random_damage_never_escapes_as_another_error(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 2)
    path = folder / "episode.mcap"
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    refusals: list[str] = []
    for _ in range(300):
        data = bytearray(whole)
        for place in generator.integers(0, len(data), generator.integers(1, 4)):
            data[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(data)
        make_manifest_agree(folder)
        try:
            read_episode(folder)
        except (EpisodeError, UnknownNameError) as error:
            refusals.append(str(error))
    assert len(refusals) > 100
    assert all("episode.mcap" in refusal for refusal in refusals)


def foreign(folder: Path, topic: str, schema: str, encoding: str, data: bytes, text: bytes = b"uint8 value") -> None:
    with (folder / "episode.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start()
        kind = writer.register_schema(schema, "ros2msg", text)
        channel = writer.register_channel(topic, encoding, kind)
        writer.add_message(channel, log_time=1, publish_time=1, data=data)
        writer.finish()
    make_manifest_agree(folder)


@pytest.mark.parametrize(
    ("topic", "schema", "encoding", "data", "match"),
    [
        ("/chatter", "std_msgs/msg/String", "cdr", b"\0\1\0\0\0", "no messages on /arm/executed"),
        ("/arm/executed", "std_msgs/msg/String", "cdr", b"\0\1\0\0\0", "not recorded by this program"),
        ("/arm/executed", "tutelage_interfaces/msg/ExecutedAction", "json", b"{}", "not recorded by this program"),
        ("/arm/executed", "tutelage_interfaces/msg/ExecutedAction", "cdr", b"\0\1\0\0\0", "episode.mcap"),
        ("/arm/executed", "tutelage_interfaces/msg/ExecutedAction", "cdr", b"", "episode.mcap"),
        ("/camera/front/image_raw", "sensor_msgs/msg/CompressedImage", "cdr", b"\0\1\0\0\0", "not recorded by"),
    ],
)
def test_foreign_mcap_is_refused(
    tmp_path: Path, topic: str, schema: str, encoding: str, data: bytes, match: str
) -> None:
    folder = record(tmp_path, "a", 1)
    foreign(folder, topic, schema, encoding, data)
    with pytest.raises(EpisodeError, match=match) as refusal:
        read_episode(folder)
    assert "episode.mcap" in str(refusal.value)


def test_file_with_an_older_definition_stays_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(line for line in schemas.definition(messages.EXECUTED).splitlines() if "executed_at" not in line)
    step = replace(executed(5), requested=np.array([np.nan, *range(6)]), reasons=("A",))
    data = messages.encode_executed(step, 7)
    monkeypatch.setattr(Typestore, "register", lambda *_: pytest.fail("a file's definition was compiled"))
    read = messages.to_executed(schemas.decode(data, messages.EXECUTED, text))
    assert (read.stamp_ns, read.sequence, read.source, read.reasons) == (5, 0, Source.POLICY, ("A",))
    np.testing.assert_array_equal(read.requested, step.requested)
    np.testing.assert_array_equal(read.executed, step.executed)


def test_comments_in_a_definition_do_not_make_it_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "DecoderFactory", lambda: pytest.fail("took the slow way"))
    data = messages.encode_status(5, TaskStatus(True, 0.5))
    text = "# an older comment\n" + schemas.definition(messages.STATUS)
    assert schemas.decode(data, messages.STATUS, text).progress == 0.5


def test_definition_without_a_needed_field_is_refused(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 1)
    text = b"std_msgs/Header header\n" + b"=" * 80 + b"\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\n"
    text += b"=" * 80 + b"\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
    foreign(folder, "/arm/executed", "tutelage_interfaces/msg/ExecutedAction", "cdr", b"\0\1\0\0" + bytes(8), text)
    with pytest.raises(EpisodeError, match=r"episode\.mcap: its messages are not defined .*'sequence'"):
        read_episode(folder)


def test_metadata_survives_with_another_contract(tmp_path: Path) -> None:
    contract = replace(
        CONTRACT, name="franka", cameras={"front": CameraContract(8, 4, 30.0, "uvc", {"device": "/dev/video0"})}
    )
    metadata = replace(METADATA, contract=contract, instruction="öffne die Tür")
    result = EpisodeResult(False, 2, "failure", failure="dropped")
    writer = EpisodeWriter(tmp_path, "a", metadata)
    writer.state(state(10))
    writer.executed(executed(10))
    episode = read_episode(writer.close(result))
    assert episode.metadata == metadata
    assert episode.metadata.robot == "franka"
    assert episode.result == result
