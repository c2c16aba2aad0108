"""What is asked of the other nodes before and after an episode."""

from __future__ import annotations

import json
from dataclasses import dataclass

import rclpy.task
from rclpy.client import Client
from rclpy.node import Node
from tutelage_core.config import to_mapping
from tutelage_core.types import EpisodeResult
from tutelage_interfaces.action import RunEpisode
from tutelage_interfaces.srv import Command, RecordEpisode, ResetPolicy, ResetScene

from tutelage_nodes import convert, topics

SERVICE_WAIT_S = 5.0


@dataclass(frozen=True)
class Scene:
    """The scene that an episode begins in; `refusal` says why there is none."""

    refusal: str = ""
    episode: str = ""
    instruction: str = ""
    not_before_ns: int = 0
    step_limit: int = 0
    replan_every: int = 1


class EpisodeSetup:
    """Calls scene, arm, policy and recorder in their order."""

    def __init__(self, node: Node, robot: str) -> None:
        """Make the service clients on `node`."""
        self._node, self._robot = node, robot
        self._scene = node.create_client(ResetScene, topics.TWIN_RESET_SCENE)
        self._arm = node.create_client(Command, topics.ARM_EVENT)
        self._policy = node.create_client(ResetPolicy, topics.POLICY_RESET)
        self._recorder = node.create_client(RecordEpisode, topics.RECORD_EPISODE)

    def tell_arm(self, event: str, reason: str) -> rclpy.task.Future:
        """Send an event to the arm without waiting."""
        return self._arm.call_async(Command.Request(event=event, reason=reason))

    async def begin(self, goal: RunEpisode.Goal) -> Scene:
        """Reset the scene, restart the gate, reset the policy, open the recording."""
        needed = {"twin_node": self._scene, "arm_node": self._arm, "policy_node": self._policy}
        if goal.record:
            needed["recorder_node"] = self._recorder
        for name, client in needed.items():
            if not self._reachable(client):
                return Scene(refusal=f"{name} does not answer on {client.srv_name}: is it running?")
        scene = await self._scene.call_async(ResetScene.Request(task=goal.task, seed=goal.seed))
        if not scene.accepted:
            return Scene(refusal=scene.message)
        arm = await self.tell_arm("RESTART", "episode begins")
        if not arm.accepted or arm.state != "READY":
            return Scene(refusal=f"arm_node: {arm.message or arm.state}")
        not_before = scene.stamp
        policy = await self._policy.call_async(ResetPolicy.Request(
            task=scene.instruction, seed=goal.seed, not_before=not_before))
        if not policy.accepted:
            return Scene(refusal=f"policy_node: {policy.message}")
        episode = goal.episode or f"{goal.task or 'task'}-{goal.seed}"
        if goal.record:
            metadata = {"task": goal.task, "instruction": scene.instruction, "seed": goal.seed,
                        "start_stamp_ns": convert.to_ns(not_before)}
            answer = await self._recorder.call_async(RecordEpisode.Request(
                open=True, episode=episode, metadata_json=json.dumps(metadata), not_before=not_before))
            if not answer.accepted:
                return Scene(refusal=f"recorder_node: {answer.message}")
        return Scene("", episode, scene.instruction, convert.to_ns(not_before), scene.step_limit, policy.replan_every)

    async def end(self, goal: RunEpisode.Goal, result: EpisodeResult) -> str:
        """Close the recording; return the file written, or why there is none."""
        if not goal.record:
            return ""
        answer = await self._recorder.call_async(RecordEpisode.Request(
            open=False, metadata_json=json.dumps(to_mapping(result))))
        return answer.path if answer.accepted else f"recorder_node: {answer.message}"

    @staticmethod
    def _reachable(client: Client) -> bool:
        return client.service_is_ready() or client.wait_for_service(timeout_sec=SERVICE_WAIT_S)
