"""What happens between a goal and its scene: the arm goes home, or back, and a person may have to set the scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from rclpy.task import Future
from tutelage_interfaces.action import RunEpisode

from tutelage_core.session import DriveEvent, DriveState, Session
from tutelage_core.types import FloatArray, Pose
from tutelage_nodes.episode_setup import EpisodeSetup
from tutelage_nodes.home import Home

FARTHEST_OFFSET_M = 0.3
"""Another attempt begins no farther than this from the first one, along each axis [m]."""


class Preparation:
    """Brings an arm to the start of an episode, and of another attempt at it.

    A new scene of the twin has its arm at home: nothing is to do then.
    """

    def __init__(
        self,
        session: Session,
        setup: EpisodeSetup,
        home: Home,
        *,
        homes: bool,
        lockstep: bool,
        restart: Callable[[], None],
        ask_person: Callable[[str], Future],
    ) -> None:
        """Prepare with these.

        Args:
            session: who drives.
            setup: asks the other nodes.
            home: the way home, and back.
            homes: whether an arm goes home before an episode.
            lockstep: whether time waits; then no hand can drive.
            restart: makes a new stream of commands, for the way home.
            ask_person: says what a person has to do, and returns a future whose result is empty once it is done.
        """
        self._session, self._setup, self._home = session, setup, home
        self._homes, self._lockstep = homes, lockstep
        self._restart, self._ask_person = restart, ask_person
        self._began_at: Pose | None = None

    async def prepare(self, goal: RunEpisode.Goal) -> str:
        """Bring the arm home and let the scene be set; return why that cannot be, or nothing."""
        if self._lockstep and goal.driver == "hand":
            return "a hand needs real time: launch with clock:=realtime"
        if goal.again:
            return await self._go_back(goal)
        self._began_at = None
        if not self._homes:
            return ""
        if missing := await self._setup.missing(("arm_node",)):
            return missing
        if self._home.is_known and (objection := await self._walk(None)):
            return objection
        self._session.apply(DriveEvent.RESET_DONE)
        if self._setup.scene_is_served():
            return ""
        return await self._ask_person(f"set the scene for '{goal.task}', then START")

    def note_start(self, measured: Pose | None) -> None:
        """Note where the arm stands as an episode begins; the first attempt's place is that of all."""
        self._began_at = self._began_at or measured

    async def _go_back(self, goal: RunEpisode.Goal) -> str:
        if self._began_at is None:
            return "there is no attempt to follow: run an episode first, without 'again'"
        offset = np.array([goal.start_offset.x, goal.start_offset.y, goal.start_offset.z])
        if not (np.isfinite(offset).all() and np.abs(offset).max() <= FARTHEST_OFFSET_M):
            return f"start_offset: each axis within {FARTHEST_OFFSET_M} m, got {offset.tolist()}"
        return await self._walk(replace(self._began_at, position=self._began_at.position + offset))

    async def _walk(self, start: Pose | None) -> str:
        answer = await self._setup.ask_arm("RESTART", "on the way back" if start else "on the way home")
        if not answer.accepted:
            return f"arm_node: {answer.message}"
        self._restart()
        return await self._home.begin(start)

    def look(self, measured: Pose | None, arm_trouble: str, send: Callable[[FloatArray], None]) -> None:
        """Go on with the way home; call it often.

        Args:
            measured: where the TCP is, base frame; None before the first state.
            arm_trouble: what is wrong with the arm, empty if nothing is.
            send: takes the next step, shape (7,) [m, rad, 0..1].
        """
        if not self._home.runs:
            return
        if self._session.state is not DriveState.RESETTING:
            self._home.end(f"the session became {self._session.state} on the arm's way home")
        elif arm_trouble:
            self._home.end(arm_trouble)
        elif measured is not None:
            self._home.look(measured, send)

    def give_up(self, why: str) -> None:
        """Break off the way home."""
        self._home.end(why)
