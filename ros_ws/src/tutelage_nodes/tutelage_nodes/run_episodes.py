"""Asks the session for episodes, one after the other, and prints one JSON line for each: the graph's command line."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import rclpy
from rclpy.action import ActionClient
from rclpy.client import Client
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_srvs.srv import Trigger
from tutelage_interfaces import msg as ti
from tutelage_interfaces.action import RunEpisode, RunTask
from tutelage_interfaces.srv import Command, ResetScene, VerifyEpisode

from tutelage_core.errors import TutelageError
from tutelage_core.session import DriveEvent, DriveState
from tutelage_nodes import topics

ANSWER_S = 2.0
LOOK_S = 0.2
"""How often a running episode is looked after [s]."""


@dataclass(frozen=True)
class Outcome:
    """What the session said of one episode."""

    seed: int
    episode: str
    success: bool
    steps: int
    termination: str
    failure: str
    interventions: int
    message: str
    stage_ms: dict[str, float]
    driving: dict[str, float] = field(default_factory=dict)
    attempts: int = 1


class SessionClient:
    """Sends goals to `/session/run_episode` and waits for their results."""

    def __init__(self, node: Node) -> None:
        """Talk through `node`."""
        self._node = node
        self._client = ActionClient(node, RunEpisode, topics.RUN_EPISODE)
        self._tasks = ActionClient(node, RunTask, topics.RUN_TASK)
        self._verifier = node.create_client(VerifyEpisode, topics.VERIFY_EPISODE)
        self._scene = node.create_client(ResetScene, topics.TWIN_RESET_SCENE)
        self._stop = node.create_client(Trigger, topics.SESSION_STOP)
        self._reset = node.create_client(Trigger, topics.SESSION_RESET)
        self._event = node.create_client(Command, topics.SESSION_EVENT)
        self._state = ti.SessionState()
        node.create_subscription(ti.SessionState, topics.SESSION_STATE, self._on_state, topics.latched())

    def wait_for_session(self, timeout_s: float) -> None:
        """Wait until the session answers.

        Raises:
            TutelageError: it does not within `timeout_s` [s].
        """
        if not self._client.wait_for_server(timeout_s):
            raise TutelageError(f"no session answers on {topics.RUN_EPISODE} within {timeout_s:g} s: is the graph up?")

    def run(self, goal: RunEpisode.Goal, timeout_s: float, *, end_without_policy: bool = False) -> Outcome:
        """Run one episode; with `end_without_policy` one whose policy has died is ended, and not waited for.

        Raises:
            TutelageError: the goal is rejected, or there is no result within `timeout_s` [s].
        """
        accepted = self._client.send_goal_async(goal)
        rclpy.spin_until_future_complete(self._node, accepted, timeout_sec=timeout_s)
        handle = accepted.result()
        if handle is None or not handle.accepted:
            raise TutelageError("the session rejects the episode: it is stopped, or another episode runs")
        finished = handle.get_result_async()
        end_s = time.monotonic() + timeout_s
        ended = None
        while not finished.done() and time.monotonic() < end_s:
            rclpy.spin_until_future_complete(self._node, finished, timeout_sec=LOOK_S)
            if end_without_policy and self._policy_has_died(goal.episode) and (ended is None or ended.done()):
                request = Command.Request(event=DriveEvent.EPISODE_ENDED, reason="its policy has died")
                ended = self._event.call_async(request)
        answer = finished.result()
        if answer is None:
            handle.cancel_goal_async()
            raise TutelageError(f"episode {goal.episode}: no result within {timeout_s:g} s")
        result = answer.result
        return Outcome(
            goal.seed,
            goal.episode,
            result.success,
            result.steps,
            result.termination,
            result.failure,
            result.interventions,
            result.message,
            dict(zip(result.stages, result.stage_ms, strict=True)),
            dict(zip(result.figures, result.figure_values, strict=True)),
        )

    def run_task(self, goal: RunTask.Goal, timeout_s: float) -> Outcome:
        """Try a task until a verifier says that it worked.

        Raises:
            TutelageError: the goal is rejected, or there is no result within `timeout_s` [s].
        """
        if not self._tasks.wait_for_server(timeout_s):
            raise TutelageError(f"no session answers on {topics.RUN_TASK} within {timeout_s:g} s")
        self._verifier.wait_for_service(timeout_s)
        end_s = time.monotonic() + timeout_s
        while True:  # the session finds the verifier a moment after this program has
            accepted = self._tasks.send_goal_async(goal)
            rclpy.spin_until_future_complete(self._node, accepted, timeout_sec=timeout_s)
            handle = accepted.result()
            if handle is not None and handle.accepted:
                break
            if handle is None or time.monotonic() > end_s:
                raise TutelageError("the session rejects the task: another one is being done, or nobody verifies")
            time.sleep(LOOK_S)
        finished = handle.get_result_async()
        rclpy.spin_until_future_complete(self._node, finished, timeout_sec=timeout_s)
        answer = finished.result()
        if answer is None:
            handle.cancel_goal_async()
            raise TutelageError(f"task {goal.name}: no result within {timeout_s:g} s")
        result = answer.result
        said = "; ".join(f"{a} ({r})" for a, r in zip(result.answers, result.reasons, strict=True))
        return Outcome(
            goal.seed,
            f"{goal.name}-{max(result.attempts, 1) - 1}",
            result.success,
            result.steps,
            result.ending,
            "" if result.success else result.ending,
            result.interventions,
            result.message or said,
            {},
            {},
            result.attempts,
        )

    def clear_stop(self, task: str, seed: int, timeout_s: float) -> None:
        """Set the twin's scene anew and leave a stop, as a person would at a robot who has cleared its way.

        Raises:
            TutelageError: the stop cannot be cleared within `timeout_s` [s].
        """
        end_s = time.monotonic() + timeout_s
        said = "no answer"
        while time.monotonic() < end_s:
            self._call(self._scene, ResetScene.Request(task=task, seed=seed))
            self._call(self._stop, Trigger.Request())  # the arm's place in the new scene is the one that is held
            cleared = self._call(self._reset, Trigger.Request())
            if cleared is not None and cleared.success:
                return
            said = cleared.message if cleared is not None else said
            time.sleep(LOOK_S)
        raise TutelageError(f"the stop cannot be cleared: {said}")

    def _policy_has_died(self, episode: str) -> bool:
        state = self._state
        return state.state == DriveState.PAUSED and state.episode == episode and "policy_node" in state.reason

    def _on_state(self, message: ti.SessionState) -> None:
        self._state = message

    def _call(self, client: Client, request: Any) -> Any:
        client.wait_for_service(ANSWER_S)
        answered = client.call_async(request)
        rclpy.spin_until_future_complete(self._node, answered, timeout_sec=ANSWER_S)
        return answered.result()


def run_episodes(arguments: Sequence[str]) -> int:
    """Run the episodes that the command line asks for; return 0 unless one could not be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="PickCube", help="task name")
    parser.add_argument("--first-seed", type=int, default=1_000_000, help="seed of the first episode")
    parser.add_argument("--episodes", type=int, default=1, help="how many; 0 for no end")
    parser.add_argument("--max-steps", type=int, default=0, help="limit of control periods; 0 for the task's own")
    parser.add_argument("--prefix", default="", help="record, and name the recordings PREFIX-SEED")
    parser.add_argument(
        "--timeout-s", type=float, default=120.0, help="limit for one episode, and for the session to appear"
    )
    parser.add_argument(
        "--clear-stops", action="store_true", help="in the twin: after a stop set the scene anew, clear it and go on"
    )
    parser.add_argument(
        "--retry-s", type=float, default=0.0, help="ask for so long again for an episode that cannot begin [s]"
    )
    parser.add_argument(
        "--end-without-policy", action="store_true", help="end an episode whose policy has died, and go on"
    )
    parser.add_argument(
        "--tries", type=int, default=0, help="verify and retry, with so many attempts at most; 0 runs plain episodes"
    )
    settings = parser.parse_args(arguments)
    rclpy.init()
    node = rclpy.create_node("run_episodes")
    client = SessionClient(node)
    try:
        client.wait_for_session(settings.timeout_s)
        numbers = itertools.count() if settings.episodes == 0 else range(settings.episodes)
        for seed in (settings.first_seed + number for number in numbers):
            name = f"{settings.prefix or settings.task}-{seed}"
            if settings.tries:
                tried = RunTask.Goal(
                    task=settings.task,
                    seed=seed,
                    max_steps=settings.max_steps,
                    tries=settings.tries,
                    record=bool(settings.prefix),
                    name=name,
                )
                outcome = client.run_task(tried, settings.timeout_s * settings.tries)
                print(json.dumps(dataclasses.asdict(outcome)), flush=True)
                if outcome.termination == "error":
                    return 1
                continue
            goal = RunEpisode.Goal(
                task=settings.task,
                seed=seed,
                max_steps=settings.max_steps,
                record=bool(settings.prefix),
                episode=name,
            )
            end_s = time.monotonic() + settings.retry_s
            while True:
                outcome = client.run(goal, settings.timeout_s, end_without_policy=settings.end_without_policy)
                if outcome.termination != "error" or outcome.steps or time.monotonic() > end_s:
                    break
            print(json.dumps(dataclasses.asdict(outcome)), flush=True)
            if outcome.termination == "error":
                return 1
            if outcome.termination == "stopped" and settings.clear_stops:
                client.clear_stop(settings.task, seed, settings.timeout_s)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except TutelageError as error:
        print(f"run_episodes: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def main() -> None:
    """Run the program."""
    sys.exit(run_episodes(rclpy.utilities.remove_ros_args(sys.argv)[1:]))
