"""What a robot gives (contract) and what a policy needs (spec), and whether the two fit.

One YAML file per robot stands in `hardware/robots/`. The comparison is made at start: a mismatch is a refusal that
names both sides, never a silent reorder or resize.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tutelage_core.config import load_yaml
from tutelage_core.errors import ConfigurationError, ContractMismatchError, UnknownNameError
from tutelage_core.limits import SafetyLimits
from tutelage_core.rotations import quaternion_xyzw_to_matrix
from tutelage_core.types import ArmState, FloatArray

NS_PER_S = 1_000_000_000

CAMERA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a camera may be called."""

STATE_KEYS: Mapping[str, int] = {
    "tcp_position": 3,  # [m], base frame
    "tcp_rotation_6d": 6,  # first two columns of the rotation matrix, column after column
    "tcp_velocity": 6,  # [m/s, rad/s], base frame
    "wrench": 6,  # [N, Nm], base frame
    "gripper_opening": 1,  # 0 closed .. 1 open
    "joint_positions": 7,  # [rad]
    "joint_velocities": 7,  # [rad/s]
}
"""State keys that a contract can offer, with their sizes."""

ACTION_REPRESENTATIONS = ("tcp_step",)
"""`tcp_step`: dx dy dz [m], rotation vector [rad], gripper 0..1, in the base frame; see `tutelage_core.types`."""


@dataclass(frozen=True)
class CameraContract:
    """One camera of the robot: its image size [px], rate [Hz], driver and the driver's own settings."""

    width: int
    height: int
    rate_hz: float
    driver: str
    options: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse numbers that no camera can have."""
        if self.width < 1 or self.height < 1:
            raise ConfigurationError(f"a camera's image must be at least 1x1 px, got {self.width}x{self.height}")
        if not 0.0 < self.rate_hz <= 1000.0:
            raise ConfigurationError(f"a camera's rate_hz must be in (0, 1000], got {self.rate_hz}")


@dataclass(frozen=True)
class ArmContract:
    """The arm.

    Attributes:
        driver: name of its driver.
        joints: their names, from the base on.
        home_joint_positions: where episodes begin [rad].
        options: the driver's own settings.
        model: MJCF file beside the contract with joint limits and collision shapes, for the SafetyGate; empty for none:
            then joints and collisions are not checked.
    """

    driver: str
    joints: tuple[str, ...]
    home_joint_positions: tuple[float, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    model: str = ""


@dataclass(frozen=True)
class CellBox:
    """A box that stands around the arm: name, middle and side lengths in the base frame [m]."""

    name: str
    centre_m: tuple[float, float, float]
    size_m: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Refuse what is no box."""
        if not all(math.isfinite(v) for v in self.centre_m) or not all(0.0 < v < math.inf for v in self.size_m):
            raise ConfigurationError(
                f"cell box {self.name!r} needs a finite centre_m and sides above 0, got {self.centre_m}, {self.size_m}"
            )


@dataclass(frozen=True)
class RobotContract:
    """All that a robot gives. Read with `load_contract`."""

    name: str
    control_rate_hz: float
    action: str
    arm: ArmContract
    cameras: Mapping[str, CameraContract]
    state_keys: tuple[str, ...]
    safety: SafetyLimits
    cell: tuple[CellBox, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names and numbers that no robot can have."""
        for camera in self.cameras:
            if not CAMERA_NAME.fullmatch(camera):
                raise ConfigurationError(
                    f"{self.name}: camera name {camera!r} is not legal: 1 to 64 of the characters A-Z a-z 0-9 _ -, the "
                    "first a letter or digit: topics and files are named by it"
                )
        if self.action not in ACTION_REPRESENTATIONS:
            raise UnknownNameError("action representation", self.action, ACTION_REPRESENTATIONS, self.name)
        for key in self.state_keys:
            if key not in STATE_KEYS:
                raise UnknownNameError("state key", key, STATE_KEYS, self.name)
        if not 0.0 < self.control_rate_hz <= 1000.0:
            raise ConfigurationError(f"{self.name}: control_rate_hz must be in (0, 1000], got {self.control_rate_hz}")
        if len(self.arm.joints) != len(self.arm.home_joint_positions):
            raise ConfigurationError(
                f"{self.name}: {len(self.arm.joints)} joints but a home of {len(self.arm.home_joint_positions)} values"
            )

    @property
    def period_ns(self) -> int:
        """Control period [ns]."""
        return round(NS_PER_S / self.control_rate_hz)


@dataclass(frozen=True)
class CameraNeed:
    """Image size that a model expects of one camera [px]."""

    width: int
    height: int


@dataclass(frozen=True)
class PolicySpec:
    """What a policy needs and gives; stored in its checkpoint.

    Attributes:
        name: kind of policy, for example `bc`.
        cameras: camera name to image size.
        state_keys: state keys in the order in which the policy concatenates them.
        action: representation of its steps.
        control_rate_hz: rate that its steps are meant for [Hz].
        history: observations in its window, the newest last.
        chunk: steps that it predicts.
        replan_every: steps that are executed before it is asked again.
        tasks: tasks that it was trained on.
    """

    name: str
    cameras: Mapping[str, CameraNeed]
    state_keys: tuple[str, ...]
    action: str
    control_rate_hz: float
    history: int
    chunk: int
    replan_every: int
    tasks: tuple[str, ...]


def robots_folder() -> Path:
    """Return the folder of the robots' contracts."""
    return Path(__file__).resolve().parent.parent / "hardware" / "robots"


def robot_names() -> tuple[str, ...]:
    """Return the names of the robots that have a contract."""
    return tuple(sorted(p.stem for p in robots_folder().glob("*.yaml")))


def load_contract(name_or_path: str) -> RobotContract:
    """Read a robot's contract by its name, or from a YAML file.

    Raises:
        UnknownNameError: no robot has this name; the legal ones are listed.
        ConfigurationError: the file does not hold a legal contract.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if name_or_path not in robot_names():
            raise UnknownNameError("robot", name_or_path, robot_names())
        path = robots_folder() / f"{name_or_path}.yaml"
    return load_yaml(path, RobotContract)


def camera_differences(needs: Mapping[str, CameraNeed | None], contract: RobotContract) -> list[str]:
    """Return in which cameras a robot is not what is needed, a sentence each; a need of None takes any size."""
    differences: list[str] = []
    for name, need in needs.items():
        have = contract.cameras.get(name)
        if have is None:
            differences.append(
                f"camera '{name}': needed, but the robot has {', '.join(sorted(contract.cameras)) or 'none'}"
            )
        elif need is not None and (have.width, have.height) != (need.width, need.height):
            differences.append(
                f"camera '{name}': needs {need.width}x{need.height} px, robot gives {have.width}x{have.height} px"
            )
    return differences


def check_cameras(what: str, needs: Mapping[str, CameraNeed | None], contract: RobotContract) -> None:
    """Refuse a model whose cameras are not the robot's.

    Args:
        what: the model, by name.
        needs: camera name to the image size that it needs; None takes any size.
        contract: of the robot.

    Raises:
        ContractMismatchError: names both sides and every difference.
    """
    if differences := camera_differences(needs, contract):
        raise ContractMismatchError(what, f"robot '{contract.name}'", differences)


def check_fit(spec: PolicySpec, contract: RobotContract) -> None:
    """Refuse a policy that does not fit a robot.

    Raises:
        ContractMismatchError: names both sides and every difference.
    """
    differences = camera_differences(spec.cameras, contract)
    differences += [
        f"state '{key}': needed, but the robot gives {', '.join(contract.state_keys)}"
        for key in spec.state_keys
        if key not in contract.state_keys
    ]
    if spec.action != contract.action:
        differences.append(f"action: policy gives {spec.action}, robot takes {contract.action}")
    if not abs(spec.control_rate_hz - contract.control_rate_hz) <= 1e-6:  # so written that NaN differs
        differences.append(f"control rate: policy {spec.control_rate_hz:g} Hz, robot {contract.control_rate_hz:g} Hz")
    if differences:
        raise ContractMismatchError(f"policy '{spec.name}'", f"robot '{contract.name}'", differences)


def check_chunk_outlasts(spec: PolicySpec, delay_s: float) -> str:
    """Refuse a policy whose chunk is used up when it comes.

    Args:
        spec: of the policy.
        delay_s: from an observation to its chunk [s].

    Returns:
        A warning where a chunk is used up before the next one has come, and the arm holds in between; else nothing.

    Raises:
        ConfigurationError: the last step's time is over when the chunk comes.
    """
    late = delay_s * spec.control_rate_hz
    lasts_s = spec.chunk / spec.control_rate_hz
    if not late < spec.chunk + 0.5:  # a period that is half over still belongs to its step
        raise ConfigurationError(
            f"policy '{spec.name}': thinks for {delay_s:.3f} s, and its chunk lasts {lasts_s:.2f} s: all of it is over "
            "when it comes; a longer chunk or a faster machine is needed"
        )
    needed = spec.replan_every + max(0, math.ceil(late - 0.5))
    if needed <= spec.chunk:
        return ""
    return (
        f"policy '{spec.name}' thinks for {delay_s:.3f} s: its chunk of {lasts_s:.2f} s would have to last "
        f"{needed / spec.control_rate_hz:.2f} s until the next one has come; the arm may hold in between"
    )


def state_columns(keys: Sequence[str]) -> dict[str, slice]:
    """Return where each key stands in the concatenation of all."""
    ends = np.cumsum([STATE_KEYS[key] for key in keys])
    return {key: slice(int(end) - STATE_KEYS[key], int(end)) for key, end in zip(keys, ends, strict=True)}


def state_vectors(state: ArmState, keys: tuple[str, ...]) -> dict[str, FloatArray]:
    """Return the asked state keys of `state`, each a float64 vector of the size in `STATE_KEYS`."""
    rotation = quaternion_xyzw_to_matrix(state.T_base_tcp.quaternion_xyzw)
    everything = {
        "tcp_position": state.T_base_tcp.position,
        "tcp_rotation_6d": np.concatenate([rotation[:, 0], rotation[:, 1]]),
        "tcp_velocity": state.tcp_velocity,
        "wrench": state.wrench,
        "gripper_opening": np.array([state.gripper_opening]),
        "joint_positions": state.joint_positions,
        "joint_velocities": state.joint_velocities,
    }
    return {key: np.asarray(everything[key], dtype=np.float64) for key in keys}
