"""What a person may ask of the session, and what comes of it."""

from __future__ import annotations

from typing import Protocol

from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger
from tutelage_interfaces.srv import Command, LabelEpisode, Sentence

from tutelage_core.errors import UnknownNameError
from tutelage_core.session import DriveEvent, DriveState, Session
from tutelage_nodes import topics
from tutelage_nodes.episode_runner import EpisodeRunner
from tutelage_nodes.episode_setup import EpisodeSetup

NO_EPISODE = "no episode runs: begin one with the action run_episode"
BY_HAND = "no policy takes part in this episode: press the enabling key"


class Stream(Protocol):
    """The stream of commands of the episode that runs, as the desk sees it."""

    def finish(self, termination: str, message: str = "", failure: str = "") -> None:
        """End it."""
        ...

    def hand_over(self) -> None:
        """Forget what was planned: somebody else drives from now on."""
        ...

    def follow_phrase(self, phrase: str) -> None:
        """Count what the policy does on this phrase as a person's correction."""
        ...

    def give_up(self, why: str) -> None:
        """Break off what goes on before an episode: the way home, and the wait for a person."""
        ...

    def publish_state(self, reason: str) -> None:
        """Say who drives, and why."""
        ...


class OperatorDesk:
    """Serves `/session/event`, `stop`, `reset`, `arm`, `task`, `correct` and `label`."""

    def __init__(
        self, node: Node, session: Session, setup: EpisodeSetup, runner: EpisodeRunner, stream: Stream
    ) -> None:
        """Open the services on `node`; change `session`, ask the other nodes through `setup`."""
        self._session, self._setup, self._runner, self._stream = session, setup, runner, stream
        self._start: Future | None = None
        node.create_service(Command, topics.SESSION_EVENT, self._serve_event)
        node.create_service(Trigger, topics.SESSION_STOP, self._serve_stop)
        node.create_service(Trigger, topics.SESSION_RESET, self._serve_reset)
        node.create_service(Trigger, topics.SESSION_ARM, self._serve_arm)
        node.create_service(Sentence, topics.SESSION_TASK, self._serve_task)
        node.create_service(Sentence, topics.SESSION_CORRECT, self._serve_correct)
        node.create_service(LabelEpisode, topics.SESSION_LABEL, self._serve_label)

    def wait_for_start(self) -> Future:
        """Return a future that START fulfils with nothing, and anything that ends the wait with why."""
        self._start = Future()
        return self._start

    def end_wait(self, why: str) -> None:
        """End a wait for START; `why` is empty if the person agreed."""
        if self._start is not None and not self._start.done():
            self._start.set_result(why)

    async def apply(self, name: str, reason: str) -> str:
        """Do what an event asks; return why that is not possible, or nothing."""
        if name not in DriveEvent.__members__:
            return str(UnknownNameError("session event", name, DriveEvent.__members__))
        event = DriveEvent(name)
        if event is DriveEvent.EPISODE_ENDED and self._runner.episode.runs:
            self._stream.finish("aborted", reason)
        elif event is DriveEvent.START:
            return await self._apply_start(reason)
        elif event is DriveEvent.CLEAR_STOP:
            if objection := await self._clear_stop(reason):
                return objection
        elif event is DriveEvent.STOP:
            self._stop(reason)
        elif not self._session.apply(event):
            return f"{name} is not possible in {self._session.state}"
        if event is not DriveEvent.STOP:
            self._stream.publish_state(reason or name)
        return ""

    async def _clear_stop(self, reason: str) -> str:
        # the arm may have stopped by itself, and the session then waits in PAUSED
        if self._session.state not in (DriveState.STOPPED, DriveState.PAUSED):
            return f"{DriveEvent.CLEAR_STOP} is not possible in {self._session.state}"
        # it knows whether its stop may go; nobody drives before it says so
        answer = await self._setup.ask_arm(DriveEvent.CLEAR_STOP, reason)
        if not answer.accepted:
            return f"arm_node: {answer.message}"
        self._session.apply(DriveEvent.CLEAR_STOP)
        return ""

    async def _apply_start(self, reason: str) -> str:
        waits = self._start is not None and not self._start.done()
        if not waits and not self._runner.episode.runs:
            return NO_EPISODE
        if self._session.state is not DriveState.PAUSED:
            return f"START is not possible in {self._session.state}"
        if not waits and self._runner.episode.is_by_hand:
            return BY_HAND
        missing = await self._setup.missing(self._runner.peers)
        if missing:
            return f"not ready: {missing}"
        if waits:
            self.end_wait("")
            return ""
        if not self._session.apply(DriveEvent.START):  # asking took a moment: the state may be another one by now
            return f"START is not possible in {self._session.state}"
        self._stream.hand_over()
        self._stream.publish_state(reason or "START")
        return ""

    def _stop(self, reason: str) -> None:
        self._session.apply(DriveEvent.STOP)
        self._setup.tell_arm(DriveEvent.STOP, reason)
        why = reason or "a person's stop"
        self._stream.give_up(f"stopped: {why}")
        if self._runner.episode.runs:
            self._stream.finish("stopped", why)
        self._stream.publish_state(why)

    async def _serve_event(self, request: Command.Request, response: Command.Response) -> Command.Response:
        response.message = await self.apply(request.event, request.reason)
        response.accepted = not response.message
        response.state = str(self._session.state)
        return response

    def _serve_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._stop(topics.SESSION_STOP)
        response.success, response.message = True, "stopped; look why, then call /session/reset"
        return response

    async def _serve_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        objection = await self.apply(DriveEvent.CLEAR_STOP, topics.SESSION_RESET)
        response.success, response.message = not objection, objection or "cleared; nothing moves before it is started"
        return response

    async def _serve_arm(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Go through the check-list; where an episode waits for a start, start it."""
        missing = await self._setup.missing(self._runner.peers)
        if self._session.state is DriveState.STOPPED:
            missing = "; ".join(filter(None, ["the session is stopped: call /session/reset", missing]))
        objection = f"not ready: {missing}" if missing else await self.apply(DriveEvent.START, topics.SESSION_ARM)
        response.success = objection in ("", NO_EPISODE)
        response.message = f"ready; {NO_EPISODE}" if objection == NO_EPISODE else objection or "started"
        return response

    def _serve_task(self, request: Sentence.Request, response: Sentence.Response) -> Sentence.Response:
        response.accepted = bool(request.sentence.strip())
        if response.accepted:
            self._runner.task = request.sentence.strip()
            response.message = f"the next episode is about: {self._runner.task}"
        else:
            response.message = "an empty sentence is no task"
        return response

    async def _serve_correct(self, request: Sentence.Request, response: Sentence.Response) -> Sentence.Response:
        """Hand a phrase to the policy while it drives; it goes on driving."""
        if not self._session.apply(DriveEvent.PHRASE):
            response.message = f"a phrase corrects the policy while it drives; the session is {self._session.state}"
            return response
        answer = await self._setup.correct_policy(request.sentence)
        response.accepted, response.message = answer.accepted, answer.message
        if answer.accepted:
            self._stream.follow_phrase(request.sentence)
            self._stream.publish_state(f"corrected: {request.sentence}")
        return response

    async def _serve_label(
        self, request: LabelEpisode.Request, response: LabelEpisode.Response
    ) -> LabelEpisode.Response:
        """Keep a person's judgement; it ends the episode that runs."""
        if request.success and request.failure:
            response.message = f"a success has no failure kind, got {request.failure!r}"
            return response
        running = self._runner.episode.name
        if running and request.episode in ("", running):
            request.episode = running
            termination = "success" if request.success else "failure"
            self._stream.finish(termination, f"{request.author or 'a person'} says so", request.failure)
        elif not request.episode:
            request.episode = self._runner.last_name
        if not request.episode:
            response.message = "there was no episode yet: name the one that is meant"
            return response
        return await self._setup.label(request)
