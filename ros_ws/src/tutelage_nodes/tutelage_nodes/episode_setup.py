"""What is asked of the other nodes before and after an episode."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger
from tutelage_interfaces.action import RunEpisode
from tutelage_interfaces.srv import Command, LabelEpisode, RecordEpisode, ResetPolicy, ResetScene, Sentence

from tutelage_core.config import to_mapping
from tutelage_core.types import EpisodeResult
from tutelage_nodes import convert, topics

SERVICE_WAIT_S = 5.0
SCENE_WAIT_S = 1.0
"""A robot's scene is mostly set by a person; a twin that sets it shows within this [s]."""

DEFAULT_STEP_LIMIT = 600
"""Of an episode for which neither goal nor task names a limit."""

CALL_TIMEOUT_S = 3.0
CALL_TRIES = 3
CONNECT_PAUSE_S = 0.1
CONNECT_TRIES = 50
READY_LOOKS = 20
READY_TRIES = 1
"""A person waits for the answer of the check-list: a node that is dead is not asked thrice."""

NOT_CONNECTED = "not connected"
"""An answer that begins so means: ask again."""

WAIT = "wait"
"""An answer that begins so means: ask again, however long it takes; a person may break the waiting off."""

WAIT_PAUSE_S = 0.02


@dataclass(frozen=True)
class Scene:
    """The scene that an episode begins in; `refusal` says why there is none."""

    refusal: str = ""
    episode: str = ""
    instruction: str = ""
    not_before_ns: int = 0
    step_limit: int = 0
    replan_every: int = 1
    room: str = ""


def to_answer(result: EpisodeResult, message: str) -> RunEpisode.Result:
    """Return the action's result."""
    return RunEpisode.Result(
        success=result.success,
        steps=result.steps,
        termination=result.termination,
        failure=result.failure,
        interventions=result.interventions,
        message=message,
        stages=list(result.stage_ms),
        stage_ms=list(result.stage_ms.values()),
        figures=list(result.driving),
        figure_values=list(result.driving.values()),
    )


class EpisodeSetup:
    """Calls scene, arm, policy and recorder in their order."""

    def __init__(
        self,
        node: Node,
        sender: str,
        is_heard: Callable[[], bool],
        goes_on_waiting: Callable[[str], bool],
        stamp_ns: Callable[[], int],
    ) -> None:
        """Make the service clients on `node`.

        Args:
            node: whose they are.
            sender: name under which it commands the arm.
            is_heard: tells whether the arm listens to its commands.
            goes_on_waiting: takes what a node waits for, again and again; returns False once the waiting is broken off.
            stamp_ns: returns the time on the clock of the data [ns].
        """
        self._stamp_ns = stamp_ns
        self._node, self._sender, self._is_heard, self._goes_on_waiting = node, sender, is_heard, goes_on_waiting
        self._scene = node.create_client(ResetScene, topics.TWIN_RESET_SCENE)
        self._arm = node.create_client(Command, topics.ARM_EVENT)
        self._policy = node.create_client(ResetPolicy, topics.POLICY_RESET)
        self._recorder = node.create_client(RecordEpisode, topics.RECORD_EPISODE)
        self._labels = node.create_client(LabelEpisode, topics.LABEL_EPISODE)
        self._corrections = node.create_client(Sentence, topics.POLICY_CORRECT)
        self._ready = {
            peer: node.create_client(Trigger, topics.ready(peer))
            for peer in ("arm_node", "policy_node", "recorder_node")
        }

    def tell_arm(self, event: str, reason: str) -> Future:
        """Send an event to the arm without waiting."""
        return self._arm.call_async(Command.Request(event=event, reason=reason, sender=self._sender))

    async def ask_arm(self, event: str, reason: str) -> Command.Response:
        """Send an event to the arm and return its answer."""
        return await self._ask(self._arm, Command.Request(event=event, reason=reason, sender=self._sender))

    async def correct_policy(self, phrase: str) -> Sentence.Response:
        """Hand a phrase to the policy and return its answer."""
        return await self._ask(self._corrections, Sentence.Request(sentence=phrase))

    async def label(self, request: LabelEpisode.Request) -> LabelEpisode.Response:
        """Let the recorder keep a label and return its answer."""
        return await self._ask(self._labels, request)

    async def missing(self, peers: Sequence[str]) -> str:
        """Return what these nodes lack before anything may move, each by name; empty if nothing."""
        found = []
        for peer in peers:
            for _ in range(READY_LOOKS):
                if self._ready[peer].service_is_ready():
                    break
                await self._pause(CONNECT_PAUSE_S)
            answer = await self._ask(self._ready[peer], Trigger.Request(), READY_TRIES)
            if not answer.success:
                found.append(f"{peer}: {answer.message}")
        return "; ".join(found)

    def scene_is_served(self) -> bool:
        """Return whether something sets the scene: a twin does; on a robot a person has to."""
        return self._scene.service_is_ready() or self._scene.wait_for_service(timeout_sec=SCENE_WAIT_S)

    async def begin(self, goal: RunEpisode.Goal, *, scene_needed: bool, last: Scene | None = None) -> Scene:
        """Set the scene, restart the gate, reset the policy, open the recording.

        Args:
            goal: the episode; without a policy if a hand drives it.
            scene_needed: refuse when nothing sets the scene; else the person who was asked has set it.
            last: the scene that stays as it is, where this is another attempt; else None.
        """
        by_hand = goal.driver == "hand"
        needed: dict[str, Client] = {"twin_node": self._scene} if scene_needed else {}
        needed["arm_node"] = self._arm
        if not by_hand:
            needed["policy_node"] = self._policy
        if goal.record:
            needed["recorder_node"] = self._recorder
        for name, client in needed.items():
            if not self._reachable(client):
                return Scene(refusal=f"{name} does not answer on {client.srv_name}: is it running?")
        episode = goal.episode or f"{goal.task or 'task'}-{goal.seed}"
        scene = ResetScene.Response(accepted=True, instruction=goal.task, step_limit=DEFAULT_STEP_LIMIT)
        scene.stamp = convert.to_time(self._stamp_ns())
        if last is not None:
            scene.instruction, scene.step_limit, scene.room = last.instruction, last.step_limit, last.room
        elif self._scene.service_is_ready():
            scene = await self._ask(self._scene, ResetScene.Request(task=goal.task, seed=goal.seed))
        if not scene.accepted:
            return Scene(refusal=scene.message)
        not_before, instruction = scene.stamp, scene.instruction
        restart = Command.Request(event="RESTART", reason="episode begins", sender=self._sender)
        requests: list[tuple[str, Client, Any]] = [("arm_node", self._arm, restart)]
        if not by_hand:
            reset = ResetPolicy.Request(task=instruction, seed=goal.seed, not_before=not_before)
            requests.append(("policy_node", self._policy, reset))
        metadata = {
            "task": goal.task,
            "instruction": instruction,
            "seed": goal.seed,
            "start_stamp_ns": convert.to_ns(not_before),
            "policy": "hand" if by_hand else "",
            "room": scene.room,
        }
        opening = RecordEpisode.Request(
            open=True, episode=episode, metadata_json=json.dumps(metadata), not_before=not_before
        )
        if goal.record:
            requests.append(("recorder_node", self._recorder, opening))
        replan_every = 1
        for name, client, request in requests:
            answer = await self._ask_until_accepted(client, request)
            if not answer.accepted:
                return Scene(refusal=f"{name}: {answer.message}")
            if client is self._policy:
                replan_every = answer.replan_every
                metadata |= {"policy": answer.policy, "policy_sha256": answer.policy_sha256}
                opening.metadata_json = json.dumps(metadata)
        for _ in range(CONNECT_TRIES):
            if self._is_heard():
                break
            await self._pause(CONNECT_PAUSE_S)
        else:
            return Scene(refusal=f"arm_node does not listen on {topics.ARM_COMMAND}")
        begun_ns = convert.to_ns(not_before)
        return Scene("", episode, instruction, begun_ns, scene.step_limit, replan_every, scene.room)

    async def end(self, goal: RunEpisode.Goal, episode: str, result: EpisodeResult) -> str:
        """Close the recording; return the file written, or why there is none."""
        if not goal.record:
            return ""
        answer = await self._ask(
            self._recorder,
            RecordEpisode.Request(open=False, episode=episode, metadata_json=json.dumps(to_mapping(result))),
        )
        return answer.path if answer.accepted else f"recorder_node: {answer.message}"

    async def ask_patiently(self, client: Client, request: Any, patience_s: float) -> Any:
        """Call a service once and return its answer; None if it does not come within `patience_s` [s]."""
        if not client.service_is_ready():
            return None
        answered = client.call_async(request)
        await self._either(answered, patience_s)
        if answered.done():
            return answered.result()
        client.remove_pending_request(answered)
        return None

    async def _ask_until_accepted(self, client: Client, request: Any) -> Any:
        """Ask again while the node says that it waits, or is not connected yet: discovery is not instantaneous."""
        tries = 0
        while tries < CONNECT_TRIES:
            answer = await self._ask(client, request)
            waits = answer.message.startswith(WAIT)
            if answer.accepted or not (waits or answer.message.startswith(NOT_CONNECTED)):
                break
            if waits and not self._goes_on_waiting(answer.message):
                break
            tries += not waits
            await self._pause(WAIT_PAUSE_S if waits else CONNECT_PAUSE_S)
        return answer

    async def _ask(self, client: Client, request: Any, tries: int = CALL_TRIES) -> Any:
        """Call a service; an answer that is lost while the two ends discover each other is asked for again.

        Every service asked here may be asked twice: the second call changes nothing more.
        """
        for _ in range(tries):
            answered = client.call_async(request)
            await self._either(answered, CALL_TIMEOUT_S)
            if answered.done():
                return answered.result()
            client.remove_pending_request(answered)
        return client.srv_type.Response(message=f"no answer on {client.srv_name} to {tries} calls: is it running?")

    async def _pause(self, duration_s: float) -> None:
        await self._either(Future(), duration_s)

    async def _either(self, future: Future, timeout_s: float) -> None:
        """Wait for `future`, but no longer than `timeout_s` [s]."""
        over = Future()

        def end(*_: object) -> None:
            if not over.done():
                over.set_result(None)

        timer = self._node.create_timer(timeout_s, end)
        future.add_done_callback(end)
        await over
        self._node.destroy_timer(timer)

    @staticmethod
    def _reachable(client: Client) -> bool:
        return client.service_is_ready() or client.wait_for_service(timeout_sec=SERVICE_WAIT_S)
