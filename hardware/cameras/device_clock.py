"""A device's own time stamps, brought onto our clock."""

from __future__ import annotations

from tutelage_core.contract import NS_PER_S

WINDOW_NS = 5 * NS_PER_S
"""Over so long the smallest delay is looked for: two quartz clocks drift by some 0.1 ms from each other meanwhile."""


class DeviceClock:
    """Measures the offset between a device's clock and ours, from the arrival of its frames.

    A frame arrives with a delay that changes; the smallest difference between arrival and device stamp, of the last one
    to two windows, is the offset. So a stamp keeps the device's even pace, is at most one (smallest) delay too late and
    never later than the arrival. A device whose time goes back (it was reset, its counter went round, a recording began
    again) is measured anew.
    """

    def __init__(self, window_ns: int = WINDOW_NS) -> None:
        """Look for the smallest delay over windows of `window_ns` [ns]."""
        self._window_ns = window_ns
        self.restart()

    def restart(self) -> None:
        """Forget what was measured."""
        self._began_ns: int | None = None
        self._last_device_ns = 0
        self._last_stamp_ns: int | None = None

    def stamp_ns(self, device_ns: int, now_ns: int) -> int:
        """Return when a frame was taken, on our clock [ns]; stamps grow as long as our clock does.

        Args:
            device_ns: the device's stamp [ns].
            now_ns: our time at the frame's arrival [ns].
        """
        offset_ns = now_ns - device_ns
        if self._began_ns is None or device_ns < self._last_device_ns:
            self._began_ns = device_ns
            self._smallest_ns = self._smallest_before_ns = offset_ns
        elif device_ns - self._began_ns >= self._window_ns:
            self._began_ns = device_ns
            self._smallest_before_ns, self._smallest_ns = self._smallest_ns, offset_ns
        else:
            self._smallest_ns = min(self._smallest_ns, offset_ns)
        self._last_device_ns = device_ns
        stamp_ns = device_ns + min(self._smallest_ns, self._smallest_before_ns)
        if self._last_stamp_ns is not None and stamp_ns <= self._last_stamp_ns < now_ns:
            stamp_ns = self._last_stamp_ns + 1
        self._last_stamp_ns = stamp_ns
        return stamp_ns
