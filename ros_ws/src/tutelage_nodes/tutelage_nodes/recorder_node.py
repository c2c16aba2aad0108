"""Records one MCAP file per episode, with the writer that the one-process loop uses too."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.serialization import deserialize_message
from rclpy.task import Future
from sensor_msgs.msg import Image
from tutelage_interfaces import msg as ti
from tutelage_interfaces.srv import LabelEpisode, RecordEpisode

from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.contract import load_contract
from tutelage_core.episodes.free_space import FreeSpace
from tutelage_core.episodes.labels import Label, add_label
from tutelage_core.episodes.manifest import EpisodeMetadata
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import TutelageError
from tutelage_core.types import EpisodeResult
from tutelage_nodes import convert, topics
from tutelage_nodes.episode_setup import NOT_CONNECTED
from tutelage_nodes.node import TutelageNode, run_node

BACKLOG = 200
"""Messages a topic may wait for the disk before the oldest is lost."""

RECORDER_NICENESS = 5
"""The recorder has a backlog and can wait; arm and policy cannot. It yields to them on a machine of few cores."""

DISK_LOOK_S = 1.0
"""How often the free space is looked at [s]."""

DRAIN_S = 2.0
"""How long a closing episode waits for messages that are still on their way [s]."""


@dataclass(frozen=True)
class RecorderNodeParameters:
    """Parameters of `recorder_node`.

    Attributes:
        robot: name of the robot's contract.
        folder: where episodes go.
        min_free_mb: free space below which no episode is begun; below a quarter of it the open one ends [MB].
    """

    robot: str = "twin"
    folder: str = "runs/episodes"
    min_free_mb: float = 2000.0


class RecorderNode(TutelageNode[RecorderNodeParameters]):
    """Writes what the graph says while an episode is open."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("recorder_node", RecorderNodeParameters)
        self._writer: EpisodeWriter | None = None

    def setup(self) -> None:
        """Open the topics."""
        os.nice(RECORDER_NICENESS)
        contract = load_contract(self.params.robot)
        self._contract = to_mapping(contract)
        self._cameras = tuple(contract.cameras)
        self._last_ns: dict[str, int] = {}
        self._newest: dict[str, bytes] = {}
        self._readers: dict[str, tuple[type, Callable[[Any], None]]] = {}
        self._not_before_ns = self._executed = self._awaited_steps = 0
        self._drained: Future | None = None
        self._episode, self._closed, self._lost = "", ("", ""), ""
        self._space = FreeSpace(self.params.min_free_mb, self.params.min_free_mb / 4)
        self.create_timer(DISK_LOOK_S, self._look_at_disk)
        for camera in contract.cameras:
            self._readers[topics.camera_image(camera)] = (Image, partial(self._on_image, camera))
        for kind, topic, write in (
            (ti.ArmState, topics.ARM_STATE, self._write_state),
            (ti.ExecutedAction, topics.ARM_EXECUTED, self._write_executed),
            (ti.TaskStatus, topics.TWIN_TASK_STATUS, self._write_status),
            (ti.ActionChunk, topics.POLICY_CHUNK, self._write_chunk),
        ):
            self._readers[topic] = (kind, partial(self._on_message, topic, write))
        for topic, (kind, _) in self._readers.items():
            # raw: while no episode is open, a message costs no more than its copy
            self.create_subscription(kind, topic, partial(self._on_raw, topic), topics.reliable(BACKLOG), raw=True)
        self.create_service(RecordEpisode, topics.RECORD_EPISODE, self._on_record)
        self.create_service(LabelEpisode, topics.LABEL_EPISODE, self._on_label)

    def teardown(self) -> None:
        """Keep what was recorded of an unfinished episode as a partial one."""
        if self._writer is not None:
            self._writer.abort("recorder_node ended")
            self._writer = None

    def missing(self) -> list[str]:
        """Name the topics on which nothing has come yet."""
        silent = self._silent_topics()
        said = [f"nothing has come on {', '.join(silent)}"] if silent else []
        objection = self._space.why_not_begin(Path(self.params.folder))
        return [*said, objection] if objection else said

    def _silent_topics(self) -> list[str]:
        # a topic counts as connected once something has come: that a publisher is known says too little
        needed = [*map(topics.camera_image, self._cameras), topics.ARM_STATE]
        if self.count_publishers(topics.TWIN_TASK_STATUS):
            needed.append(topics.TWIN_TASK_STATUS)
        return [topic for topic in needed if topic not in self._newest]

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say whether an episode is open, or why one was given up."""
        if self._lost:
            return False, self._lost, {}
        return True, "recording" if self._writer is not None else "idle", {}

    def _on_raw(self, topic: str, data: bytes) -> None:
        """Write a message, or keep it: an episode's first observation may come before its recording opens."""
        self._newest[topic] = data
        if self._writer is not None:
            self._read(topic, data)

    def _read(self, topic: str, data: bytes) -> None:
        kind, take = self._readers[topic]
        take(deserialize_message(data, kind))

    def _on_image(self, camera: str, message: Image) -> None:
        topic = topics.camera_image(camera)
        try:
            frame = convert.from_image_msg(message, self.counters.get(topic, 0))
        except ValueError as error:
            self.count("bad_images")
            self.get_logger().error(f"camera {camera}: {error}", throttle_duration_sec=1.0)
            return
        self._take(topic, frame.stamp_ns, lambda: self._open_writer().image(camera, frame))

    def _on_message(self, topic: str, write: Callable[[Any], None], message: Any) -> None:
        self._take(topic, convert.to_ns(message.header.stamp), partial(write, message))

    def _take(self, topic: str, stamp_ns: int, write: Callable[[], None]) -> None:
        """Write a message, unless it is of before the episode or a repetition."""
        if self._writer is None or stamp_ns <= self._last_ns.get(topic, self._not_before_ns - 1):
            return
        self._last_ns[topic] = stamp_ns
        try:
            write()
        except OSError as error:
            self._give_up_recording(f"the disk took no more: {error}")
            return
        except TutelageError as error:  # a message that cannot be recorded is no reason to end
            self.count("bad_messages")
            self.get_logger().error(f"{topic}: {error}", throttle_duration_sec=1.0)
            return
        self.count(topic)
        self._check_drained()

    def _look_at_disk(self) -> None:
        if self._writer is not None and (objection := self._space.why_not_go_on(Path(self.params.folder))):
            self._give_up_recording(objection)

    def _give_up_recording(self, why: str) -> None:
        """End the open episode as a partial one; the arm goes on, and the session hears of it at the end."""
        if self._writer is not None:
            self._writer.abort(why)
            self._writer, self._lost = None, f"the recording was given up: {why}"
            self.get_logger().error(self._lost)

    def _write_state(self, message: ti.ArmState) -> None:
        self._open_writer().state(convert.from_arm_state_msg(message))

    def _write_executed(self, message: ti.ExecutedAction) -> None:
        self._open_writer().executed(convert.from_executed_msg(message), convert.to_ns(message.executed_at))
        self._executed += 1

    def _write_status(self, message: ti.TaskStatus) -> None:
        self._open_writer().status(convert.to_ns(message.header.stamp), convert.from_task_status_msg(message))

    def _write_chunk(self, message: ti.ActionChunk) -> None:
        self._open_writer().chunk(convert.from_chunk_msg(message), message.policy, message.inference_s)

    def _open_writer(self) -> EpisodeWriter:
        if self._writer is None:
            raise TutelageError(self._lost or "no episode is open")
        return self._writer

    async def _on_record(
        self, request: RecordEpisode.Request, response: RecordEpisode.Response
    ) -> RecordEpisode.Response:
        try:
            data = json.loads(request.metadata_json or "{}")
            if request.open and self._writer is not None and self._episode == request.episode:
                pass  # asked a second time: it is open
            elif not request.open and self._writer is None and self._closed[0] == request.episode:
                response.path = self._closed[1]  # asked a second time: it is closed
            elif request.open:
                self._begin(request.episode, data, convert.to_ns(request.not_before))
            else:
                result = from_mapping(data, EpisodeResult, "RecordEpisode.metadata_json")
                writer = self._open_writer()
                await self._drain(result.steps)
                self._writer = None
                response.path = str(writer.close(result))
                self._closed = (self._episode, response.path)
                if self._executed < result.steps:
                    response.message = f"{result.steps - self._executed} of {result.steps} steps are missing"
            response.accepted = True
        except (TutelageError, OSError, json.JSONDecodeError) as error:
            self.count("refused_requests")
            response.accepted, response.message = False, str(error)
        return response

    def _begin(self, episode: str, data: dict[str, object], not_before_ns: int) -> None:
        if objection := self._space.why_not_begin(Path(self.params.folder)):
            raise TutelageError(objection)
        if silent := self._silent_topics():
            raise TutelageError(f"{NOT_CONNECTED}: nothing has come on {', '.join(silent)}")
        if self._writer is not None:
            self._writer.abort("another episode began")
            self._writer = None
        self._not_before_ns, self._executed = not_before_ns, 0
        self._last_ns.clear()
        metadata = from_mapping({**data, "contract": self._contract}, EpisodeMetadata, "RecordEpisode.metadata_json")
        self._writer = EpisodeWriter(Path(self.params.folder), episode, metadata)
        self._episode, self._lost = episode, ""
        for topic, raw in tuple(self._newest.items()):
            self._read(topic, raw)

    def _on_label(self, request: LabelEpisode.Request, response: LabelEpisode.Response) -> LabelEpisode.Response:
        try:
            author = request.author or "a person"
            now_ns = self.get_clock().now().nanoseconds
            label = Label(now_ns, request.success, request.failure, request.phrase, author)
            response.message = f"kept in {add_label(Path(self.params.folder), request.episode, label)}"
            response.accepted = True
        except (TutelageError, OSError) as error:
            response.message = str(error)
        return response

    async def _drain(self, steps: int) -> None:
        """Wait for messages that are still on their way: a service call may overtake them."""
        self._drained, self._awaited_steps = Future(), steps
        timer = self.create_timer(DRAIN_S, self._give_up)
        self._check_drained()
        await self._drained
        self.destroy_timer(timer)
        self._drained = None

    def _give_up(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(False)

    def _check_drained(self) -> None:
        if self._drained is None or self._drained.done() or self._executed < self._awaited_steps:
            return
        last_ns = self._last_ns.get(topics.ARM_EXECUTED, 0)
        if all(self._last_ns.get(topics.camera_image(c), -1) >= last_ns for c in self._cameras):
            self._drained.set_result(True)


def main() -> None:
    """Run the node."""
    run_node(RecorderNode)
