"""The scripted person at the twin: watches what the policy proposes and corrects it by hand, as one at a robot does.

It stands beside the twin's physics because it sees the true state. In lock-step it answers each observation once, as
the policy does, and the session waits for both; so episodes with a person are as deterministic as those without.
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from tutelage_interfaces import msg as ti

from sim.human import Intervener, InterventionSettings
from sim.twin import Twin
from tutelage.intervened_driver import IntervenedDriver
from tutelage_core.arbiter import Arbiter
from tutelage_core.chunks import ChunkBuffer
from tutelage_core.session import DriveState
from tutelage_core.types import ActionChunk, Observation, Source, StepCommand
from tutelage_nodes import convert, topics

DEVICE = "scripted person"


class _Proposals:
    """What the session would send if nobody helped: a `ResumableDriver` that is told each chunk."""

    def __init__(self) -> None:
        self._chunks = ChunkBuffer(1)
        self._arbiter = Arbiter(self._chunks)

    def take(self, chunk: ActionChunk) -> None:
        self._chunks.add(chunk)

    def restart(self, instruction: str, seed: int, gripper_opening: float) -> None:
        self._arbiter.restart(gripper_opening)

    def resume(self, gripper_opening: float) -> None:
        self._arbiter.hand_over(gripper_opening)

    def command(self, observation: Observation) -> StepCommand:
        return self._arbiter.command(DriveState.AUTONOMOUS, observation.stamp_ns)


class TwinPerson:
    """Answers each chunk of a policy that thinks at every observation with what the hand does, on `/teleop/input`."""

    def __init__(self, node: Node, settings: InterventionSettings, period_s: float, now_ns: Callable[[], int]) -> None:
        """Watch on `node`.

        Args:
            node: whose topics are used.
            settings: what the person is like.
            period_s: control period: a step is a velocity times this [s].
            now_ns: returns the time of the twin's newest observation [ns].
        """
        self._settings, self._period_s, self._now_ns = settings, period_s, now_ns
        self._proposals = _Proposals()
        self._driver: IntervenedDriver | None = None
        self._twin: Twin | None = None
        self._sequence = 0
        self._words = node.create_publisher(ti.TeleopInput, topics.TELEOP, topics.reliable())
        node.create_subscription(ti.ActionChunk, topics.POLICY_CHUNK, self._on_chunk, topics.reliable())

    @property
    def takeovers(self) -> int:
        """How often the hand took over in this episode."""
        return len(self._driver.intervener.takeovers) if self._driver is not None else 0

    def restart(self, twin: Twin, seed: int) -> None:
        """Begin an episode in `twin`, after its own reset."""
        if self._driver is None or twin is not self._twin:
            self._twin = twin
            self._driver = IntervenedDriver(self._proposals, Intervener(twin, self._settings))
        self._driver.restart(twin.instruction, seed, twin.arm_state().gripper_opening)

    def _on_chunk(self, message: ti.ActionChunk) -> None:
        try:
            chunk = convert.from_chunk_msg(message)
        except ValueError:
            return  # the session refuses it, and says so
        if self._driver is None or chunk.stamp_ns != self._now_ns():
            return
        self._proposals.take(chunk)
        command = self._driver.command(Observation(chunk.stamp_ns, {}, {}))
        self._sequence += 1
        word = ti.TeleopInput(sequence=self._sequence, device=DEVICE, deadman=command.source is Source.HUMAN)
        word.header.stamp = message.header.stamp
        word.header.frame_id = convert.BASE_FRAME
        linear, angular = word.twist.linear, word.twist.angular
        if word.deadman:
            velocity = [float(v) for v in command.step[:6] / self._period_s]
            linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = velocity
        word.gripper_opening = float(command.step[6])
        self._words.publish(word)
