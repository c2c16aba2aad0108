"""The production graph as tests run it: the same launch files, a domain of their own, lock-step."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tutelage.environment import graph_environment
from tutelage.launch import packages
from tutelage.launch.runner import LaunchRunner

CLIENT_LIMIT_S = 60


def test_environment(domain: int) -> dict[str, str]:
    """Return the environment of a graph in ROS domain `domain`."""
    return graph_environment({**os.environ, "ROS_DOMAIN_ID": str(domain)})


@dataclass
class Graph:
    """A graph that runs."""

    runner: LaunchRunner
    environment: Mapping[str, str]
    output: io.StringIO

    def program(self, name: str, *arguments: str, limit_s: float = CLIENT_LIMIT_S) -> subprocess.CompletedProcess[str]:
        """Run an executable of `tutelage_nodes` to its end, or for `limit_s` [s]."""
        path = packages.executable("tutelage_nodes", name, dict(self.environment))
        return subprocess.run(
            ["timeout", "-k", "5", str(limit_s), str(path), *arguments],
            check=False,
            env=dict(self.environment),
            capture_output=True,
            text=True,
        )

    def run_episodes(self, *arguments: str) -> list[dict[str, object]]:
        """Run episodes and return what the session said of each."""
        done = self.program("run_episodes", *arguments)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.output.getvalue()}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_until_printed(self, text: str, limit_s: float = 30.0) -> None:
        """Wait until some node prints `text`."""
        end = time.monotonic() + limit_s
        while text not in self.output.getvalue():
            assert time.monotonic() < end, f"'{text}' was not printed:\n{self.output.getvalue()}"
            time.sleep(0.05)


@contextmanager
def launched(domain: int, arguments: Mapping[str, str], black_box: Path | None = None) -> Iterator[Graph]:
    """Bring the graph up with launch `arguments`, and down at the end. Stops seal what happened in `black_box`."""
    # nodes inherit it, and with every process of a graph real-time nothing else runs: not even what would end it
    assert os.sched_getscheduler(0) == os.SCHED_OTHER, "an earlier test has made this process real-time"
    environment = test_environment(domain)
    output = io.StringIO()
    file = packages.package_share("tutelage_bringup", environment) / "launch" / "tutelage.launch.yaml"
    with LaunchRunner(environment=environment, stream=output) as runner:
        runner.start(file, {"black_box": str(black_box or tempfile.mkdtemp()), "min_free_mb": "10.0", **arguments})
        yield Graph(runner, environment, output)


def processes_in_domain(domain: int) -> list[int]:
    """Return the ids of the processes that carry ROS domain `domain` in their environment."""
    wanted = f"ROS_DOMAIN_ID={domain}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in entry.read_bytes().split(b"\0") and int(entry.parent.name) != os.getpid():
                found.append(int(entry.parent.name))
        except OSError:
            continue  # it has just ended, or is not ours to read
    return found


def shared_memory_files() -> set[str]:
    """Return the names of Fast DDS's segments and ports in shared memory, and of their locks.

    The named mutexes `sem.*` (32 bytes, one for each port number ever used) are kept by Fast DDS for the next process.
    """
    return {path.name for path in Path("/dev/shm").glob("fast*")}


def shared_memory_in_use() -> set[str]:
    """Return the names of the files in shared memory that a living process has mapped or open."""
    used: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines = (process / "maps").read_text(encoding="utf-8").splitlines()
            used |= {Path(line.split()[-1]).name for line in lines if "/dev/shm/" in line}
            used |= {fd.readlink().name for fd in (process / "fd").iterdir()}
        except OSError:
            continue  # it has just ended, or is not ours to read
    return used
