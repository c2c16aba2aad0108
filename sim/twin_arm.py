"""The twin's arm behind the `Arm` protocol, in the same process as the twin."""

from __future__ import annotations

from sim.twin import Twin
from tutelage_core.errors import ArmError
from tutelage_core.types import ArmCommand, ArmState


class TwinArm:
    """Keeps the newest target; whoever owns the twin passes time with `twin.advance(arm.target)`."""

    def __init__(self, twin: Twin) -> None:
        """Stand for the arm of `twin`; not connected yet."""
        self._twin = twin
        self._connected = False
        self._stopped = ""
        self._target: ArmCommand | None = None

    @property
    def target(self) -> ArmCommand | None:
        """What to give to `Twin.advance`; None holds the measured pose."""
        return self._target

    @property
    def stopped(self) -> str:
        """Why the arm is stopped; empty while it is not."""
        return self._stopped

    def connect(self) -> None:
        """Connect and hold the measured pose."""
        self._connected = True
        self._target = None

    def read(self) -> ArmState:
        """Return the state that the twin measures now.

        Raises:
            ArmError: not connected.
        """
        self._require_connection("read")
        return self._twin.arm_state()

    def send(self, command: ArmCommand) -> ArmCommand:
        """Take a target; it acts while the twin advances.

        Raises:
            ArmError: not connected, or stopped.
        """
        self._require_connection("send")
        if self._stopped:
            raise ArmError(f"the twin's arm is stopped ({self._stopped}); call recover() first")
        self._target = command
        return command

    def stop(self, reason: str) -> None:
        """Stop and latch: the arm holds its measured pose."""
        self._stopped = reason or "stopped"
        self._target = None

    def recover(self) -> None:
        """Leave the latched stop; the arm goes on holding.

        Raises:
            ArmError: not connected.
        """
        self._require_connection("recover")
        self._stopped = ""
        self._target = None

    def disconnect(self) -> None:
        """Hold, then close the connection. May be called twice."""
        self._target = None
        self._connected = False

    def _require_connection(self, action: str) -> None:
        if not self._connected:
            raise ArmError(f"cannot {action}: the twin's arm is not connected; call connect() first")
