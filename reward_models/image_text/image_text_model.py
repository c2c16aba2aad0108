"""The plug point of what compares pictures with sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tutelage_core.types import ImageArray

Embeddings = NDArray[np.float32]
"""One embedding of length 1 in each row, shape (n, features)."""


@runtime_checkable
class ImageTextModel(Protocol):
    """Embeds pictures and sentences: the better a sentence fits a picture, the larger their cosine."""

    @property
    def name(self) -> str:
        """What it is, for people."""
        ...

    @property
    def digest(self) -> str:
        """Hash of its weights and of how pictures are prepared."""
        ...

    @property
    def features(self) -> int:
        """Size of an embedding."""
        ...

    def embed_images(self, images: Sequence[ImageArray]) -> Embeddings:
        """Return the embedding of each picture, shape (n, features), of length 1.

        Args:
            images: RGB, shape (height, width, 3), uint8, each of any size.

        Raises:
            ValueError: a picture has another shape or type.
        """
        ...

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return the embedding of each sentence, shape (n, features), of length 1.

        Raises:
            ValueError: a sentence is empty.
        """
        ...


def check_images(images: Sequence[ImageArray]) -> None:
    """Refuse what are no pictures, such as channels first.

    Raises:
        ValueError: names the shape and type.
    """
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"a picture is RGB of shape (height, width, 3), uint8; got {image.shape} {image.dtype}")


def check_texts(texts: Sequence[str]) -> None:
    """Refuse empty sentences.

    Raises:
        ValueError: one is empty.
    """
    for text in texts:
        if not text.strip():
            raise ValueError("a sentence is empty: a picture cannot be compared with nothing")
