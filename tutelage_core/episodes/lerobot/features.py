"""The columns of a data set: what they are called, their units, types and shapes, as a robot's contract gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tutelage_core.contract import STATE_KEYS, RobotContract
from tutelage_core.episodes.lerobot import layout
from tutelage_core.errors import ConfigurationError

ACTION_NAMES = ("dx_m", "dy_m", "dz_m", "rx_rad", "ry_rad", "rz_rad", "gripper_0_closed_1_open")
"""The executed TCP step in the base frame, as in `tutelage_core.types`."""

STATE_NAMES: Mapping[str, tuple[str, ...]] = {
    "tcp_position": ("tcp_x_m", "tcp_y_m", "tcp_z_m"),
    "tcp_rotation_6d": tuple(f"tcp_{axis}_axis_{part}" for axis in "xy" for part in "xyz"),
    "tcp_velocity": tuple(f"tcp_v{part}_m_s" for part in "xyz") + tuple(f"tcp_w{part}_rad_s" for part in "xyz"),
    "wrench": tuple(f"force_{part}_n" for part in "xyz") + tuple(f"torque_{part}_nm" for part in "xyz"),
    "gripper_opening": ("gripper_opening_0_closed_1_open",),
}
"""Names of each state key's numbers; those of the joints come from the contract."""

INDEX_COLUMNS = ("frame_index", "episode_index", "index", "task_index")

_LANGUAGE_ROW = pa.struct(
    [
        pa.field("role", pa.string(), nullable=False),
        pa.field("content", pa.string()),
        pa.field("style", pa.string()),
        pa.field("timestamp", pa.float32(), nullable=False),
        pa.field("camera", pa.string()),
        pa.field("tool_calls", pa.list_(pa.string())),
    ]
)
_SCALARS: Mapping[str, pa.DataType] = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
}
NUMBERS = (*_SCALARS, "int8", "int16", "int32", "uint8", "float16")
"""Types of features whose columns are numbers."""

Feature = dict[str, Any]


def state_sizes(contract: RobotContract) -> dict[str, int]:
    """Return the sizes of the contract's state keys, in its order."""
    joints = len(contract.arm.joints)
    return {key: joints if key.startswith("joint_") else STATE_KEYS[key] for key in contract.state_keys}


def state_names(contract: RobotContract) -> tuple[str, ...]:
    """Return a name, with its unit, for each number of `observation.state`."""
    names: list[str] = []
    for key in contract.state_keys:
        if key.startswith("joint_"):
            unit = "rad" if key == "joint_positions" else "rad_s"
            names += [f"{joint}_{unit}" for joint in contract.arm.joints]
        else:
            names += STATE_NAMES[key]
    return tuple(names)


def whole_fps(contract: RobotContract) -> int:
    """Return the control rate as the whole number of frames a second that LeRobot counts in.

    Raises:
        ConfigurationError: it is none.
    """
    if contract.control_rate_hz != int(contract.control_rate_hz):
        raise ConfigurationError(
            f"robot '{contract.name}' has a control rate of {contract.control_rate_hz:g} Hz; a LeRobot data set has a "
            "whole number of frames a second, so its episodes cannot be exported"
        )
    return int(contract.control_rate_hz)


def camera_keys(contract: RobotContract) -> dict[str, str]:
    """Return the feature of each camera.

    Raises:
        ConfigurationError: a camera's name cannot be part of a path.
    """
    for camera in contract.cameras:
        if "/" in camera or camera in (".", ".."):
            raise ConfigurationError(f"camera '{camera}': LeRobot takes no feature with a '/' in its name")
    return {camera: layout.IMAGES + camera for camera in contract.cameras}


def frame_features(contract: RobotContract, settings: layout.ExportSettings) -> dict[str, Feature]:
    """Return the features of an episode's own rows: all but those that say where it stands in the data set."""
    found: dict[str, Feature] = {}
    for camera, key in camera_keys(contract).items():
        size = contract.cameras[camera]
        shape = [size.height, size.width, 3]
        found[key] = {"dtype": settings.pictures, "shape": shape, "names": ["height", "width", "channels"]}
    names = state_names(contract)
    if names:
        found[layout.STATE] = {"dtype": "float32", "shape": [len(names)], "names": list(names)}
    found[layout.ACTION] = {"dtype": "float32", "shape": [len(ACTION_NAMES)], "names": list(ACTION_NAMES)}
    if settings.reward_model:
        found[layout.REWARD] = _scalar("float32")
        found[layout.REWARD_GIVEN] = _scalar("bool")
    found["next.done"] = _scalar("bool")
    found["next.success"] = _scalar("bool")
    found[layout.SOURCE] = _scalar("int64")
    found["timestamp"] = _scalar("float32")
    found["frame_index"] = _scalar("int64")
    return found


def dataset_features(contract: RobotContract, settings: layout.ExportSettings, *, language: bool) -> dict[str, Feature]:
    """Return all features; `language` tells whether there is a column of phrases."""
    found = frame_features(contract, settings)
    for key in ("episode_index", "index", "task_index"):
        found[key] = _scalar("int64")
    if language:
        found[layout.LANGUAGE] = {"dtype": "language", "shape": [1], "names": None}
    return found


def column_type(feature: Feature) -> Any:
    """Return the type of a feature's column in the data files; None for a video, which has none."""
    dtype = feature["dtype"]
    if dtype == "video":
        return None
    if dtype == "image":
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    if dtype == "language":
        return pa.list_(_LANGUAGE_ROW)
    size = int(feature["shape"][0])
    return _SCALARS[dtype] if size == 1 else pa.list_(_SCALARS[dtype], size)


def to_column(values: NDArray[Any], feature: Feature) -> Any:
    """Return numbers as a column.

    Args:
        values: shape (T, size), or (T,) where the feature has one number.
        feature: what the column is.
    """
    scalar = _SCALARS[feature["dtype"]]
    size = int(feature["shape"][0])
    flat = pa.array(np.ascontiguousarray(values, dtype=feature["dtype"]).reshape(-1), type=scalar)
    return flat if size == 1 else pa.FixedSizeListArray.from_arrays(flat, size)


def to_numbers(column: Any, size: int) -> NDArray[Any]:
    """Return a column of numbers as an array, shape (T, size)."""
    array = column.combine_chunks()
    if not pa.types.is_primitive(array.type):
        array = array.flatten()
    return np.asarray(array.to_numpy(zero_copy_only=False)).reshape(-1, size)


def _scalar(dtype: str) -> Feature:
    return {"dtype": dtype, "shape": [1], "names": None}
