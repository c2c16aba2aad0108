"""The enabling key of a teleoperation device: it counts only when it was pressed under our eyes."""

from __future__ import annotations


class EnablingKey:
    """Remembers whether the key is held, from a press that was seen to begin."""

    def __init__(self) -> None:
        """Start in doubt: a key that is down already when the device is opened enables nothing."""
        self._seen_up = False
        self._held = False
        self._let_go = False

    @property
    def held(self) -> bool:
        """Whether the key is held now."""
        return self._held

    def see(self, down: bool) -> None:
        """Take what the device says of the key, in the order in which it happened."""
        if not down:
            self._seen_up = True
            self._let_go |= self._held
            self._held = False
        elif self._seen_up:
            self._held = True

    def doubt(self) -> None:
        """Let go, and wait for the key to come up before a press counts again."""
        self._let_go |= self._held
        self._seen_up = self._held = False

    def take(self) -> bool:
        """Return whether the key is held and was not let go since the last call.

        A release between two readings is thus seen once, even if a new press came right after it.
        """
        enabled = self._held and not self._let_go
        self._let_go = False
        return enabled
