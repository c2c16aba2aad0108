"""Keeps the last states of a simulation, and saves them when it blows up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from sim.incidents import FORMAT_VERSION, IncidentError, IncidentRecord, check_context, incidents_folder, save_incident
from sim.instability import (
    AUTORESET_OFF,
    NO_WARNINGS,
    BadValue,
    find_bad_values,
    find_warned_values,
    is_sound,
    rise_of_warnings,
)
from sim.resimulation import STATE_SPEC, resimulate
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import FloatArray
from tutelage_core.versions import versions


class StateRing:
    """The guard of one model's simulation: `push` before each block of physics steps, `check` after it.

    What acts on the block (mocap targets, controls) must be set before `push`, so that the block can be simulated
    again. A state that is not later than the one before it begins a new history.
    """

    def __init__(self, model: mujoco.MjModel, capacity: int = 100, folder: Path | None = None) -> None:
        """Make room for `capacity` states of `model`.

        Args:
            model: the model that is simulated.
            capacity: states that are kept.
            folder: where incidents go; else `$TUTELAGE_INCIDENTS`, else `runs/incidents`.

        Raises:
            ConfigurationError: `capacity` is not positive, or MuJoCo would hide a blow-up by its automatic reset.
        """
        if capacity < 1:
            raise ConfigurationError(f"a ring keeps 1 state or more, got {capacity}")
        if not int(model.opt.disableflags) & AUTORESET_OFF:
            raise ConfigurationError(
                "the model lets MuJoCo reset a state that blew up, which hides it: set mjDSBL_AUTORESET in "
                "its option.disableflags"
            )
        self._model = model
        self._folder = folder
        self._states = np.zeros((capacity, mujoco.mj_stateSize(model, STATE_SPEC)))
        self._rows = list(self._states)
        self._context: dict[str, Any] = {}
        self._forget()

    def __len__(self) -> int:
        return min(self._pushed, len(self._rows))

    @property
    def states(self) -> FloatArray:
        """A copy of the stored states, oldest first, shape (count, size)."""
        kept = np.arange(self._pushed - len(self), self._pushed) % len(self._rows)
        return self._states[kept]

    def begin(self, context: Mapping[str, Any]) -> None:
        """Begin an episode: forget the states of the last one.

        Args:
            context: plain data for JSON that is saved with an incident: task, seed, room ...

        Raises:
            ConfigurationError: `context` is no plain data.
        """
        self._context = check_context(context)
        self._forget()

    def push(self, data: mujoco.MjData) -> None:
        """Store the state of `data`, from which the next block of physics steps begins."""
        row = self._rows[self._pushed % len(self._rows)]
        mujoco.mj_getState(self._model, data, row, STATE_SPEC)
        if row[0] <= self._last_time_s:  # a state begins with its time
            self._forget()
            self._rows[0][:] = row
        self._last_time_s = row[0]
        self._pushed += 1
        self._warned = data.warning.number.tobytes()

    def check(self, data: mujoco.MjData) -> None:
        """Look whether the block since the last `push` blew up; if so, save what led to it.

        Raises:
            IncidentError: a position, velocity, acceleration or control is not finite or beyond `mjMAXVAL`, or MuJoCo
                warned of one. Again at each further call of the same episode, but saved only once.
        """
        if is_sound(data) and data.warning.number.tobytes() == self._warned:
            return
        warnings = rise_of_warnings(data, self._warned)
        bad = find_bad_values(data) or find_warned_values(data, warnings)
        if not bad:
            return
        if self._error is None:
            self._error = self._report(data, bad, warnings)
        raise IncidentError(str(self._error), self._error.folder)

    def _forget(self) -> None:
        self._pushed = 0
        self._last_time_s = -np.inf
        self._warned = NO_WARNINGS
        self._error: IncidentError | None = None

    def _report(self, data: mujoco.MjData, bad: tuple[BadValue, ...], warnings: Mapping[str, int]) -> IncidentError:
        time_s = float(data.time)
        if not self._pushed:
            return IncidentError(f"{_describe(bad, time_s)}; not saved: no state was stored before it", None)
        states = self.states
        lengths = np.diff(np.append(states[:, 0], time_s)) / self._model.opt.timestep
        steps = tuple(int(s) for s in np.maximum(lengths.round(), 0))
        seen = np.empty(states.shape[1])
        mujoco.mj_getState(self._model, data, seen, STATE_SPEC)
        blow_up = resimulate(self._model, states, steps, first=len(states) - 1).blow_up
        story = _describe(blow_up.bad, blow_up.time_s) if blow_up else _describe(bad, time_s)
        record = IncidentRecord(
            format_version=FORMAT_VERSION,
            time_s=time_s,
            bad=bad,
            warnings=warnings,
            blow_up=blow_up,
            context=self._context,
            last_target=_target(self._model, states[-1]),
            state_spec=STATE_SPEC,
            versions=versions(),
            files={},
        )
        parent = incidents_folder(self._folder)
        try:
            folder = save_incident(parent, record, self._model, states, steps, seen)
        except OSError as error:
            return IncidentError(f"{story}; not saved: {parent} cannot take it: {error}", None)
        return IncidentError(f"{story}; saved: look at it with 'tutelage replay-incident {folder}'", folder)


def _describe(bad: tuple[BadValue, ...], time_s: float) -> str:
    first, *others = bad
    more = f" (and {len(others)} more)" if others else ""
    return f"the simulation blew up at {time_s:.3f} s: {first}{more}"


def _target(model: mujoco.MjModel, state: FloatArray) -> dict[str, Any]:
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, state, STATE_SPEC)
    bodies = [b for b in range(model.nbody) if model.body_mocapid[b] >= 0]
    return {
        "mocap": {
            model.body(b).name or f"body {b}": {
                "position_m": _plain(data.mocap_pos[model.body_mocapid[b]]),
                "quaternion_wxyz": _plain(data.mocap_quat[model.body_mocapid[b]]),
            }
            for b in bodies
        },
        "ctrl": {model.actuator(i).name or f"actuator {i}": v for i, v in enumerate(_plain(data.ctrl))},
    }


def _plain(vector: FloatArray) -> list[float | str]:
    """Return numbers for JSON; those that it does not know become text."""
    return [float(v) if np.isfinite(v) else str(v) for v in vector]
