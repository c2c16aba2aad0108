"""An episode as one picture: what each camera saw, at a few instants, with step and gripper written on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from tutelage_core.errors import ConfigurationError
from tutelage_core.types import EpisodeStep, ImageArray

COLUMNS = 12
LABEL_HEIGHT_PX = 14
PICTURE_SUFFIXES = (".png", ".jpg")
JPEG_QUALITY = 80


class FilmStrip:
    """Collects the images of an episode and draws them."""

    def __init__(self, columns: int = COLUMNS) -> None:
        """Show `columns` instants, evenly spread."""
        self._columns = columns
        self._pictures: list[tuple[str, Mapping[str, ImageArray]]] = []

    def add(self, step: EpisodeStep) -> None:
        """Add one control period."""
        gripper = step.executed.executed[6]
        self.add_images(f"{len(self._pictures)} g{gripper:.1f}", step.observation.images)

    def add_images(self, label: str, images: Mapping[str, ImageArray]) -> None:
        """Add one instant with its label."""
        self._pictures.append((label, images))

    def draw(self) -> ImageArray:
        """Return the picture: a row a camera, a column an instant, shape (rows, columns, 3), uint8, RGB.

        Raises:
            ValueError: nothing was added.
        """
        if not self._pictures:
            raise ValueError("a film strip needs at least one control period")
        chosen = np.unique(np.linspace(0, len(self._pictures) - 1, self._columns).round().astype(int))
        columns = []
        for index in chosen:
            label, images = self._pictures[index]
            width = next(iter(images.values())).shape[1]
            head = np.full((LABEL_HEIGHT_PX, width, 3), 255, dtype=np.uint8)
            cv2.putText(head, label, (2, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
            columns.append(np.concatenate([head, *images.values()], axis=0))
        return np.concatenate(columns, axis=1)

    def save(self, path: Path) -> None:
        """Write the picture; see `write_picture`."""
        write_picture(path, self.draw())


def write_picture(path: Path, picture: ImageArray) -> None:
    """Write a picture, shape (rows, columns, 3), uint8, RGB; its folder is made.

    Raises:
        ConfigurationError: the name does not end in .png or .jpg.
    """
    if path.suffix not in PICTURE_SUFFIXES:
        raise ConfigurationError(f"{path}: a picture's name ends in {' or '.join(PICTURE_SUFFIXES)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)
    if not done:
        raise ConfigurationError(f"{path}: the picture cannot be encoded")
    path.write_bytes(data.tobytes())
