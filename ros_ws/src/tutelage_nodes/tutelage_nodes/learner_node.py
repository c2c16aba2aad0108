"""HIL-SERL's learner: steps of any number of actors in, acknowledgements and weights out. Nothing waits for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from builtin_interfaces.msg import Time
from tutelage_interfaces import msg as ti

from policies.hil_serl.acknowledgement import Acknowledgement
from policies.hil_serl.learner_report import LearnerReport
from policies.hil_serl.learner_settings import LearnerSettings
from policies.hil_serl.run_name import next_start
from policies.hil_serl.stored_views import StoredViews
from policies.hil_serl.stream_learner import StreamLearner
from policies.hil_serl.training_run import TrainingRun
from policies.hil_serl.transition import Step
from policies.hil_serl.untrained import untrained_policy
from policies.hil_serl.weights_stream import WeightsPacket
from tutelage.learning.demonstrations import DemonstrationReader
from tutelage_core.clock import SteadyClock
from tutelage_core.config import load_yaml
from tutelage_core.contract import load_contract
from tutelage_nodes import convert_learning, topics
from tutelage_nodes.learner_worker import LearnerWorker
from tutelage_nodes.node import TutelageNode, run_node

LEARNER_NICENESS = 5
"""Updates can wait; arm and policy cannot. It yields to them on a machine of few cores."""

WORD_S = 0.5
"""The last word is said again this often: the learner's sign of life [s]."""

STATUS_S = 1.0
CREATED_BY = "learner_node"


@dataclass(frozen=True)
class LearnerNodeParameters:
    """Parameters of `learner_node`.

    Attributes:
        robot: name of the robot's contract.
        folder: of the training run; one that is there is gone on with.
        settings: YAML file of `policies.hil_serl.learner_settings.LearnerSettings`; empty for the defaults.
        demonstrations: folder of recorded successes; empty for none.
        seed: of weights, batches and the learner's noise.
        threads: threads that it computes with.
    """

    robot: str = "twin"
    folder: str = "runs/learner"
    settings: str = ""
    demonstrations: str = ""
    seed: int = 0
    threads: int = 1


class LearnerNode(TutelageNode[LearnerNodeParameters]):
    """Passes messages between the actors and a thread that learns."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("learner_node", LearnerNodeParameters)
        self._worker: LearnerWorker | None = None

    def setup(self) -> None:
        """Begin the run, or go on with it; publish its weights; open the topics."""
        os.nice(LEARNER_NICENESS)
        torch.set_num_threads(self.params.threads)
        self._word_pub = self.create_publisher(ti.TransitionAck, topics.LEARNER_ACK, topics.latched())
        self._weights_pub = self.create_publisher(ti.PolicyWeights, topics.LEARNER_WEIGHTS, topics.latched())
        self._status_pub = self.create_publisher(ti.LearnerStatus, topics.LEARNER_STATUS, topics.reliable())
        self._word: Acknowledgement | None = None
        worker = LearnerWorker(self._make_learner())
        self._worker = worker
        self._report: LearnerReport | None = None
        self.create_subscription(
            ti.Transition, topics.LEARNER_STEP, lambda m: self._on_step(worker, m), topics.reliable(topics.STEPS)
        )
        self.create_timer(WORD_S, self._say_again)
        self.create_timer(STATUS_S, lambda: self._tell(worker))
        worker.start()

    def teardown(self) -> None:
        """Make the last update whole, and save."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say how fast is learnt, and what is wrong."""
        report = self._report
        if report is None:
            return True, "starting", {}
        schedule = report.schedule
        values: dict[str, object] = {
            "steps": schedule.steps,
            "updates": schedule.updates,
            "updates_per_s": round(report.updates_per_s, 2),
            "updates_per_step": round(schedule.achieved, 3),
            "owed_steps": round(schedule.owed_steps, 1),
            "staleness_mean": round(report.mean_staleness, 1),
            "staleness_most": report.most_staleness,
            "refused": report.refused,
            "duplicates": report.duplicates,
        }
        values |= {f"refusal.{actor or 'nobody'}": why for actor, why in report.refusals.items()}
        trouble = report.trouble or next(iter(report.refusals.values()), "")
        return not trouble, trouble or ("learning" if report.updates_per_s else "waiting for steps"), values

    def _make_learner(self) -> StreamLearner:
        params = self.params
        settings = load_yaml(Path(params.settings), LearnerSettings) if params.settings else LearnerSettings()
        config = settings.algorithm(params.seed)
        contract = load_contract(params.robot)
        policy = untrained_policy(contract, config.model, settings.cameras, settings.tasks)
        views = StoredViews(policy, settings.views, params.seed)
        shown: list[Step] = []
        if params.demonstrations:
            reader = DemonstrationReader(policy, views, contract, None)
            for demonstration in reader.read(Path(params.demonstrations), settings.tasks):
                shown += demonstration.steps
            self.get_logger().info(f"{params.demonstrations}: {len(shown)} steps of demonstrations")
        identity = views.identity(contract.name)
        folder = Path(params.folder)
        clock = SteadyClock()
        run = TrainingRun(
            folder,
            config,
            policy.networks.shape,
            identity,
            settings.memory,
            clock,
            shown,
            created_by=CREATED_BY,
            may_lack_demonstrations=not shown,
        )
        name = next_start(folder)
        known = f"{run.schedule.steps} steps and {run.learner.updates} updates"
        self.get_logger().info(f"{folder}: run {name.run[:8]}, start {name.start}, {known} known")
        return StreamLearner(
            run,
            policy,
            identity,
            name,
            settings.stream,
            clock,
            say=self._say,
            publish=self._publish,
            created_by=CREATED_BY,
        )

    # what the worker's thread calls

    def _say(self, word: Acknowledgement) -> None:
        self._word = word
        self._word_pub.publish(convert_learning.to_ack_msg(word, self._now()))

    def _publish(self, packet: WeightsPacket) -> None:
        self._weights_pub.publish(convert_learning.to_weights_msg(packet, self._now()))

    # what the node's own thread does

    def _on_step(self, worker: LearnerWorker, message: ti.Transition) -> None:
        if not worker.offer(bytes(message.data)):
            self.count("steps_not_taken")  # it comes again

    def _say_again(self) -> None:
        if self._word is not None:
            self._word_pub.publish(convert_learning.to_ack_msg(self._word, self._now()))

    def _tell(self, worker: LearnerWorker) -> None:
        if worker.error is not None:
            raise worker.error
        self._report = worker.report()
        word = self._word
        wait = word is not None and word.wait
        self._status_pub.publish(convert_learning.to_learner_status_msg(self._report, wait=wait, stamp=self._now()))

    def _now(self) -> Time:
        return self.get_clock().now().to_msg()


def main() -> None:
    """Run the node."""
    run_node(LearnerNode)
