"""From the size of a device's pictures to that of the contract: cut to its aspect, then resized."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware.camera import Intrinsics
from tutelage_core.types import DepthArray


@dataclass(frozen=True)
class Crop:
    """The part of a picture that is kept, and the size that it gets [px]."""

    left: int
    top: int
    width: int
    height: int
    to_width: int
    to_height: int

    @classmethod
    def middle(cls, width: int, height: int, to_width: int, to_height: int) -> Crop:
        """Return the largest part in the middle of width x height [px] that has the aspect of the wanted size."""
        cut_width = min(width, max(1, round(height * to_width / to_height)))
        cut_height = min(height, max(1, round(width * to_height / to_width)))
        return cls((width - cut_width) // 2, (height - cut_height) // 2, cut_width, cut_height, to_width, to_height)

    def image(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the wanted part of a picture as a new one, shape (to_height, to_width, 3).

        Each pixel is the mean of what it covers.
        """
        return np.asarray(self._resized(pixels, cv2.INTER_AREA), dtype=np.uint8)

    def depth(self, depth_m: DepthArray) -> DepthArray:
        """Return the wanted part of a depth picture as a new one, shape (to_height, to_width) [m].

        Each pixel is one that was measured: the mean of a near and a far one would be where nothing is.
        """
        return np.asarray(self._resized(depth_m, cv2.INTER_NEAREST), dtype=np.float32)

    def intrinsics(self, whole: Intrinsics) -> Intrinsics:
        """Return the intrinsics of the wanted part, from those of the whole picture."""
        across, down = self.to_width / self.width, self.to_height / self.height
        return replace(
            whole,
            fx_px=whole.fx_px * across,
            fy_px=whole.fy_px * down,
            # half a pixel: resizing maps the pictures' edges onto each other, not the centres of their first pixels
            cx_px=(whole.cx_px - self.left + 0.5) * across - 0.5,
            cy_px=(whole.cy_px - self.top + 0.5) * down - 0.5,
        )

    def _resized(self, pixels: cv2.typing.MatLike, interpolation: int) -> cv2.typing.MatLike:
        cut = pixels[self.top : self.top + self.height, self.left : self.left + self.width]
        if cut.shape[:2] == (self.to_height, self.to_width):
            return cut.copy()
        return cv2.resize(cut, (self.to_width, self.to_height), interpolation=interpolation)
