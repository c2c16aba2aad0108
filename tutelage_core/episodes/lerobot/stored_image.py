"""An image in a row of a data file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, cast

import cv2
import numpy as np
from PIL import Image

from tutelage_core.errors import EpisodeError
from tutelage_core.types import ImageArray


def decode_image(stored: object, size: tuple[int, int], where: str) -> ImageArray:
    """Return the pixels, shape (height, width, 3), RGB.

    Args:
        stored: the row's value: its `bytes` are the image; one in another file is not read.
        size: height and width that it must have [px]; of another one no pixel is decoded.
        where: the column, for messages.

    Raises:
        EpisodeError: it is no image, or one of another size.
    """
    data = cast("Mapping[str, Any]", stored).get("bytes") if isinstance(stored, Mapping) else None
    if not isinstance(data, bytes) or not data:
        raise EpisodeError(f"{where} has a row without a readable image in it; images in other files are not read")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise EpisodeError(f"{where} has a row without a readable image in it: {error}") from error
    if (height, width) != size:
        raise EpisodeError(f"{where} has an image of {width}x{height} px, expected {size[1]}x{size[0]} px")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None or pixels.shape[:2] != size:
        raise EpisodeError(f"{where} has a row without a readable image in it of {width}x{height} px")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)
