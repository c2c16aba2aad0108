"""The plug point of an arm driver."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from tutelage_core.types import ArmCommand, ArmState


@runtime_checkable
class Arm(Protocol):
    """An arm with a compliant Cartesian controller below it.

    A driver converts units, talks to its controller and nothing else: what may be sent is the SafetyGate's business.
    Every implementation passes `tests/contract/test_arm.py`.
    """

    def connect(self) -> None:
        """Open the connection and hold the measured pose.

        Raises:
            ArmError: the controller cannot be reached or refuses.
        """
        ...

    def read(self) -> ArmState:
        """Return the newest measured state.

        Raises:
            ArmError: not connected, or no state has arrived.
        """
        ...

    def send(self, command: ArmCommand) -> ArmCommand:
        """Send a target that the SafetyGate let through and return the one really taken (a driver may clip further).

        Raises:
            ArmError: not connected, stopped, or the controller refused.
        """
        ...

    def stop(self, reason: str) -> None:
        """Stop and latch: the arm holds its measured pose and `send` is refused until `recover`."""
        ...

    def recover(self) -> None:
        """Leave the latched stop. Never moves the arm.

        Raises:
            ArmError: the cause is still there.
        """
        ...

    def disconnect(self) -> None:
        """Hold, then close the connection. May be called twice."""
        ...
