"""Where things lie in a LeRobotDataset v3.0, and how episodes are spread over its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from tutelage_core.errors import ConfigurationError, UnknownNameError

CODEBASE_VERSION = "v3.0"
READABLE_VERSIONS = ("v3.0", "v3.1")
"""Versions whose layout is the one below; v3.1 adds language columns."""

INFO_FILE = "meta/info.json"
STATS_FILE = "meta/stats.json"
TASKS_FILE = "meta/tasks.parquet"
EPISODES_FOLDER = "meta/episodes"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"

ORIGIN_FILE = "meta/tutelage.json"
PERIODS_FILE = "meta/tutelage_periods.parquet"
"""Ours: what an episode is made of again. Other readers do not look at them."""

STATE = "observation.state"
IMAGES = "observation.images."
ACTION = "action"
SOURCE = "complementary_info.source"
REWARD = "next.reward"
REWARD_GIVEN = "complementary_info.reward_given"
LANGUAGE = "language_persistent"

MB = 1024 * 1024
"""LeRobot counts its file sizes in these."""

Codec = Literal["libsvtav1", "h264", "hevc"]
Pictures = Literal["video", "image"]


@dataclass(frozen=True)
class ExportSettings:
    """How a data set is written.

    Attributes:
        pictures: `video`, small and lossy; or `image`: PNG in the data files, every pixel as it was recorded.
        codec: encoder of the videos.
        crf: their quality; 0 is the best, 30 LeRobot's own.
        gop: frames from one key frame to the next; 2 makes access to any frame quick.
        preset: speed of libsvtav1, 0 slow .. 13 fast.
        reward_model: the reward model whose numbers become `next.reward`; empty for no rewards.
        language: write phrases as a column, which LeRobot 0.6 reads and 0.4 refuses; else they stay in our own file.
        data_file_mb: a data file is closed before it grows beyond this [MiB]; one episode is never divided.
        video_file_mb: the same for videos [MiB].
        files_per_chunk: files in one folder.
    """

    pictures: Pictures = "video"
    codec: Codec = "libsvtav1"
    crf: int = 30
    gop: int = 2
    preset: int = 12
    reward_model: str = ""
    language: bool = True
    data_file_mb: float = 100.0
    video_file_mb: float = 200.0
    files_per_chunk: int = 1000

    def __post_init__(self) -> None:
        """Refuse what no encoder or layout can be told."""
        for kind, name, legal in (("pictures", self.pictures, Pictures), ("codec", self.codec, Codec)):
            if name not in get_args(legal):
                raise UnknownNameError(kind, name, get_args(legal), "the export's settings")
        highest = 63 if self.codec == "libsvtav1" else 51
        for field, value, low, high in (
            ("crf", self.crf, 0, highest),
            ("gop", self.gop, 1, 1000),
            ("preset", self.preset, 0, 13),
            ("files_per_chunk", self.files_per_chunk, 1, 1000),
        ):
            if not low <= value <= high:
                raise ConfigurationError(f"{field} must be in {low}..{high} (codec {self.codec}), got {value}")
        for field, size in (("data_file_mb", self.data_file_mb), ("video_file_mb", self.video_file_mb)):
            if not 0.0 < size < 1e6:
                raise ConfigurationError(f"{field} must be above 0 and below 1e6 MiB, got {size}")


@dataclass(frozen=True)
class Shard:
    """One file of many: its folder (chunk), its number in it, and which items it holds, `first` up to before `end`."""

    chunk: int
    file: int
    first: int
    end: int


def plan_shards(sizes: Sequence[int], limit_bytes: float, files_per_chunk: int) -> list[Shard]:
    """Spread items over files in their order; a file holds at least one item and else stays within the limit.

    Args:
        sizes: size of each item [bytes].
        limit_bytes: what a file may hold [bytes].
        files_per_chunk: files in one folder.
    """
    starts: list[int] = []
    filled = 0
    for item, size in enumerate(sizes):
        if not starts or filled + size > limit_bytes:
            starts.append(item)
            filled = 0
        filled += size
    ends = [*starts[1:], len(sizes)]
    return [
        Shard(*divmod(number, files_per_chunk), first, end)
        for number, (first, end) in enumerate(zip(starts, ends, strict=True))
    ]
