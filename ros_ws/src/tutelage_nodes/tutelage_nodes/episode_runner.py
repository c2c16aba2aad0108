"""One episode from goal to result: check-list, way home, scene, drive, recording."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from rclpy.task import Future
from tutelage_interfaces.action import RunEpisode

from tutelage_core.errors import UnknownNameError
from tutelage_core.memory import give_back
from tutelage_core.session import DriveEvent, DriveState, Session
from tutelage_core.types import EpisodeResult
from tutelage_nodes import convert, topics
from tutelage_nodes.episode_setup import EpisodeSetup, Scene, to_answer

DRIVERS = ("policy", "hand")
RESULT_KEPT_S = 30
"""For so long a client may still ask how an episode ended [s]; rclpy's own 15 minutes pile up thousands of results."""


@dataclass
class Episode:
    """The episode that runs, or the nothing between two.

    Attributes:
        goal: what was asked; None between episodes.
        handle: where feedback goes; None unless it drives.
        done: fulfilled with result and message when it ends; None before it begins.
        instruction: sentence for the policy; empty between episodes.
        name: of the recording; empty unless it drives.
        limit: of moving steps.
        not_before_ns: what has an earlier stamp is of before it [ns].
    """

    goal: RunEpisode.Goal | None = None
    handle: ServerGoalHandle | None = None
    done: Future | None = None
    instruction: str = ""
    name: str = ""
    limit: int = 0
    not_before_ns: int = -1

    @property
    def runs(self) -> bool:
        """Whether it drives."""
        return self.done is not None and not self.done.done()

    @property
    def is_by_hand(self) -> bool:
        """Whether no policy drives it."""
        return self.goal is not None and self.goal.driver == "hand"

    @property
    def is_blind(self) -> bool:
        """Whether ground truth ends nothing."""
        return self.goal is not None and self.goal.blind


class EpisodeRunner:
    """Serves the action `/session/run_episode`."""

    def __init__(
        self,
        node: Node,
        session: Session,
        setup: EpisodeSetup,
        *,
        prepare: Callable[[RunEpisode.Goal], Awaitable[str]],
        scene_needed: bool,
        begin: Callable[[Scene], None],
        publish_state: Callable[[str], None],
        stamp_ns: Callable[[], int],
    ) -> None:
        """Open the action on `node`.

        Args:
            node: whose it is.
            session: who drives.
            setup: asks the other nodes.
            prepare: brings the arm to the start; returns why that cannot be, or nothing.
            scene_needed: whether an episode needs a node that sets its scene.
            begin: called when all is set, just before somebody drives.
            publish_state: says who drives, and why.
            stamp_ns: returns the time on the clock of the data [ns].
        """
        self.episode = Episode()
        self.task = ""
        """What the next episodes are about, unless their goals say otherwise."""
        self.last_name = ""
        """Of the last episode that was driven."""
        self._node, self._session, self._setup = node, session, setup
        self._prepare, self._begin, self._publish_state = prepare, begin, publish_state
        self._scene_needed, self._stamp_ns = scene_needed, stamp_ns
        self._asked: ServerGoalHandle | None = None
        self._scene = Scene()
        self._server = ActionServer(
            node,
            RunEpisode,
            topics.RUN_EPISODE,
            self._run,
            goal_callback=self._on_goal,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            result_timeout=RESULT_KEPT_S,
        )

    @property
    def is_cancelled(self) -> bool:
        """Whether the episode that was asked for last is not wanted any more."""
        return self._asked is not None and self._asked.is_cancel_requested

    @property
    def peers(self) -> tuple[str, ...]:
        """The nodes that the episode needs; all of them while none is asked for."""
        goal = self.episode.goal
        policy = () if self.episode.is_by_hand else ("policy_node",)
        return ("arm_node", *policy, *(("recorder_node",) if goal is None or goal.record else ()))

    def _on_goal(self, goal: RunEpisode.Goal) -> GoalResponse:
        objection = ""
        if self.episode.goal is not None:
            objection = "an episode runs already"
        elif self._session.state is not DriveState.PAUSED:
            objection = f"session is {self._session.state}, not PAUSED"
        elif (goal.driver or DRIVERS[0]) not in DRIVERS:
            objection = str(UnknownNameError("driver", goal.driver, DRIVERS))
        if objection:
            self._node.get_logger().warning(f"{objection}: goal rejected")
            return GoalResponse.REJECT
        self.episode = Episode(goal=goal)
        return GoalResponse.ACCEPT

    async def _run(self, handle: ServerGoalHandle) -> RunEpisode.Result:
        goal: RunEpisode.Goal = handle.request
        self._asked = handle
        goal.task = goal.task or self.task
        self.episode = episode = Episode(goal=goal, instruction=goal.task)
        self._session.apply(DriveEvent.RESET_BEGUN)
        self._publish_state("resetting")
        refusal = await self._prepare(goal)
        last = self._scene if goal.again else None
        needed = self._scene_needed and not goal.again
        scene = Scene(refusal=refusal) if refusal else await self._setup.begin(goal, scene_needed=needed, last=last)
        self._session.apply(DriveEvent.RESET_DONE)
        if not scene.refusal and self._session.state is not DriveState.PAUSED:
            scene = Scene(refusal=f"the session became {self._session.state} before the episode began")
        if scene.refusal:
            handle.abort()
            self.episode = Episode()
            self._publish_state(scene.refusal)
            return RunEpisode.Result(termination="error", message=scene.refusal)
        self._scene = scene
        self._begin(scene)
        episode.not_before_ns, episode.limit = scene.not_before_ns, goal.max_steps or scene.step_limit
        episode.done, episode.handle = Future(), handle
        episode.instruction, episode.name = scene.instruction, scene.episode
        self.last_name = scene.episode
        if not episode.is_by_hand:
            self._session.apply(DriveEvent.START)
        self._publish_state("waiting for a hand" if episode.is_by_hand else "driving")
        result, message = await episode.done
        ended_ns = self._stamp_ns()
        episode.handle, episode.instruction, episode.name = None, "", ""
        self._publish_state(result.termination)
        recording = await self._setup.end(goal, scene.episode, result)
        self.episode = Episode()
        give_back()
        (handle.abort if result.termination == "error" else handle.succeed)()
        answer = to_answer(result, message or recording)
        answer.instruction = scene.instruction
        answer.begun, answer.ended = convert.to_time(scene.not_before_ns), convert.to_time(ended_ns)
        return answer

    def finish(self, result: EpisodeResult, message: str) -> None:
        """End the episode that runs."""
        self._session.apply(DriveEvent.STOP if result.termination == "error" else DriveEvent.EPISODE_ENDED)
        if self.episode.done is not None:
            self.episode.done.set_result((result, message))
