"""One episode as a Rerun recording: images, poses, steps, who drove, what was said, on the time of the episode."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rerun as rr
import rerun.blueprint as rrb

from tutelage.looking.jpeg import to_jpeg
from tutelage.looking.picture import rewards_of
from tutelage.looking.spans import SOURCE_COLOURS, edges_s, spans_of
from tutelage_core.contract import NS_PER_S
from tutelage_core.episodes.labels import Judgement
from tutelage_core.episodes.reader import Episode
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import FloatArray, Source

APPLICATION = "tutelage"
SUFFIX = ".rrd"
EPISODE_TIME = "episode_time"
"""Timeline: since the first control period."""

STAMP = "stamp"
"""Timeline: the stamps as they were recorded; simulated ones begin at 1970."""

JPEG_QUALITY = 90
FLUSH_S, CONNECT_S = 30.0, 3.0

STEP_NAMES = ("x", "y", "z", "rx", "ry", "rz", "gripper")
WRENCH_NAMES = ("fx", "fy", "fz", "tx", "ty", "tz")


def write_recording(path: Path, episode: Episode, judgement: Judgement | None = None) -> None:
    """Write an episode to the Rerun recording `path`, with a blueprint; its folder is made.

    Raises:
        ConfigurationError: the name does not end in .rrd, or there is such a file.
        EpisodeError: rewards are not of this episode.
    """
    if path.suffix != SUFFIX:
        raise ConfigurationError(f"{path}: a Rerun recording's name ends in {SUFFIX}")
    if path.exists():
        raise ConfigurationError(f"{path}: there is such a file, and none is overwritten; choose another name")
    judged = judgement or Judgement()
    rewards = rewards_of(episode, judged)
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = rr.RecordingStream(APPLICATION)
    unfinished = path.with_name(path.name + ".partial")
    stream.save(unfinished, default_blueprint=blueprint(episode, rewards))
    _log(stream, episode, judged, rewards)
    stream.flush(timeout_sec=FLUSH_S)
    stream.disconnect()
    unfinished.rename(path)


def send_to_viewer(address: str, episode: Episode, judgement: Judgement | None = None) -> None:
    """Send an episode to the Rerun viewer that listens at `address`, such as 127.0.0.1:9876.

    Raises:
        ConfigurationError: the address is not on this machine's loopback, or no viewer took the episode in time.
        EpisodeError: rewards are not of this episode.
    """
    host, port = _loopback(address)
    judged = judgement or Judgement()
    rewards = rewards_of(episode, judged)
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()  # the library itself would try for long
        stream = rr.RecordingStream(APPLICATION)
        stream.connect_grpc(f"rerun+http://{address}/proxy", default_blueprint=blueprint(episode, rewards))
        _log(stream, episode, judged, rewards)
        stream.flush(timeout_sec=FLUSH_S)
        stream.disconnect()
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(
            f"no Rerun viewer at {address} took the episode: {error}; start one with `rerun --bind 127.0.0.1`"
        ) from error


def blueprint(episode: Episode, rewards: Mapping[str, FloatArray]) -> rrb.Blueprint:
    """Return how the viewer shall lay the episode out: cameras and scene on top, plots and words below."""
    cameras = [rrb.Spatial2DView(origin=f"camera/{name}", name=name) for name in episode.images]
    scene = rrb.Spatial3DView(origin="base", name="TCP in the base frame")
    plots = [
        rrb.TimeSeriesView(origin="step/translation", name="translation: executed, asked [m]"),
        rrb.TimeSeriesView(origin="step/rotation", name="rotation: executed, asked [rad]"),
        rrb.TimeSeriesView(origin="gripper", name="gripper 0..1"),
        rrb.TimeSeriesView(origin="wrench", name="wrench [N, Nm]"),
        rrb.TimeSeriesView(origin="joints", name="joint angles [rad]"),
    ]
    if rewards or np.isfinite(episode.progress).any():
        plots.append(rrb.TimeSeriesView(origin="reward", name="rewards and true progress"))
    return rrb.Blueprint(
        rrb.Vertical(
            rrb.Horizontal(*cameras, scene),
            rrb.StateTimelineView(origin="driver", name="who drives"),
            rrb.Horizontal(
                rrb.Tabs(*plots, name="plots"),
                rrb.TextLogView(origin="log", name="phrases, gate, end"),
                rrb.TextDocumentView(origin="about", name="about"),
                column_shares=[3, 1, 1],
            ),
            row_shares=[4, 1, 4],
        ),
        rrb.TimePanel(timeline=EPISODE_TIME, state="collapsed"),
        collapse_panels=True,
    )


def _log(stream: rr.RecordingStream, episode: Episode, judged: Judgement, rewards: Mapping[str, FloatArray]) -> None:
    times = _times(episode.stamps_ns, int(episode.stamps_ns[0]))
    stream.log("about", rr.TextDocument(_about(episode, judged), media_type=rr.MediaType.MARKDOWN), static=True)
    for camera, images in episode.images.items():
        blobs = [to_jpeg(image, JPEG_QUALITY) for image in images]
        columns = rr.EncodedImage.columns(blob=blobs, media_type=["image/jpeg"] * len(blobs))
        stream.send_columns(f"camera/{camera}", times, columns)
    _log_arm(stream, episode, times)
    _log_scalars(stream, "step/translation/executed", times, episode.executed[:, :3], STEP_NAMES[:3])
    _log_scalars(stream, "step/rotation/executed", times, episode.executed[:, 3:6], STEP_NAMES[3:6])
    _log_scalars(stream, "gripper/executed", times, episode.executed[:, 6:], ("executed",))
    _log_scalars(stream, "step/translation/asked", times, episode.requested[:, :3], _asked(STEP_NAMES[:3]))
    _log_scalars(stream, "step/rotation/asked", times, episode.requested[:, 3:6], _asked(STEP_NAMES[3:6]))
    _log_scalars(stream, "gripper/asked", times, episode.requested[:, 6:], ("asked",))
    for model, values in rewards.items():
        _log_scalars(stream, f"reward/{rr.escape_entity_path_part(model)}", times, values[:, None], (model,))
    if np.isfinite(episode.progress).any():
        _log_scalars(stream, "reward/true_progress", times, episode.progress[:, None], ("true progress",))
    _log_driver(stream, episode)
    _log_words(stream, episode, judged)


def _log_arm(stream: rr.RecordingStream, episode: Episode, times: Sequence[rr.TimeColumn]) -> None:
    positions = episode.state["tcp_position"]
    rotations = _matrices(episode.state["tcp_rotation_6d"])
    stream.log("base", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    stream.log("base/trajectory", rr.LineStrips3D([positions], colors=[(120, 120, 120)]), static=True)
    stream.log("base/tcp", rr.TransformAxes3D(0.05), static=True)
    stream.send_columns("base/tcp", times, rr.Transform3D.columns(translation=positions, mat3x3=rotations))
    joints = episode.metadata.contract.arm.joints
    _log_scalars(stream, "joints", times, episode.state["joint_positions"], joints)
    _log_scalars(stream, "wrench", times, episode.state["wrench"], WRENCH_NAMES)
    _log_scalars(stream, "gripper/measured", times, episode.state["gripper_opening"], ("measured",))


def _log_driver(stream: rr.RecordingStream, episode: Episode) -> None:
    spans = spans_of(episode.sources.tolist())
    names = [Source(span.value).name for span in spans]
    seen = sorted({span.value for span in spans})
    stream.log(
        "driver",
        rr.StateConfiguration(
            values=[Source(value).name for value in seen],
            labels=[Source(value).name.lower() for value in seen],
            colors=[_rgb(SOURCE_COLOURS[Source(value)]) for value in seen],
        ),
        static=True,
    )
    began_ns = episode.stamps_ns[[span.first for span in spans]]
    stream.send_columns("driver", _times(began_ns, int(episode.stamps_ns[0])), rr.StateChange.columns(state=names))


def _log_words(stream: rr.RecordingStream, episode: Episode, judged: Judgement) -> None:
    first_ns = int(episode.stamps_ns[0])
    last_ns = first_ns + round(edges_s(episode)[-1] * NS_PER_S)
    said = [
        ("log/policy_phrase", int(episode.stamps_ns[span.first]), "INFO", span.value)
        for span in spans_of(episode.phrases)
        if span.value
    ]
    said += [("log/label_phrase", phrase.from_ns, "INFO", phrase.text) for phrase in judged.phrases]
    said += [
        ("log/gate", int(episode.stamps_ns[span.first]), "WARN", ", ".join(span.value))
        for span in spans_of(episode.reasons)
        if span.value
    ]
    said += [("log/label", last_ns, "INFO", remark) for remark in judged.remarks]
    result = episode.result
    end = f"{result.termination}: {'success' if result.success else 'no success'} {result.failure}".strip()
    said.append(("log/end", last_ns, "INFO" if result.success else "WARN", end))
    for path in dict.fromkeys(entry[0] for entry in said):
        entries = sorted((entry for entry in said if entry[0] == path), key=lambda entry: entry[1])
        stamps = np.array([entry[1] for entry in entries], dtype=np.int64)
        columns = rr.TextLog.columns(text=[entry[3] for entry in entries], level=[entry[2] for entry in entries])
        stream.send_columns(path, _times(stamps, first_ns), columns)


def _log_scalars(
    stream: rr.RecordingStream, path: str, times: Sequence[rr.TimeColumn], values: FloatArray, names: Sequence[str]
) -> None:
    stream.log(path, rr.SeriesLines(names=list(names)), static=True)
    stream.send_columns(path, times, rr.Scalars.columns(scalars=np.ascontiguousarray(values)))


def _times(stamps_ns: np.ndarray, first_ns: int) -> list[rr.TimeColumn]:
    return [
        rr.TimeColumn(EPISODE_TIME, duration=(stamps_ns - first_ns).astype("timedelta64[ns]")),
        rr.TimeColumn(STAMP, timestamp=stamps_ns.astype("datetime64[ns]")),
    ]


def _asked(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name} asked" for name in names)


def _about(episode: Episode, judged: Judgement) -> str:
    about, result = episode.metadata, episode.result
    lines = [
        f"# {episode.name}",
        f"*{about.instruction}*",
        f"- task {about.task}, seed {about.seed}",
        f"- robot {about.robot}, policy {about.policy or 'none'} {about.policy_sha256[:8]}",
        f"- {len(episode)} control periods, {result.human_periods} by a person",
        f"- {result.termination}, {'success' if result.success else 'no success'} {result.failure}",
        *(f"- label: {remark}" for remark in judged.remarks),
    ]
    return "\n".join(lines)


def _matrices(rotations_6d: FloatArray) -> FloatArray:
    """Return rotation matrices, shape (T, 3, 3), of their first two columns, shape (T, 6)."""
    first, second = rotations_6d[:, :3], rotations_6d[:, 3:]
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _loopback(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    try:
        if ipaddress.ip_address(host.strip("[]")).is_loopback and 1 <= int(port) <= 65535:
            return host.strip("[]"), int(port)
    except ValueError:
        pass  # no address, or no number: refused with the others
    raise ConfigurationError(
        f"a Rerun viewer's address is a loopback address and a port such as 127.0.0.1:9876, got {address!r}"
    )
