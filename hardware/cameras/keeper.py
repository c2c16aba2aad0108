"""Keeps a camera open: passes on its fresh frames only, and opens it again when it is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hardware.camera import Camera, CameraEndedError
from hardware.cameras.freshness import FreshnessMonitor, FreshnessSettings, Staleness, Verdict
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import CameraError
from tutelage_core.types import Frame


@dataclass(frozen=True)
class KeeperSettings:
    """How a camera is kept open.

    Attributes:
        read_s: longest wait for a frame before the camera is looked after [s].
        pause_s: wait after a read that failed [s].
        first_retry_s: wait before a lost camera is opened again [s]; doubled by each try that gives no fresh frame,
        last_retry_s: up to this [s].
    """

    read_s: float = 0.2
    pause_s: float = 0.03
    first_retry_s: float = 0.5
    last_retry_s: float = 8.0

    def at_rate(self, rate_hz: float) -> KeeperSettings:
        """Return these settings with reads that wait long enough for a camera of this rate [Hz]."""
        return replace(self, read_s=max(self.read_s, 2.0 / rate_hz))


class CameraKeeper:
    """One camera and the monitor of its frames. Nothing that the camera does ends the keeper.

    Reads that fail are no loss by themselves: the camera is lost, closed and opened again when nothing fresh has come
    for as long as `FreshnessSettings.end_s`. So one late frame costs one frame, and a frozen camera is restarted as a
    silent one is. A recording that is over stays so.
    """

    def __init__(
        self,
        name: str,
        camera: Camera,
        freshness: FreshnessSettings,
        clock: Clock,
        steady: Clock,
        sleep: Callable[[float], object],
        settings: KeeperSettings | None = None,
    ) -> None:
        """Keep `camera`, which is not started yet.

        Args:
            name: of the camera, for messages.
            camera: the driver.
            freshness: when its frames are fresh.
            clock: the clock that stamps its frames.
            steady: the steady clock.
            sleep: waits for so long [s], or shorter if the keeper shall end.
            settings: how it is kept.
        """
        self._name, self._camera, self._clock, self._steady, self._sleep = name, camera, clock, steady, sleep
        self._settings = settings or KeeperSettings()
        self._monitor = FreshnessMonitor(freshness, steady.now_ns())
        self._open = self._ended = False
        self._retry_ns, self._retry_s = steady.now_ns(), self._settings.first_retry_s
        self._trouble = ""
        self._failed_reads = self._openings = 0

    def step(self) -> Frame | None:
        """Do the next thing, which takes at most a read, an opening or a wait; return a frame if a fresh one came."""
        if self._ended:
            self._sleep(self._settings.read_s)
            return None
        if not self._open:
            self._reopen()
            return None
        try:
            frame = self._camera.read(self._settings.read_s)
        except CameraEndedError as error:
            self._trouble, self._ended = str(error), True
            self.close()
            return None
        except CameraError as error:
            self._trouble = str(error)
            self._failed_reads += 1
            self._sleep(self._settings.pause_s)
            self._give_up_if_lost()
            return None
        verdict = self._monitor.judge(frame, self._clock.now_ns(), self._steady.now_ns())
        if verdict is Verdict.FRESH:
            self._trouble, self._retry_s = "", self._settings.first_retry_s
            return frame
        if verdict is Verdict.FROZEN:
            self._trouble = (
                f"camera {self._name}: {self._monitor.same} pictures in a row are the same: it is frozen or covered; "
                "uncover it, or unplug it and plug it in again"
            )
        self._give_up_if_lost()
        return None

    def close(self) -> None:
        """Close the camera."""
        self._open = False
        self._camera.stop()

    def trouble(self) -> str:
        """Return what is wrong and what to do about it; empty when a policy may drive by this camera."""
        steady_ns = self._steady.now_ns()
        if self._open and self._monitor.staleness(steady_ns) < Staleness.PAUSE:
            return ""
        age_s = self._monitor.age_s(steady_ns)
        silence = "no frame yet" if age_s is None else f"no fresh frame for {age_s:.1f} s"
        said = self._trouble or f"camera {self._name}: {silence}"
        if not self._open and not self._ended:
            said += f" (try {self._openings + 1} in {max(0.0, (self._retry_ns - steady_ns) / NS_PER_S):.1f} s)"
        return said

    def values(self) -> Mapping[str, object]:
        """Return the numbers worth seeing: age of the newest fresh frame [s], and what was counted since the start."""
        age_s = self._monitor.age_s(self._steady.now_ns())
        return {
            "age_s": "none" if age_s is None else round(age_s, 3),
            **{str(verdict): count for verdict, count in self._monitor.counts.items()},
            "lost": self._monitor.lost,
            "failed_reads": self._failed_reads,
            "openings": self._openings,
        }

    def _reopen(self) -> None:
        """Open the camera, if it is time to."""
        wait_s = (self._retry_ns - self._steady.now_ns()) / NS_PER_S
        if wait_s > 0.0:
            self._sleep(min(wait_s, self._settings.read_s))
            return
        self._openings += 1
        try:
            self._camera.start()
        except CameraError as error:
            self._trouble = str(error)
            self._retry_later()
            return
        self._open = True
        self._monitor.restart(self._steady.now_ns())

    def _give_up_if_lost(self) -> None:
        if self._monitor.staleness(self._steady.now_ns()) is Staleness.END:
            self._trouble = self._trouble or (
                f"camera {self._name}: its frames come, but too old or out of order; is this machine too busy?"
            )
            self.close()
            self._retry_later()

    def _retry_later(self) -> None:
        self._retry_ns = self._steady.now_ns() + round(self._retry_s * NS_PER_S)
        self._retry_s = min(2 * self._retry_s, self._settings.last_retry_s)
