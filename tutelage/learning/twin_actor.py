"""An actor of online learning in the twin: acts with the learner's newest weights, a scripted person beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardware.safety.gate import make_gate
from policies.hil_serl.actor import GRASP_PENALTY, StepMaker
from policies.hil_serl.config import ModelConfig
from policies.hil_serl.frames import ActionScale
from policies.hil_serl.policy import HilSerlPolicy, Scales, make_policy, make_spec
from policies.hil_serl.state_encoder import StateScales
from policies.hil_serl.stored_views import StoredViews, ViewsConfig
from policies.hil_serl.transition import Step
from sim.human import Intervener, InterventionSettings
from sim.twin import Twin
from tutelage.drivers import Driver, PolicyDriver
from tutelage.film_strip import FilmStrip
from tutelage.intervened_driver import IntervenedDriver
from tutelage.learning.judge import RewardChoice, TruthJudge, load_judge
from tutelage.learning.training_episode import EpisodeSummary, run_training_episode
from tutelage_core.contract import CameraNeed, RobotContract, load_contract
from tutelage_core.errors import ConfigurationError, UnknownNameError


@dataclass(frozen=True)
class ActorSettings:
    """Everything that an actor is built from, in whatever process.

    Attributes:
        robot: robot's contract, by name or file.
        task: to learn.
        rooms: split that rooms are drawn from.
        cameras: that the policy looks through; all of the robot's if empty.
        model: shape of the networks.
        views: what is stored of each observation.
        classifier: folder of the success classifier that gives the reward; the twin's ground truth if empty.
        reward: a reward model that gives it instead.
        discount: of the learner, for shaping.
        person: who is beside the robot; nobody if None.
        max_steps: control periods of an episode, 0 for the task's own limit.
        grasp_penalty: of each command to the gripper.
        explores: actions are drawn from the actor, and are not its mode.
    """

    robot: str = "twin"
    task: str = "PickCube"
    rooms: str = "lab"
    cameras: tuple[str, ...] = ()
    model: ModelConfig = field(default_factory=ModelConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    classifier: str = ""
    reward: RewardChoice = field(default_factory=RewardChoice)
    discount: float = 1.0
    person: InterventionSettings | None = field(default_factory=InterventionSettings)
    max_steps: int = 0
    grasp_penalty: float = GRASP_PENALTY
    explores: bool = True


@dataclass(frozen=True)
class Job:
    """One episode to run.

    Attributes:
        seed: of the episode.
        segment: number of its segment.
        weights: for the acting networks.
        film_strip: file to draw the episode into; none if empty.
    """

    seed: int
    segment: int
    weights: Mapping[str, NDArray[np.float32]]
    film_strip: str = ""


@dataclass(frozen=True)
class EpisodeRun:
    """One episode that was run, and its steps."""

    summary: EpisodeSummary
    steps: tuple[Step, ...]


class TwinActor:
    """Runs episodes one after the other."""

    def __init__(self, settings: ActorSettings, name: str) -> None:
        """Build the twin, the policy and the person.

        Raises:
            TutelageError: the settings do not belong together.
        """
        self.name = name
        self.settings = settings
        self.contract = load_contract(settings.robot)
        self.policy = actor_policy(settings, self.contract)
        self.policy.explores = settings.explores
        self.views = StoredViews(self.policy, settings.views, 0)
        self._twin = Twin(self.contract, settings.task, rooms=settings.rooms)
        driver: Driver = PolicyDriver(self.policy)
        if settings.person is not None:
            driver = IntervenedDriver(driver, Intervener(self._twin, settings.person))
        self._driver = driver
        self._gate = make_gate(self.contract)
        self._judge = load_judge(settings.classifier, self.contract, settings.reward) or TruthJudge(self._twin)
        self._job: Job | None = None

    def start(self, job: Job) -> None:
        """Note the episode; `result` runs it."""
        self._job = job

    def result(self) -> EpisodeRun:
        """Run the episode that was started.

        Raises:
            ConfigurationError: none was started; or see `run`.
        """
        job, self._job = self._job, None
        if job is None:
            raise ConfigurationError(f"actor '{self.name}': no episode was started")
        return self.run(job)

    def run(self, job: Job) -> EpisodeRun:
        """Run an episode.

        Raises:
            ConfigurationError: the weights do not fit or are not finite.
        """
        self.policy.load_weights({name: torch.from_numpy(array) for name, array in job.weights.items()})
        maker = StepMaker(
            self.policy,
            self.views,
            self.name,
            next_segment=job.segment,
            grasp_penalty=self.settings.grasp_penalty,
        )
        steps: list[Step] = []
        strip = FilmStrip() if job.film_strip else None
        summary = run_training_episode(
            self._twin,
            self._driver,
            self._gate,
            self.contract,
            maker,
            self._judge,
            job.seed,
            steps.append,
            max_steps=self.settings.max_steps,
            discount=self.settings.discount,
            listener=None if strip is None else strip.add,
        )
        if strip is not None:
            strip.save(Path(job.film_strip))
        return EpisodeRun(summary, tuple(steps))

    def close(self) -> None:
        """Free the renderer."""
        self._twin.close()


def actor_policy(settings: ActorSettings, contract: RobotContract) -> HilSerlPolicy:
    """Return the policy of an actor, with weights to be loaded.

    Raises:
        UnknownNameError: the robot has no such camera.
        ConfigurationError: model and robot do not belong together.
    """
    for name in settings.cameras:
        if name not in contract.cameras:
            raise UnknownNameError("camera", name, contract.cameras, f"robot '{contract.name}'")
    cameras = {
        name: CameraNeed(contract.cameras[name].width, contract.cameras[name].height)
        for name in settings.cameras or tuple(contract.cameras)
    }
    spec = make_spec(settings.model, cameras, control_rate_hz=contract.control_rate_hz, tasks=(settings.task,))
    return make_policy(spec, settings.model, Scales(ActionScale.of(contract), StateScales.of(contract)))


def arrays_of(weights: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    """Return the weights as arrays, which go to another process as they are; memory is shared."""
    return {name: tensor.numpy() for name, tensor in weights.items()}


def one_thread() -> None:
    """Let torch use one thread in this process: several actors and a learner share the cores."""
    torch.set_num_threads(1)
