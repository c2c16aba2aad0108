"""The Rerun recording of an episode, read back by Rerun's own reader, holds the episode's numbers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from rerun.chunk import RrdReader

from tests.unit.episode_samples import METADATA, PERIOD_NS, RESULT, executed, frame, state
from tutelage.looking.rerun_log import EPISODE_TIME, STAMP, send_to_viewer, write_recording
from tutelage_core.episodes.labels import Judgement, Phrase
from tutelage_core.episodes.reader import Episode, read_episode
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import ConfigurationError, EpisodeError
from tutelage_core.rotations import quaternion_xyzw_to_matrix, rotation_vector_to_xyzw
from tutelage_core.types import ActionChunk, Pose, Source, TaskStatus

pytestmark = pytest.mark.unit

STEPS = 6


@pytest.fixture
def episode(tmp_path: Path) -> Episode:
    writer = EpisodeWriter(tmp_path / "store", "a", METADATA)
    rng = np.random.default_rng(0)
    for number in range(STEPS):
        stamp = (number + 1) * PERIOD_NS
        for camera in METADATA.contract.cameras:
            writer.image(camera, frame(stamp, 40 * number))
        turn = rotation_vector_to_xyzw(rng.normal(size=3))
        writer.state(
            replace(state(stamp, number / 10), T_base_tcp=Pose(rng.normal(size=3), turn), wrench=rng.normal(size=6))
        )
        writer.status(stamp, TaskStatus(False, number / STEPS))
        step = replace(executed(stamp), executed=rng.normal(size=7), requested=rng.normal(size=7))
        source = Source.HUMAN if 2 <= number < 4 else Source.POLICY
        writer.executed(replace(step, source=source, reasons=("TRANSLATION_CLAMPED",) if number == 3 else ()))
    writer.chunk(ActionChunk(PERIOD_NS, PERIOD_NS, np.zeros((2, 7)), "move left"), "bc", 0.01)
    return read_episode(writer.close(replace(RESULT, steps=STEPS)))


JUDGED = Judgement(
    phrases=(Phrase("lift it", 3 * PERIOD_NS, 5 * PERIOD_NS),),
    remarks=("too slow",),
    rewards={"toy model": (None, 0.1, 0.2, None, 0.4, 0.5)},
)


class Recording:
    """A Rerun recording as its own reader gives it back."""

    def __init__(self, path: Path) -> None:
        self.reader = RrdReader(path)
        self._batches: dict[str, list[pa.RecordBatch]] = defaultdict(list)
        for chunk in self.reader.stream():
            if not chunk.is_static:
                self._batches[chunk.entity_path].append(chunk.to_record_batch())

    @property
    def paths(self) -> set[str]:
        return set(self._batches)

    def column(self, entity: str, name: str) -> list[Any]:
        """Return a column over all chunks of an entity, in the order of the time of the episode."""
        rows: list[tuple[int, Any]] = []
        for batch in self._batches[entity]:
            times = batch.column(EPISODE_TIME).cast(pa.int64()).to_pylist()
            rows += zip(times, batch.column(name).to_pylist(), strict=True)
        return [value for _, value in sorted(rows, key=lambda row: row[0])]

    def numbers(self, entity: str, name: str = "Scalars:scalars") -> np.ndarray:
        return np.array(self.column(entity, name), dtype=np.float64)

    def times_ns(self, entity: str, timeline: str) -> list[int]:
        found = [batch.column(timeline).cast(pa.int64()).to_pylist() for batch in self._batches[entity]]
        return sorted(time for times in found for time in times)


@pytest.fixture
def recording(episode: Episode, tmp_path: Path) -> Recording:
    path = tmp_path / "new" / "a.rrd"
    write_recording(path, episode, JUDGED)
    assert [found.name for found in path.parent.iterdir()] == ["a.rrd"]
    return Recording(path)


def test_steps_states_and_progress_are_the_episodes_numbers(episode: Episode, recording: Recording) -> None:
    for kind, values in (("executed", episode.executed), ("asked", episode.requested)):
        np.testing.assert_array_equal(recording.numbers(f"/step/translation/{kind}"), values[:, :3])
        np.testing.assert_array_equal(recording.numbers(f"/step/rotation/{kind}"), values[:, 3:6])
        np.testing.assert_array_equal(recording.numbers(f"/gripper/{kind}"), values[:, 6:])
    np.testing.assert_array_equal(recording.numbers("/joints"), episode.state["joint_positions"])
    np.testing.assert_array_equal(recording.numbers("/wrench"), episode.state["wrench"])
    np.testing.assert_array_equal(recording.numbers("/gripper/measured"), episode.state["gripper_opening"])
    np.testing.assert_array_equal(recording.numbers("/reward/true_progress")[:, 0], episode.progress)
    toy = np.array([np.nan, 0.1, 0.2, np.nan, 0.4, 0.5])
    np.testing.assert_array_equal(recording.numbers("/reward/toy\\ model")[:, 0], toy)


def test_both_timelines_are_the_stamps(episode: Episode, recording: Recording) -> None:
    for entity in ("/joints", "/camera/front", "/base/tcp"):
        assert recording.times_ns(entity, STAMP) == episode.stamps_ns.tolist()
        assert recording.times_ns(entity, EPISODE_TIME) == (episode.stamps_ns - episode.stamps_ns[0]).tolist()


def test_tcp_moves_as_the_measured_pose_does(episode: Episode, recording: Recording) -> None:
    positions = recording.numbers("/base/tcp", "Transform3D:translation")[:, 0]
    np.testing.assert_allclose(positions, episode.state["tcp_position"], atol=1e-6)
    columns = recording.numbers("/base/tcp", "Transform3D:mat3x3")[:, 0].reshape(-1, 3, 3)  # column after column
    rng = np.random.default_rng(0)
    turn = quaternion_xyzw_to_matrix(rotation_vector_to_xyzw(rng.normal(size=3)))
    np.testing.assert_allclose(columns[0].T, turn, atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(columns), np.ones(STEPS), atol=1e-5)


def test_images_are_the_cameras_pictures_as_jpeg(episode: Episode, recording: Recording) -> None:
    for camera, images in episode.images.items():
        blobs = recording.column(f"/camera/{camera}", "EncodedImage:blob")
        kinds = recording.column(f"/camera/{camera}", "EncodedImage:media_type")
        assert kinds == [["image/jpeg"]] * STEPS
        for (blob,), image in zip(blobs, images, strict=True):
            decoded = cv2.imdecode(np.array(blob, dtype=np.uint8), cv2.IMREAD_COLOR)
            assert decoded is not None
            assert np.abs(decoded[..., ::-1].astype(int) - image).max() <= 3


def test_who_drove_changes_when_the_driver_does(recording: Recording) -> None:
    assert recording.column("/driver", "StateChange:state") == [["POLICY"], ["HUMAN"], ["POLICY"]]
    assert recording.times_ns("/driver", EPISODE_TIME) == [0, 2 * PERIOD_NS, 4 * PERIOD_NS]


def test_phrases_gate_remarks_and_end_are_logged_at_their_time(recording: Recording) -> None:
    for entity, text, at_ns in (
        ("/log/policy_phrase", "move left", 0),
        ("/log/label_phrase", "lift it", 2 * PERIOD_NS),
        ("/log/gate", "TRANSLATION_CLAMPED", 3 * PERIOD_NS),
        ("/log/label", "too slow", STEPS * PERIOD_NS),
        ("/log/end", "success: success", STEPS * PERIOD_NS),
    ):
        assert recording.column(entity, "TextLog:text") == [[text]], entity
        assert recording.times_ns(entity, EPISODE_TIME) == [at_ns], entity


def test_blueprint_comes_with_the_recording_and_shows_every_path(episode: Episode, recording: Recording) -> None:
    (blueprint,) = recording.reader.blueprints()
    origins: set[str] = set()
    for chunk in recording.reader.stream(store=blueprint):
        batch = chunk.to_record_batch()
        if "ViewBlueprint:space_origin" in batch.schema.names:
            origins |= {f"/{origin.strip('/')}" for (origin,) in batch.column("ViewBlueprint:space_origin").to_pylist()}
    assert {"/camera/front", "/camera/wrist", "/base", "/driver", "/wrench", "/joints", "/log"} <= origins
    for path in recording.paths - {"/__properties"}:
        assert any(path == origin or path.startswith(origin + "/") for origin in origins), path


def test_name_that_is_taken_or_no_recordings_is_refused(episode: Episode, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"name ends in \.rrd"):
        write_recording(tmp_path / "a.bag", episode)
    path = tmp_path / "a.rrd"
    path.write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match="none is overwritten"):
        write_recording(path, episode)
    assert path.read_bytes() == b"mine"


def test_rewards_of_another_length_leave_no_file(episode: Episode, tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="rewards of toy are 1 numbers"):
        write_recording(tmp_path / "x" / "a.rrd", episode, Judgement(rewards={"toy": (0.1,)}))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("address", ["10.0.0.1:9876", "127.0.0.1", "127.0.0.1:0", "viewer:9876", ""])
def test_viewer_elsewhere_than_on_this_machine_is_refused(episode: Episode, address: str) -> None:
    with pytest.raises(ConfigurationError, match="a loopback address and a port such as"):
        send_to_viewer(address, episode)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_viewer_that_is_not_there_is_an_error_that_says_what_to_do(episode: Episode) -> None:
    with pytest.raises(ConfigurationError, match="start one with `rerun --bind"):
        send_to_viewer(f"127.0.0.1:{free_port()}", episode)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:RRD file has no footer")  # the viewer that saved it was interrupted
def test_viewer_that_runs_gets_the_episode(episode: Episode, tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "heard.rrd"
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    program = [sys.executable, "-m", "rerun_cli"]
    subprocess.run([*program, "analytics", "disable"], check=True, env=environment, stdout=subprocess.DEVNULL)
    command = [*program, "--save", str(path), "--port", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as viewer:
        try:
            end_s = time.monotonic() + 30.0
            while True:
                try:
                    send_to_viewer(f"127.0.0.1:{port}", episode, JUDGED)
                    break
                except ConfigurationError:
                    assert time.monotonic() < end_s, "the viewer never listened"
                    time.sleep(0.2)
            size = -1
            while path.stat().st_size != size:
                size = path.stat().st_size
                time.sleep(0.5)
        finally:
            viewer.send_signal(signal.SIGINT)
    np.testing.assert_array_equal(Recording(path).numbers("/wrench"), episode.state["wrench"])
