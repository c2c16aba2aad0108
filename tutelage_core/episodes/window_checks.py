"""Whether episodes fit together and fit the windows that are asked for; a refusal names both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tutelage_core.contract import STATE_KEYS, RobotContract
from tutelage_core.episodes.manifest import Manifest
from tutelage_core.episodes.messages import EXECUTED_TOPIC
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, ContractMismatchError, EpisodeError, UnknownNameError

TARGETS = ("expert", "executed")


def check_arguments(state_keys: Sequence[str], history: int, chunk: int, target: str) -> None:
    """Refuse windows that cannot be.

    Raises:
        ConfigurationError: history or chunk is below 1, or a state key or target is not known.
    """
    for name, value in (("history", history), ("chunk", chunk)):
        if value < 1:
            raise ConfigurationError(f"{name} must be at least 1, got {value}")
    if target not in TARGETS:
        raise UnknownNameError("target", target, TARGETS)
    for key in state_keys:
        if key not in STATE_KEYS:
            raise UnknownNameError("state key", key, STATE_KEYS)


def chosen_episodes(store: EpisodeStore, names: Sequence[str] | None) -> tuple[tuple[str, ...], list[Manifest]]:
    """Return names and manifests of the chosen episodes, of all finished ones if `names` is None.

    Raises:
        EpisodeError: there is none, or one is damaged or unfinished.
    """
    names = store.names() if names is None else tuple(names)
    if not names:
        partial = len(store.partial())
        raise EpisodeError(f"{store.root}: no finished episode to load" + (f", {partial} partial" if partial else ""))
    return names, [store.manifest(name) for name in names]


def common_contract(names: Sequence[str], manifests: Sequence[Manifest], cameras: Sequence[str]) -> RobotContract:
    """Return the contract of the first episode after comparing those of the others with it.

    Episodes of one robot may differ in what is set anew from day to day and says nothing of what the numbers mean:
    safety limits, cell, home, drivers and their options, model file, rates of cameras, and cameras not asked for.

    Raises:
        ContractMismatchError: an episode lacks a camera, or differs from the first in robot, joints, state keys,
            action, control rate or a camera's size.
    """
    contract = manifests[0].metadata.contract
    for name, manifest in zip(names, manifests, strict=True):
        _check_contract(manifest.metadata.contract, name, contract, names[0], tuple(cameras))
    return contract


def periods_in(manifest: Manifest) -> int:
    """Return the number of control periods of an episode."""
    return manifest.messages.get(EXECUTED_TOPIC, 0)


def state_sizes(contract: RobotContract, state_keys: Sequence[str]) -> list[int]:
    """Return how many numbers each state key has on this robot."""
    joints = len(contract.arm.joints)
    return [joints if key.startswith("joint_") else STATE_KEYS[key] for key in state_keys]


def _check_contract(
    have: RobotContract, name: str, first: RobotContract, first_name: str, cameras: tuple[str, ...]
) -> None:
    differences: list[str] = []
    for what, ours, theirs in (
        ("robot", repr(have.name), repr(first.name)),
        ("joints", ", ".join(have.arm.joints), ", ".join(first.arm.joints)),
        ("state keys", ", ".join(sorted(have.state_keys)), ", ".join(sorted(first.state_keys))),
        ("action", have.action, first.action),
        ("control rate", f"{have.control_rate_hz:g} Hz", f"{first.control_rate_hz:g} Hz"),
    ):
        if ours != theirs:
            differences.append(f"{what}: {theirs or 'none'} in '{first_name}', {ours or 'none'} in '{name}'")
    for camera in cameras:
        ours, theirs = have.cameras.get(camera), first.cameras.get(camera)
        if ours is None:
            differences.append(f"camera '{camera}': needed, but the robot has {', '.join(sorted(have.cameras))}")
        elif theirs is not None and (ours.width, ours.height) != (theirs.width, theirs.height):
            differences.append(
                f"camera '{camera}': {theirs.width}x{theirs.height} px in '{first_name}', "
                f"{ours.width}x{ours.height} px in '{name}'"
            )
    if differences:
        raise ContractMismatchError(
            f"data (cameras {', '.join(cameras) or 'none'}; first episode '{first_name}' of robot '{first.name}')",
            f"episode '{name}' of robot '{have.name}'",
            differences,
        )


def check_recorded(
    where: str,
    name: str,
    length: int,
    manifest: Manifest,
    contract: RobotContract,
    image_shapes: Mapping[str, tuple[int, ...]],
    sizes: Mapping[str, int],
) -> None:
    """Compare what an episode's recording holds with its manifest and with the contract that windows follow.

    Args:
        where: folder of the episodes, for the error.
        name: the episode.
        length: recorded control periods.
        manifest: what the episode says of itself.
        contract: the contract of all windows.
        image_shapes: camera name to the shape of a recorded frame, (height, width, 3).
        sizes: state key to the recorded numbers of a control period.

    Raises:
        EpisodeError: the number of control periods is another one.
        ContractMismatchError: a size is another one.
    """
    if length != periods_in(manifest):
        raise EpisodeError(
            f"{where}/{name}: the manifest says {periods_in(manifest)} control periods, the recording has {length}"
        )
    differences: list[str] = []
    for camera, shape in image_shapes.items():
        needed = (contract.cameras[camera].height, contract.cameras[camera].width, 3)
        if shape != needed:
            differences.append(f"camera '{camera}': {needed} needed, {shape} recorded")
    for (key, size), needed in zip(sizes.items(), state_sizes(contract, tuple(sizes)), strict=True):
        if size != needed:
            differences.append(f"state '{key}': {needed} values needed, {size} recorded")
    if differences:
        raise ContractMismatchError(f"robot '{contract.name}'", f"episode '{name}'", differences)
