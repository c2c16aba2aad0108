"""What a policy saw can be found again in the recording, and whatever is not the same is noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.episode_samples import CONTRACT, METADATA, PERIOD_NS, RESULT, executed, frame, state
from tutelage_core.assembler import ObservationAssembler
from tutelage_core.contract import STATE_KEYS, state_vectors
from tutelage_core.episodes import messages
from tutelage_core.episodes.health import examine
from tutelage_core.episodes.parity import ParityReport, check_parity, inputs_of, seen_chunks
from tutelage_core.episodes.reader import read_episode
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.types import ActionChunk, Observation

pytestmark = pytest.mark.unit

KEYS = ("tcp_position", "wrench")


def live(root: Path, image_format: messages.ImageFormat = "raw", *, lose_frame: bool = False) -> tuple[Path, list]:
    """Record what an assembler makes of late and uneven messages; return the folder and what the policy saw."""
    assembler = ObservationAssembler(CONTRACT.cameras, KEYS, 20_000_000)
    rng = np.random.default_rng(1)
    seen: list[Observation] = []
    with EpisodeWriter(root, "a", METADATA, image_format) as writer:
        for number in range(1, 6):
            base = number * PERIOD_NS
            events = [("front", base), ("wrist", base + int(rng.integers(15_000_000)))]
            events += [("state", base + int(rng.integers(-60_000_000, 15_000_000))) for _ in range(6)]
            for kind, stamp in sorted(events, key=lambda event: event[1]):
                if kind == "state":
                    measured = state(stamp, stamp / 1e9)
                    writer.state(measured)
                    found = assembler.add_state(measured)
                else:
                    if not (lose_frame and number == 3 and kind == "wrist"):
                        writer.image(kind, frame(stamp))
                    found = assembler.add_frame(kind, frame(stamp))
                if found is not None:
                    seen.append(found)
                    chunk = ActionChunk(found.stamp_ns, PERIOD_NS, np.zeros((4, 7)), f"move {number}")
                    writer.chunk(chunk, "bc", 0.01, inputs_of(found))
                    writer.executed(executed(found.stamp_ns, number))
        return writer.close(RESULT), seen


@pytest.mark.parametrize("image_format", ["raw", "png"])
def test_recorded_observation_is_the_one_that_was_seen_byte_for_byte(
    tmp_path: Path, image_format: messages.ImageFormat
) -> None:
    folder, seen = live(tmp_path, image_format)
    assert len(seen) == 5
    assert check_parity(folder) == ParityReport(chunks=5, same=5, other_pixels=0, other_state=0, missing=0, silent=0)
    for chunk, observation in zip(seen_chunks(folder), seen, strict=True):
        assert chunk.observation is not None
        for camera in CONTRACT.cameras:
            np.testing.assert_array_equal(chunk.observation.images[camera], observation.images[camera])
        for key in KEYS:
            np.testing.assert_array_equal(chunk.observation.state[key], observation.state[key])


def test_training_reads_the_same_images_and_states_as_the_policy_saw(tmp_path: Path) -> None:
    folder, seen = live(tmp_path)
    episode = read_episode(folder)
    for row, observation in enumerate(seen):
        assert episode.stamps_ns[row] == observation.stamp_ns
        for camera in CONTRACT.cameras:
            np.testing.assert_array_equal(episode.images[camera][row], observation.images[camera])
        for key in KEYS:
            np.testing.assert_array_equal(episode.state[key][row], observation.state[key])
    assert episode.phrases == tuple(f"move {number}" for number in range(1, 6))


def test_jpeg_is_told_apart_and_stays_within_its_bound(tmp_path: Path) -> None:
    folder, seen = live(tmp_path, "jpeg")
    assert check_parity(folder) == ParityReport(chunks=5, same=0, other_pixels=5, other_state=0, missing=0, silent=0)
    for chunk, observation in zip(seen_chunks(folder), seen, strict=True):
        assert chunk.observation is not None
        for key in KEYS:
            np.testing.assert_array_equal(chunk.observation.state[key], observation.state[key])
        difference = np.abs(chunk.observation.images["front"].astype(int) - observation.images["front"])
        assert difference.mean() < 12.0, "noise, the worst that a JPEG can be asked to keep"


def test_lost_frame_is_missing_and_not_replaced(tmp_path: Path) -> None:
    folder, _ = live(tmp_path, lose_frame=True)
    assert check_parity(folder) == ParityReport(chunks=5, same=4, other_pixels=0, other_state=0, missing=1, silent=0)


def test_chunk_of_an_old_recording_says_nothing(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path, "a", METADATA) as writer:
        writer.state(state(1))
        writer.chunk(ActionChunk(1, PERIOD_NS, np.zeros((1, 7))), "bc", 0.01)
        writer.executed(executed(1))
        folder = writer.close(RESULT)
    assert check_parity(folder) == ParityReport(chunks=1, same=0, other_pixels=0, other_state=0, missing=0, silent=1)


def test_other_numbers_are_noticed_whatever_the_pixels_are_kept_in(tmp_path: Path) -> None:
    for image_format in messages.IMAGE_FORMATS:
        with EpisodeWriter(tmp_path, image_format, METADATA, image_format) as writer:  # type: ignore[arg-type]
            writer.image("front", frame(1))
            writer.state(state(1, 0.5))
            seen = Observation(1, {"front": frame(1).image}, state_vectors(state(1, 0.6), KEYS))
            writer.chunk(ActionChunk(1, PERIOD_NS, np.zeros((1, 7))), "bc", 0.01, inputs_of(seen))
            writer.executed(executed(1))
            report = check_parity(writer.close(RESULT))
        assert (report.other_state, report.same) == (1, 0)
        assert any("another arm state" in said for said in examine(tmp_path / image_format).complaints)


def test_policy_without_cameras_says_what_it_saw_too(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path, "a", METADATA) as writer:
        writer.state(state(1))
        seen = Observation(1, {}, state_vectors(state(1), KEYS))
        writer.chunk(ActionChunk(1, PERIOD_NS, np.zeros((1, 7))), "state", 0.01, inputs_of(seen))
        writer.executed(executed(1))
        assert check_parity(writer.close(RESULT)).same == 1


def test_checksum_sees_every_pixel_and_every_number() -> None:
    pixels = {"front": frame(1).image, "wrist": frame(2).image}
    first = Observation(1, pixels, {key: np.zeros(STATE_KEYS[key]) for key in KEYS})
    changed = pixels["wrist"].copy()
    changed[3, 4, 1] ^= 1
    others = [
        replace(first, images={**pixels, "wrist": changed}),
        replace(first, images={"front": pixels["wrist"], "wrist": pixels["front"]}),
        replace(first, state={**first.state, "wrench": np.full(6, 5e-324)}),
    ]
    sums = {(i.images_crc32, i.state_crc32) for i in map(inputs_of, (first, *others))}
    assert len(sums) == 4
    assert (
        inputs_of(replace(first, images=dict(reversed(pixels.items())))).images_crc32 == inputs_of(first).images_crc32
    )
