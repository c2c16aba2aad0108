"""Pixels as ROS 2 messages and back: as they are, as JPEG or as PNG."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from PIL import Image as PilImage

from tutelage_core.episodes import messages
from tutelage_core.episodes.schemas import encode
from tutelage_core.errors import EpisodeError
from tutelage_core.types import Frame, ImageArray

MAX_PIXELS = 50_000_000
"""More than any camera here has: a small file must not ask for gigabytes."""

JPEG_QUALITY = 95
_ENCODINGS: dict[str, tuple[str, list[int]]] = {
    # full chroma: half of it would blur the edges of small coloured things
    "jpeg": (
        ".jpg",
        [
            cv2.IMWRITE_JPEG_QUALITY,
            JPEG_QUALITY,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ],
    ),
    "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]),
}


def encode_image(camera: str, frame: Frame) -> bytes:
    """Return a frame as `sensor_msgs/Image`, rgb8.

    Raises:
        EpisodeError: it is not an uint8 array of shape (height, width, 3), or its stamp is not a ROS time.
    """
    image = _checked_image(camera, frame)
    height, width, _ = image.shape
    return encode(
        messages.make_message(
            messages.IMAGE,
            header=messages.make_header(frame.stamp_ns, camera),
            height=height,
            width=width,
            encoding="rgb8",
            is_bigendian=0,
            step=3 * width,
            data=np.ascontiguousarray(image).reshape(-1),
        ),
        messages.IMAGE,
    )


def encode_compressed_image(camera: str, frame: Frame, image_format: messages.ImageFormat) -> bytes:
    """Return a frame as `sensor_msgs/CompressedImage`, JPEG or PNG.

    Raises:
        EpisodeError: it is not an uint8 array of shape (height, width, 3), its stamp is not a ROS time, or the format
            is not legal.
    """
    image = _checked_image(camera, frame)
    if image_format not in _ENCODINGS:
        raise EpisodeError(f"images are not compressed as {image_format!r}; legal: {', '.join(_ENCODINGS)}")
    suffix, options = _ENCODINGS[image_format]
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise EpisodeError(f"camera '{camera}': an image of {image.shape} cannot be made a {image_format}")
    return encode(
        messages.make_message(
            messages.COMPRESSED_IMAGE,
            header=messages.make_header(frame.stamp_ns, camera),
            # as image_transport writes it: the pixels were RGB, a decoder that knows only the format gives BGR
            format=f"rgb8; {image_format} compressed bgr8",
            data=np.asarray(data).reshape(-1),
        ),
        messages.COMPRESSED_IMAGE,
    )


def to_image(message: Any) -> ImageArray:
    """Return the RGB pixels of a decoded `Image` or `CompressedImage` message, shape (height, width, 3), uint8.

    Raises:
        EpisodeError: the encoding is not dense rgb8, JPEG or PNG, or the bytes do not fit it.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    if not hasattr(message, "encoding"):
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if _is_reasonable(data) else None
        if pixels is None:
            raise EpisodeError(
                f"a compressed image of format {message.format!r} and {data.size} bytes is not readable, or has more "
                f"than {MAX_PIXELS} pixels"
            )
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    height, width = message.height, message.width
    if message.encoding != "rgb8" or message.step != 3 * width or data.size != 3 * height * width or not data.size:
        raise EpisodeError(
            f"encoding {message.encoding}, {data.size} bytes in rows of {message.step} for {width}x{height} px; only "
            "dense rgb8 is read"
        )
    return data.reshape(height, width, 3)


def _is_reasonable(data: ImageArray) -> bool:
    """Return whether the size that a compressed image tells is one that a camera has; nothing is decoded."""
    try:
        with PilImage.open(io.BytesIO(data.tobytes())) as image:
            return image.width * image.height <= MAX_PIXELS
    except (OSError, ValueError, SyntaxError, PilImage.DecompressionBombError):
        return False


def _checked_image(camera: str, frame: Frame) -> ImageArray:
    image = frame.image
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise EpisodeError(
            f"camera '{camera}': image must be uint8 of shape (height, width, 3), got {image.dtype} {image.shape}"
        )
    return image
