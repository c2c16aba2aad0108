"""Whether a recording holds what the policy saw: each chunk names its inputs by their stamps, with a checksum of them.

The policy node computes the checksum of what it is about to think of. Whoever has the recording builds the observation
again from the recorded messages and compares. Raw and PNG images give the same checksum; JPEG does not, and for it only
the state and the presence of the frames are compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tutelage_core.contract import state_vectors
from tutelage_core.episodes import messages
from tutelage_core.episodes.manifest import EPISODE_FILE, read_checked, read_manifest
from tutelage_core.episodes.topics import Topic, read_topics
from tutelage_core.types import ActionChunk, ImageArray, Observation, ObservationInputs


@dataclass(frozen=True)
class SeenChunk:
    """A recorded chunk with what it was thought from, as far as the recording holds it.

    Attributes:
        chunk: what the policy wanted.
        inputs: what it was thought from; None if the recording does not say.
        observation: built again from the recorded messages; None if one of them is not there.
        is_same: whether it has the checksum of what the policy saw.
    """

    chunk: ActionChunk
    inputs: ObservationInputs | None
    observation: Observation | None
    is_same: bool


@dataclass(frozen=True)
class ParityReport:
    """How many chunks of an episode can be thought again.

    Attributes:
        chunks: all that were recorded.
        same: those whose observation is in the recording, byte for byte.
        different: those whose observation is there with another checksum: JPEG, or an error.
        missing: those with an input that was not recorded.
        silent: those that do not say what they were thought from.
    """

    chunks: int
    same: int
    different: int
    missing: int
    silent: int


def inputs_of(observation: Observation) -> ObservationInputs:
    """Return what `observation` was made of; about 1 ms for two images of 640x480."""
    frames = {camera: observation.frame_stamps_ns.get(camera, observation.stamp_ns) for camera in observation.images}
    state_ns = observation.stamp_ns if observation.state_stamp_ns is None else observation.state_stamp_ns
    return ObservationInputs(frames, state_ns, tuple(observation.state), checksum(observation))


def checksum(observation: Observation) -> int:
    """Return the CRC-32 of the images, by camera name, and of the state vectors in their order, as float64."""
    crc = 0
    for camera in sorted(observation.images):
        crc = zlib.crc32(np.ascontiguousarray(observation.images[camera]).data, crc)
    for values in observation.state.values():
        crc = zlib.crc32(np.ascontiguousarray(values, dtype="<f8").data, crc)
    return crc


def seen_chunks(folder: Path) -> Iterator[SeenChunk]:
    """Yield the chunks of the finished episode in `folder` in their order, each with what the policy saw.

    Raises:
        EpisodeError: the episode is unfinished, damaged or foreign.
    """
    manifest = read_manifest(folder)
    topics, _ = read_topics(folder / EPISODE_FILE, read_checked(folder, manifest, EPISODE_FILE), None)
    chunks = topics.get(messages.CHUNK_TOPIC)
    for message in chunks.messages if chunks is not None else ():
        inputs = messages.to_inputs(message)
        observation = _rebuilt(messages.stamp_of(message), inputs, topics)
        same = observation is not None and inputs is not None and checksum(observation) == inputs.crc32
        yield SeenChunk(messages.to_chunk(message), inputs, observation, same)


def check_parity(folder: Path) -> ParityReport:
    """Compare what the policy saw with what the finished episode in `folder` holds.

    Raises:
        EpisodeError: the episode is unfinished, damaged or foreign.
    """
    chunks = same = different = missing = silent = 0
    for seen in seen_chunks(folder):
        chunks += 1
        silent += seen.inputs is None
        missing += seen.inputs is not None and seen.observation is None
        same += seen.is_same
        different += seen.observation is not None and not seen.is_same
    return ParityReport(chunks, same, different, missing, silent)


def _rebuilt(stamp_ns: int, inputs: ObservationInputs | None, topics: dict[str, Topic]) -> Observation | None:
    if inputs is None:
        return None
    images: dict[str, ImageArray] = {}
    for camera, frame_ns in inputs.frame_stamps_ns.items():
        names = (messages.image_topic(camera), messages.image_topic(camera, "jpeg"))
        found = next((topics[name].at(frame_ns) for name in names if name in topics), None)
        if found is None:
            return None
        images[camera] = messages.to_image(found)
    states = topics.get(messages.ARM_STATE_TOPIC)
    state = None if states is None else states.at(inputs.state_stamp_ns)
    if state is None:
        return None
    vectors = state_vectors(messages.to_state(state), inputs.state_keys)
    return Observation(stamp_ns, images, vectors, inputs.frame_stamps_ns, inputs.state_stamp_ns)
