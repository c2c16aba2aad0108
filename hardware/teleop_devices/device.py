"""What every teleoperation device is: read without waiting, bounded in work, and silent for good once it is gone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from hardware.teleop import TeleopInput
from tutelage_core.clock import Clock
from tutelage_core.errors import ArmError

R = TypeVar("R")

MAX_REPORTS = 512
"""Reports that one reading takes; a device that has more waiting is not to be trusted."""


class Source(Protocol, Generic[R]):
    """Where a device's reports come from."""

    def poll(self, limit: int) -> list[R]:
        """Return the reports that wait, the oldest first and at most `limit`, without waiting for more.

        Raises:
            OSError: the device is gone.
        """
        ...

    def close(self) -> None:
        """Let go of the device; may be called twice."""
        ...


class HandDevice(ABC):
    """A `TeleopDevice` that can be closed and counts what it refuses."""

    def __init__(self, name: str, clock: Clock) -> None:
        """Name it for messages; time-outs are judged on `clock`, which should be a steady one."""
        self.name = name
        self.counters: dict[str, int] = {}
        self._clock = clock
        self._gone = ""

    def read(self) -> TeleopInput:
        """Return the newest input without waiting.

        Raises:
            ArmError: the device is gone, or was closed; it has to be made anew.
        """
        if self._gone:
            raise ArmError(self._gone)
        try:
            return self._read(self._clock.now_ns())
        except OSError as error:
            self.close()
            self._gone = f"teleoperation device '{self.name}' is gone: {error}; connect it and open it again"
            raise ArmError(self._gone) from error

    def close(self) -> None:
        """Let go of the device; may be called twice."""
        self._gone = self._gone or f"teleoperation device '{self.name}' was closed"
        self._release()

    @abstractmethod
    def follow_gripper(self, opening: float) -> None:
        """Note what another has told the gripper (0 closed .. 1 open), so that taking over does not move it."""

    @abstractmethod
    def _read(self, now_ns: int) -> TeleopInput:
        """Return the input at `now_ns` [ns]; raise OSError when the device is gone."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of the device; may be called twice."""

    def _count(self, what: str) -> None:
        self.counters[what] = self.counters.get(what, 0) + 1
