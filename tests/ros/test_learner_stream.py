"""What passes between actors and learner over DDS: several actors, steps that are none, and weights that are bad."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticArray
from learning_graph import ACTOR, Run, actor_parameters, learner_parameters, lengths, lockstep_file, node
from safetensors.torch import load, save
from session_client import Person, person
from tutelage_interfaces import msg as ti
from tutelage_interfaces.srv import ResetPolicy

from policies.hil_serl.acknowledgement import Acknowledgement, WeightsVersion
from policies.hil_serl.batch import Observed
from policies.hil_serl.learner import Learner
from policies.hil_serl.outbox import Outbox
from policies.hil_serl.step_codec import StepCodec, metadata_of
from policies.hil_serl.stream_actor import StreamActor
from policies.hil_serl.transition import EncodedObservation, Gripper, Step
from policies.hil_serl.weights_stream import WeightsPacket, pack_weights
from tutelage_core.clock import SteadyClock
from tutelage_core.types import Source
from tutelage_nodes import convert_learning, topics
from tutelage_nodes.learner_link import LearnerLink

pytestmark = [pytest.mark.ros, pytest.mark.timeout(240)]

LENGTH = 12


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


@pytest.fixture
def somebody(domain: int) -> Iterator[Person]:
    with person(domain) as anybody:
        yield anybody


@dataclass
class FakeActor:
    """An actor without an arm, in a ROS context of its own."""

    run: Run
    name: str
    folder: Path
    domain: int

    def __post_init__(self) -> None:
        self.stream = StreamActor(self.run.policy, self.run.identity, self.name, self.folder / self.name, SteadyClock())
        self.link = LearnerLink(f"actor_{self.name}", self.domain)

    def look(self) -> None:
        word, packet = self.link.heard()
        if packet is not None:
            self.stream.offer(packet)
        if word is not None:
            self.stream.hear(word)
        if self.link.is_heard:
            for parcel in self.stream.to_send():
                self.link.send(parcel)

    def episode(self) -> None:
        segment = self.stream.outbox.next_segment
        for index in range(LENGTH):
            self.stream.put(made(self.run, self.name, segment, index))
            self.look()

    def close(self) -> None:
        self.link.close()
        self.stream.close()


def seen(run: Run, number: int) -> EncodedObservation:
    layout = run.identity.layout
    maps = {camera: np.full(shape, number / 100, np.float16) for camera, shape in layout.maps.items()}
    return EncodedObservation(maps, np.full(layout.state_size, number / 100, np.float32))


def made(run: Run, actor: str, segment: int, index: int) -> Step:
    last = index == LENGTH - 1
    number = 20 * segment + index
    action = np.full(6, np.sin(number), np.float32)
    final = seen(run, number + 1) if last else None
    step = Step(actor, segment, index, seen(run, number), action, Gripper.HOLD, 0.0, Source.POLICY)
    return replace(step, truncated=last, final_observation=final)


def test_several_actors_feed_one_learner_and_foreign_steps_are_refused(run, domain, tmp_path, somebody):
    statuses: list[ti.LearnerStatus] = []
    words: list[ti.TransitionAck] = []
    somebody.node.create_subscription(ti.LearnerStatus, topics.LEARNER_STATUS, statuses.append, topics.reliable())
    somebody.node.create_subscription(ti.TransitionAck, topics.LEARNER_ACK, words.append, topics.latched())
    stranger = somebody.node.create_publisher(ti.Transition, topics.LEARNER_STEP, topics.reliable(topics.STEPS))
    with node(domain, "learner_node", learner_parameters(run)) as learner:
        learner.wait_until_ready()
        actors = [FakeActor(run, name, tmp_path, domain) for name in ("left", "right")]
        for _ in range(3):
            for actor in actors:
                somebody.wait(lambda actor=actor: (actor.look(), not actor.stream.objection())[1], "leave to begin")
                actor.stream.renew()
                actor.episode()
        for actor in actors:
            somebody.wait(lambda actor=actor: (actor.look(), len(actor.stream.outbox) == 0)[1], "all acknowledged")
        assert actors[0].stream.report().applied > 0

        first = made(run, "franka", 0, 0)
        poisoned = replace(first, actor="poisoned", observation=seen(run, 1))
        codec = StepCodec(replace(run.identity, robot="franka"))
        nan = bytearray(run.codec.encode(poisoned))
        nan[-2:] = np.float16("nan").tobytes()  # the last array that is stored is one of maps
        for data in (b"no step", codec.encode(first), bytes(nan)):
            stranger.publish(ti.Transition(actor="x", data=array("B", data)))
        status = somebody.wait(
            lambda: next((s for s in statuses if s.refused >= 3 and s.steps == 6 * LENGTH), None), "the refusals"
        )
        refusals = somebody.wait(
            lambda: words and dict(zip(words[-1].actors, words[-1].refusals, strict=True)), "a word"
        )
        assert "robot: twin here, franka there" in refusals["franka"]
        assert "poisoned" in refusals
        assert (refusals["left"], refusals["right"]) == ("", "")
        assert (list(status.actors), list(status.actor_steps)) == (["left", "right"], [3 * LENGTH] * 2)
        assert status.achieved_ratio == pytest.approx(1.0)
        for actor in actors:
            actor.close()
        assert learner.end() == 0
    for actor in actors:
        assert lengths(run.steps(actor.name)) == [LENGTH] * 3
    assert run.steps("franka") == run.steps("poisoned") == []
    assert run.audit().is_clean


class FakeLearner:
    """Says words and publishes weights as a test wants them."""

    def __init__(self, somebody: Person, run: Run) -> None:
        quality = topics.latched()
        self._words = somebody.node.create_publisher(ti.TransitionAck, topics.LEARNER_ACK, quality)
        self._weights = somebody.node.create_publisher(ti.PolicyWeights, topics.LEARNER_WEIGHTS, quality)
        self._run = run
        self._newest = 0
        self._stamp = somebody.node.get_clock().now().to_msg()
        somebody.node.create_timer(0.3, self.say)

    def packet(self, updates: int) -> WeightsPacket:
        """Return good weights, other ones for each number."""
        learner = Learner(self._run.settings.algorithm(seed=updates), self._run.policy.networks.shape)
        self._run.policy.load_weights(learner.acting_state())
        shape = self._run.policy.networks.shape
        images = {name: torch.ones((2, *size), dtype=torch.float16) for name, size in shape.images.items()}
        canary = Observed(images, torch.ones((2, shape.state)))
        return pack_weights(self._run.policy, self._run.identity, "test", WeightsVersion(1, updates), canary)

    def publish(self, packet: WeightsPacket) -> None:
        self._newest = packet.version.updates
        self._weights.publish(convert_learning.to_weights_msg(packet, self._stamp))
        self.say()

    def say(self) -> None:
        if self._newest:
            word = Acknowledgement("test", WeightsVersion(1, self._newest))
            self._words.publish(convert_learning.to_ack_msg(word, self._stamp))


def altered(good: WeightsPacket, change: Callable[[torch.Tensor], torch.Tensor]) -> WeightsPacket:
    tensors = dict(load(good.data))
    name = max(name for name in tensors if name.startswith("weights/actor.stack.weights"))  # of the last layer
    data = save({**tensors, name: change(tensors[name].clone())}, dict(metadata_of(good.data, "weights")))
    return replace(good, data=data, sha256=hashlib.sha256(data).hexdigest())


def test_bad_weights_are_refused_and_good_ones_wait_for_the_next_episode(run, domain, tmp_path, somebody):
    run.policy.load_weights(Learner(run.config, run.policy.networks.shape).acting_state())
    run.policy.save(run.folder / "policy", created_by="test")
    values: dict[str, str] = {}

    def on_diagnostics(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "/policy_node":
                values.update({pair.key: pair.value for pair in status.values} | {"says": status.message})

    somebody.node.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, on_diagnostics, topics.reliable(50))
    somebody.node.create_subscription(ti.ActionChunk, topics.POLICY_CHUNK, lambda _: None, topics.reliable())
    somebody.node.create_publisher(ti.TaskStatus, topics.TWIN_TASK_STATUS, topics.reliable())

    def begin() -> str:
        """Ask for an episode until it may begin, or the reason stays; return the reason."""
        said = ""
        for _ in range(20):
            said = somebody.call(ResetPolicy, topics.POLICY_RESET, task="PickCube", seed=1).message
            if not said:
                break
        return said

    with node(domain, "policy_node", actor_parameters(run, tmp_path), (lockstep_file(),)) as actor:
        actor.wait_until_ready()
        somebody.wait(lambda: begin().startswith("wait: no learner has spoken"), "the wait for a learner")
        learner = FakeLearner(somebody, run)
        good = learner.packet(1)
        learner.publish(altered(good, lambda t: t * float("nan")))
        somebody.wait(lambda: "not finite" in begin(), "the refusal of the first weights")
        learner.publish(learner.packet(2))
        somebody.wait(lambda: not begin(), "leave to begin")
        somebody.wait(lambda: values.get("weights_updates") == "2", "the first good weights")

        for packet in (
            altered(learner.packet(3), lambda t: t * float("nan")),
            altered(learner.packet(4), lambda t: t[..., :-1].contiguous()),
            altered(learner.packet(5), lambda t: t + 1.0),
            replace(learner.packet(6), sha256="0" * 64),
        ):
            refused = int(values["weights_refused"])
            learner.publish(packet)
            # asked again and again: the packet may arrive only after an episode that could have taken it
            somebody.wait(
                lambda: not begin() and int(values["weights_refused"]) == refused + 1,  # noqa: B023
                "leave to begin with the old ones, and the refusal",
            )
            assert values["weights_updates"] == "2"
            assert f"{packet.version.updates} updates are refused" in values["says"]

        learner.publish(learner.packet(7))
        somebody.wait(lambda: values["weights_staleness"] == "5", "the learner to be ahead")
        assert values["weights_updates"] == "2", "nothing changes between two episodes"
        somebody.wait(lambda: not begin(), "leave to begin")
        somebody.wait(lambda: (values["weights_updates"], values["weights_staleness"]) == ("7", "0"), "the new ones")
        assert actor.end() == 0


def test_second_actor_of_the_same_name_is_refused(run, domain, tmp_path):
    run.policy.save(run.folder / "policy", created_by="test")
    first = Outbox(tmp_path / "outbox" / ACTOR, ACTOR, run.codec)
    with node(domain, "policy_node", actor_parameters(run, tmp_path)) as second:
        second.process.wait(60.0)
        assert second.process.returncode == 1
        assert "another actor has this outbox open" in second.output
    first.close()
