"""Verify and retry (RUM, 1.5) in the graph: the action `/session/run_task` runs attempts, and asks after each of them.

An attempt is an ordinary episode, asked for through the session's own action, so that hands, stops, labels and the
recorder have to do with it as with any other. A person's label is a verdict, too, and the last word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from geometry_msgs.msg import Vector3
from rclpy.action import ActionClient, ActionServer, CancelResponse, GoalResponse
from rclpy.action.client import ClientGoalHandle
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from tutelage_interfaces.action import RunEpisode, RunTask
from tutelage_interfaces.srv import LabelEpisode, VerifyEpisode

from policies.rum.retry import Attempt, RetryLoop, RetrySettings
from reward_models.verifier.accounts import VerifierWatch
from tutelage_core.errors import ConfigurationError
from tutelage_core.verdict import Answer, Verdict
from tutelage_nodes import convert, topics
from tutelage_nodes.episode_runner import RESULT_KEPT_S
from tutelage_nodes.episode_setup import EpisodeSetup

VERIFIER_PATIENCE_S = 90.0
"""A verifier that does not answer within this time is not there [s]; a model behind a network has its own deadline."""

VERIFIER_SHOWS_S = 2.0
"""One that is running shows within this time [s]."""

A_PERSON = "a person"
JUDGED = {"success": Answer.YES, "failure": Answer.NO}
"""Terminations that are somebody's verdict."""


@dataclass(frozen=True)
class _Attempted:
    """What an attempt's episode came to; `trouble` is its termination where nothing is to be verified."""

    name: str
    instruction: str = ""
    begun_ns: int = 0
    ended_ns: int = 0
    steps: int = 0
    interventions: int = 0
    trouble: str = ""
    message: str = ""
    verdict: Verdict | None = None


class TaskRunner:
    """Serves `/session/run_task`."""

    def __init__(self, node: Node, setup: EpisodeSetup) -> None:
        """Open the action on `node`; labels go to the recorder through `setup`."""
        self._node, self._setup = node, setup
        self._watch = VerifierWatch()
        self._runs = False
        self._episode: ClientGoalHandle | None = None
        self._episodes = ActionClient(node, RunEpisode, topics.RUN_EPISODE)
        self._verifier = node.create_client(VerifyEpisode, topics.VERIFY_EPISODE)
        self._server = ActionServer(
            node,
            RunTask,
            topics.RUN_TASK,
            self._run,
            goal_callback=self._on_goal,
            cancel_callback=self._on_cancel,
            result_timeout=RESULT_KEPT_S,
        )

    def _on_goal(self, goal: RunTask.Goal) -> GoalResponse:
        objection = ""
        if self._runs:
            objection = "another task is being done"
        elif not (self._verifier.service_is_ready() or self._verifier.wait_for_service(VERIFIER_SHOWS_S)):
            objection = f"nobody verifies on {topics.VERIFY_EPISODE}: launch with verifier:=NAME"
        if objection:
            self._node.get_logger().warning(f"{topics.RUN_TASK}: {objection}: goal rejected")
            return GoalResponse.REJECT
        self._runs = True
        return GoalResponse.ACCEPT

    def _on_cancel(self, _: ServerGoalHandle) -> CancelResponse:
        if self._episode is not None:
            self._episode.cancel_goal_async()
        return CancelResponse.ACCEPT

    async def _run(self, handle: ServerGoalHandle) -> RunTask.Result:
        try:
            result = await self._do(handle)
        finally:
            self._runs, self._episode = False, None
        if handle.is_cancel_requested:
            handle.canceled()
        elif result.ending == "error":
            handle.abort()
        else:
            handle.succeed()
        return result

    async def _do(self, handle: ServerGoalHandle) -> RunTask.Result:
        goal: RunTask.Goal = handle.request
        settings = RetrySettings(tries=goal.tries) if goal.tries else RetrySettings()
        loop = RetryLoop(settings, goal.seed)
        attempt: Attempt | None = loop.attempt
        ending = message = ""
        steps = interventions = 0
        while attempt is not None:
            handle.publish_feedback(RunTask.Feedback(attempt=attempt.number, doing="attempt"))
            done = await self._attempt(goal, attempt)
            steps, interventions = steps + done.steps, interventions + done.interventions
            if done.trouble:
                ending, message = done.trouble, done.message
                break
            handle.publish_feedback(RunTask.Feedback(attempt=attempt.number, doing="verdict"))
            verdict = done.verdict or await self._ask(done)
            following = loop.judge(verdict)
            while following == attempt and not handle.is_cancel_requested:
                verdict = await self._ask(done)
                following = loop.judge(verdict)
            if handle.is_cancel_requested:
                ending, message = "stopped", "cancelled"
                break
            await self._keep(goal, done, verdict)
            attempt = following
        said = loop.verdicts
        return RunTask.Result(
            success=not ending and bool(said) and said[-1].answer is Answer.YES,
            ending=ending or str(loop.ending),
            attempts=loop.attempts,
            steps=steps,
            interventions=interventions,
            answers=[str(verdict.answer) for verdict in said],
            reasons=[verdict.reason for verdict in said],
            verifiers=[verdict.verifier for verdict in said],
            message=message,
        )

    async def _attempt(self, goal: RunTask.Goal, attempt: Attempt) -> _Attempted:
        name = f"{goal.name or '-'.join((goal.task or 'task', str(goal.seed)))}-{attempt.number}"
        x, y, z = attempt.offset_m
        asked = RunEpisode.Goal(
            task=goal.task,
            seed=attempt.policy_seed(goal.seed),
            max_steps=goal.max_steps,
            record=goal.record,
            episode=name,
            again=attempt.number > 0,
            start_offset=Vector3(x=x, y=y, z=z),
            blind=True,
        )
        self._episode = await self._episodes.send_goal_async(asked)
        if not self._episode.accepted:
            why = "the session rejects the attempt: it is stopped, or an episode runs"
            return _Attempted(name, trouble="error", message=why)
        result = (await self._episode.get_result_async()).result
        spoken = JUDGED.get(result.termination)
        done = _Attempted(
            name,
            result.instruction,
            convert.to_ns(result.begun),
            convert.to_ns(result.ended),
            result.steps,
            result.interventions,
        )
        if spoken is not None:
            return replace(done, verdict=Verdict(spoken, A_PERSON, result.message or result.termination))
        if result.termination != "time_limit":
            return replace(done, trouble=result.termination, message=result.message)
        return done

    async def _ask(self, done: _Attempted) -> Verdict:
        begin, end = convert.to_time(done.begun_ns), convert.to_time(done.ended_ns)
        request = VerifyEpisode.Request(task=done.instruction, begin=begin, end=end)
        answer = await self._setup.ask_patiently(self._verifier, request, VERIFIER_PATIENCE_S)
        if answer is None:
            why = f"no answer on {topics.VERIFY_EPISODE} within {VERIFIER_PATIENCE_S:g} s: is verifier_node running?"
            return Verdict(Answer.UNKNOWN, topics.VERIFY_EPISODE, why)
        stamps = tuple(convert.to_ns(stamp) for stamp in answer.stamps)
        try:
            verdict = Verdict(Answer(answer.answer), answer.verifier, answer.reason, stamps, answer.irreversible)
        except (ValueError, ConfigurationError) as error:
            return Verdict(Answer.UNKNOWN, topics.VERIFY_EPISODE, f"the verifier's answer is none: {error}")
        self._node.get_logger().info(f"{done.name}: {verdict.answer} ({verdict.verifier}): {verdict.reason}")
        if doubt := self._watch.hear(verdict.answer):
            self._node.get_logger().warning(doubt)
        return verdict

    async def _keep(self, goal: RunTask.Goal, done: _Attempted, verdict: Verdict) -> None:
        """Label the recording with the verdict; a person's own label is there already."""
        if not goal.record or verdict.answer is Answer.UNKNOWN or done.verdict is not None:
            return
        label = LabelEpisode.Request(
            episode=done.name,
            success=verdict.answer is Answer.YES,
            failure="" if verdict.answer is Answer.YES else "not_verified",
            author=verdict.verifier,
        )
        answer = await self._setup.label(label)
        if not answer.accepted:
            self._node.get_logger().warning(f"{done.name}: the verdict is not kept: {answer.message}")
