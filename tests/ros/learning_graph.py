"""A graph that learns, as tests run it: a small learner, an actor, and who listens to both."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from running_graph import Graph, launched, test_environment
from session_client import Person
from tutelage_interfaces import msg as ti

from policies.hil_serl.learner_settings import LearnerSettings
from policies.hil_serl.mixture import Mixture
from policies.hil_serl.policy import HilSerlPolicy
from policies.hil_serl.replay_audit import Audit, audit
from policies.hil_serl.replay_store import read_events
from policies.hil_serl.step_codec import StepCodec, StepLabel
from policies.hil_serl.stored_views import StoredViews
from policies.hil_serl.stream_actor import SILENCE_S
from policies.hil_serl.transition import Step
from policies.hil_serl.untrained import untrained_policy
from tutelage.launch import packages
from tutelage_core.config import load_yaml
from tutelage_core.contract import load_contract
from tutelage_core.types import Source
from tutelage_nodes import topics

ACTOR = "arm-1"
LIMIT_S = 60.0
DISCOVERY_S = 1.0

SETTINGS = """
preset: hil_serl
overrides:
  model:
    encoder: {embeddings: 2, camera_features: 16, state_features: 8}
    actor: {hidden: [16, 16]}
    critic: {hidden: [16, 16]}
  learner: {batch_size: 16}
  schedule: {updates_per_step: 1.0, lag_steps: 1, training_starts: 20}
tasks: [PickCube]
views: {views: 1, shift_px: 0}
memory: {online: 4000, demonstrations: 500, limit_gib: 0.5}
stream: {save_s: 2.0}
"""
"""Small networks: mechanics need no more."""


class Run:
    """A training run in a folder, and what it takes to read it."""

    def __init__(self, folder: Path) -> None:
        """Write its settings."""
        self.folder = folder
        self.settings_file = folder.parent / "learner.yaml"
        self.settings_file.write_text(SETTINGS, encoding="utf-8")
        self.settings = load_yaml(self.settings_file, LearnerSettings)
        self.config = self.settings.algorithm(seed=0)
        contract = load_contract("twin")
        self.policy: HilSerlPolicy = untrained_policy(contract, self.config.model, (), ("PickCube",))
        self.views = StoredViews(self.policy, self.settings.views, 0)
        self.identity = self.views.identity(contract.name)
        self.codec = StepCodec(self.identity)

    def steps(self, actor: str = ACTOR) -> list[Step]:
        """Return what is in its log of one actor."""
        events = read_events(self.folder / "replay", self.identity)
        return [event for event in events if isinstance(event, Step) and event.actor == actor]

    def audit(self) -> Audit:
        """Make the replay from its log, and walk through it."""
        memory = self.settings.memory
        mixture = Mixture.allocate(
            self.identity.layout, memory.online, memory.demonstrations, limit_bytes=memory.limit_bytes
        )
        for event in read_events(self.folder / "replay", self.identity):
            mixture.apply(event)
        return audit(mixture.online)


class NodeProcess:
    """A node that a test starts, kills and starts again."""

    def __init__(self, domain: int, name: str, parameters: Mapping[str, object], files: Sequence[Path] = ()) -> None:
        """Start the node and gather what it prints."""
        self.name = name
        environment = test_environment(domain)
        command = [str(packages.executable("tutelage_nodes", name, environment)), "--ros-args"]
        for file in files:
            command += ["--params-file", str(file)]
        for key, value in parameters.items():
            command += ["-p", f"{key}:={value}"]
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""
        threading.Thread(target=self._read, daemon=True).start()

    def wait_until_printed(self, text: str) -> None:
        """Wait until the node prints `text`."""
        end = time.monotonic() + LIMIT_S
        while text not in self.output:
            assert time.monotonic() < end, f"'{text}' was not printed:\n{self.output}"
            assert self.process.poll() is None, f"{self.name} has ended:\n{self.output}"
            time.sleep(0.02)

    def wait_until_ready(self) -> None:
        """Wait until the node says that it is ready."""
        self.wait_until_printed(f"[{self.name}]: ready")

    def kill(self) -> None:
        """Kill it as the kernel does."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Ask it to end, and return its code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(15.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.output += line


@contextmanager
def node(domain: int, name: str, parameters: Mapping[str, object], files: Sequence[Path] = ()) -> Iterator[NodeProcess]:
    """A node for as long as the context lasts."""
    running = NodeProcess(domain, name, parameters, files)
    try:
        yield running
    finally:
        running.end()


def learner_parameters(run: Run) -> dict[str, object]:
    """Return the parameters of the learner of a run."""
    return {"folder": run.folder, "settings": run.settings_file}


def actor_parameters(run: Run, folder: Path, actor: str = ACTOR) -> dict[str, object]:
    """Return the parameters of a policy node that acts for a run."""
    return {
        "policy": run.folder / "policy",
        "learn_as": actor,
        "outbox": folder / "outbox",
        "views": run.settings.views.views,
        "shift_px": run.settings.views.shift_px,
    }


def lockstep_file() -> Path:
    """Return the parameters of lock-step."""
    return packages.package_share("tutelage_bringup", dict(os.environ)) / "params" / "lockstep.yaml"


def actor_node(domain: int, run: Run, folder: Path, silence_s: float = SILENCE_S) -> NodeProcess:
    """Start the actor in lock-step; it waits for a learner that was heard less than `silence_s` ago."""
    parameters = {**actor_parameters(run, folder), "learner_silence_s": silence_s}
    return NodeProcess(domain, "policy_node", parameters, (lockstep_file(),))


@contextmanager
def graph_without_policy(domain: int, run: Run, folder: Path, policy: Path, **more: str) -> Iterator[Graph]:
    """The lock-step graph whose policy node was killed at once, so that the test starts its own."""
    arguments = {"clock": "lockstep", "policy": str(policy), "folder": str(folder / "episodes"), **more}
    with launched(domain, arguments) as graph:
        for name in ("twin_node", "arm_node", "session_node", "recorder_node", "policy_node"):
            graph.wait_until_printed(f"[{name}]: ready", limit_s=LIMIT_S)
        (pid,) = re.findall(r"policy_node started, pid (\d+)", graph.output.getvalue())
        os.kill(int(pid), signal.SIGKILL)
        graph.wait_until_printed("policy_node died")
        yield graph


class Listener:
    """Hears what is executed, what is sent to the learner, and what it says."""

    def __init__(self, person: Person, run: Run) -> None:
        """Listen through the node of `person`; its `wait` lets messages in."""
        self.executed: list[ti.ExecutedAction] = []
        self.labels: list[StepLabel] = []
        self.statuses: list[ti.LearnerStatus] = []
        self.words: list[ti.TransitionAck] = []
        self.owed: list[int] = []
        """Steps that the actor holds for the learner, as it says on `/diagnostics` once a second."""
        self.followed = ""
        """Run of the learner that the actor heard last, as it says there."""
        self._run = run

        def hear(kind: Any, topic: str, take: Any, quality: QoSProfile) -> None:
            person.node.create_subscription(kind, topic, take, quality)

        deep = topics.reliable(5000)
        hear(ti.ExecutedAction, topics.ARM_EXECUTED, self.executed.append, deep)
        hear(ti.Transition, topics.LEARNER_STEP, self._on_step, deep)
        hear(ti.LearnerStatus, topics.LEARNER_STATUS, self.statuses.append, deep)
        hear(ti.TransitionAck, topics.LEARNER_ACK, self.words.append, topics.latched())
        hear(DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, topics.reliable(50))
        for topic in (topics.ARM_EXECUTED, topics.LEARNER_STEP):
            person.wait(lambda topic=topic: person.node.count_publishers(topic), f"a publisher of {topic}")
        # who publishes discovers this reader a moment after it was discovered
        settled = time.monotonic() + DISCOVERY_S
        person.wait(lambda: time.monotonic() > settled, "discovery")

    def kept(self, actor: str = ACTOR) -> tuple[int, int]:
        """Return segment and next index of what the learner says it has of an actor."""
        if not self.words or actor not in self.words[-1].actors:
            return -1, 0
        row = self.words[-1].actors.index(actor)
        return self.words[-1].segments[row], self.words[-1].next_indices[row]

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        values = {pair.key: pair.value for status in message.status for pair in status.values}
        if "steps_unacknowledged" in values:
            self.owed.append(int(values["steps_unacknowledged"]))
            self.followed = values["learner_run"]

    def _on_step(self, message: ti.Transition) -> None:
        self.labels.append(self._run.codec.label(bytes(message.data)))


def lengths(steps: Sequence[Step]) -> list[int]:
    """Return the number of steps of each segment, in order; each must be whole up to its last step."""
    found: dict[int, list[int]] = defaultdict(list)
    for step in steps:
        found[step.segment].append(step.index)
    assert list(found) == list(range(len(found))), f"segments {list(found)}"
    for segment, indices in found.items():
        assert indices == list(range(len(indices))), f"segment {segment}: {indices}"
    return [len(indices) for indices in found.values()]


def is_same_step(step: Step, executed: ti.ExecutedAction, max_step_m: float) -> bool:
    """Tell whether a step of the replay is what was executed: its length is the same in every frame."""
    length = float(np.linalg.norm(step.action[:3].astype(np.float64))) * max_step_m
    asked = float(np.linalg.norm(executed.executed[:3]))
    return abs(length - asked) <= 1e-6 and step.source == Source(executed.source)
