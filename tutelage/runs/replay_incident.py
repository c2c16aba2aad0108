"""Simulates a saved incident of the twin again and draws the states that led to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import mujoco
import numpy as np
import tyro

from sim.incidents import Incident, load_incident
from sim.instability import dof_name, speed_unit
from sim.resimulation import Resimulation, resimulate
from sim.robots import CONTACT_GROUP
from tutelage.film_strip import COLUMNS, FilmStrip
from tutelage_core.errors import ConfigurationError, UnknownNameError

FREE_CAMERA = "free"
"""Name of the camera that looks at the whole model; every model has it."""

PICTURE_PX = 240
STRIP_FILE = "film_strip.png"

LISTED_STATES = 6
LISTED_SPEEDS = 3


@dataclass(frozen=True)
class ReplayIncidentConfig:
    """Settings of `tutelage replay-incident`.

    Attributes:
        folder: the incident's folder.
        camera: camera of the film strip, `free` for one that sees the whole model; all of the model's if not given.
        out: picture to write the film strip to; `film_strip.png` in the incident's folder if not given.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    camera: str | None = None
    out: Path | None = None


@dataclass(frozen=True)
class Speeds:
    """The fastest joints of one stored state.

    Attributes:
        time_s: simulated time [s].
        fastest: joint, speed and unit of it, the fastest first.
    """

    time_s: float
    fastest: tuple[tuple[str, float, str], ...]


@dataclass(frozen=True)
class IncidentReplay:
    """What came of simulating an incident again.

    Attributes:
        incident: what was saved.
        resimulation: what came of it now.
        speeds: fastest joints of the last stored states, oldest first.
    """

    incident: Incident
    resimulation: Resimulation
    speeds: tuple[Speeds, ...]

    @property
    def reproduced(self) -> bool:
        """Whether it blew up again, at the same physics step, after states that are the same bit for bit."""
        return (
            self.incident.record.blow_up is not None
            and self.resimulation.blow_up == self.incident.record.blow_up
            and not self.resimulation.differing
        )


def replay_incident(config: ReplayIncidentConfig) -> IncidentReplay:
    """Simulate the incident again from its oldest state.

    Raises:
        ConfigurationError: the folder holds no whole incident, or the camera is unknown.
    """
    incident = load_incident(config.folder)
    _choose_cameras(incident.model, config.camera)
    resimulation = resimulate(incident.model, incident.states, incident.steps)
    return IncidentReplay(incident, resimulation, _speeds(incident))


def draw_incident(incident: Incident, config: ReplayIncidentConfig) -> Path:
    """Write the film strip of the last stored states; those that are not finite are left out.

    Returns:
        The picture's path.

    Raises:
        ConfigurationError: no stored state is finite, the camera is unknown, or the picture cannot be written.
    """
    model = incident.model
    cameras = _choose_cameras(model, config.camera)
    shown = np.flatnonzero(np.isfinite(incident.states).all(axis=1))[-COLUMNS:]
    if not len(shown):
        raise ConfigurationError(f"{incident.folder}: no stored state is finite, there is nothing to draw")
    model.vis.global_.offwidth = max(int(model.vis.global_.offwidth), PICTURE_PX)
    model.vis.global_.offheight = max(int(model.vis.global_.offheight), PICTURE_PX)
    data = mujoco.MjData(model)
    option = mujoco.MjvOption()
    option.geomgroup[:] = 1
    option.geomgroup[CONTACT_GROUP] = 0
    strip = FilmStrip()
    with mujoco.Renderer(model, PICTURE_PX, PICTURE_PX) as renderer:
        for index in shown:
            incident.restore(data, int(index))
            speed = float(np.abs(data.qvel).max(initial=0.0))
            images = {}
            for name, camera in cameras.items():
                renderer.update_scene(data, camera, option)
                images[name] = renderer.render().copy()
            strip.add_images(f"{float(data.time):.3f} s  fastest {speed:.3g}", images)
    path = config.out or config.folder / STRIP_FILE
    try:
        strip.save(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _choose_cameras(model: mujoco.MjModel, name: str | None) -> dict[str, mujoco.MjvCamera]:
    legal = [model.camera(i).name or str(i) for i in range(model.ncam)]
    if name is None:
        chosen = legal or [FREE_CAMERA]
    elif name in (*legal, FREE_CAMERA):
        chosen = [name]
    else:
        raise UnknownNameError("camera", name, [*legal, FREE_CAMERA], "the incident's model")
    cameras: dict[str, mujoco.MjvCamera] = {}
    for each in chosen:
        camera = mujoco.MjvCamera()
        if each in legal:
            camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
            camera.fixedcamid = legal.index(each)
        else:
            mujoco.mjv_defaultFreeCamera(model, camera)
        cameras[each] = camera
    return cameras


def _speeds(incident: Incident) -> tuple[Speeds, ...]:
    model, data = incident.model, mujoco.MjData(incident.model)
    found: list[Speeds] = []
    for state in [*incident.states[-LISTED_STATES:], incident.seen]:
        mujoco.mj_setState(model, data, state, incident.record.state_spec)
        size = np.nan_to_num(np.abs(data.qvel), nan=np.inf)  # what is not a number comes first
        order = np.argsort(-size, kind="stable")[:LISTED_SPEEDS]
        fastest = tuple((dof_name(model, int(d)), float(data.qvel[d]), speed_unit(model, int(d))) for d in order)
        found.append(Speeds(float(data.time), fastest))
    return tuple(found)
