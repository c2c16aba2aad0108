"""A person at the session's services, as tests play one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger
from tutelage_interfaces import msg as ti
from tutelage_interfaces.action import RunEpisode
from tutelage_interfaces.srv import Command, LabelEpisode, Sentence

from tutelage_nodes import topics

LIMIT_S = 40.0


class Person:
    """Calls services, asks for episodes, listens to the session's state."""

    def __init__(self, domain: int) -> None:
        """Join ROS domain `domain`."""
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("person", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self.states: list[ti.SessionState] = []
        self.node.create_subscription(ti.SessionState, topics.SESSION_STATE, self.states.append, topics.latched())
        self._clients: dict[str, Any] = {}
        self._episodes = ActionClient(self.node, RunEpisode, topics.RUN_EPISODE)

    def wait(self, seen: Callable[[], Any], what: str) -> Any:
        """Return what `seen` returns once it is something."""
        end = time.monotonic() + LIMIT_S
        while not (found := seen()):
            assert time.monotonic() < end, f"{what}: not within {LIMIT_S:g} s; states: {self.states[-3:]}"
            self._executor.spin_once(timeout_sec=0.05)
        return found

    def call(self, kind: Any, name: str, **fields: Any) -> Any:
        """Call a service and return its answer."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        self.wait(client.service_is_ready, f"service {name}")
        future = client.call_async(kind.Request(**fields))
        self.wait(future.done, f"answer of {name}")
        return future.result()

    def press(self, name: str) -> Trigger.Response:
        """Call a service that takes nothing."""
        return self.call(Trigger, name)

    def event(self, event: str, reason: str = "test") -> Command.Response:
        """Send an event to the session."""
        return self.call(Command, topics.SESSION_EVENT, event=event, reason=reason)

    def say(self, name: str, sentence: str) -> Sentence.Response:
        """Tell the session a sentence."""
        return self.call(Sentence, name, sentence=sentence)

    def label(self, **fields: Any) -> LabelEpisode.Response:
        """Judge an episode."""
        return self.call(LabelEpisode, topics.SESSION_LABEL, **fields)

    def begin(self, **goal: Any) -> Any:
        """Ask for an episode; return a future of its result, None if it is rejected."""
        self.wait(self._episodes.server_is_ready, "the action's server")
        asked = self._episodes.send_goal_async(RunEpisode.Goal(**goal))
        self.wait(asked.done, "answer to the goal")
        return asked.result().get_result_async() if asked.result().accepted else None

    def result(self, future: Any) -> RunEpisode.Result:
        """Wait for an episode's result."""
        self.wait(future.done, "the episode's result")
        return future.result().result

    def wait_for_state(self, state: str, why: str = "") -> ti.SessionState:
        """Wait until the session's newest state is this, with `why` in its reason."""

        def fits() -> ti.SessionState | None:
            newest = self.states[-1] if self.states else None
            return newest if newest is not None and newest.state == state and why in newest.reason else None

        return self.wait(fits, f"{state} ({why})")

    def leave(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@contextmanager
def person(domain: int) -> Iterator[Person]:
    """A person in ROS domain `domain`, who leaves at the end."""
    somebody = Person(domain)
    try:
        yield somebody
    finally:
        somebody.leave()
