"""Opens the black box that a stop has sealed: what was asked, what was done, and the arm's way drawn in the twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hardware.safety.black_box import BlackBoxRecord
from sim.rooms import Room
from sim.twin import Twin
from tutelage.film_strip import COLUMNS, FilmStrip, write_picture
from tutelage_core.contract import NS_PER_S, load_contract
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import ImageArray

STRIP_FILE, PICTURES_FILE = "film_strip.png", "pictures.png"


def draw_black_box(record: BlackBoxRecord, folder: Path) -> list[Path]:
    """Draw the arm's last postures in an empty lab of the twin, and the small pictures of the real cameras.

    Returns:
        The files that were written into `folder`; the twin's is left out for a robot that the twin does not have.

    Raises:
        ConfigurationError: nothing was recorded, or a picture cannot be written.
    """
    if not len(record.states):
        raise ConfigurationError(f"{folder}: no arm state was recorded, there is nothing to draw")
    made: list[Path] = []
    try:
        contract = load_contract("twin")
        if record.joints == len(contract.arm.joints):
            made.append(folder / STRIP_FILE)
            _draw_postures(record, Twin(contract, "PickCube")).save(made[-1])
        for camera, (_, pictures) in record.pictures.items():
            made.append(folder / f"{camera}_{PICTURES_FILE}")
            write_picture(made[-1], _in_a_row(pictures))
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return made


def _draw_postures(record: BlackBoxRecord, twin: Twin) -> FilmStrip:
    """Return a film strip of the recorded postures, without the task's objects where they were: those nobody knows."""
    twin.reset(0, Room("lab", 0))
    strip = FilmStrip()
    shown = np.unique(np.linspace(0, len(record.states) - 1, COLUMNS).round().astype(int))
    end_ns = int(record.state_stamps_ns[-1])
    for row in shown:
        twin.world.place_joints(record.states[row, : record.joints])
        age_s = (int(record.state_stamps_ns[row]) - end_ns) / NS_PER_S
        strip.add_images(f"{age_s:.1f} s", {camera: twin.render(camera) for camera in twin.contract.cameras})
    twin.close()
    return strip


def _in_a_row(pictures: ImageArray) -> ImageArray:
    chosen = np.unique(np.linspace(0, len(pictures) - 1, COLUMNS).round().astype(int))
    return np.concatenate([pictures[i] for i in chosen], axis=1)
