"""ROS programs and graphs for measurements: in a domain of their own, and gone afterwards."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tutelage.environment import graph_environment
from tutelage.launch import packages
from tutelage.launch.runner import LaunchRunner
from tutelage_core.errors import TutelageError

NODES = ("twin_node", "arm_node", "policy_node", "session_node", "recorder_node")
PACKAGE = "tutelage_nodes"
READY_LIMIT_S = 60.0
END_GRACE_S = 5.0
LOOK_S = 0.02
SHARED_MEMORY = Path("/dev/shm")
KEPT_CHARACTERS = 2000


class BenchError(TutelageError):
    """Something did not do what it had to, so nothing was measured."""


def environment(domain: int) -> dict[str, str]:
    """Return the variables of processes in ROS domain `domain`."""
    return graph_environment({**os.environ, "ROS_DOMAIN_ID": str(domain)})


@contextlib.contextmanager
def program(domain: int, name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start an executable of `tutelage_nodes`; SIGINT ends it at the end, SIGKILL where that does not help."""
    variables = environment(domain)
    path = packages.executable(PACKAGE, name, variables)
    process = subprocess.Popen(
        [str(path), *arguments],
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=END_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def output_of(process: subprocess.Popen[str], name: str, limit_s: float) -> str:
    """Wait for the end of a program and return its standard output.

    Raises:
        BenchError: it did not end in time, or not with 0.
    """
    try:
        out, said = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{name} has not ended after {limit_s:g} s") from error
    if process.returncode != 0:
        raise BenchError(f"{name} ended with {process.returncode}: {said.strip()[-KEPT_CHARACTERS:]}")
    return out


class Graph:
    """A graph that runs: the shipped launch file in a domain of its own."""

    def __init__(self, runner: LaunchRunner, output: io.StringIO) -> None:
        """Watch over `runner`, which writes to `output`."""
        self.runner = runner
        self.output = output

    def wait_until_ready(self) -> None:
        """Return when every node says that it is ready.

        Raises:
            BenchError: one has died, or is not ready in time.
        """
        end = time.monotonic() + READY_LIMIT_S
        while waiting := [n for n in NODES if f"[{n}]: ready" not in self.output.getvalue()]:
            died = [name for name, process in self.runner.processes.items() if process.returncode is not None]
            if died or time.monotonic() > end:
                fate = "died" if died else f"not ready after {READY_LIMIT_S:g} s"
                raise BenchError(f"{', '.join(died or waiting)}: {fate}; the graph said: {self.tail()}")
            time.sleep(LOOK_S)

    def shutdown(self) -> None:
        """Take the graph down.

        Raises:
            BenchError: a node did not end with 0.
        """
        if self.runner.shutdown() != 0:
            raise BenchError(f"a node did not end well: {self.tail()}")

    def tail(self) -> str:
        """Return the end of what the graph has printed."""
        return self.output.getvalue()[-KEPT_CHARACTERS:]


@contextlib.contextmanager
def launched(domain: int, arguments: Mapping[str, str]) -> Iterator[Graph]:
    """Bring the graph up with launch `arguments` and wait until it is ready; take it down at the end."""
    variables = environment(domain)
    file = packages.package_share("tutelage_bringup", variables) / "launch" / "tutelage.launch.yaml"
    output = io.StringIO()
    with LaunchRunner(environment=variables, stream=output) as runner:
        runner.start(file, dict(arguments))
        graph = Graph(runner, output)
        graph.wait_until_ready()
        yield graph


def processes_in_domain(domain: int) -> list[int]:
    """Return the ids of the processes, other than this one, that carry ROS domain `domain` in their environment."""
    wanted = f"ROS_DOMAIN_ID={domain}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has just ended, or is not ours to read
            if wanted in entry.read_bytes().split(b"\0") and int(entry.parent.name) != os.getpid():
                found.append(int(entry.parent.name))
    return found


def shared_memory_inodes() -> dict[int, str]:
    """Return inode and name of every shared-memory file that there is."""
    found: dict[int, str] = {}
    for path in SHARED_MEMORY.iterdir():
        with contextlib.suppress(OSError):  # it has just gone
            found[path.stat().st_ino] = path.name
    return found


def shared_memory_of(processes: Iterable[int]) -> set[int]:
    """Return the inodes of the shared-memory files that `processes` have mapped or open.

    Inodes, not names: a semaphore is mapped under the temporary name that it was made by.
    """
    inodes: set[int] = set()
    device = SHARED_MEMORY.stat().st_dev
    for process in processes:
        folder = Path("/proc") / str(process)
        with contextlib.suppress(OSError):  # it has just ended, or is not ours to read
            maps = (folder / "maps").read_text(encoding="utf-8")
            inodes |= {int(text.split()[4]) for text in maps.splitlines() if f"{SHARED_MEMORY}/" in text}
            for handle in (folder / "fd").iterdir():
                with contextlib.suppress(OSError):
                    status = handle.stat()
                    inodes |= {status.st_ino} if status.st_dev == device else set()
    return inodes


def leaked_shared_memory(inodes: set[int]) -> set[str]:
    """Return the names of those of `inodes` that are there still though no living process uses them.

    Other graphs on this machine share some of these files; theirs are no leak.
    """
    left = {inode: name for inode, name in shared_memory_inodes().items() if inode in inodes}
    used = shared_memory_of(int(entry.name) for entry in Path("/proc").glob("[0-9]*")) if left else set()
    return {name for inode, name in left.items() if inode not in used}
