"""How far JPEG is from the pixels that the twin's cameras show: the bound that the documentation states."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sim.twin import Twin
from tutelage_core.contract import load_contract
from tutelage_core.episodes import messages, pictures
from tutelage_core.episodes.schemas import decode, definition
from tutelage_core.types import Frame

pytestmark = pytest.mark.sim

MEAN_LEVELS = 2.0
WORST_LEVELS = 40


def read_back(image: np.ndarray, image_format: messages.ImageFormat) -> np.ndarray:
    """Return what a recording in this format gives back of `image`."""
    data = pictures.encode_compressed_image("front", Frame(image, 1, 0), image_format)
    return pictures.to_image(decode(data, messages.COMPRESSED_IMAGE, definition(messages.COMPRESSED_IMAGE)))


@pytest.mark.parametrize("room", range(4))
def test_jpeg_keeps_the_twins_pictures_within_the_stated_bound_and_png_keeps_them(room: int) -> None:
    contract = load_contract("twin")
    twin = Twin(contract, "StackCubes", room, rooms="train")
    try:
        for camera in contract.cameras:
            image = twin.render(camera)
            difference = np.abs(read_back(image, "jpeg").astype(int) - image)
            assert difference.mean() < MEAN_LEVELS
            assert difference.max() < WORST_LEVELS
            np.testing.assert_array_equal(read_back(image, "png"), image)
    finally:
        twin.close()


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(Exception, match="not readable"):
        pictures.to_image(SimpleNamespace(data=np.zeros(10, np.uint8), format="jpeg"))
