"""The enabling key: held, and heard from lately, or nothing that needs it moves."""

from __future__ import annotations

from tutelage_core.contract import NS_PER_S


class Deadman:
    """Remembers whether the key is held, on the steady clock: neither a frozen nor a jumping clock can hold it."""

    def __init__(self, timeout_s: float) -> None:
        """A key that is not heard of for `timeout_s` [s] counts as released."""
        self._timeout_ns = round(timeout_s * NS_PER_S)
        self._held_ns: int | None = None

    def see(self, held: bool, steady_ns: int) -> None:
        """Note what the device says at `steady_ns` on the steady clock [ns]."""
        self._held_ns = steady_ns if held else None

    def is_held(self, steady_ns: int) -> bool:
        """Tell whether the key is held at `steady_ns` [ns]."""
        return self._held_ns is not None and 0 <= steady_ns - self._held_ns <= self._timeout_ns
