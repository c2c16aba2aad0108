"""What can be made of an episode of another's data set, for a robot whose contract it fits.

What the data set does not say is NaN (state), empty (reasons, phrases) or a setting (who drove, success). Rewards and
phrases become labels, since a data set does not tell whether the robot had them while it moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tutelage_core.contract import STATE_KEYS, RobotContract
from tutelage_core.episodes.labels import Label, RewardScores
from tutelage_core.episodes.lerobot import features, language, layout
from tutelage_core.episodes.lerobot.dataset import Dataset
from tutelage_core.episodes.lerobot.revived import EpisodeContent
from tutelage_core.episodes.lerobot.stored import StoredEpisode
from tutelage_core.episodes.manifest import EpisodeMetadata
from tutelage_core.errors import EpisodeError
from tutelage_core.types import STEP_SIZE, EpisodeResult, FloatArray, Source

AUTHOR = "lerobot"
"""Author of the labels, and reward model, of what a foreign data set says."""

SHORTEST_AXIS = 1e-3
"""Below it, a column of a rotation matrix says nothing of its direction."""


def foreign_content(
    dataset: Dataset,
    stored: StoredEpisode,
    rows: Mapping[str, Any],
    contract: RobotContract,
    source: str,
    success: bool,
) -> EpisodeContent:
    """Return an episode of ours for one of another's.

    Args:
        dataset: where it lies.
        stored: the episode.
        rows: its columns.
        contract: contract of its robot.
        source: who drove, if the data set does not say.
        success: whether it succeeded, if the data set does not say.

    Raises:
        EpisodeError: an action is not finite, a rotation or a phrase is none, or a number of who drove is unknown.
    """
    length = stored.length
    executed = rows[layout.ACTION].astype(np.float64)
    if not np.isfinite(executed).all():
        bad = int(np.flatnonzero(~np.isfinite(executed).all(axis=1))[0])
        raise EpisodeError(
            f"{dataset.root}: episode {stored.index}, frame {bad}: action {executed[bad].tolist()} is not finite"
        )
    stamps_ns = np.arange(length, dtype=np.int64) * contract.period_ns
    sources = _sources(dataset, stored, rows, source)
    succeeded = bool(rows["next.success"][:, 0].any()) if "next.success" in rows else success
    metadata = EpisodeMetadata(
        contract=contract,
        task=stored.task,
        instruction=stored.task,
        seed=0,
        start_stamp_ns=0,
        versions={"lerobot_dataset": dataset.version},
    )
    result = EpisodeResult(
        success=succeeded,
        steps=length,
        termination="success" if succeeded else "stopped",
        human_periods=int((sources == Source.HUMAN).sum()),
    )
    where = f"{dataset.root}: episode {stored.index}"
    labels = language.to_labels(_language(rows), stamps_ns, dataset.fps, AUTHOR, where)
    if layout.REWARD in rows:
        labels.append(Label(0, author=AUTHOR, rewards=RewardScores(AUTHOR, _rewards(rows))))
    periods: dict[str, Any] = {
        "executed": executed,
        "requested": executed,
        "expert": np.full((length, STEP_SIZE), np.nan),
        "source": sources,
        "reasons": [()] * length,
        "phrase": [""] * length,
        "success": np.zeros(length, dtype=np.bool_),
        "progress": np.full(length, np.nan),
        **_state(rows, contract, length, where),
    }
    return EpisodeContent(metadata, result, tuple(labels), stamps_ns, periods)


def _sources(dataset: Dataset, stored: StoredEpisode, rows: Mapping[str, Any], source: str) -> Any:
    if layout.SOURCE not in rows:
        return np.full(stored.length, Source[source.upper()])
    sources = rows[layout.SOURCE][:, 0]
    legal = {int(member): member.name.lower() for member in Source}
    for value in set(sources.tolist()):
        if value not in legal:
            raise EpisodeError(
                f"{dataset.root}: episode {stored.index}: '{layout.SOURCE}' is {value}; legal: "
                + ", ".join(f"{number} {name}" for number, name in legal.items())
            )
    return sources


def _rewards(rows: Mapping[str, Any]) -> tuple[float | None, ...]:
    values = rows[layout.REWARD][:, 0].astype(np.float64)
    given = np.isfinite(values)
    if layout.REWARD_GIVEN in rows:
        given &= rows[layout.REWARD_GIVEN][:, 0].astype(np.bool_)
    return tuple(float(value) if there else None for value, there in zip(values, given, strict=True))


def _language(rows: Mapping[str, Any]) -> list[object]:
    column = rows.get(layout.LANGUAGE) or [None]
    return list(column[0] or [])


def _state(rows: Mapping[str, Any], contract: RobotContract, length: int, where: str) -> dict[str, FloatArray]:
    joints = max(len(contract.arm.joints), 1)
    found = {
        key: np.full((length, joints if key.startswith("joint_") else size), np.nan) for key, size in STATE_KEYS.items()
    }
    start = 0
    for key, size in features.state_sizes(contract).items():
        found[key] = rows[layout.STATE][:, start : start + size].astype(np.float64)
        start += size
    found["tcp_quaternion_xyzw"] = _quaternions(found["tcp_rotation_6d"], where)
    return found


def _quaternions(rotations_6d: FloatArray, where: str) -> FloatArray:
    """Return unit quaternions xyzw of the first two columns of rotation matrices, shape (T, 6); NaN where they are."""
    found = np.full((len(rotations_6d), 4), np.nan)
    known = np.isfinite(rotations_6d).all(axis=1)
    if known.any():
        x, y = rotations_6d[known, :3], rotations_6d[known, 3:]
        x, is_x = _unit(x)
        y, is_y = _unit(y - (x * y).sum(axis=1, keepdims=True) * x)
        if not (is_x & is_y).all():
            frame = int(np.flatnonzero(known)[np.argmin(is_x & is_y)])
            raise EpisodeError(
                f"{where}, frame {frame}: {rotations_6d[frame].tolist()} is no rotation: 'tcp_rotation_6d' holds the "
                "first two columns of a matrix, which must not be 0 or parallel"
            )
        found[known] = Rotation.from_matrix(np.stack([x, y, np.cross(x, y)], axis=2)).as_quat()
    return found


def _unit(vectors: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the vectors with length 1, shape (T, 3), and which of them had a direction."""
    lengths = np.linalg.norm(vectors, axis=1)
    is_long = lengths > SHORTEST_AXIS
    return vectors / np.where(is_long, lengths, 1.0)[:, None], is_long
