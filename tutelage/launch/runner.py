"""Starts the processes of a launch file, watches over them and ends them all."""

import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tutelage.environment import graph_environment
from tutelage.launch.plan import LaunchPlan, ProcessSpec, make_plan
from tutelage.launch.process import LaunchedProcess
from tutelage_core.errors import ConfigurationError


@dataclass(frozen=True)
class LaunchSettings:
    """How long processes are waited for when a launch ends.

    Attributes:
        interrupt_grace_s: from SIGINT to SIGTERM [s].
        terminate_grace_s: from SIGTERM to SIGKILL [s].
    """

    interrupt_grace_s: float = 5.0
    terminate_grace_s: float = 3.0


class LaunchRunner:
    """Runs one launch file.

    A context manager: leaving it shuts down what still runs.

    Attributes:
        processes: what was started, by name; a respawned process replaces the one that ended.
    """

    def __init__(
        self,
        settings: LaunchSettings | None = None,
        environment: Mapping[str, str] | None = None,
        stream: TextIO | None = None,
    ) -> None:
        """Prepares a launch.

        Args:
            settings: grace times.
            environment: variables for the processes; those of this process with ROS and workspace found, by default.
            stream: takes all output; standard output by default.
        """
        self.processes: dict[str, LaunchedProcess] = {}
        self._settings = settings or LaunchSettings()
        self._environment = dict(graph_environment() if environment is None else environment)
        self._stream = stream
        self._folder = Path(tempfile.mkdtemp(prefix="tutelage_launch_"))
        self._changed = threading.Condition(threading.RLock())
        self._running: set[str] = set()
        self._failed: list[str] = []
        self._stopping = False
        self._stop_wanted = threading.Event()
        self._interrupted = False

    def __enter__(self) -> "LaunchRunner":
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def start(self, file: Path | str, arguments: Mapping[str, str] | None = None) -> LaunchPlan:
        """Reads a launch file and starts its processes.

        Args:
            file: a launch file in YAML or XML form.
            arguments: values for its arguments.

        Returns:
            What was made of the file.

        Raises:
            ConfigurationError: the file or an argument is not accepted (nothing was started), or a program could not
                be started (what had started was ended).
        """
        plan = make_plan(Path(file), arguments or {}, self._environment, self._folder)
        for spec in plan.processes:
            try:
                self._spawn(spec)
            except OSError as error:
                self.shutdown()
                raise ConfigurationError(
                    f"cannot start {spec.name}, `{' '.join(spec.command[:3])}`: {error}"
                ) from error
        return plan

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Waits until every process has ended, `request_stop` was called or a process that ends all has ended.

        Args:
            timeout_s: give up after this time [s]; never by default.

        Returns:
            0 when all ended well, 1 when one did not, None when they still run at the end of the time.
        """
        limit = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._interrupted and not self._stop_wanted.is_set():
            with self._changed:
                if not self._running:
                    break
                self._changed.wait(0.1)
            if limit is not None and time.monotonic() > limit:
                return None
        return self.shutdown()

    def request_stop(self) -> None:
        """Makes `wait` shut down; may be called from a signal handler.

        A plain flag: a second signal may come while the first one's handler runs, and no lock survives that.
        """
        self._interrupted = True

    def shutdown(self) -> int:
        """Ends what runs: SIGINT, SIGTERM after a grace time, then SIGKILL, each to the whole process group.

        Returns:
            0 when all processes ended with 0 or by our SIGINT, else 1.
        """
        with self._changed:
            self._stopping = True
        self._stop_wanted.set()
        for number, grace_s in (
            (signal.SIGINT, self._settings.interrupt_grace_s),
            (signal.SIGTERM, self._settings.terminate_grace_s),
            (signal.SIGKILL, 5.0),
        ):
            if not (left := self._left()):
                break
            if number is not signal.SIGINT:
                self._say(f"still running: {', '.join(sorted(left))}; sending {number.name}")
            for name in left:
                self.processes[name].signal(number)
            with self._changed:
                self._changed.wait_for(lambda: not self._running, timeout=grace_s)
        shutil.rmtree(self._folder, ignore_errors=True)
        return 1 if self._failed or self._left() else 0

    def _left(self) -> set[str]:
        with self._changed:
            return set(self._running)

    def _spawn(self, spec: ProcessSpec) -> None:
        with self._changed:
            process = LaunchedProcess(spec, self._print, self._ended)
            self.processes[spec.name] = process
            self._running.add(spec.name)
        self._say(f"{spec.name} started, pid {process.pid}")

    def _ended(self, process: LaunchedProcess) -> None:
        """Runs in the thread that watches the process."""
        spec, code = process.spec, process.returncode
        by_us = self._stopping and code == -signal.SIGINT
        if code != 0 and not by_us:
            self._failed.append(spec.name)
            self._say(f"{spec.name} died: {_how(code)}, pid {process.pid}")
        else:
            self._say(f"{spec.name} ended")
        if spec.respawn and not self._stopping and not self._stop_wanted.wait(spec.respawn_delay_s):
            self._respawn(spec)
            return
        with self._changed:
            self._running.discard(spec.name)
            self._changed.notify_all()
        if spec.ends_all and not self._stopping:
            self._say(f"{spec.name} ends the launch")
            self._stop_wanted.set()

    def _respawn(self, spec: ProcessSpec) -> None:
        with self._changed:
            if not self._stopping:
                try:
                    self._spawn(spec)
                    return
                except OSError as error:
                    self._say(f"cannot start {spec.name} again: {error}")
            self._running.discard(spec.name)
            self._changed.notify_all()

    def _print(self, name: str, line: str) -> None:
        # in one piece: lines come from a thread for each process, and print writes the line's end apart
        stream = self._stream or sys.stdout
        stream.write(f"[{name}] {line}\n")
        stream.flush()

    def _say(self, text: str) -> None:
        self._print("launch", text)


def _how(code: int | None) -> str:
    """An exit code in words."""
    if code is not None and code < 0:
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
