"""Scores recorded episodes for whoever asks: the action `/reward/score_episode`, with models of its own.

The models that look at the running episode are not asked, so that a long recording does not keep them from it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from rclpy.task import Future
from tutelage_interfaces.action import ScoreEpisode

from reward_models.recorded import observations
from reward_models.reward_model import Score, ScoreStatus
from reward_models.serving.model_process import LoadModel, ModelProcess
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import TutelageError
from tutelage_nodes import topics
from tutelage_nodes.convert_reward import to_reward_msg

AT_ONCE = 32
"""Moments of one question; the model's process is asked for the next ones with those before, if it needs them."""

DEADLINE_S = 60.0
"""For so many [s]."""


class ScoreDesk:
    """Serves the action, one recording at a time."""

    def __init__(self, node: Node, models: Sequence[str], load: LoadModel, folder: Path) -> None:
        """Open the action on `node` for these models; episodes are in `folder`."""
        self._node, self._models, self._load, self._folder = node, tuple(models), load, folder
        self._process: ModelProcess | None = None
        self._busy = self._over = False
        self._finished: list[tuple[Future, ScoreEpisode.Result]] = []
        self._wake = node.create_guard_condition(self._hand_out)
        self._server = ActionServer(
            node,
            ScoreEpisode,
            topics.SCORE_EPISODE,
            self._run,
            goal_callback=self._on_goal,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )

    def end(self) -> None:
        """End the model of a recording that is being scored."""
        self._over = True
        if self._process is not None:
            self._process.end()

    def _on_goal(self, goal: ScoreEpisode.Goal) -> GoalResponse:
        known = goal.model in ("", *self._models)
        if self._busy or not known:
            why = "a recording is being scored" if known else f"model '{goal.model}' is none of this node's"
            self._node.get_logger().error(f"{topics.SCORE_EPISODE}: refused: {why}")
            return GoalResponse.REJECT
        self._busy = True
        return GoalResponse.ACCEPT

    async def _run(self, handle: ServerGoalHandle) -> ScoreEpisode.Result:
        scored = Future(executor=self._node.executor)
        threading.Thread(target=self._score, args=(handle, scored), name="score desk", daemon=True).start()
        try:
            result: ScoreEpisode.Result = await scored
        finally:
            self._busy = False
        if handle.is_cancel_requested:
            handle.canceled()
        elif result.rewards:
            handle.succeed()
        else:
            handle.abort()
        return result

    def _hand_out(self) -> None:
        while self._finished:
            future, result = self._finished.pop(0)
            future.set_result(result)

    def _score(self, handle: ServerGoalHandle, scored: Future) -> None:
        goal: ScoreEpisode.Goal = handle.request
        model = goal.model or self._models[0]
        result = ScoreEpisode.Result(status=ScoreStatus.ERROR.value)
        process = self._process = ModelProcess(model, self._load)
        try:
            ready = process.start()
            episode = EpisodeStore(self._folder).read(goal.episode, tuple(ready.spec.cameras))
            frames, task = observations(episode), goal.task or episode.metadata.instruction
            scores: list[Score] = []
            for start in range(0, len(frames), AT_ONCE):
                if handle.is_cancel_requested or self._over:
                    break
                first = 0 if ready.spec.whole_episodes else start
                found = process.ask(frames[first : start + AT_ONCE], task, DEADLINE_S)
                scores += found[start - first :]
                handle.publish_feedback(ScoreEpisode.Feedback(frame=len(scores), frames=len(frames)))
            result.rewards = [to_reward_msg(model, score, goal.episode, False, math.nan) for score in scores]
            result.valid = len(scores) == len(frames) and all(score.valid for score in scores)
            bad = next((score for score in scores if not score.valid), None)
            result.status = (ScoreStatus.OK if bad is None else bad.status).value
            result.message = "" if bad is None else bad.message
            if len(scores) < len(frames):  # cancelled, or the node ends
                result.status = ScoreStatus.DROPPED.value
                result.message = f"it was broken off after {len(scores)} of {len(frames)} frames"
        except (TutelageError, OSError) as error:
            result.message = str(error)
        finally:
            process.end()
            self._process = None
            self._finished.append((scored, result))
            self._wake.trigger()
