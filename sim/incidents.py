"""A blow-up of the simulation on disk: the model, the states that led to it, and what was not finite.

::

    incident-0001/
        model.mjb       the model as it was, with all that the room and the task had changed
        states.npz      states, steps, seen: plain numbers (see `Incident`)
        incident.json   what happened, in which task and room; size and SHA-256 of the other files
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from sim.instability import BadValue
from sim.resimulation import STATE_SPEC, BlowUp
from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.episodes.manifest import PARTIAL_SUFFIX, StoredFile, sync_folder
from tutelage_core.errors import ConfigurationError, TutelageError
from tutelage_core.types import FloatArray

FORMAT_VERSION = 1
MODEL_FILE = "model.mjb"
STATES_FILE = "states.npz"
RECORD_FILE = "incident.json"

FOLDER_VARIABLE = "TUTELAGE_INCIDENTS"
DEFAULT_FOLDER = Path("runs/incidents")

MOST_INCIDENTS = 100
"""Incidents that one folder takes, so that a run that blows up in each episode does not fill the disk."""


class IncidentError(TutelageError):
    """The simulation blew up.

    Attributes:
        folder: where the incident was saved; None if it could not be.
    """

    def __init__(self, message: str, folder: Path | None) -> None:
        """Say what happened in `message`; `folder` holds the saved incident, if there is one."""
        super().__init__(message)
        self.folder = folder


@dataclass(frozen=True)
class IncidentRecord:
    """What `incident.json` says.

    Attributes:
        format_version: version of this layout.
        time_s: simulated time at which the guard saw it [s].
        bad: what was not sound then.
        warnings: MuJoCo's warnings in the last block, name to count.
        blow_up: the physics step at which it began, found by simulating the last block again; None if that block
            does not blow up again, so that something other than physics wrote into the state.
        context: what the caller told of the episode: task, seed, room.
        last_target: mocap bodies and controls as of the last stored state, by name.
        state_spec: MuJoCo's signature of a stored state.
        versions: name to version of all that made it.
        files: file name to size and hash.
    """

    format_version: int
    time_s: float
    bad: tuple[BadValue, ...]
    warnings: Mapping[str, int]
    blow_up: BlowUp | None
    context: Mapping[str, Any]
    last_target: Mapping[str, Any]
    state_spec: int
    versions: Mapping[str, str]
    files: Mapping[str, StoredFile]


@dataclass(frozen=True)
class Incident:
    """A saved incident.

    Attributes:
        folder: where it was read from.
        record: what happened.
        model: the model that blew up.
        states: stored states, oldest first, shape (count, size), each a full MuJoCo state of `record.state_spec`.
        steps: physics steps that were taken after each of them.
        seen: the state in which the guard found it, shape (size,).
    """

    folder: Path
    record: IncidentRecord
    model: mujoco.MjModel
    states: FloatArray
    steps: tuple[int, ...]
    seen: FloatArray

    def restore(self, data: mujoco.MjData, index: int) -> None:
        """Put the stored state `index` into `data`, which must belong to `model`, and bring poses up to date.

        Raises:
            ConfigurationError: there is no such state.
        """
        count = len(self.states)
        if not -count <= index < count:
            raise ConfigurationError(f"{self.folder}: state {index} is not among 0 .. {count - 1} (or -{count} .. -1)")
        mujoco.mj_setState(self.model, data, self.states[index], self.record.state_spec)
        mujoco.mj_forward(self.model, data)
        # forward leaves its own solution as warm start; the stored one makes the next steps the original ones
        mujoco.mj_setState(self.model, data, self.states[index], self.record.state_spec)


def incidents_folder(folder: Path | None = None) -> Path:
    """Return `folder`, else `$TUTELAGE_INCIDENTS`, else `runs/incidents` under the current folder."""
    named = os.environ.get(FOLDER_VARIABLE)
    return folder or (Path(named) if named else DEFAULT_FOLDER)


def check_context(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of what the caller tells of an episode, as plain data.

    Raises:
        ConfigurationError: it holds something that JSON cannot.
    """
    try:
        return json.loads(json.dumps(to_mapping(context), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the description of an episode must be plain data for JSON: {error}") from error


def save_incident(
    parent: Path,
    record: IncidentRecord,
    model: mujoco.MjModel,
    states: FloatArray,
    steps: tuple[int, ...],
    seen: FloatArray,
) -> Path:
    """Write an incident to a new folder under `parent`, which appears only when it is whole; nothing is overwritten.

    Args:
        parent: folder of incidents; it is made.
        record: what happened; its `files` are filled in.
        model: the model as it is.
        states: stored states, oldest first, shape (count, size).
        steps: physics steps after each of them.
        seen: the state in which it was found, shape (size,).

    Returns:
        The incident's folder.

    Raises:
        OSError: the disk refuses, or there are `MOST_INCIDENTS` already.
    """
    binary = np.empty(mujoco.mj_sizeModel(model), dtype=np.uint8)
    mujoco.mj_saveModel(model, None, binary)
    numbers = io.BytesIO()
    np.savez_compressed(numbers, states=states, steps=np.array(steps, dtype=np.int64), seen=seen)
    contents = {MODEL_FILE: binary.tobytes(), STATES_FILE: numbers.getvalue()}
    document = to_mapping(record)
    document["files"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    }
    contents[RECORD_FILE] = json.dumps(document, indent=2, allow_nan=False).encode()
    parent.mkdir(parents=True, exist_ok=True)
    final, partial = _claim(parent)
    try:
        for name, content in contents.items():
            with (partial / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        sync_folder(partial)
        partial.rename(final)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)  # half an incident helps nobody and holds the name
        raise
    sync_folder(parent)
    return final


def load_incident(folder: Path) -> Incident:
    """Read and check an incident. Only read what you trust: MuJoCo's binary models are not made to withstand an attack.

    Raises:
        ConfigurationError: a file is missing, cut, changed, of another version or does not fit the others.
    """
    if folder.name.endswith(PARTIAL_SUFFIX):
        raise ConfigurationError(f"{folder}: this incident was never written to its end")
    record = _read_record(folder / RECORD_FILE)
    model_bytes, states_bytes = (_read_checked(folder, record, name) for name in (MODEL_FILE, STATES_FILE))
    try:
        model = mujoco.MjModel.from_binary_path(MODEL_FILE, {MODEL_FILE: model_bytes})
    except ValueError as error:
        raise ConfigurationError(
            f"{folder / MODEL_FILE}: written by MuJoCo {record.versions.get('mujoco', '?')}, which this one "
            f"({mujoco.__version__}) cannot read: {error}"
        ) from error
    path = folder / STATES_FILE
    try:
        with np.load(io.BytesIO(states_bytes), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("states", "steps", "seen")}
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path}: not the arrays states, steps and seen: {error}") from error
    states, steps, seen = arrays["states"], arrays["steps"], arrays["seen"]
    if record.state_spec != STATE_SPEC:
        raise ConfigurationError(f"{path}: states of signature {record.state_spec}, this MuJoCo's is {STATE_SPEC}")
    size = mujoco.mj_stateSize(model, STATE_SPEC)
    expected = {"states": (len(steps), size), "steps": (len(states),), "seen": (size,)}
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ConfigurationError(f"{path}: {name} has shape {arrays[name].shape}, expected {shape} for this model")
    if states.dtype != np.float64 or seen.dtype != np.float64 or steps.dtype != np.int64 or not len(steps):
        raise ConfigurationError(
            f"{path}: expected one state or more, float64 with int64 steps, got {len(steps)} of {states.dtype}, "
            f"{steps.dtype}, {seen.dtype}"
        )
    if steps.min() < 0:
        raise ConfigurationError(f"{path}: steps must not be negative, got {int(steps.min())}")
    return Incident(folder, record, model, states, tuple(int(s) for s in steps), seen)


def _claim(parent: Path) -> tuple[Path, Path]:
    for number in range(1, MOST_INCIDENTS + 1):
        final = parent / f"incident-{number:04d}"
        partial = final.with_name(final.name + PARTIAL_SUFFIX)
        try:
            partial.mkdir()
        except FileExistsError:
            continue
        if not final.exists():
            return final, partial
        partial.rmdir()
    raise OSError(f"there are {MOST_INCIDENTS} incidents in it already; look at them and move them away")


def _read_record(path: Path) -> IncidentRecord:
    if not path.is_file():
        raise ConfigurationError(f"{path}: no such file; this folder holds no incident")
    try:
        data: Any = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: not readable as JSON: {error}") from error
    version = data.get("format_version") if isinstance(data, dict) else None
    if version != FORMAT_VERSION:
        raise ConfigurationError(f"{path}: format_version is {version!r}, this program reads {FORMAT_VERSION}")
    return from_mapping(data, IncidentRecord, str(path))


def _read_checked(folder: Path, record: IncidentRecord, name: str) -> bytes:
    path = folder / name
    expected = record.files.get(name)
    if expected is None:
        raise ConfigurationError(f"{folder / RECORD_FILE}: lists no file {name}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) != expected.bytes:
        raise ConfigurationError(f"{path}: has {len(content)} bytes, the record says {expected.bytes}; it was cut")
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected.sha256:
        raise ConfigurationError(
            f"{path}: wrong checksum {digest[:12]}, the record says {expected.sha256[:12]}; it was changed"
        )
    return content
