"""What happens between a goal and its scene: the arm goes home, and a person may have to set the scene."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.task import Future
from tutelage_interfaces.action import RunEpisode

from tutelage_core.session import DriveEvent, DriveState, Session
from tutelage_core.types import FloatArray, Pose
from tutelage_nodes.episode_setup import EpisodeSetup
from tutelage_nodes.home import Home


class Preparation:
    """Brings an arm to the start of an episode. A new scene of the twin has its arm at home: nothing is to do then."""

    def __init__(
        self,
        session: Session,
        setup: EpisodeSetup,
        home: Home | None,
        *,
        lockstep: bool,
        restart: Callable[[], None],
        ask_person: Callable[[str], Future],
    ) -> None:
        """Prepare with these.

        Args:
            session: who drives.
            setup: asks the other nodes.
            home: the way home; None for the twin's own arm.
            lockstep: whether time waits; then no hand can drive.
            restart: makes a new stream of commands, for the way home.
            ask_person: says what a person has to do, and returns a future whose result is empty once it is done.
        """
        self._session, self._setup, self._home, self._lockstep = session, setup, home, lockstep
        self._restart, self._ask_person = restart, ask_person

    async def prepare(self, goal: RunEpisode.Goal) -> str:
        """Bring the arm home and let the scene be set; return why that cannot be, or nothing."""
        if self._lockstep and goal.driver == "hand":
            return "a hand needs real time: launch with clock:=realtime"
        if self._home is None:
            return ""
        if missing := await self._setup.missing(("arm_node",)):
            return missing
        if self._home.is_known:
            answer = await self._setup.ask_arm("RESTART", "on the way home")
            if not answer.accepted:
                return f"arm_node: {answer.message}"
            self._restart()
            if objection := await self._home.begin():
                return objection
        self._session.apply(DriveEvent.RESET_DONE)
        if self._setup.scene_is_served():
            return ""
        return await self._ask_person(f"set the scene for '{goal.task}', then START")

    def look(self, measured: Pose | None, arm_trouble: str, send: Callable[[FloatArray], None]) -> None:
        """Go on with the way home; call it often.

        Args:
            measured: where the TCP is, base frame; None before the first state.
            arm_trouble: what is wrong with the arm, empty if nothing is.
            send: takes the next step, shape (7,) [m, rad, 0..1].
        """
        if self._home is None or not self._home.runs:
            return
        if self._session.state is not DriveState.RESETTING:
            self._home.end(f"the session became {self._session.state} on the arm's way home")
        elif arm_trouble:
            self._home.end(arm_trouble)
        elif measured is not None:
            self._home.look(measured, send)

    def give_up(self, why: str) -> None:
        """Break off the way home."""
        if self._home is not None:
            self._home.end(why)
