"""What a close look finds in recordings that can be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.episode_samples import METADATA, PERIOD_NS, RESULT, executed, frame, record, state
from tutelage_core.episodes.health import examine
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.types import Source

pytestmark = pytest.mark.unit


def recorded(root: Path, stamps: list[int], cameras: tuple[str, ...] = ("front", "wrist"), **step: object) -> Path:
    """Record a picture of each camera, a state and a step at each of `stamps` [control periods]."""
    with EpisodeWriter(root, "a", METADATA) as writer:
        for stamp in stamps:
            for camera in cameras:
                writer.image(camera, frame(stamp * PERIOD_NS // 10))
            writer.state(state(stamp * PERIOD_NS // 10))
        for stamp in sorted(set(stamps)):
            writer.executed(replace(executed(stamp * PERIOD_NS // 10), **step))
        return writer.close(RESULT)


def test_sound_recording_has_no_complaints(tmp_path: Path) -> None:
    health = examine(record(tmp_path, "a", 10))
    assert health.complaints == ()
    assert {topic.topic: topic.rate_hz for topic in health.topics}["/arm/executed"] == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("stamps", "said"),
    [
        ([10, 25, 40, 55, 70], "/camera/front/image_raw: 6.7 Hz, the contract says 10 Hz"),
        ([10, 20, 20, 30, 40], "/arm/state: 1 messages have the stamp of the one before"),
        ([10, 30, 20, 40, 50], "/arm/state: 1 messages were written after a later one"),
    ],
)
def test_rates_gaps_and_disorder_are_named(tmp_path: Path, stamps: list[int], said: str) -> None:
    assert said in examine(recorded(tmp_path, stamps)).complaints


def test_missing_camera_is_named(tmp_path: Path) -> None:
    complaints = examine(recorded(tmp_path, [10, 20, 30], ("front",))).complaints
    assert complaints == ("camera 'wrist': the robot has it, the recording does not",)


def camera_dies(root: Path, sources: dict[int, Source]) -> tuple[str, ...]:
    """Record twenty control periods of which the last twelve have no picture of the wrist; return the complaints."""
    with EpisodeWriter(root, "a", METADATA) as writer:
        for number in range(1, 21):
            stamp_ns = number * PERIOD_NS
            writer.image("front", frame(stamp_ns))
            if number <= 8:
                writer.image("wrist", frame(stamp_ns))
            writer.state(state(stamp_ns))
            writer.executed(executed(stamp_ns, source=sources.get(number, Source.POLICY)))
        return examine(writer.close(RESULT)).complaints


def test_camera_that_dies_is_named_with_the_control_periods_that_have_no_picture(tmp_path: Path) -> None:
    said = "/camera/wrist/image_raw: 9 driven control periods have no picture of the last 0.3 s, the first at 1.1 s"
    assert said in camera_dies(tmp_path, {})


def test_single_hold_elsewhere_excuses_no_lost_picture(tmp_path: Path) -> None:
    assert any("no picture" in said for said in camera_dies(tmp_path, {1: Source.HOLD, 20: Source.HOLD}))


def test_camera_may_rest_while_the_arm_is_held(tmp_path: Path) -> None:
    held = dict.fromkeys(range(9, 21), Source.HOLD)
    assert camera_dies(tmp_path, held) == ()
