"""Whether a camera still sees: pictures come, they are new, and they change while the arm moves."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np

from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import FloatArray, ImageArray

STRIDE = 4
"""Every fourth row and column go into the digest of a picture."""


@dataclass(frozen=True)
class CameraWatchSettings:
    """When a camera counts as lost.

    Attributes:
        pause_s: without a picture for so long, the policy may not drive [s].
        end_s: and for so long, the episode ends [s].
        frozen_frames: so many pictures of the same content in a row are a frozen camera,
        frozen_travel_m: if the TCP has travelled at least this far meanwhile [m]. A still scene looks the same for
            ever, and is no fault.
    """

    pause_s: float = 0.3
    end_s: float = 1.0
    frozen_frames: int = 10
    frozen_travel_m: float = 0.01

    def __post_init__(self) -> None:
        """Refuse times that make no sense.

        Raises:
            ConfigurationError: not 0 < pause_s <= end_s.
        """
        if not 0.0 < self.pause_s <= self.end_s < math.inf:
            raise ConfigurationError(
                f"a camera pauses the policy after {self.pause_s} s and ends the episode after {self.end_s} s: "
                "the first must be above 0 and not above the second"
            )


class CameraWatch:
    """Watches one camera; liveness is on the steady clock, content by digest."""

    def __init__(self, name: str, settings: CameraWatchSettings, steady_ns: int) -> None:
        """Watch the camera `name` from `steady_ns` on [ns]."""
        self._name, self._settings = name, settings
        self.restart(steady_ns)

    def restart(self, steady_ns: int) -> None:
        """Begin an episode at `steady_ns` [ns]: what was before does not count."""
        self._seen_ns, self._seeing = steady_ns, False
        self._digest: int | None = None
        self._same, self._travel_m = 0, 0.0
        self._place: FloatArray | None = None

    def see(self, image: ImageArray, steady_ns: int) -> None:
        """Note a picture, shape (height, width, 3), that came at `steady_ns` [ns]."""
        self._seen_ns, self._seeing = steady_ns, True
        digest = zlib.crc32(image[::STRIDE, ::STRIDE].tobytes())
        if digest == self._digest:
            self._same += 1
        else:
            self._same, self._travel_m = 0, 0.0
        self._digest = digest

    def move(self, position: FloatArray) -> None:
        """Note where the TCP is, shape (3,) [m]."""
        if self._place is not None:
            way = float(np.linalg.norm(position - self._place))
            self._travel_m += way if math.isfinite(way) else 0.0
        self._place = position

    def trouble(self, steady_ns: int) -> tuple[str, bool]:
        """Return what is wrong at `steady_ns` [ns], empty if nothing is, and whether the episode must end for it."""
        settings = self._settings
        silent_s = (steady_ns - self._seen_ns) / NS_PER_S
        # before the first picture nothing drives: it may take its time
        if silent_s >= (settings.pause_s if self._seeing else settings.end_s):
            said = f"camera {self._name}: no picture for {silent_s:.2f} s: is it plugged in, does its node run?"
            return said, silent_s >= settings.end_s
        if self._same >= settings.frozen_frames and self._travel_m > settings.frozen_travel_m:
            return (
                f"camera {self._name}: {self._same + 1} pictures are the same while the arm moved "
                f"{self._travel_m * 1e3:.0f} mm: it is frozen, restart it",
                False,
            )
        return "", False
