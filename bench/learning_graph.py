"""A graph that learns, for measurements: it is asked for one episode after the other."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import ros

if TYPE_CHECKING:
    from policies.hil_serl.learner_settings import LearnerSettings

ACTOR = "bench"
FIRST_SEED = 410_000
STEPS = 40
"""Control periods of an episode."""

LIMIT_S = 120.0
STILL_S = 5.0
"""When neither recordings nor log have grown for so long, all has come [s]."""


@dataclass
class LearningGraph:
    """A lock-step graph with its learner, and a client that asks for one episode after the other."""

    folder: Path
    settings: LearnerSettings
    graph: ros.Graph
    learner: ros.Graph
    client: subprocess.Popen[str]
    lines: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def outcomes(self) -> list[dict[str, Any]]:
        """Return what the session said of each episode that has ended."""
        self._read()
        return [outcome for _, outcome in self.lines]

    def arrivals(self) -> list[float]:
        """Return when each of them ended, on the file's own clock [s]."""
        self._read()
        return [at for at, _ in self.lines]

    def wait_for_episodes(self, count: int) -> None:
        """Wait until so many episodes have ended.

        Raises:
            BenchError: they do not.
        """
        end = time.monotonic() + LIMIT_S
        while len(self.outcomes()) < count:
            if time.monotonic() > end or self.client.poll() is not None:
                client = (self.folder / "client.log").read_text(encoding="utf-8")[-ros.KEPT_CHARACTERS :]
                last = self.lines[-1][1] if self.lines else None
                raise ros.BenchError(
                    f"{len(self.lines)} of {count} episodes have ended, the last: {last}; the client said: {client}; "
                    f"the graph said: {self.graph.tail()}{self.learner.tail()}"
                )
            time.sleep(ros.LOOK_S)

    def pid(self, node: str) -> int:
        """Return the process of a node."""
        processes = {**self.graph.runner.processes, **self.learner.runner.processes}
        return processes[node].pid

    def kill(self, node: str) -> None:
        """Kill a node's process, and wait until the one that comes instead says that it is ready.

        Raises:
            BenchError: it does not.
        """
        side = self.learner if node == "learner_node" else self.graph
        ready = f"[{node}]: ready"
        before = side.output.getvalue().count(ready)
        os.kill(self.pid(node), signal.SIGKILL)
        end = time.monotonic() + LIMIT_S
        while side.output.getvalue().count(ready) == before:
            if time.monotonic() > end:
                raise ros.BenchError(f"{node} does not come back: {side.tail()}")
            time.sleep(ros.LOOK_S)

    def end_learner(self) -> None:
        """Let the learner save its policy, and end."""
        self.learner.runner.shutdown()

    def settle(self) -> None:
        """End the asking, and wait until the last episode is recorded and nothing comes to the learner any more."""
        self.client.send_signal(signal.SIGINT)
        self.client.wait(LIMIT_S)
        still_s, before = time.monotonic(), ""
        while time.monotonic() < still_s + STILL_S:
            time.sleep(ros.LOOK_S)
            files = (*(self.folder / "episodes").glob("*"), *(self.folder / "run" / "replay").glob("*"))
            if (now := " ".join(sorted(map(str, files)))) != before:
                still_s, before = time.monotonic(), now

    def _read(self) -> None:
        text = (self.folder / "episodes.jsonl").read_text(encoding="utf-8").splitlines()
        for line in text[len(self.lines) :]:
            with contextlib.suppress(ValueError):  # half a line
                self.lines.append((time.perf_counter(), json.loads(line)))


@contextlib.contextmanager
def learning_graph(
    domain: int,
    settings: str,
    *,
    record: bool,
    first_seed: int = FIRST_SEED,
    steps: int = STEPS,
    person: bool = False,
    person_settings: str = "",
    demonstrations: Path | None = None,
    learner_seed: int = 0,
) -> Iterator[LearningGraph]:
    """Bring up graph and learner, and ask for one episode after the other until the end.

    Args:
        domain: ROS domain.
        settings: of the learner, YAML.
        record: whether episodes are recorded.
        first_seed: of the first episode.
        steps: limit of each; 0 for the task's own.
        person: whether the scripted person corrects the policy.
        person_settings: what that person is like, YAML; the defaults if empty.
        demonstrations: folder of recorded successes; none if None.
        learner_seed: of weights, batches and noise.
    """
    from tutelage.launch import packages
    from tutelage.launch.runner import LaunchRunner

    variables = ros.environment(domain)
    with (
        tempfile.TemporaryDirectory(prefix="tutelage_bench_") as name,
        LaunchRunner(environment=variables, stream=(said := io.StringIO())) as runner,
    ):
        folder = Path(name)
        (folder / "learner.yaml").write_text(settings, encoding="utf-8")
        launch = packages.package_share("tutelage_bringup", variables) / "launch" / "learner.launch.yaml"
        (folder / "person.yaml").write_text(person_settings, encoding="utf-8")
        arguments = {
            "learner_folder": str(folder / "run"),
            "learner_settings": str(folder / "learner.yaml"),
            "learner_seed": str(learner_seed),
            "demonstrations": "" if demonstrations is None else str(demonstrations),
        }
        runner.start(launch, {**arguments, "respawn": "true"})
        actor = {
            "clock": "lockstep",
            "policy": str(folder / "run" / "policy"),
            "learn_as": ACTOR,
            "outbox": str(folder / "outbox"),
            "folder": str(folder / "episodes"),
            "black_box": str(folder / "black_box"),
            "min_free_mb": "100.0",
            "respawn_policy": "true",
            "person": str(person).lower(),
            "person_settings": str(folder / "person.yaml") if person_settings else "",
        }
        with (
            ros.launched(domain, actor) as graph,
            (folder / "episodes.jsonl").open("w") as outcomes,
            (folder / "client.log").open("w") as errors,
        ):
            command = [
                str(packages.executable(ros.PACKAGE, "run_episodes", variables)),
                *("--episodes", "0", "--first-seed", str(first_seed), "--max-steps", str(steps), "--clear-stops"),
                *("--retry-s", str(LIMIT_S), "--end-without-policy", "--timeout-s", str(LIMIT_S)),
                *(("--prefix", "bench") if record else ()),
            ]
            client = subprocess.Popen(command, env=variables, stdout=outcomes, stderr=errors, text=True)
            learner = ros.Graph(runner, said)
            try:
                yield LearningGraph(folder, settings_of(settings), graph, learner, client)
            finally:
                client.kill()
                client.wait()


def settings_of(text: str) -> LearnerSettings:
    """Return the learner's settings in a YAML text."""
    import yaml

    from policies.hil_serl.learner_settings import LearnerSettings
    from tutelage_core.config import from_mapping

    return from_mapping(yaml.safe_load(text), LearnerSettings, "bench")
