"""Export of one episode: a function of its recording, its labels and the settings, which any process may do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tutelage_core.contract import RobotContract
from tutelage_core.episodes import statistics
from tutelage_core.episodes.labels import Judgement, judge, read_labels
from tutelage_core.episodes.lerobot import features, language, layout, video
from tutelage_core.episodes.lerobot.origin import Origin, periods_table
from tutelage_core.episodes.lerobot.piece import (
    EXACT_FILE,
    ROWS_FILE,
    Piece,
    piece_folder,
    piece_key,
    publish_piece,
    read_piece,
    video_file,
)
from tutelage_core.episodes.reader import Episode
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import EpisodeError
from tutelage_core.types import ImageArray

PNG_COMPRESSION = 1


def export_episode(root: Path, name: str, output: Path, settings: layout.ExportSettings) -> bool:
    """Make the piece of one episode, in `<output>.partial/pieces/<name>/`.

    Args:
        root: folder of the episodes.
        name: the episode.
        output: the data set that shall be.
        settings: how it is written.

    Returns:
        Whether it was made now; False if it was there already, made from the same recording, labels and settings.

    Raises:
        EpisodeError: the episode is unfinished or damaged, or rewards do not fit its length.
        ConfigurationError: the robot cannot be told in LeRobot's words.
    """
    folder = piece_folder(output, name)
    key = piece_key(root / name, settings)
    there = read_piece(folder)
    if there is not None and there.key == key:
        return False
    contract = EpisodeStore(root).manifest(name).metadata.contract
    fps = features.whole_fps(contract)
    cameras = features.camera_keys(contract)
    labels = read_labels(root, name)
    judgement = judge(labels)
    episode = EpisodeStore(root).read(name, tuple(cameras))
    _check_sizes(episode, contract)

    work = folder.with_name(f".{name}.new-{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    columns = _columns(episode, judgement, contract, settings, fps)
    sizes: dict[str, int] = {}
    histograms: dict[str, tuple[tuple[int, ...], ...]] = {}
    for camera, feature in cameras.items():
        images = episode.images[camera]
        video.check_size(images.shape[2], images.shape[1], settings, camera)
        histograms[feature] = tuple(tuple(row) for row in statistics.histograms(images).tolist())
        if settings.pictures == "image":
            columns[feature] = _png_column(images)
        else:
            path = work / video_file(feature)
            video.write_video(path, images, fps, settings)
            sizes[feature] = path.stat().st_size
    pq.write_table(pa.table(columns), work / ROWS_FILE, compression="snappy")
    pq.write_table(periods_table(episode, root / name), work / EXACT_FILE, compression="zstd")
    sizes[ROWS_FILE] = (work / ROWS_FILE).stat().st_size
    metadata = episode.metadata
    phrases = language.phrases_of_periods(episode.stamps_ns, episode.phrases, judgement.phrases)
    piece = Piece(
        key=key,
        periods=len(episode),
        fps=fps,
        task=metadata.instruction or metadata.task,
        origin=Origin(name, metadata, episode.result, labels, tuple(episode.stamps_ns.tolist())),
        language=language.changes(phrases),
        rewards=settings.reward_model in judgement.rewards,
        histograms=histograms,
        bytes=sizes,
    )
    publish_piece(work, folder, piece)
    return True


def rewards_of(judgement: Judgement, model: str, periods: int, name: str) -> Sequence[float | None]:
    """Return what a reward model gave to each control period, None where it gave nothing.

    Raises:
        EpisodeError: it gave another number of rewards than there are periods.
    """
    values = judgement.rewards.get(model, (None,) * periods)
    if len(values) != periods:
        raise EpisodeError(
            f"episode '{name}': reward model '{model}' gave {len(values)} values, the recording has {periods} control "
            "periods; score it again"
        )
    return values


def _columns(
    episode: Episode, judgement: Judgement, contract: RobotContract, settings: layout.ExportSettings, fps: int
) -> dict[str, Any]:
    periods = len(episode)
    success = episode.result.success if judgement.success is None else judgement.success
    last = np.arange(periods) == periods - 1
    numbers: dict[str, Any] = {
        layout.ACTION: episode.executed,
        "next.done": last,
        "next.success": last & success,
        layout.SOURCE: episode.sources,
        "timestamp": np.arange(periods) / fps,
        "frame_index": np.arange(periods),
    }
    if contract.state_keys:
        numbers[layout.STATE] = np.concatenate([episode.state[key] for key in contract.state_keys], axis=1)
    if settings.reward_model:
        values = rewards_of(judgement, settings.reward_model, periods, episode.name)
        numbers[layout.REWARD] = np.array([0.0 if value is None else value for value in values])
        numbers[layout.REWARD_GIVEN] = np.array([value is not None for value in values])
    table = features.frame_features(contract, settings)
    return {
        key: features.to_column(numbers[key], feature)
        for key, feature in table.items()
        if feature["dtype"] not in ("video", "image")
    }


def _png_column(images: ImageArray) -> Any:
    rows: list[Mapping[str, object]] = []
    for image in images:
        done, data = cv2.imencode(
            ".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION]
        )
        if not done:
            raise EpisodeError(f"an image of {image.shape} cannot be made a PNG")
        rows.append({"bytes": bytes(np.asarray(data)), "path": None})
    return pa.array(rows, features.column_type({"dtype": "image", "shape": [], "names": None}))


def _check_sizes(episode: Episode, contract: RobotContract) -> None:
    for key, size in features.state_sizes(contract).items():
        found = episode.state[key].shape[1]
        if found != size:
            raise EpisodeError(
                f"episode '{episode.name}': state '{key}' has {found} values, the contract of robot '{contract.name}' "
                f"says {size}"
            )
