"""Whether a camera's frames may be used: each frame judged as it comes, and how long ago the last good one was."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Frame, ImageArray

DIGEST_SIDE_PX = 64
"""At most so many rows and columns go into a digest, whatever the picture's size."""


class Verdict(StrEnum):
    """What a frame is good for. Only FRESH ones are passed on."""

    FRESH = "fresh"
    LATE = "late"  # older than `warn_s` when it came; skipped and counted
    FROZEN = "frozen"  # the same content again and again, whatever stamp and sequence say
    OUT_OF_ORDER = "out_of_order"  # not newer than the one before it, or of the future


class Staleness(IntEnum):
    """How old the newest fresh frame is, as an order of alarm."""

    NONE = 0
    WARN = 1
    PAUSE = 2  # a policy may not drive by it
    END = 3  # the episode ends; the camera counts as lost


@dataclass(frozen=True)
class FreshnessSettings:
    """When frames count as late, stale or frozen.

    Attributes:
        warn_s: an older frame is late, and an older newest frame a warning [s].
        pause_s: with an older newest frame no policy may drive [s].
        end_s: with an older one the camera is lost [s].
        first_frame_s: so long the first frame after a start may take before the camera is lost [s].
        frozen_frames: so many frames of exactly the same content in a row are a frozen camera: a sensor's noise never
            repeats. 0 for sources that are free of noise (drawn or filmed pictures): a still scene is no fault there.
        future_s: a stamp may be ahead of our clock by so much [s].
        resync_frames: so many frames out of order, each newer than the one before it, are a new order: a clock was set
            back.
    """

    warn_s: float = 0.15
    pause_s: float = 0.3
    end_s: float = 1.0
    first_frame_s: float = 5.0
    frozen_frames: int = 10
    future_s: float = 0.01
    resync_frames: int = 10

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other."""
        if not 0.0 < self.warn_s <= self.pause_s <= self.end_s:
            raise ConfigurationError(
                f"freshness needs 0 < warn_s <= pause_s <= end_s, got {self.warn_s}, {self.pause_s}, {self.end_s}"
            )
        if self.frozen_frames < 0 or self.frozen_frames == 1:
            raise ConfigurationError(f"frozen_frames must be 0 (off) or at least 2, got {self.frozen_frames}")
        if self.first_frame_s <= 0.0 or self.future_s < 0.0 or self.resync_frames < 2:
            raise ConfigurationError(
                "freshness needs first_frame_s > 0, future_s >= 0 and resync_frames >= 2, got "
                f"{self.first_frame_s}, {self.future_s}, {self.resync_frames}"
            )

    def at_rate(self, rate_hz: float) -> FreshnessSettings:
        """Return these settings, loosened for a camera whose frames are rarer than they allow [Hz]."""
        period_s = 1.0 / rate_hz
        return replace(
            self,
            warn_s=max(self.warn_s, 2 * period_s),
            pause_s=max(self.pause_s, 3 * period_s),
            end_s=max(self.end_s, 5 * period_s),
            first_frame_s=max(self.first_frame_s, 5 * period_s),
        )


def digest(image: ImageArray) -> int:
    """Return a checksum of the picture's content, of at most `DIGEST_SIDE_PX` squared of its pixels."""
    down, across = (max(1, -(-size // DIGEST_SIDE_PX)) for size in image.shape[:2])
    return zlib.crc32(image[::down, ::across].tobytes())


class FreshnessMonitor:
    """Judges the frames of one camera in constant time.

    Two clocks: ages are the difference of a frame's stamp and the clock that stamps it; how long nothing fresh has come
    is measured on the steady clock, so that a clock that stands still or jumps hides no silence.
    """

    def __init__(self, settings: FreshnessSettings, steady_ns: int) -> None:
        """Begin at `steady_ns` [ns]."""
        self._settings = settings
        self._counts = dict.fromkeys(Verdict, 0)
        self._lost = 0
        self._digest: int | None = None
        self._same = 0
        self.restart(steady_ns)

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """Frames of each verdict since the monitor was made."""
        return self._counts

    @property
    def lost(self) -> int:
        """Frames that were lost before they came here, by the gaps in the sequence."""
        return self._lost

    @property
    def same(self) -> int:
        """Frames in a row that have the content of the newest one, itself included."""
        return self._same

    def restart(self, steady_ns: int) -> None:
        """Note that the camera was started at `steady_ns` [ns], so that its frames count from 0.

        What was counted stays, and a camera that shows the same as before its start is still frozen.
        """
        self._started_ns = steady_ns
        self._fresh_steady_ns: int | None = None
        self._fresh_age_ns = 0
        self._last: tuple[int, int] | None = None
        self._stray: tuple[int, int] | None = None
        self._strays = 0

    def judge(self, frame: Frame, now_ns: int, steady_ns: int) -> Verdict:
        """Say what `frame` is good for, and count it.

        Args:
            frame: in the order in which the camera gave it.
            now_ns: time on the clock that frames are stamped with [ns].
            steady_ns: time on the steady clock [ns].
        """
        verdict = self._judge(frame, now_ns)
        self._counts[verdict] += 1
        if verdict is Verdict.FRESH:
            self._fresh_steady_ns, self._fresh_age_ns = steady_ns, max(0, now_ns - frame.stamp_ns)
        return verdict

    def age_s(self, steady_ns: int) -> float | None:
        """Return the age of the newest fresh frame [s]; None as long as there was none since the start."""
        if self._fresh_steady_ns is None:
            return None
        return (steady_ns - self._fresh_steady_ns + self._fresh_age_ns) / NS_PER_S

    def staleness(self, steady_ns: int) -> Staleness:
        """Say how stale the camera is at `steady_ns` [ns]."""
        settings, age_s = self._settings, self.age_s(steady_ns)
        if age_s is None:
            silent_s = (steady_ns - self._started_ns) / NS_PER_S
            return Staleness.END if silent_s > settings.first_frame_s else Staleness.PAUSE
        limits_s = (settings.warn_s, settings.pause_s, settings.end_s)
        return Staleness(sum(age_s > limit_s for limit_s in limits_s))

    def _judge(self, frame: Frame, now_ns: int) -> Verdict:
        place = (frame.stamp_ns, frame.sequence)
        repeats = self._see_content(frame.image)
        if not self._in_order(place, now_ns):
            return Verdict.OUT_OF_ORDER
        if self._last is not None:
            self._lost += max(0, frame.sequence - self._last[1] - 1)
        self._last = place
        if repeats:
            return Verdict.FROZEN
        return Verdict.LATE if now_ns - frame.stamp_ns > self._settings.warn_s * NS_PER_S else Verdict.FRESH

    def _see_content(self, image: ImageArray) -> bool:
        """Note a frame's content and say whether it has come too often in a row."""
        if not self._settings.frozen_frames:
            return False
        seen = digest(image)
        self._same = self._same + 1 if seen == self._digest else 1
        self._digest = seen
        return self._same >= self._settings.frozen_frames

    def _in_order(self, place: tuple[int, int], now_ns: int) -> bool:
        """Say whether a frame's stamp and sequence are new; after enough frames in a new order, that one holds."""
        if place[0] - now_ns > self._settings.future_s * NS_PER_S:
            self._stray, self._strays = None, 0
            return False
        if self._last is None or _is_after(place, self._last):
            self._stray, self._strays = None, 0
            return True
        self._strays = self._strays + 1 if self._stray is not None and _is_after(place, self._stray) else 1
        self._stray = place
        if self._strays < self._settings.resync_frames:
            return False
        self._last, self._stray, self._strays = None, None, 0
        return True


def _is_after(place: tuple[int, int], other: tuple[int, int]) -> bool:
    return place[0] > other[0] and place[1] > other[1]
