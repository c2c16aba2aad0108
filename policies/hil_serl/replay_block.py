"""A stretch of a learner's log as bytes: steps and relabels, in the order in which they came.

::

    steps.safetensors   one array a field; observations and final observations lie apart
    block.json          number, identity, actors, relabels, how far each actor has come, seal of the block before
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from policies.hil_serl.layout import ObservationLayout, ReplayIdentity
from policies.hil_serl.segments import Progress
from policies.hil_serl.transition import ACTION_SIZE, EncodedObservation, Gripper, Relabel, Step
from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.errors import CheckpointError, TutelageError
from tutelage_core.sealed_folder import parse_json_object
from tutelage_core.types import Source

STEPS = "steps.safetensors"
FACTS = "block.json"

_SCALARS: Mapping[str, type[np.generic]] = {
    "actor": np.int32,
    "segment": np.int64,
    "index": np.int64,
    "gripper": np.int8,
    "reward": np.float32,
    "grasp_penalty": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "after_restart": np.bool_,
    "source": np.int8,
    "final": np.int32,
}
"""Fields of a step with one number each. `final` is the row of its final observation, -1 without one."""


@dataclass(frozen=True)
class BlockFacts:
    """What stands in a block beside its steps.

    Attributes:
        number: of the block, from 0 on.
        previous: seal of the block before, empty for the first: so that none can be missing or from elsewhere.
        identity: whose data it holds.
        progress: how far each actor had come after it.
        actors: their names, by the numbers in the arrays.
        relabels: how many steps of the block came before each, and the relabel.
    """

    number: int
    previous: str
    identity: ReplayIdentity
    progress: Mapping[str, Progress]
    actors: tuple[str, ...]
    relabels: tuple[tuple[int, Relabel], ...]


def encode_block(
    events: Iterable[Step | Relabel],
    number: int,
    previous: str,
    identity: ReplayIdentity,
    progress: Mapping[str, Progress],
) -> dict[str, bytes]:
    """Return the files of a block; see `BlockFacts` for the arguments."""
    steps: list[Step] = []
    relabels: list[dict[str, Any]] = []
    for event in events:
        if isinstance(event, Step):
            steps.append(event)
            continue
        rewards = {str(i): None if math.isnan(r) else float(r) for i, r in event.rewards.items()}
        relabels.append({"after": len(steps), "actor": event.actor, "segment": event.segment, "rewards": rewards})
    actors = tuple(dict.fromkeys(step.actor for step in steps))
    facts = {
        "number": number,
        "previous": previous,
        "identity": to_mapping(identity),
        "progress": to_mapping(progress),
        "actors": actors,
        "relabels": relabels,
    }
    return {
        STEPS: encode_steps(steps, actors, identity.layout),
        FACTS: json.dumps(facts, indent=2, allow_nan=False).encode(),
    }


def encode_steps(
    steps: Sequence[Step],
    actors: tuple[str, ...],
    layout: ObservationLayout,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Return steps as safetensors; `actors` are the names that the arrays number, `metadata` goes into the header."""
    return save_safetensors(_arrays(steps, actors, layout), None if metadata is None else dict(metadata))


def decode_facts(data: bytes, path: Path) -> BlockFacts:
    """Return what `block.json` says; `path` names it in errors.

    Raises:
        CheckpointError: it is not of a block of ours.
    """
    document = parse_json_object(data, path)
    try:
        progress: Mapping[str, object] = document["progress"]
        return BlockFacts(
            number=int(document["number"]),
            previous=str(document["previous"]),
            identity=from_mapping(document["identity"], ReplayIdentity, str(path)),
            progress={a: from_mapping(p, Progress, str(path)) for a, p in progress.items()},
            actors=tuple(str(actor) for actor in document["actors"]),
            relabels=tuple((int(r["after"]), _relabel(r)) for r in document["relabels"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, TutelageError) as error:
        raise CheckpointError(f"{path}: not the facts of a replay block: {error!r}") from error


def decode_events(data: bytes, facts: BlockFacts, path: Path) -> list[Step | Relabel]:
    """Return what a block holds, in order; `path` names it in errors.

    Raises:
        CheckpointError: see `decode_steps`.
    """
    steps = decode_steps(data, facts.actors, facts.identity.layout, str(path))
    events: list[Step | Relabel] = []
    begin = 0
    for after, relabel in facts.relabels:
        events += [*steps[begin:after], relabel]
        begin = after
    return events + list(steps[begin:])


def decode_steps(data: bytes, actors: tuple[str, ...], layout: ObservationLayout, where: str) -> list[Step]:
    """Return the steps that `encode_steps` wrote; `where` names them in errors.

    Raises:
        CheckpointError: the arrays are not those of steps of this layout, or hold what can be no step.
    """
    try:
        arrays = load_safetensors(data)
    except Exception as error:  # safetensors raises its own Rust-made types
        raise CheckpointError(f"{where}: not a safetensors file: {error}") from error
    try:
        count, finals = len(arrays["segment"]), len(arrays["final/state"])
        _check_shapes(arrays, layout, count, finals)
        return [_step(arrays, row, actors, layout) for row in range(count)]
    except (KeyError, IndexError, ValueError, TutelageError) as error:
        raise CheckpointError(f"{where}: not steps of this layout: {error!r}") from error


def _arrays(steps: Sequence[Step], actors: tuple[str, ...], layout: ObservationLayout) -> dict[str, NDArray[Any]]:
    finals = [step.final_observation for step in steps if step.final_observation is not None]
    number = {actor: i for i, actor in enumerate(actors)}
    final_rows = np.cumsum([step.final_observation is not None for step in steps], dtype=np.int32) - 1
    columns: dict[str, list[Any]] = {
        name: [getattr(step, name) for step in steps] for name in _SCALARS if name not in ("actor", "final")
    }
    columns["actor"] = [number[step.actor] for step in steps]
    columns["final"] = [row if step.ends_segment else -1 for row, step in zip(final_rows.tolist(), steps, strict=True)]
    arrays: dict[str, NDArray[Any]] = {name: np.array(columns[name], dtype) for name, dtype in _SCALARS.items()}
    arrays["action"] = np.array([step.action for step in steps], np.float32).reshape(-1, ACTION_SIZE)
    for group, observations in (("obs", [step.observation for step in steps]), ("final", finals)):
        for name, (dtype, shape) in _observation_arrays(layout).items():
            stacked = np.empty((len(observations), *shape), dtype)
            for row, observation in enumerate(observations):
                stacked[row] = _part(observation, name)
            arrays[f"{group}/{name}"] = stacked
    return arrays


def _observation_arrays(layout: ObservationLayout) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
    return {
        "state": (np.float32, (layout.state_size,)),
        **{f"maps/{camera}": (np.float16, shape) for camera, shape in layout.maps.items()},
        **{f"images/{camera}": (np.uint8, (*shape, 3)) for camera, shape in layout.images.items()},
    }


def _part(observation: EncodedObservation, name: str) -> NDArray[Any]:
    kind, _, camera = name.partition("/")
    if kind == "state":
        return observation.state
    return observation.maps[camera] if kind == "maps" else observation.images[camera]


def _check_shapes(arrays: Mapping[str, NDArray[Any]], layout: ObservationLayout, count: int, finals: int) -> None:
    expected: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {n: (d, (count,)) for n, d in _SCALARS.items()}
    expected["action"] = (np.float32, (count, ACTION_SIZE))
    for name, (dtype, shape) in _observation_arrays(layout).items():
        expected[f"obs/{name}"] = (dtype, (count, *shape))
        expected[f"final/{name}"] = (dtype, (finals, *shape))
    if set(arrays) != set(expected):
        raise ValueError(f"arrays {sorted(set(arrays) ^ set(expected))} are missing or unknown")
    for name, (dtype, shape) in expected.items():
        if arrays[name].dtype != dtype or arrays[name].shape != shape:
            raise ValueError(f"array '{name}' is {arrays[name].dtype}{arrays[name].shape}, expected {shape}")


def _step(arrays: Mapping[str, NDArray[Any]], row: int, actors: tuple[str, ...], layout: ObservationLayout) -> Step:
    final = int(arrays["final"][row])
    return Step(
        actor=actors[int(arrays["actor"][row])],
        segment=int(arrays["segment"][row]),
        index=int(arrays["index"][row]),
        observation=_observation(arrays, "obs", row, layout),
        action=arrays["action"][row],
        gripper=Gripper(int(arrays["gripper"][row])),
        reward=float(arrays["reward"][row]),
        source=Source(int(arrays["source"][row])),
        grasp_penalty=float(arrays["grasp_penalty"][row]),
        terminated=bool(arrays["terminated"][row]),
        truncated=bool(arrays["truncated"][row]),
        final_observation=_observation(arrays, "final", final, layout) if final >= 0 else None,
        after_restart=bool(arrays["after_restart"][row]),
    )


def _observation(
    arrays: Mapping[str, NDArray[Any]], group: str, row: int, layout: ObservationLayout
) -> EncodedObservation:
    return EncodedObservation(
        maps={camera: arrays[f"{group}/maps/{camera}"][row] for camera in layout.maps},
        state=arrays[f"{group}/state"][row],
        images={camera: arrays[f"{group}/images/{camera}"][row] for camera in layout.images},
    )


def _relabel(entry: Mapping[str, Any]) -> Relabel:
    rewards: Mapping[str, float | None] = entry["rewards"]
    return Relabel(
        str(entry["actor"]),
        int(entry["segment"]),
        {int(index): math.nan if reward is None else float(reward) for index, reward in rewards.items()},
    )
