"""Messages from the wire: written as they came, once, from the episode's beginning on, and refused by name."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from tests.unit.episode_samples import CONTRACT, METADATA, PERIOD_NS, RESULT, executed, frame, state
from tutelage_core.contract import NS_PER_S
from tutelage_core.episodes import messages, pictures
from tutelage_core.episodes.intake import SESSION_STATE, SESSION_TOPIC, Intake
from tutelage_core.episodes.reader import read_episode
from tutelage_core.episodes.schemas import decode, definition, encode, typestore
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import EpisodeError
from tutelage_core.types import ActionChunk, Frame, ObservationInputs, Source, TaskStatus

pytestmark = pytest.mark.unit

INPUTS = ObservationInputs({"front": 1, "wrist": 2}, 3, ("wrench",), 4, 5)

FRONT, WRIST = messages.image_topic("front"), messages.image_topic("wrist")


def feed(intake: Intake, stamp_ns: int, value: int = 7) -> None:
    """Send one control period."""
    for camera in ("front", "wrist"):
        intake.take(messages.image_topic(camera), pictures.encode_image(camera, frame(stamp_ns, value)))
    intake.take(messages.ARM_STATE_TOPIC, messages.encode_state(state(stamp_ns)))
    intake.take(messages.EXECUTED_TOPIC, messages.encode_executed(executed(stamp_ns), stamp_ns))


def session_state(stamp_ns: int, text: str) -> bytes:
    """Return a serialized state of the session."""
    kinds = typestore().types
    stamp = kinds["builtin_interfaces/msg/Time"](sec=0, nanosec=stamp_ns)
    header = kinds["std_msgs/msg/Header"](stamp=stamp, frame_id="")
    message = kinds[SESSION_STATE](header=header, state=text, task="", episode="", reason="", driver="")
    return encode(message, SESSION_STATE)


def test_bytes_that_came_are_the_bytes_that_are_kept(tmp_path: Path) -> None:
    intake = Intake(CONTRACT)
    intake.begin(EpisodeWriter(tmp_path, "a", METADATA), 0)
    picture = pictures.encode_image("front_optical_frame", frame(PERIOD_NS))
    intake.take(FRONT, picture)
    feed(intake, 2 * PERIOD_NS)
    writer = intake.end()
    assert writer is not None
    data = (writer.close(RESULT) / "episode.mcap").read_bytes()
    kept = [m.data for _, c, m in make_reader(BytesIO(data)).iter_messages() if c.topic == FRONT]
    assert kept[0] == picture


def test_first_observation_may_be_older_than_what_came_just_before_the_opening(tmp_path: Path) -> None:
    """States come five times as often as pictures: the newest state alone would be too new for the newest picture."""
    intake = Intake(CONTRACT)
    feed(intake, PERIOD_NS // 2)  # of before the episode
    for camera in ("front", "wrist"):
        intake.take(messages.image_topic(camera), pictures.encode_image(camera, frame(PERIOD_NS, 9)))
    for number in range(5):
        stamp_ns = PERIOD_NS + number * PERIOD_NS // 5
        intake.take(messages.ARM_STATE_TOPIC, messages.encode_state(state(stamp_ns, float(number))))
    assert intake.begin(EpisodeWriter(tmp_path, "a", METADATA), PERIOD_NS) == []
    intake.take(messages.EXECUTED_TOPIC, messages.encode_executed(executed(PERIOD_NS), PERIOD_NS))
    writer = intake.end()
    assert writer is not None
    episode = read_episode(writer.close(RESULT))
    assert len(episode) == 1
    assert episode.images["front"][0, 0, 0, 0] == 9
    assert episode.state["gripper_opening"][0, 0] == 0.0


def test_repetitions_and_what_is_older_than_the_episode_are_left_out(tmp_path: Path) -> None:
    intake = Intake(CONTRACT)
    intake.begin(EpisodeWriter(tmp_path, "a", METADATA), 2 * PERIOD_NS)
    for stamp in (1, 2, 2, 3, 3, 2):
        feed(intake, stamp * PERIOD_NS)
    assert intake.count(FRONT) == intake.count(messages.EXECUTED_TOPIC) == 2
    assert intake.last_ns(FRONT) == 3 * PERIOD_NS
    writer = intake.end()
    assert writer is not None
    assert len(read_episode(writer.close(RESULT))) == 2


def test_states_of_the_session_with_one_stamp_are_all_kept(tmp_path: Path) -> None:
    intake = Intake(CONTRACT)
    intake.begin(EpisodeWriter(tmp_path, "a", METADATA), 5)
    for stamp, text in ((4, "RESETTING"), (5, "PAUSED"), (5, "AUTONOMOUS")):
        intake.take(SESSION_TOPIC, session_state(stamp, text))
    assert intake.count(SESSION_TOPIC) == 2


@pytest.mark.parametrize(
    ("topic", "data", "said"),
    [
        (FRONT, b"\x00\x01\x00\x00garbage", "not as it is defined"),
        (FRONT, pictures.encode_image("front", frame(1))[:-5], "not as it is defined"),
        (messages.ARM_STATE_TOPIC, b"", "not as it is defined"),
        (
            messages.CHUNK_TOPIC,
            messages.encode_chunk(ActionChunk(1, 1, np.zeros((1, 7))), "bc", 0.0)[:40],
            "not as it is defined",
        ),
    ],
)
def test_damaged_message_is_refused_and_the_recording_goes_on(
    tmp_path: Path, topic: str, data: bytes, said: str
) -> None:
    intake = Intake(CONTRACT)
    intake.begin(EpisodeWriter(tmp_path, "a", METADATA), 0)
    with pytest.raises(EpisodeError, match=said):
        intake.take(topic, data)
    feed(intake, PERIOD_NS)
    writer = intake.end()
    assert writer is not None
    assert len(read_episode(writer.close(RESULT))) == 1


def test_image_of_another_size_is_refused_naming_both(tmp_path: Path) -> None:
    intake = Intake(CONTRACT)
    intake.begin(EpisodeWriter(tmp_path, "a", METADATA), 0)
    large = pictures.encode_image("front", Frame(np.zeros((24, 32, 3), np.uint8), 1, 0))
    with pytest.raises(EpisodeError, match=r"\(24, 32, 3\).*\(12, 16, 3\)"):
        intake.take(FRONT, large)
    assert intake.count(FRONT) == 0


def test_what_was_kept_and_cannot_be_recorded_is_said_at_the_beginning(tmp_path: Path) -> None:
    intake = Intake(CONTRACT)
    intake.take(WRIST, b"nonsense")
    feed(intake, PERIOD_NS)
    complaints = intake.begin(EpisodeWriter(tmp_path, "a", METADATA), 0)
    assert len(complaints) == 1
    assert complaints[0].startswith(WRIST)
    assert intake.count(WRIST) == 1


def test_silent_topics_are_named() -> None:
    intake = Intake(CONTRACT)
    intake.take(messages.STATUS_TOPIC, messages.encode_status(1, TaskStatus(False, 0.0)))
    assert intake.silent([FRONT, messages.STATUS_TOPIC, messages.ARM_STATE_TOPIC]) == [FRONT, messages.ARM_STATE_TOPIC]


@pytest.mark.parametrize("image_format", ["jpeg", "png"])
def test_images_are_compressed_on_the_way_if_asked(tmp_path: Path, image_format: messages.ImageFormat) -> None:
    intake = Intake(CONTRACT)
    intake.begin(EpisodeWriter(tmp_path, "a", METADATA, image_format), 0)
    feed(intake, PERIOD_NS, 100)
    writer = intake.end()
    assert writer is not None
    episode = read_episode(writer.close(RESULT))
    assert np.abs(episode.images["front"].astype(int) - 100).max() <= (2 if image_format == "jpeg" else 0)


def test_stamp_of_a_clock_that_is_off_is_refused_and_silences_nothing(tmp_path: Path) -> None:
    intake = Intake(CONTRACT)
    intake.begin(EpisodeWriter(tmp_path, "a", METADATA), 0)
    feed(intake, PERIOD_NS)
    with pytest.raises(EpisodeError, match=r"3600\.0 s after the arm's newest state"):
        intake.take(WRIST, pictures.encode_image("wrist", frame(PERIOD_NS + 3600 * NS_PER_S)))
    for number in range(2, 12):
        feed(intake, number * PERIOD_NS)
    assert intake.count(WRIST) == 11
    writer = intake.end()
    assert writer is not None
    assert len(read_episode(writer.close(RESULT))) == 11


def test_message_that_comes_late_is_kept_and_joined_where_it_belongs(tmp_path: Path) -> None:
    intake = Intake(CONTRACT)
    intake.begin(EpisodeWriter(tmp_path, "a", METADATA), 0)
    for number in (1, 3, 2):
        for camera in ("front", "wrist"):
            data = pictures.encode_image(camera, frame(number * PERIOD_NS, number))
            intake.take(messages.image_topic(camera), data)
        intake.take(messages.ARM_STATE_TOPIC, messages.encode_state(state(number * PERIOD_NS, float(number))))
    for number in (1, 2, 3):
        intake.take(messages.EXECUTED_TOPIC, messages.encode_executed(executed(number * PERIOD_NS), 1))
    writer = intake.end()
    assert writer is not None
    episode = read_episode(writer.close(RESULT))
    assert episode.images["front"][:, 0, 0, 0].tolist() == [1, 2, 3]
    assert episode.state["gripper_opening"][:, 0].tolist() == [1.0, 2.0, 3.0]


def spoilt(kind: str) -> tuple[str, bytes]:
    """Return a message that decodes and that no reader could use."""
    if kind == "joints":
        odd = replace(state(PERIOD_NS), joint_positions=np.zeros(3), joint_velocities=np.zeros(3))
        return messages.ARM_STATE_TOPIC, messages.encode_state(odd)
    if kind == "source":
        step = replace(executed(PERIOD_NS), source=77)  # type: ignore[arg-type]
        return messages.EXECUTED_TOPIC, messages.encode_executed(step, PERIOD_NS)
    if kind == "encoding":
        picture = decode(pictures.encode_image("front", frame(PERIOD_NS)), messages.IMAGE, definition(messages.IMAGE))
        return FRONT, encode(replace(picture, encoding="bgr8"), messages.IMAGE)
    data = messages.encode_chunk(ActionChunk(1, 1, np.zeros((1, 7))), "bc", 0.0, INPUTS)
    chunk = decode(data, messages.CHUNK, definition(messages.CHUNK))
    return messages.CHUNK_TOPIC, encode(replace(chunk, frame_stamps=chunk.frame_stamps[:1]), messages.CHUNK)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("joints", "3 positions and 3 velocities, the robot 7 joints"),
        ("source", "source 77 is nobody's"),
        ("encoding", "encoding bgr8"),
        ("chunk", "2 cameras and 1 frames"),
    ],
)
def test_what_would_make_the_episode_unreadable_is_refused_by_name(tmp_path: Path, kind: str, said: str) -> None:
    intake = Intake(CONTRACT)
    intake.begin(EpisodeWriter(tmp_path, "a", METADATA), 0)
    with pytest.raises(EpisodeError, match=said):
        intake.take(*spoilt(kind))
    feed(intake, 2 * PERIOD_NS)
    writer = intake.end()
    assert writer is not None
    assert len(read_episode(writer.close(RESULT))) == 1


def test_full_disk_at_the_beginning_lets_go_of_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intake = Intake(CONTRACT)
    feed(intake, PERIOD_NS)
    writer = EpisodeWriter(tmp_path, "a", METADATA)

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(writer, "write", full)
    with pytest.raises(OSError, match="no space"):
        intake.begin(writer, 0)
    assert intake.writer is None


def test_watchdog_before_anybody_has_driven_is_no_control_period(tmp_path: Path) -> None:
    """On a robot the arm holds between the way home and the first step, and no camera has seen the episode yet."""
    intake = Intake(CONTRACT)
    intake.begin(EpisodeWriter(tmp_path, "a", METADATA), PERIOD_NS)
    hold = replace(executed(PERIOD_NS, source=Source.HOLD), reasons=("COMMAND_TIMEOUT",))
    assert not intake.take(messages.EXECUTED_TOPIC, messages.encode_executed(hold, 1))
    for number in (2, 3):
        feed(intake, number * PERIOD_NS)
    late = replace(hold, stamp_ns=3 * PERIOD_NS + 1)
    assert intake.take(messages.EXECUTED_TOPIC, messages.encode_executed(late, 1))
    writer = intake.end()
    assert writer is not None
    episode = read_episode(writer.close(RESULT))
    assert episode.sources.tolist() == [Source.POLICY, Source.POLICY, Source.HOLD]
