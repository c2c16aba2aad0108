"""What people at the page ask for, done through the session's services and its action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.action import ActionClient
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future
from tutelage_interfaces.action import RunEpisode
from tutelage_interfaces.srv import Command, LabelEpisode, Sentence

from tutelage.ui import messages
from tutelage.ui.graph_starter import GraphStarter
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import TutelageError
from tutelage_core.session import DriveEvent
from tutelage_nodes import topics

Reply = Callable[[bool, str], None]
STOP_FOR_NS = 3 * NS_PER_S
"""A stop is sent again for so long, until the session has answered it [ns]."""

NO_SESSION = "no session answers: bring the graph up first"


@dataclass
class Series:
    """Episodes that follow one another.

    Attributes:
        asked: what was asked for.
        number: of the episode that runs or ran last, from 0 on.
        running: whether one runs.
        follow: what a person wants after the episode that runs: nothing, redo or next.
        last: name of the last recording, empty if there is none.
        words: how it goes.
    """

    asked: messages.Run
    number: int = 0
    running: bool = False
    follow: str = ""
    last: str = ""
    words: str = ""

    @property
    def seed(self) -> int:
        """Seed of the episode."""
        return self.asked.seed + self.number


class UiDesk:
    """Belongs to the node's thread."""

    def __init__(
        self,
        node: Node,
        clock: Clock,
        starter: GraphStarter,
        show: Callable[[str, Any], None],
        ended: Callable[[bool], None],
    ) -> None:
        """Open clients.

        Args:
            node: asks.
            clock: steady clock.
            starter: brings graphs up.
            show: shows how a series goes.
            ended: is told of each episode's success.
        """
        self._clock, self._stop_reason, self._stop_until_ns = clock, "", 0
        self._starter, self._show, self._ended = starter, show, ended
        self._arm_event = node.create_client(Command, topics.ARM_EVENT)
        self._event = node.create_client(Command, topics.SESSION_EVENT)
        self._correct = node.create_client(Sentence, topics.SESSION_CORRECT)
        self._label = node.create_client(LabelEpisode, topics.SESSION_LABEL)
        self._episodes = ActionClient(node, RunEpisode, topics.RUN_EPISODE)
        self._node = node
        self.series: Series | None = None

    def stop(self, reason: str) -> None:
        """Stop the session, and the arm by itself: if one of them is gone, the other still hears it."""
        self._stop_reason, self._stop_until_ns = reason, self._clock.now_ns() + STOP_FOR_NS
        self._send_stop()

    def look(self) -> None:
        """Stop again what has not heard it; call it often."""
        if self._clock.now_ns() < self._stop_until_ns:
            self._send_stop()

    def _send_stop(self) -> None:
        request = Command.Request(event=DriveEvent.STOP, reason=self._stop_reason)
        if self._event.service_is_ready():
            # its answer, and no state: one that came later may have taken the state's place on the way
            self._event.call_async(request).add_done_callback(self._end_stop)
        if self._arm_event.service_is_ready():
            self._arm_event.call_async(request)

    def _end_stop(self, _: Future) -> None:
        self._stop_until_ns = 0

    def do(self, request: messages.AnyRequest, author: str, reply: Reply) -> None:
        """Do what is asked and call `reply` with whether it was done and a sentence."""
        try:
            match request:
                case messages.Event():
                    self._send_event(request.event, author, reply)
                case messages.Correct():
                    asked = Sentence.Request(sentence=request.sentence)
                    self._call(self._correct, asked, reply)
                case messages.Label():
                    label = LabelEpisode.Request(episode=request.episode, author=author)
                    label.success, label.failure = request.success, request.failure
                    self._call(self._label, label, reply)
                case messages.Run():
                    self._run(request, reply)
                case messages.Again():
                    self._again(request.what, author, reply)
                case messages.Launch():
                    reply(True, self._starter.start(request))
                case messages.Shutdown():
                    reply(True, self._starter.end())
        except TutelageError as error:
            reply(False, str(error))

    def _send_event(self, event: str, author: str, reply: Reply) -> None:
        if event == DriveEvent.EPISODE_ENDED and self.series is not None:
            self.series.asked = self.series.asked.model_copy(update={"episodes": self.series.number + 1})
        self._call(self._event, Command.Request(event=event, reason=f"{author}: {event}"), reply)

    def _call(self, client: Client, request: Any, reply: Reply) -> None:
        if not client.service_is_ready():
            reply(False, NO_SESSION)
            return
        future = client.call_async(request)
        future.add_done_callback(lambda done: reply(done.result().accepted, done.result().message))

    def _run(self, request: messages.Run, reply: Reply) -> None:
        if self.series is not None and self.series.running:
            reply(False, "an episode runs already")
            return
        if not request.task.strip():
            reply(False, "an episode needs a task or a sentence")
            return
        self.series = Series(request)
        self._begin(reply)

    def _again(self, what: str, author: str, reply: Reply) -> None:
        series = self.series
        if series is None:
            reply(False, "there was no episode yet: run one under Start")
            return
        if series.running:
            series.follow = what
            self._call(self._event, Command.Request(event=DriveEvent.EPISODE_ENDED, reason=f"{author}: {what}"), reply)
            return
        self._move_on(series, what)
        self._begin(reply)

    @staticmethod
    def _move_on(series: Series, what: str) -> None:
        series.number += what == "next"
        if series.number >= series.asked.episodes:
            series.asked = series.asked.model_copy(update={"episodes": series.number + 1})

    def _begin(self, reply: Reply) -> None:
        series = self.series
        if series is None or not self._episodes.server_is_ready():
            reply(False, NO_SESSION)
            return
        asked = series.asked
        goal = RunEpisode.Goal(task=asked.task.strip(), seed=series.seed, max_steps=asked.max_steps)
        goal.record, goal.driver = asked.record, asked.driver
        if asked.record:
            stamp = self._node.get_clock().now().nanoseconds // 1_000_000
            task = "".join(c if c.isalnum() else "-" for c in goal.task)[:24]
            goal.episode = series.last = f"{task}-{series.seed}-{stamp:x}"
        series.running, series.follow = True, ""
        self._tell(series, "begins")

        def accepted(future: Any) -> None:
            handle = future.result()
            if not handle.accepted:
                series.running = False
                self._tell(series, "was rejected: the session is stopped, or another episode runs")
                reply(False, series.words)
                return
            reply(True, series.words)
            handle.get_result_async().add_done_callback(lambda done: self._finish(series, done.result().result))

        self._episodes.send_goal_async(goal).add_done_callback(accepted)

    def _finish(self, series: Series, result: RunEpisode.Result) -> None:
        series.running = False
        if result.termination != "error" or result.steps:
            self._ended(result.success)
        more = f": {result.message}" if result.termination == "error" else f" after {result.steps} steps"
        self._tell(series, f"ended with {result.failure or result.termination}{more}")
        wanted = series.follow or ("next" if series.number + 1 < series.asked.episodes else "")
        if wanted and result.termination not in ("stopped", "error"):
            self._move_on(series, wanted)
            self._begin(lambda _, __: None)

    def _tell(self, series: Series, what: str) -> None:
        total = f"{series.number + 1} of {series.asked.episodes}"
        series.words = f"Episode {total} ({series.asked.task}, seed {series.seed}) {what}"
        self._show("series", {"words": series.words, "running": series.running, "episode": series.last})
