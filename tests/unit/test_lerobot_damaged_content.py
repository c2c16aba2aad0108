"""Damage in our own files, videos and images of a LeRobot data set is named, and nothing is written."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.lerobot_samples import (
    FAST,
    assert_refused,
    change_column,
    change_json,
    export_all,
    record_all,
)
from tutelage_core.episodes.lerobot.video import read_video, write_video
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import EpisodeError

pytestmark = pytest.mark.unit

DATA = "data/chunk-000/file-000.parquet"
WRIST = "videos/observation.images.wrist/chunk-000/file-000.mp4"
ORIGIN = "meta/tutelage.json"
PERIODS = "meta/tutelage_periods.parquet"

Change = Callable[[Any], object]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    return record_all(tmp_path_factory.mktemp("episodes"))


@pytest.fixture(scope="module")
def exported(store: EpisodeStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("lerobot") / "cubes"
    export_all(store, output, FAST)
    return output


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda ours: ours["episodes"][1].update(name="../../up"), "not legal"),
        (lambda ours: ours["episodes"][1].update(name="/tmp/up"), "not legal"),
        (lambda ours: ours["episodes"][1].update(name="lift-0"), "'lift-0' twice"),
        (lambda ours: ours["episodes"][1].update(contract=-1), "contract"),
        (lambda ours: ours["episodes"][1].update(contract=9), "contract"),
        (lambda ours: ours["episodes"][1].update(contract=[]), "contract"),
        (lambda ours: ours["episodes"][1].pop("contract"), "contract"),
        (lambda ours: ours["episodes"][1]["stamps_ns"].reverse(), "episode 1.*stamps"),
        (lambda ours: ours["episodes"][1]["stamps_ns"].__setitem__(3, 10**40), "episode 1.*stamps"),
        (lambda ours: ours["episodes"][1]["stamps_ns"].__setitem__(0, -1), "episode 1.*stamps"),
        (lambda ours: ours["episodes"][1].update(metadata=3), "metadata"),
        (lambda ours: ours.update(contracts={}), "contracts"),
        (
            lambda ours: ours["contracts"][0]["cameras"].update({"../up": ours["contracts"][0]["cameras"]["front"]}),
            "up",
        ),
    ],
)
def test_file_of_ours_that_was_tampered_with_is_refused(copy: Path, change: Change, match: str) -> None:
    change_json(copy / ORIGIN, change)
    assert_refused(copy, match, as_foreign=False)


def test_episodes_of_ours_with_contracts_that_differ_are_refused(copy: Path) -> None:
    def change(ours: Any) -> None:
        other = {**ours["contracts"][0], "cameras": {"front": ours["contracts"][0]["cameras"]["front"]}}
        ours["contracts"].append(other)
        ours["episodes"][1]["contract"] = 1

    change_json(copy / ORIGIN, change)
    assert_refused(copy, "cameras", as_foreign=False)


@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        ("source", pa.array([9] * 20, pa.int8()), "'source' holds 9"),
        ("reasons", pa.array([None] * 20, pa.list_(pa.string())), "reasons"),
        ("phrase", pa.array([3] * 20), "phrase"),
        ("progress", pa.array(["x"] * 20), "progress"),
        ("requested", None, "requested"),
        ("wrench", pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(100)), 5), "wrench"),
    ],
)
def test_periods_of_ours_that_were_tampered_with_are_refused(copy: Path, column: str, values: Any, match: str) -> None:
    table = pq.read_table(copy / PERIODS)
    place = table.column_names.index(column)
    table = table.drop_columns([column]) if values is None else table.set_column(place, column, values)
    with pq.ParquetWriter(copy / PERIODS, table.schema) as writer:
        for first, length in ((0, 7), (7, 4), (11, 9)):
            writer.write_table(table.slice(first, length))
    assert_refused(copy, match, as_foreign=False)


def test_video_of_another_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", np.zeros((4, 96, 128, 3), np.uint8), 10, FAST)
    with pytest.raises(EpisodeError, match=r"a\.mp4: is 128x96 px.*64x48"):
        read_video(tmp_path / "a.mp4", 0.0, 4, 10.0, (48, 64))


def test_video_that_shows_more_frames_than_there_are_periods_is_not_decoded_to_its_end(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", np.zeros((400, 48, 64, 3), np.uint8), 1000, replace(FAST, codec="h264", gop=1000))
    with pytest.raises(EpisodeError, match=r"a\.mp4: .*more than 12 frames"):
        read_video(tmp_path / "a.mp4", 0.2, 10, 10.0, (48, 64))


def test_playlist_that_calls_itself_a_video_is_not_followed(copy: Path) -> None:
    shutil.move(copy / WRIST, copy.parent / "outside.mp4")
    (copy / WRIST).with_name("link.mp4").symlink_to(copy.parent / "outside.mp4")
    (copy / WRIST).write_text("ffconcat version 1.0\nfile link.mp4\n")
    with av.open(str(copy / WRIST)) as followed:  # which is what FFmpeg does if it is not told
        assert len(list(followed.decode(video=0))) == 20
    assert_refused(copy, "not a readable video")


@pytest.mark.parametrize("image", [b"", b"\x89PNG no", None])
def test_image_that_is_none_is_refused(store: EpisodeStore, tmp_path: Path, image: bytes | None) -> None:
    export_all(store, tmp_path / "copy", replace(FAST, pictures="image"), ("lift-1",))
    rows = [{"bytes": image, "path": "/etc/hostname"}] * 4
    table = pq.read_table(tmp_path / "copy" / DATA)
    place = table.column_names.index("observation.images.wrist")
    pq.write_table(table.set_column(place, "observation.images.wrist", pa.array(rows)), tmp_path / "copy" / DATA)
    assert_refused(tmp_path / "copy", "wrist.*without a readable image")


def test_image_of_a_size_that_would_fill_the_memory_is_not_decoded(store: EpisodeStore, tmp_path: Path) -> None:
    export_all(store, tmp_path / "copy", replace(FAST, pictures="image"), ("lift-1",))

    def change(values: list[Any]) -> None:
        png = bytearray(values[1]["bytes"])
        png[16:24] = (60_000).to_bytes(4, "big") * 2
        png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
        values[1]["bytes"] = bytes(png)

    change_column(tmp_path / "copy" / DATA, "observation.images.wrist", change)
    assert_refused(tmp_path / "copy", "wrist.*3600000000 pixels")


def test_image_of_another_size_is_not_decoded(store: EpisodeStore, tmp_path: Path) -> None:
    export_all(store, tmp_path / "copy", replace(FAST, pictures="image"), ("lift-1",))
    done, png = cv2.imencode(".png", np.zeros((96, 128, 3), np.uint8))
    assert done

    def change(values: list[Any]) -> None:
        values[1]["bytes"] = png.tobytes()

    change_column(tmp_path / "copy" / DATA, "observation.images.wrist", change)
    assert_refused(tmp_path / "copy", "wrist.*128x96 px, expected 64x48 px")
