"""The black box: what happened in the last seconds before a stop.

Arm states, asked and executed steps with their reasons, and small pictures go into rings; a stop seals them in a folder
(`tutelage_core.sealed_folder`) that `tutelage replay-incident` opens. Plain arrays and JSON, no pickle.
"""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import CheckpointError, ConfigurationError
from tutelage_core.sealed_folder import parse_json_object, read_sealed, write_sealed
from tutelage_core.types import ArmState, ExecutedStep, FloatArray, ImageArray

KIND = "black box"
RECORD, ARRAYS = "record.json", "arrays.npz"
SECONDS = 10.0
MOST_ENTRIES = 20_000
"""Bound on each ring, whatever the stamps say."""

THUMBNAIL_PX = 64
"""Longer side of a kept picture [px]."""

THUMBNAIL_EVERY_S = 0.5


@dataclass(frozen=True)
class BlackBoxRecord:
    """What a sealed black box holds.

    Attributes:
        cause: why it was sealed.
        robot: name of the robot's contract.
        state_stamps_ns: stamps of the arm's states, shape (n,) [ns].
        states: joints, TCP position, quaternion xyzw, gripper opening, wrench, TCP velocity, shape (n, joints + 20).
        joints: number of joints.
        steps: one mapping a step: stamp_ns, sequence, sender, source, reasons, detail.
        requested: shape (m, 7); NaN where what was asked is no step.
        executed: shape (m, 7).
        pictures: camera to stamps, shape (k,), and pictures, shape (k, height, width, 3), uint8, RGB.
    """

    cause: str
    robot: str
    state_stamps_ns: NDArray[np.int64]
    states: FloatArray
    joints: int
    steps: tuple[Mapping[str, Any], ...]
    requested: FloatArray
    executed: FloatArray
    pictures: Mapping[str, tuple[NDArray[np.int64], NDArray[np.uint8]]]


class BlackBox:
    """Keeps the last `SECONDS`; noting costs the same however long it runs."""

    def __init__(self, robot: str, seconds: float = SECONDS) -> None:
        """Remember for `seconds` [s] what the robot of this name does."""
        self._robot, self._span_ns = robot, round(seconds * NS_PER_S)
        self._states: deque[tuple[int, FloatArray, int]] = deque(maxlen=MOST_ENTRIES)
        self._steps: deque[tuple[int, dict[str, Any], FloatArray, FloatArray]] = deque(maxlen=MOST_ENTRIES)
        self._pictures: dict[str, deque[tuple[int, ImageArray]]] = {}

    def note_state(self, state: ArmState) -> None:
        """Note what the arm measures."""
        pose = state.T_base_tcp
        row = np.concatenate(
            [
                state.joint_positions,
                pose.position,
                pose.quaternion_xyzw,
                [state.gripper_opening],
                state.wrench,
                state.tcp_velocity,
            ]
        )
        self._states.append((state.stamp_ns, row, len(state.joint_positions)))
        _forget(self._states, state.stamp_ns - self._span_ns)

    def note_step(self, step: ExecutedStep, sender: str = "", detail: str = "") -> None:
        """Note what was asked and what became of it."""
        about = {
            "stamp_ns": step.stamp_ns,
            "sequence": step.sequence,
            "sender": sender,
            "source": step.source.name,
            "reasons": [str(reason) for reason in step.reasons],
            "detail": detail,
        }
        requested = np.full(len(step.executed), np.nan)
        if step.requested.shape == requested.shape and np.issubdtype(step.requested.dtype, np.floating):
            requested[:] = step.requested
        self._steps.append((step.stamp_ns, about, requested, step.executed))
        # a step may be stamped with anything: only its place in the ring says when it came
        newest_ns = self._states[-1][0] if self._states else step.stamp_ns
        _forget(self._steps, newest_ns - self._span_ns)

    def note_picture(self, camera: str, image: ImageArray, stamp_ns: int) -> None:
        """Note a picture, made small; no more than one each `THUMBNAIL_EVERY_S`."""
        ring = self._pictures.setdefault(camera, deque(maxlen=256))
        if ring and 0 <= stamp_ns - ring[-1][0] < THUMBNAIL_EVERY_S * NS_PER_S:
            return
        if ring and ring[-1][1].shape != image[:: _stride(image), :: _stride(image)].shape:
            ring.clear()
        ring.append((stamp_ns, image[:: _stride(image), :: _stride(image)].copy()))
        _forget(ring, stamp_ns - self._span_ns)

    def seal(self, folder: Path, cause: str) -> Path:
        """Write everything into a fresh folder beneath `folder` and return it; the rings go on.

        Raises:
            OSError: the disk does not take it.
        """
        states = [row for _, row, _ in self._states]
        arrays: dict[str, NDArray[Any]] = {
            "state_stamps_ns": np.array([stamp for stamp, _, _ in self._states], np.int64),
            "states": np.stack(states) if states else np.zeros((0, 0)),
            "requested": np.stack([asked for _, _, asked, _ in self._steps]) if self._steps else np.zeros((0, 7)),
            "executed": np.stack([done for _, _, _, done in self._steps]) if self._steps else np.zeros((0, 7)),
        }
        for camera, ring in self._pictures.items():
            arrays[f"stamps_{camera}"] = np.array([stamp for stamp, _ in ring], np.int64)
            arrays[f"pictures_{camera}"] = np.stack([picture for _, picture in ring])
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **arrays)
        record = {
            "cause": cause,
            "robot": self._robot,
            "joints": self._states[-1][2] if self._states else 0,
            "cameras": sorted(self._pictures),
            "steps": [about for _, about, _, _ in self._steps],
        }
        number = sum(1 for _ in folder.glob("stop-*")) if folder.is_dir() else 0
        target = folder / f"stop-{number:04d}"
        while target.exists():
            number += 1
            target = folder / f"stop-{number:04d}"
        files = {RECORD: json.dumps(record, indent=1).encode(), ARRAYS: packed.getvalue()}
        write_sealed(target, files, kind=KIND, created_by="SafetyGate")
        return target


def read_black_box(folder: Path) -> BlackBoxRecord:
    """Open a sealed black box.

    Raises:
        ConfigurationError: the folder is no whole black box; says why.
    """
    try:
        content = read_sealed(folder, kind=KIND, required=(RECORD, ARRAYS))
        record = parse_json_object(content[RECORD], folder / RECORD)
        with np.load(io.BytesIO(content[ARRAYS]), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return BlackBoxRecord(
            cause=str(record["cause"]),
            robot=str(record["robot"]),
            state_stamps_ns=arrays["state_stamps_ns"],
            states=arrays["states"],
            joints=int(record["joints"]),
            steps=tuple(record["steps"]),
            requested=arrays["requested"],
            executed=arrays["executed"],
            pictures={str(c): (arrays[f"stamps_{c}"], arrays[f"pictures_{c}"]) for c in record["cameras"]},
        )
    except (CheckpointError, KeyError, ValueError) as error:
        raise ConfigurationError(f"{folder}: no whole black box: {error}") from error


def _stride(image: ImageArray) -> int:
    return max(1, -(-max(image.shape[:2]) // THUMBNAIL_PX))


def _forget(ring: deque[Any], before_ns: int) -> None:
    """Drop what is older than `before_ns` from the ring's old end."""
    while ring and ring[0][0] < before_ns:
        ring.popleft()
