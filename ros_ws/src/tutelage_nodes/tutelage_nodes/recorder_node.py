"""Records one MCAP file per episode, with the writer that the one-process loop uses too."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sensor_msgs.msg import Image
from tutelage_interfaces import msg as ti
from tutelage_interfaces.srv import LabelEpisode, RecordEpisode

from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.contract import load_contract
from tutelage_core.episodes.free_space import FreeSpace
from tutelage_core.episodes.intake import Intake
from tutelage_core.episodes.labels import Label, add_label
from tutelage_core.episodes.manifest import EpisodeMetadata
from tutelage_core.episodes.messages import IMAGE_FORMATS, ImageFormat
from tutelage_core.episodes.repair import repair, unfinished
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import TutelageError, UnknownNameError
from tutelage_core.memory import give_back
from tutelage_core.types import EpisodeResult
from tutelage_core.versions import versions
from tutelage_nodes import convert, topics
from tutelage_nodes.drain import Drain
from tutelage_nodes.episode_setup import NOT_CONNECTED
from tutelage_nodes.node import TutelageNode, run_node

TYPES = {
    f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}": kind
    for kind in (Image, ti.ArmState, ti.ExecutedAction, ti.TaskStatus, ti.ActionChunk, ti.SessionState)
}

BACKLOG = 200
"""Messages a topic may wait for the disk before the oldest is lost."""

RECORDER_NICENESS = 5
"""The recorder has a backlog and can wait; arm and policy cannot. It yields to them on a machine of few cores."""

CHECKPOINT_S = 1.0
"""How often what was recorded is brought to the disk, and its free space is looked at [s]."""


@dataclass(frozen=True)
class RecorderNodeParameters:
    """Parameters of `recorder_node`.

    Attributes:
        robot: name of the robot's contract.
        folder: where episodes go.
        image_format: how pixels are kept: raw, jpeg (a tenth of the size, not the same pixels) or png.
        min_free_mb: free space below which no episode is begun; below a quarter of it the open one ends [MB].
        repair: at start, make episodes again of what a recorder that died has left in the folder.
    """

    robot: str = "twin"
    folder: str = "runs/episodes"
    image_format: str = "raw"
    min_free_mb: float = 2000.0
    repair: bool = True


class RecorderNode(TutelageNode[RecorderNodeParameters]):
    """Writes what the graph says while an episode is open."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("recorder_node", RecorderNodeParameters)
        self._intake: Intake | None = None

    def setup(self) -> None:
        """Mend what a dead recorder left, and open the topics."""
        os.nice(RECORDER_NICENESS)
        contract = load_contract(self.params.robot)
        self._fixed: dict[str, object] = {"contract": to_mapping(contract), "versions": versions()}
        self._images = [topics.camera_image(camera) for camera in contract.cameras]
        self._folder = Path(self.params.folder)
        self._format: ImageFormat = self._checked_format()
        self._episode, self._closed, self._lost = "", ("", ""), ""
        self._space = FreeSpace(self.params.min_free_mb, self.params.min_free_mb / 4)
        self._repair()
        self._intake = Intake(contract)
        self._drain = Drain(self, self._intake, self._images)
        self.create_timer(CHECKPOINT_S, self._checkpoint)
        for topic, kind in self._intake.topics.items():
            # raw: the bytes that came are the bytes that are kept
            quality = topics.latched() if topic == topics.SESSION_STATE else topics.reliable(BACKLOG)
            self.create_subscription(TYPES[kind], topic, partial(self._on_message, topic), quality, raw=True)
        self.create_service(RecordEpisode, topics.RECORD_EPISODE, self._on_record)
        self.create_service(LabelEpisode, topics.LABEL_EPISODE, self._on_label)

    def teardown(self) -> None:
        """Keep what was recorded of an unfinished episode as a partial one."""
        if self._intake is not None and (writer := self._intake.end()) is not None:
            writer.abort("recorder_node ended")

    def missing(self) -> list[str]:
        """Name the topics on which nothing has come yet."""
        silent = self._silent_topics()
        said = [f"nothing has come on {', '.join(silent)}"] if silent else []
        objection = self._space.why_not_begin(self._folder)
        return [*said, objection] if objection else said

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say whether an episode is open, or why one was given up."""
        if self._lost:
            return False, self._lost, {}
        return True, "recording" if self._taking().writer is not None else "idle", {}

    def _checked_format(self) -> ImageFormat:
        for known in IMAGE_FORMATS:
            if known == self.params.image_format:
                return known
        raise UnknownNameError("image format", self.params.image_format, IMAGE_FORMATS, "node recorder_node")

    def _taking(self) -> Intake:
        if self._intake is None:
            raise TutelageError("recorder_node is not set up")
        return self._intake

    def _silent_topics(self) -> list[str]:
        # a topic counts as connected once something has come: that a publisher is known says too little
        needed = [*self._images, topics.ARM_STATE]
        if self.count_publishers(topics.TWIN_TASK_STATUS):
            needed.append(topics.TWIN_TASK_STATUS)
        return self._taking().silent(needed)

    def _repair(self) -> None:
        """Mend the episodes of a recorder that died; one that cannot be mended is no reason not to start."""
        for name in unfinished(self._folder) if self.params.repair else ():
            try:
                self.get_logger().warning(f"{self._folder}: {repair(self._folder, name)}")
            except (TutelageError, OSError) as error:
                self.get_logger().error(f"{self._folder}: {name} cannot be repaired: {error}")

    def _on_message(self, topic: str, data: bytes) -> None:
        try:
            taken = self._taking().take(topic, data)
        except OSError as error:
            self._give_up_recording(f"the disk took no more: {error}")
        except TutelageError as error:  # a message that cannot be recorded is no reason to end
            self.count("bad_messages")
            self.get_logger().error(f"{topic}: {error}", throttle_duration_sec=1.0)
        else:
            if taken:
                self.count(topic)
                self._drain.look()

    def _checkpoint(self) -> None:
        writer = self._taking().writer
        if writer is None:
            return
        try:
            writer.checkpoint()
        except OSError as error:
            self._give_up_recording(f"the disk took no more: {error}")
            return
        if objection := self._space.why_not_go_on(self._folder):
            self._give_up_recording(objection)

    def _give_up_recording(self, why: str) -> None:
        """End the open episode as a partial one; the arm goes on, and the session hears of it at the end."""
        if (writer := self._taking().end()) is not None:
            writer.abort(why)
            self._lost = f"the recording was given up: {why}"
            self.get_logger().error(self._lost)

    async def _on_record(
        self, request: RecordEpisode.Request, response: RecordEpisode.Response
    ) -> RecordEpisode.Response:
        is_open = self._taking().writer is not None
        try:
            data = json.loads(request.metadata_json or "{}")
            if request.open and is_open and self._episode == request.episode:
                pass  # asked a second time: it is open
            elif not request.open and not is_open and self._closed[0] == request.episode:
                response.path = self._closed[1]  # asked a second time: it is closed
            elif request.open:
                self._begin(request.episode, data, convert.to_ns(request.not_before))
            else:
                result = from_mapping(data, EpisodeResult, "RecordEpisode.metadata_json")
                response.path, response.message = await self._close(result)
            response.accepted = True
        except (TutelageError, OSError, json.JSONDecodeError) as error:
            self.count("refused_requests")
            response.accepted, response.message = False, str(error)
        return response

    def _begin(self, episode: str, data: dict[str, object], not_before_ns: int) -> None:
        if objection := self._space.why_not_begin(self._folder):
            raise TutelageError(objection)
        if silent := self._silent_topics():
            raise TutelageError(f"{NOT_CONNECTED}: nothing has come on {', '.join(silent)}")
        metadata = from_mapping({**data, **self._fixed}, EpisodeMetadata, "RecordEpisode.metadata_json")
        writer = EpisodeWriter(self._folder, episode, metadata, self._format)
        # only now: a request that is refused must not end what is being recorded
        if (open_one := self._taking().end()) is not None:
            open_one.abort("another episode began")
        self._episode, self._lost = episode, ""
        try:
            for complaint in self._taking().begin(writer, not_before_ns):
                self.get_logger().error(complaint)
        except OSError as error:
            writer.abort(f"the disk took no more: {error}")
            raise

    async def _close(self, result: EpisodeResult) -> tuple[str, str]:
        """Close the open episode; return its folder, and what is missing in it."""
        if self._taking().writer is None:
            raise TutelageError(self._lost or "no episode is open")
        await self._drain.wait(result.steps)
        writer, steps = self._taking().end(), self._taking().count(topics.ARM_EXECUTED)
        if writer is None:
            raise TutelageError(self._lost or "no episode is open")
        self._closed = (self._episode, str(writer.close(result)))
        give_back()
        return self._closed[1], f"{result.steps - steps} of {result.steps} steps are missing" * (steps < result.steps)

    def _on_label(self, request: LabelEpisode.Request, response: LabelEpisode.Response) -> LabelEpisode.Response:
        try:
            author = request.author or "a person"
            now_ns = self.get_clock().now().nanoseconds
            label = Label(now_ns, request.success, request.failure, request.phrase, author)
            response.message = f"kept in {add_label(self._folder, request.episode, label)}"
            response.accepted = True
        except (TutelageError, OSError) as error:
            response.message = str(error)
        return response


def main() -> None:
    """Run the node."""
    run_node(RecorderNode)
