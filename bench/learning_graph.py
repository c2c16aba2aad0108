"""A graph that learns, for measurements: it is asked for episodes, and what the learner keeps is compared with them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import ros

if TYPE_CHECKING:
    from policies.hil_serl.learner_settings import LearnerSettings
    from policies.hil_serl.transition import Step
    from tutelage_core.episodes.store import EpisodeStore

ACTOR = "bench"
FIRST_SEED = 410_000
STEPS = 40
"""Control periods of an episode."""

LIMIT_S = 120.0
WITHOUT_OUTCOME = 3
"""Steps at a killed actor's end whose outcome was not known yet, at most."""

STILL_S = 5.0
"""When neither recordings nor log have grown for so long, all has come [s]."""

EXACT_M = 1e-6
"""Steps of the replay are of single precision [m]."""


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


@dataclass(frozen=True)
class Comparison:
    """What the learner's log holds of what was executed.

    Attributes:
        executed: steps, by the recordings.
        kept: steps, by the learner's log.
        without_outcome: executed steps of killed actors of which nothing was seen any more.
        audit: what the replay's audit says.
        faults: whatever is lost, doubled or wrong; empty if nothing is.
    """

    executed: int
    kept: int
    without_outcome: int
    audit: str
    faults: tuple[str, ...]

    def extra(self) -> dict[str, object]:
        """Return it for a measurement."""
        return {
            "executed": self.executed,
            "kept": self.kept,
            "without_outcome": self.without_outcome,
            "audit": self.audit,
            "faults": list(self.faults[:5]),
        }


def compare(graph: LearningGraph) -> Comparison:
    """Compare the learner's log with the recordings of all episodes that have ended."""
    from policies.hil_serl.mixture import Mixture
    from policies.hil_serl.replay_audit import audit
    from policies.hil_serl.replay_store import read_events
    from policies.hil_serl.stored_views import StoredViews
    from policies.hil_serl.transition import Step
    from policies.hil_serl.untrained import untrained_policy
    from tutelage_core.contract import load_contract
    from tutelage_core.episodes.store import EpisodeStore

    contract, settings = load_contract("twin"), graph.settings
    policy = untrained_policy(contract, settings.algorithm(seed=0).model, settings.cameras, settings.tasks)
    identity = StoredViews(policy, settings.views, 0).identity(contract.name)
    memory = settings.memory
    mixture = Mixture.allocate(identity.layout, memory.online, memory.demonstrations, limit_bytes=memory.limit_bytes)
    segments: dict[int, list[Step]] = defaultdict(list)
    for event in read_events(graph.folder / "run" / "replay", identity):
        mixture.apply(event)
        if isinstance(event, Step):
            segments[event.segment].append(event)
    checked = audit(mixture.online)
    faults = [] if checked.is_clean else [f"audit: {checked}"]
    if list(segments) != list(range(len(segments))):
        faults.append(f"segments {list(segments)} are not in order")
    waiting = list(segments.values())
    executed, lost = 0, 0
    store = EpisodeStore(graph.folder / "episodes")
    for name in sorted(store.names(), key=lambda name: store.manifest(name).metadata.seed):
        was_cut = store.manifest(name).result.termination == "aborted"
        recorded = _recorded(store, name)
        executed += len(recorded)
        made = waiting.pop(0) if waiting and _are_same(waiting[0], recorded, contract.safety.max_step_m) else []
        missing = len(recorded) - len(made)
        if missing > (WITHOUT_OUTCOME if was_cut else 0):
            faults.append(f"{name}: {len(made)} of {len(recorded)} executed steps are kept")
        lost += missing
    if waiting:
        faults.append(f"{len(waiting)} segments, the first of {len(waiting[0])} steps, are of no recorded episode")
    kept = sum(map(len, segments.values()))
    return Comparison(executed, kept, lost, str(checked), tuple(faults))


def _recorded(store: EpisodeStore, name: str) -> list[tuple[float, int]]:
    """Return length [m] and source of each step that was executed in an episode."""
    import numpy as np

    if not store.manifest(name).result.steps:
        return []
    episode = store.read(name, ())
    lengths = np.linalg.norm(episode.executed[:, :3], axis=1)
    return list(zip(lengths.tolist(), episode.sources.tolist(), strict=True))


def _are_same(made: list[Step], recorded: list[tuple[float, int]], max_step_m: float) -> bool:
    """Tell whether the steps of a segment are what was executed first: a length is the same in every frame."""
    import numpy as np

    if len(made) > len(recorded) or [step.index for step in made] != list(range(len(made))):
        return False
    return all(
        abs(float(np.linalg.norm(step.action[:3].astype(np.float64))) * max_step_m - length) <= EXACT_M
        and int(step.source) == source
        for step, (length, source) in zip(made, recorded, strict=False)
    )
