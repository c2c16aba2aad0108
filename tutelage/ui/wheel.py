"""One driver at a time; everybody else watches."""

from __future__ import annotations

from collections.abc import Hashable


class Wheel:
    """Who holds the wheel. A free wheel goes to whoever asks; it is never taken from a hand that holds it."""

    def __init__(self) -> None:
        """Begin with a free wheel."""
        self.driver: Hashable | None = None

    def ask(self, who: Hashable) -> bool:
        """Give the wheel to `who` if it is free; return whether they have it now."""
        if self.driver is None:
            self.driver = who
        return self.driver == who

    def leave(self, who: Hashable) -> bool:
        """Take the wheel back from `who`; return whether they had it."""
        if self.driver != who:
            return False
        self.driver = None
        return True
