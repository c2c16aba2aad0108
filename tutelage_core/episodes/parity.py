"""Whether a recording holds what the policy saw: each chunk names its inputs by their stamps, with checksums of them.

The policy node computes the checksums of what it is about to think of. Whoever has the recording builds the observation
again from the recorded messages and compares. With raw and PNG images both must be the same; with JPEG the state must,
and the pixels are not.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tutelage_core.contract import state_vectors
from tutelage_core.episodes import messages, pictures
from tutelage_core.episodes.manifest import EPISODE_FILE, read_checked, read_manifest
from tutelage_core.episodes.topics import Topic, read_topics
from tutelage_core.types import ActionChunk, FloatArray, ImageArray, Observation, ObservationInputs


@dataclass(frozen=True)
class SeenChunk:
    """A recorded chunk with what it was thought from, as far as the recording holds it.

    Attributes:
        chunk: what the policy wanted.
        inputs: what it was thought from; None if the recording does not say.
        observation: built again from the recorded messages; None if one of them is not there.
        same_state: whether the state has the checksum of what the policy saw.
        same_pixels: whether the images have.
    """

    chunk: ActionChunk
    inputs: ObservationInputs | None
    observation: Observation | None
    same_state: bool
    same_pixels: bool


@dataclass(frozen=True)
class ParityReport:
    """How many chunks of an episode can be thought again.

    Attributes:
        chunks: all that were recorded.
        same: those whose observation is in the recording, byte for byte.
        other_pixels: those with the same state and other pixels: JPEG, or an error.
        other_state: those with another state: an error.
        missing: those with an input that was not recorded.
        silent: those that do not say what they were thought from.
    """

    chunks: int
    same: int
    other_pixels: int
    other_state: int
    missing: int
    silent: int


def inputs_of(observation: Observation) -> ObservationInputs:
    """Return what `observation` was made of; about 1 ms for two images of 640x480."""
    frames = {camera: observation.frame_stamps_ns.get(camera, observation.stamp_ns) for camera in observation.images}
    state_ns = observation.stamp_ns if observation.state_stamp_ns is None else observation.state_stamp_ns
    sums = images_checksum(observation.images), state_checksum(observation.state)
    return ObservationInputs(frames, state_ns, tuple(observation.state), *sums)


def images_checksum(images: Mapping[str, ImageArray]) -> int:
    """Return the CRC-32 of all pixels, in the order of the cameras' names."""
    crc = 0
    for camera in sorted(images):
        crc = zlib.crc32(np.ascontiguousarray(images[camera]).data, crc)
    return crc


def state_checksum(state: Mapping[str, FloatArray]) -> int:
    """Return the CRC-32 of the state vectors in their order, as float64."""
    crc = 0
    for values in state.values():
        crc = zlib.crc32(np.ascontiguousarray(values, dtype="<f8").data, crc)
    return crc


def seen_chunks(folder: Path) -> Iterator[SeenChunk]:
    """Yield the chunks of the finished episode in `folder` in their order, each with what the policy saw.

    Raises:
        EpisodeError: the episode is unfinished, damaged or foreign.
    """
    manifest = read_manifest(folder)
    topics, _ = read_topics(folder / EPISODE_FILE, read_checked(folder, manifest, EPISODE_FILE), None)
    yield from chunks_in(topics)


def chunks_in(topics: Mapping[str, Topic]) -> Iterator[SeenChunk]:
    """Yield the chunks of a recording whose `topics` were read."""
    chunks = topics.get(messages.CHUNK_TOPIC)
    for message in chunks.messages if chunks is not None else ():
        inputs = messages.to_inputs(message)
        observation = None if inputs is None else _rebuilt(messages.stamp_of(message), inputs, topics)
        if inputs is None or observation is None:
            yield SeenChunk(messages.to_chunk(message), inputs, None, same_state=False, same_pixels=False)
            continue
        same_state = state_checksum(observation.state) == inputs.state_crc32
        same_pixels = images_checksum(observation.images) == inputs.images_crc32
        yield SeenChunk(messages.to_chunk(message), inputs, observation, same_state, same_pixels)


def check_parity(folder: Path) -> ParityReport:
    """Compare what the policy saw with what the finished episode in `folder` holds.

    Raises:
        EpisodeError: the episode is unfinished, damaged or foreign.
    """
    return count(seen_chunks(folder))


def count(seen: Iterator[SeenChunk]) -> ParityReport:
    """Return how many chunks are of which kind."""
    chunks = same = other_pixels = other_state = missing = silent = 0
    for chunk in seen:
        chunks += 1
        silent += chunk.inputs is None
        missing += chunk.inputs is not None and chunk.observation is None
        same += chunk.same_state and chunk.same_pixels
        other_pixels += chunk.same_state and not chunk.same_pixels
        other_state += chunk.observation is not None and not chunk.same_state
    return ParityReport(chunks, same, other_pixels, other_state, missing, silent)


def _rebuilt(stamp_ns: int, inputs: ObservationInputs, topics: Mapping[str, Topic]) -> Observation | None:
    images: dict[str, ImageArray] = {}
    for camera, frame_ns in inputs.frame_stamps_ns.items():
        names = (messages.image_topic(camera), messages.image_topic(camera, "jpeg"))
        found = next((topics[name].at(frame_ns) for name in names if name in topics), None)
        if found is None:
            return None
        images[camera] = pictures.to_image(found)
    states = topics.get(messages.ARM_STATE_TOPIC)
    state = None if states is None else states.at(inputs.state_stamp_ns)
    if state is None:
        return None
    vectors = state_vectors(messages.to_state(state), inputs.state_keys)
    return Observation(stamp_ns, images, vectors, inputs.frame_stamps_ns, inputs.state_stamp_ns)
