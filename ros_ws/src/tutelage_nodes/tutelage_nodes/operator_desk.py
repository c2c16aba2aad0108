"""What an operator may ask of the session, and what comes of it."""

from __future__ import annotations

from typing import Protocol

from tutelage_interfaces.srv import Command

from tutelage_core.errors import UnknownNameError
from tutelage_core.session import DriveEvent, Session
from tutelage_nodes.episode_setup import EpisodeSetup


class RunningEpisode(Protocol):
    """The episode that runs, as the desk sees it."""

    def episode_runs(self) -> bool:
        """Return whether there is one."""
        ...

    def finish(self, termination: str, message: str = "") -> None:
        """End it."""
        ...

    def take_over(self) -> None:
        """Forget what was planned: somebody else drives from now on."""
        ...

    def publish_state(self, reason: str) -> None:
        """Say who drives, and why."""
        ...


class OperatorDesk:
    """Applies events that come through the service `/session/event`."""

    def __init__(self, session: Session, setup: EpisodeSetup, episode: RunningEpisode) -> None:
        """Change `session`; ask the arm through `setup`."""
        self._session, self._setup, self._episode = session, setup, episode

    async def serve(self, request: Command.Request, response: Command.Response) -> Command.Response:
        """Answer the service."""
        response.message = await self._apply(request)
        response.accepted = not response.message
        response.state = str(self._session.state)
        if response.accepted:
            self._episode.publish_state(request.reason or request.event)
        return response

    async def _apply(self, request: Command.Request) -> str:
        """Do what is asked; return why that is not possible, or nothing."""
        if request.event not in DriveEvent.__members__:
            return str(UnknownNameError("session event", request.event, DriveEvent.__members__))
        event = DriveEvent(request.event)
        if event is DriveEvent.EPISODE_ENDED and self._episode.episode_runs():
            self._episode.finish("aborted", request.reason)
            return ""
        if event is DriveEvent.CLEAR_STOP:
            # the arm knows whether its stop may go; nobody drives before it says so
            answer = await self._setup.ask_arm(event, request.reason)
            if not answer.accepted:
                return f"arm_node: {answer.message}"
        if event is DriveEvent.START and not self._episode.episode_runs():
            return "no episode runs: begin one with the action run_episode"
        if not self._session.apply(event):
            return f"{request.event} is not possible in {self._session.state}"
        return self._follow(event, request.reason)

    def _follow(self, event: DriveEvent, reason: str) -> str:
        """Do what an event brings with it."""
        if event is DriveEvent.START:
            self._episode.take_over()
        elif event is DriveEvent.STOP:
            self._setup.tell_arm(event, reason)
            if self._episode.episode_runs():
                self._episode.finish("stopped", reason)
        return ""
