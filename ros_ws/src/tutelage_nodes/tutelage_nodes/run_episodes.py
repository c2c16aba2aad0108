"""Asks the session for episodes, one after the other, and prints one JSON line for each: the graph's command line."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import rclpy
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from tutelage_interfaces.action import RunEpisode

from tutelage_core.errors import TutelageError
from tutelage_nodes import topics


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


class SessionClient:
    """Sends goals to `/session/run_episode` and waits for their results."""

    def __init__(self, node: Node) -> None:
        """Talk through `node`."""
        self._node = node
        self._client = ActionClient(node, RunEpisode, topics.RUN_EPISODE)

    def wait_for_session(self, timeout_s: float) -> None:
        """Wait until the session answers.

        Raises:
            TutelageError: it does not within `timeout_s` [s].
        """
        if not self._client.wait_for_server(timeout_s):
            raise TutelageError(f"no session answers on {topics.RUN_EPISODE} within {timeout_s:g} s: is the graph up?")

    def run(self, goal: RunEpisode.Goal, timeout_s: float) -> Outcome:
        """Run one episode.

        Raises:
            TutelageError: the goal is rejected, or there is no result within `timeout_s` [s].
        """
        accepted = self._client.send_goal_async(goal)
        rclpy.spin_until_future_complete(self._node, accepted, timeout_sec=timeout_s)
        handle = accepted.result()
        if handle is None or not handle.accepted:
            raise TutelageError("the session rejects the episode: it is stopped, or another episode runs")
        finished = handle.get_result_async()
        rclpy.spin_until_future_complete(self._node, finished, timeout_sec=timeout_s)
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
        )


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
    settings = parser.parse_args(arguments)
    rclpy.init()
    node = rclpy.create_node("run_episodes")
    client = SessionClient(node)
    try:
        client.wait_for_session(settings.timeout_s)
        numbers = itertools.count() if settings.episodes == 0 else range(settings.episodes)
        for seed in (settings.first_seed + number for number in numbers):
            goal = RunEpisode.Goal(
                task=settings.task,
                seed=seed,
                max_steps=settings.max_steps,
                record=bool(settings.prefix),
                episode=f"{settings.prefix or settings.task}-{seed}",
            )
            outcome = client.run(goal, settings.timeout_s)
            print(json.dumps(dataclasses.asdict(outcome)), flush=True)
            if outcome.termination == "error":
                return 1
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
