"""One process of a launch, in a session of its own, so that all it starts can be ended with it."""

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable

from tutelage.launch.plan import ProcessSpec

KEPT_LINES = 2000


class LaunchedProcess:
    """A started process and the lines it has printed.

    Attributes:
        spec: what was started.
        lines: the last lines of its output, without line ends.
    """

    def __init__(
        self, spec: ProcessSpec, on_line: Callable[[str, str], None], on_end: Callable[["LaunchedProcess"], None]
    ) -> None:
        """Starts it.

        Args:
            spec: what to start.
            on_line: called with name and line, from a thread.
            on_end: called once it has ended and its output is read, from a thread.

        Raises:
            OSError: the program is not there or cannot be run.
        """
        self.spec = spec
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._on_line = on_line
        self._on_end = on_end
        self._popen = subprocess.Popen(
            spec.command,
            env=dict(spec.environment),
            cwd=spec.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"read {spec.name}", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name=f"watch {spec.name}", daemon=True)
        self._reader.start()
        self._watcher.start()

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """How it ended: exit code, or minus the signal; None while it runs."""
        return self._popen.returncode

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to its whole group; nothing happens where none is left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _read(self) -> None:
        stream = self._popen.stdout
        if stream is None:
            return
        with stream:
            for line in stream:
                text = line.rstrip("\n")
                self.lines.append(text)
                self._on_line(self.spec.name, text)

    def _watch(self) -> None:
        self._popen.wait()
        self.signal(signal.SIGKILL)  # what it has left behind in its group
        self._reader.join(timeout=2.0)
        self._on_end(self)
