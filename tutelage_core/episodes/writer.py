"""Writes one episode: an MCAP file of ROS 2 messages and a manifest, in a folder that appears only when it is whole."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from mcap.writer import CompressionType, Writer

from tutelage_core.episodes import messages, pictures
from tutelage_core.episodes.claim import Claim
from tutelage_core.episodes.hashed_file import HashedFile
from tutelage_core.episodes.manifest import (
    ABORT_FILE,
    EPISODE_FILE,
    FORMAT_VERSION,
    MANIFEST_FILE,
    PARTIAL_SUFFIX,
    EpisodeMetadata,
    Manifest,
    check_name,
    sync_folder,
    to_json,
    write_synced,
)
from tutelage_core.episodes.schemas import definition
from tutelage_core.errors import EpisodeError, UnknownNameError
from tutelage_core.types import (
    ActionChunk,
    ArmState,
    EpisodeResult,
    ExecutedStep,
    FloatArray,
    Frame,
    ObservationInputs,
    Source,
    StepCommand,
    TaskStatus,
)

METADATA_RECORD = "tutelage_episode"
"""Name of the MCAP metadata record that makes the file stand on its own."""

CHUNK_BYTES = 1024 * 1024
"""Messages are compressed together in chunks of this size."""


class EpisodeWriter:
    """Records one episode into `<root>/<name>.partial/`, which `close` renames to `<root>/<name>/`.

    Within one topic, messages may come in any order; only executed steps must come with growing stamps, because each
    of them is one control period. One thread at a time may call it. As a context manager it aborts on the way out
    unless it was closed.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        metadata: EpisodeMetadata,
        image_format: messages.ImageFormat = "raw",
    ) -> None:
        """Make the partial folder and start the recording.

        Args:
            root: folder of the episodes.
            name: of this one.
            metadata: what is known at the start.
            image_format: how pixels are kept: raw, jpeg or png.

        Raises:
            EpisodeError: the name is not legal or is taken, or the metadata cannot be stored.
            UnknownNameError: the image format is not legal.
        """
        if image_format not in messages.IMAGE_FORMATS:
            raise UnknownNameError("image format", image_format, messages.IMAGE_FORMATS)
        self.image_format: messages.ImageFormat = image_format
        """How it keeps pixels."""
        self._final = root / check_name(name)
        self._partial = root / (name + PARTIAL_SUFFIX)
        self._metadata = metadata
        text = to_json(metadata, "the metadata")
        if self._final.exists():
            raise EpisodeError(f"{self._final}: an episode of this name exists; choose another, none is overwritten")
        root.mkdir(parents=True, exist_ok=True)
        try:
            self._partial.mkdir()
        except FileExistsError as error:
            raise EpisodeError(
                f"{self._partial}: an unfinished episode of this name exists; mend it (tutelage data repair), move it "
                "away, or choose another name"
            ) from error
        self._claim = Claim(self._partial)  # before there is a file: a folder without one is never mended
        self._file = HashedFile((self._partial / EPISODE_FILE).open("xb"))
        self._mcap = Writer(
            cast("IO[bytes]", self._file), chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD, enable_crcs=True
        )
        self._mcap.start(profile="ros2", library="tutelage")
        self._mcap.add_metadata(METADATA_RECORD, {"name": name, "robot": metadata.robot, "metadata": text})
        self._schemas: dict[tuple[str, str], int] = {}
        self._channels: dict[tuple[str, str, str], int] = {}
        self._counts: dict[str, int] = {}
        self._last_executed_ns = -1
        self._open = True

    def image(self, camera: str, frame: Frame) -> None:
        """Record one image of a camera.

        Raises:
            UnknownNameError: the robot's contract has no such camera.
            EpisodeError: the image has not the size that the contract gives.
        """
        self.check_image(camera, frame)
        if self.image_format == "raw":
            kind, data = messages.IMAGE, pictures.encode_image(camera, frame)
        else:
            kind = messages.COMPRESSED_IMAGE
            data = pictures.encode_compressed_image(camera, frame, self.image_format)
        topic = messages.image_topic(camera, self.image_format)
        self.write(topic, kind, frame.stamp_ns, data, frame.sequence)

    def check_image(self, camera: str, frame: Frame) -> None:
        """Refuse an image that the robot's contract does not know, as `image` does."""
        contract = self._metadata.contract.cameras.get(camera)
        if contract is None:
            raise UnknownNameError("camera", camera, self._metadata.contract.cameras, f"robot {self._metadata.robot}")
        if frame.image.shape != (contract.height, contract.width, 3):
            raise EpisodeError(
                f"camera '{camera}': image has shape {frame.image.shape}, the contract of robot "
                f"'{self._metadata.robot}' says ({contract.height}, {contract.width}, 3)"
            )

    def state(self, state: ArmState) -> None:
        """Record what the arm measured.

        Raises:
            EpisodeError: a vector has the wrong shape.
        """
        self.write(messages.ARM_STATE_TOPIC, messages.ARM_STATE, state.stamp_ns, messages.encode_state(state))

    def executed(self, step: ExecutedStep, executed_at_ns: int | None = None) -> None:
        """Record one control period: what the SafetyGate let through.

        Args:
            step: requested and executed TCP steps, shape (7,) each [m, rad, 0..1].
            executed_at_ns: when its target left for the controller [ns]; the step's stamp if not told.

        Raises:
            EpisodeError: the stamp is not later than the last one, or what was executed is not finite.
        """
        data = messages.encode_executed(step, step.stamp_ns if executed_at_ns is None else executed_at_ns)
        self.write(messages.EXECUTED_TOPIC, messages.EXECUTED, step.stamp_ns, data, step.sequence)

    def status(self, stamp_ns: int, status: TaskStatus) -> None:
        """Record the task's ground truth at `stamp_ns` [ns]; simulation only."""
        self.write(messages.STATUS_TOPIC, messages.STATUS, stamp_ns, messages.encode_status(stamp_ns, status))

    def expert(self, stamp_ns: int, step: FloatArray) -> None:
        """Record what the expert would do in the control period at `stamp_ns` [ns].

        Args:
            stamp_ns: stamp of the control period [ns].
            step: TCP step, shape (7,) [m, rad, 0..1].
        """
        sequence = self._counts.get(messages.EXPERT_TOPIC, 0)
        data = messages.encode_command(StepCommand(stamp_ns, sequence, Source.EXPERT, step))
        self.write(messages.EXPERT_TOPIC, messages.COMMAND, stamp_ns, data, sequence)

    def chunk(
        self, chunk: ActionChunk, policy: str, inference_s: float, inputs: ObservationInputs | None = None
    ) -> None:
        """Record what a policy of kind `policy` wanted, how long it thought [s], and what of."""
        data = messages.encode_chunk(chunk, policy, inference_s, inputs)
        self.write(messages.CHUNK_TOPIC, messages.CHUNK, chunk.stamp_ns, data)

    @property
    def is_open(self) -> bool:
        """Whether it was neither closed nor aborted."""
        return self._open

    def write(self, topic: str, kind: str, stamp_ns: int, data: bytes, sequence: int = 0, defined_as: str = "") -> None:
        """Record one serialized message as it is; whoever calls this has looked at it.

        Args:
            topic: where it came from.
            kind: its type, such as `sensor_msgs/msg/Image`.
            stamp_ns: its header's stamp [ns].
            data: its CDR bytes.
            sequence: of the message.
            defined_as: definition of its type, if it is not today's.

        Raises:
            EpisodeError: the stamp is no ROS time, or an executed step is not later than the last one.
        """
        self._check_open()
        if not 0 <= stamp_ns <= messages.MAX_STAMP_NS:
            raise EpisodeError(f"{topic}: stamp must be in [0, {messages.MAX_STAMP_NS}] ns, got {stamp_ns}")
        if topic == messages.EXECUTED_TOPIC:
            if stamp_ns <= self._last_executed_ns:
                raise EpisodeError(
                    f"executed steps must come with growing stamps: {stamp_ns} ns after {self._last_executed_ns} ns"
                )
            self._last_executed_ns = stamp_ns
        self._mcap.add_message(
            self._channel(topic, kind, defined_as),
            log_time=stamp_ns,
            publish_time=stamp_ns,
            data=data,
            sequence=sequence & 0xFFFFFFFF,
        )
        self._counts[topic] = self._counts.get(topic, 0) + 1

    def checkpoint(self) -> None:
        """Bring all that was recorded to the disk: what is there survives the end of this process and of the power."""
        self._check_open()
        self._mcap.flush()
        self._file.flush()
        self._file.sync()

    def close(self, result: EpisodeResult) -> Path:
        """Finish the episode and return its folder.

        Raises:
            EpisodeError: no control period was recorded or the result cannot be stored (the recording stays open), or
                the name was taken meanwhile.
        """
        self._check_open()
        if not self._counts.get(messages.EXECUTED_TOPIC):
            raise EpisodeError(f"{self._partial}: no executed step was recorded; such an episode is to be aborted")
        to_json(result, "the result")
        self._finish()
        manifest = Manifest(
            FORMAT_VERSION,
            self._metadata.robot,
            self._metadata,
            result,
            dict(self._counts),
            {EPISODE_FILE: self._file.stored()},
        )
        write_synced(self._partial / MANIFEST_FILE, to_json(manifest, "the manifest"))
        sync_folder(self._partial)
        if self._final.exists():
            raise EpisodeError(f"{self._final}: appeared while recording; the episode stays in {self._partial}")
        self._partial.rename(self._final)
        sync_folder(self._final.parent)
        self._claim.end()
        return self._final

    def abort(self, reason: str) -> Path:
        """End the recording without making it an episode; return the partial folder, which keeps `reason`.

        On a full disk the folder stays without a reason: it counts as partial all the same.
        """
        self._check_open()
        with suppress(OSError):
            self._finish()
        with suppress(OSError):
            write_synced(self._partial / ABORT_FILE, to_json({"reason": reason}, "the reason"))
            sync_folder(self._partial)
        self._claim.end()
        return self._partial

    def __enter__(self) -> EpisodeWriter:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Abort, unless the episode was closed or aborted."""
        if self._open:
            self.abort(f"{type(error).__name__}: {error}" if error is not None else "left without close")

    def _channel(self, topic: str, kind: str, defined_as: str) -> int:
        channel = (topic, kind, defined_as)
        if channel not in self._channels:
            schema = (kind, defined_as or definition(kind))
            if schema not in self._schemas:
                self._schemas[schema] = self._mcap.register_schema(kind, "ros2msg", schema[1].encode())
            self._channels[channel] = self._mcap.register_channel(
                topic, "cdr", self._schemas[schema], metadata={"offered_qos_profiles": ""}
            )
        return self._channels[channel]

    def _check_open(self) -> None:
        if not self._open:
            raise EpisodeError(f"{self._final}: the recording has ended")

    def _finish(self) -> None:
        self._open = False
        try:
            self._mcap.finish()
            self._file.sync()
        except OSError:
            with suppress(OSError):  # what is buffered has no place on the disk either
                self._file.close()
            raise
        self._file.close()
