"""Pictures as a browser takes them."""

from __future__ import annotations

import cv2

from tutelage_core.errors import ConfigurationError
from tutelage_core.types import ImageArray

QUALITY = 80


def to_jpeg(image: ImageArray, quality: int = QUALITY) -> bytes:
    """Return an image, shape (height, width, 3), uint8, RGB, as a JPEG.

    Raises:
        ConfigurationError: it cannot be encoded.
    """
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ConfigurationError(f"an image of shape {image.shape} cannot be made a JPEG")
    return data.tobytes()
