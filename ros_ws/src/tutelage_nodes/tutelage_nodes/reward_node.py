"""Scores what the cameras see with any set of reward models: beside the robot, never in the path of its control.

Each model lives in a process of its own. One that hangs, dies or answers nonsense costs its own scores and nothing
else: they are published as what they are, NaN with the reason, and the process is started again.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sensor_msgs.msg import Image
from tutelage_interfaces import msg as ti

from reward_models.registry import load_served
from reward_models.reward_model import Score
from reward_models.serving.ensemble import ENSEMBLE, Ensemble
from reward_models.serving.model_process import NICENESS, ModelProcess
from reward_models.serving.scorer import Answer, Scorer, ScorerSettings
from reward_models.serving.success_vote import SuccessVote, VoteSettings
from tutelage_core.assembler import ObservationAssembler
from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S, RobotContract, check_cameras, load_contract
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import ArmState, Observation
from tutelage_nodes import convert, topics
from tutelage_nodes.convert_reward import to_reward_msg
from tutelage_nodes.node import TutelageNode, run_node
from tutelage_nodes.score_desk import ScoreDesk

KEPT_STATES = 256

BACKLOG = 100
"""Messages that may wait for this node in lock-step: nothing waits for it."""

EARLY = 32
"""Observations that are kept until it is known whether an episode has begun with them."""


@dataclass(frozen=True)
class RewardNodeParameters:
    """Parameters of `reward_node`.

    Attributes:
        robot: name of the robot's contract.
        models: names of reward models, such as `twin_tower` or `success_classifier:FOLDER`, with commas between them.
        golden: a model whose answer to the golden picture is not the one that was written down is refused.
        rate_hz: moments a second that each model is asked about at most [Hz, data's clock]; 0 for every one.
        queue: moments that may wait for a model; the oldest is dropped for a newer one.
        deadline_s: a model that answers later counts as hanging, and is started again [s, steady].
        stale_s: a moment that has waited for longer is not asked about any more [s, steady].
        failures: moments in a row without an answer after which a model is left alone.
        pause_s: for how long [s, steady].
        history: moments that are shown to a model that judges whole episodes; it is asked about the last one.
        votes, of: so many of the last `of` moments must look like success.
        threshold: a reward of at least this does; NaN leaves it to each model.
        fastest_m_s, largest_force_n: nothing is a success while the TCP is faster, or the arm feels more; 0: not asked.
        gripper_low, gripper_high: nor while the gripper is open less or wider (0..1).
        ensemble: `mean`, `median` or `least` of all models, as a model of its own; empty: none.
        quorum: models that must have a value for that; 0 for all.
        folder: where recorded episodes are, for `ScoreEpisode`.
        sync_tolerance_s: frames and states this far apart count as one instant [s]; 0 for simulated time.
        reliable_images: ask for every frame (lock-step) and not only for the newest one.
    """

    robot: str = "twin"
    models: str = "twin_tower"
    golden: bool = True
    rate_hz: float = 0.0
    queue: int = 4
    deadline_s: float = 1.0
    stale_s: float = 2.0
    failures: int = 3
    pause_s: float = 5.0
    history: int = 32
    votes: int = 3
    of: int = 5
    threshold: float = float("nan")
    fastest_m_s: float = 0.0
    largest_force_n: float = 0.0
    gripper_low: float = 0.0
    gripper_high: float = 1.0
    ensemble: str = ""
    quorum: int = 0
    folder: str = "runs/episodes"
    sync_tolerance_s: float = 0.02
    reliable_images: bool = False


class RewardNode(TutelageNode[RewardNodeParameters]):
    """Asks the models while an episode runs, and publishes what they say."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("reward_node", RewardNodeParameters)
        self._scorers: list[Scorer] = []
        self._desk: ScoreDesk | None = None

    def setup(self) -> None:
        """Load the models, refuse those that do not fit the robot, open the topics."""
        p = self.params
        models = self._models = tuple(name.strip() for name in p.models.split(","))
        if not all(models) or len(set(models)) != len(models) or p.rate_hz < 0.0 or p.history < 1:
            raise ConfigurationError(
                f"reward_node: needs models, each once, rate_hz not negative and history at least 1; got "
                f"'{p.models}', {p.rate_hz} and {p.history}"
            )
        os.nice(NICENESS)
        contract = load_contract(p.robot)
        self._steady = SteadyClock()
        self._answers: deque[Answer] = deque()
        self._answered = self.create_guard_condition(self._publish_answers)
        self._ensemble = Ensemble(models, p.ensemble, p.quorum) if p.ensemble else None
        self._load(contract)
        self._states: deque[ArmState] = deque(maxlen=KEPT_STATES)
        self._history: deque[Observation] = deque(maxlen=p.history)
        self._early: deque[Observation] = deque(maxlen=EARLY)
        self._episode = self._task = self._last_episode = ""
        self._begin_ns = self._end_ns = -1
        self._due_ns = dict.fromkeys(models, 0)
        self._statuses: dict[str, str] = {}
        cameras = {name: None for scorer in self._scorers if scorer.ready for name in scorer.ready.spec.cameras}
        self._assembler = ObservationAssembler(cameras, contract.state_keys, round(p.sync_tolerance_s * NS_PER_S))
        self._publisher = self.create_publisher(ti.Reward, topics.REWARD, topics.reliable(100))
        quality = topics.reliable(BACKLOG) if p.reliable_images else topics.newest()
        for camera in cameras:
            self.create_subscription(Image, topics.camera_image(camera), partial(self._on_image, camera), quality)
        self.create_subscription(ti.ArmState, topics.ARM_STATE, self._on_state, topics.reliable(BACKLOG))
        self.create_subscription(ti.SessionState, topics.SESSION_STATE, self._on_session, topics.latched())
        self._desk = ScoreDesk(self, models, partial(load_served, golden=p.golden), Path(p.folder))

    def _load(self, contract: RobotContract) -> None:
        p = self.params
        settings = ScorerSettings(p.queue, p.deadline_s, p.stale_s, p.failures, p.pause_s)
        threshold = None if p.threshold != p.threshold else p.threshold  # NaN: each model's own
        voting = VoteSettings(p.votes, p.of, threshold, p.fastest_m_s, p.largest_force_n, p.gripper_low, p.gripper_high)
        load = partial(load_served, golden=p.golden)
        self._votes: dict[str, SuccessVote] = {ENSEMBLE: SuccessVote(voting, None)}
        for name in self._models:
            scorer = Scorer(ModelProcess(name, load, self._steady), settings, self._on_answer, self._steady)
            self._scorers.append(scorer)
            ready = scorer.begin()
            self._votes[name] = SuccessVote(voting, ready.threshold)
            check_cameras(f"reward model '{name}'", ready.spec.cameras, contract)

    def teardown(self) -> None:
        """End the models."""
        if self._desk is not None:
            self._desk.end()
        for scorer in self._scorers:
            scorer.end()

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say which models do not answer."""
        alone = {s.name: round(s.left_alone_s, 1) for s in self._scorers if s.left_alone_s > 0.0}
        trouble = f"no answer from {', '.join(alone)}" if alone else ""
        return not trouble, trouble or ("scoring" if self._episode else "idle"), {**self._statuses, "left_alone": alone}

    def _on_image(self, camera: str, message: Image) -> None:
        frame = self.frame_of(camera, message)
        if frame is None:
            return
        self._consider(self._assembler.add_frame(camera, frame))

    def _on_state(self, message: ti.ArmState) -> None:
        state = convert.from_arm_state_msg(message)
        self._states.append(state)
        self._consider(self._assembler.add_state(state))

    def _on_session(self, message: ti.SessionState) -> None:
        begins = bool(message.episode) and message.episode != self._episode  # two in a row may bear the same name
        stamp_ns = convert.to_ns(message.header.stamp)
        if self._episode and not message.episode:
            self._end_ns = stamp_ns
        self._episode = message.episode
        if begins:
            self._last_episode, self._task, self._begin_ns = message.episode, message.task, stamp_ns
            self._history.clear()
            self._due_ns = dict.fromkeys(self._models, 0)
            for vote in self._votes.values():
                vote.restart()
            if self._ensemble is not None:
                self._ensemble.restart()
            early, self._early = list(self._early), deque(maxlen=EARLY)
            for observation in early:
                self._consider(observation)

    def _consider(self, observation: Observation | None) -> None:
        """Ask about an observation of an episode; pictures may come before the word that it has begun, or has ended."""
        if observation is None:
            return
        ended = not self._episode and observation.stamp_ns > self._end_ns
        if not self._last_episode or ended:
            self._early.append(observation)
            return
        if observation.stamp_ns < self._begin_ns or not self._task.strip():
            return
        self._history.append(observation)
        gap_ns = round(NS_PER_S / self.params.rate_hz) if self.params.rate_hz else 0
        for scorer in self._scorers:
            if observation.stamp_ns < self._due_ns[scorer.name] or scorer.ready is None:
                continue
            self._due_ns[scorer.name] = observation.stamp_ns + gap_ns
            whole = scorer.ready.spec.whole_episodes
            scorer.ask(tuple(self._history) if whole else (observation,), self._task, self._last_episode)

    def _on_answer(self, answer: Answer) -> None:
        """Take an answer in whatever thread it comes; it is published in the node's own."""
        self._answers.append(answer)
        if threading.current_thread() is threading.main_thread():
            self._publish_answers()
        else:
            self._answered.trigger()

    def _publish_answers(self) -> None:
        while self._answers:
            answer = self._answers.popleft()
            self._publish(answer.model, answer.score, answer)
            if self._ensemble is not None and answer.question.episode == self._last_episode:
                joint = self._ensemble.see(answer.model, answer.score)
                if joint is not None:
                    self._publish(ENSEMBLE, joint, answer)

    def _publish(self, model: str, score: Score, answer: Answer) -> None:
        is_new = answer.question.episode == self._last_episode  # the last answers come when the episode is over
        success = is_new and self._votes[model].see(score, self._state_at(score.stamp_ns))
        self.count(f"{model}: {score.status.value}")
        self._statuses[model] = score.message or score.status.value
        self._publisher.publish(to_reward_msg(model, score, answer.question.episode, success, answer.seconds))

    def _state_at(self, stamp_ns: int) -> ArmState | None:
        return min(self._states, key=lambda state: abs(state.stamp_ns - stamp_ns), default=None)


def main() -> None:
    """Run the node."""
    run_node(RewardNode)
