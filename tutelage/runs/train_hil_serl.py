"""HIL-SERL in the twin: actors act, a scripted person helps, the learner learns, all in one command."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from policies.hil_serl.config import HilSerlConfig
from policies.hil_serl.policy import HilSerlPolicy
from policies.hil_serl.stored_views import StoredViews, ViewsConfig
from policies.hil_serl.training_run import LEARNER_FOLDER, REPLAY_FOLDER, MemoryConfig, TrainingRun
from policies.hil_serl.transition import Step
from policies.registry import load_policy
from sim.human import InterventionSettings
from sim.tasks import make_task
from tutelage.learning.actor_process import ActorProcess
from tutelage.learning.demonstrations import DemonstrationReader
from tutelage.learning.judge import RewardChoice, load_judge
from tutelage.learning.learning_session import POLICY_FOLDER, Actor, LearningSession, SessionSettings
from tutelage.learning.live_display import DisplayState
from tutelage.learning.settings import coach, default_settings
from tutelage.learning.twin_actor import ActorSettings, TwinActor, actor_policy, one_thread
from tutelage.runs.collect import EVALUATION_SEEDS_FROM
from tutelage_core.clock import Clock, SteadyClock
from tutelage_core.config import to_mapping
from tutelage_core.contract import load_contract
from tutelage_core.encoders.image import frozen_digest
from tutelage_core.errors import ConfigurationError
from tutelage_core.versions import versions

CONFIG_FILE = "config.json"

TRAINING_SEEDS_FROM, SEEDS_OF_A_RUN, RUNS = 400_000, 20_000, 30
"""Seeds of training episodes: between those of demonstrations and of evaluation, each run's own."""


@dataclass(frozen=True)
class TrainHilSerlConfig:
    """One training run.

    Attributes:
        output: folder of the run; the policy comes to stand in its subfolder `policy`.
        demonstrations: folder of recorded successes; none if None.
        start: folder of another run whose networks this one begins with, as WSRL does; random ones if None.
        robot: robot's contract.
        task: task to learn.
        rooms: split that rooms are drawn from.
        cameras: cameras that the policy looks through; all of the robot's if empty.
        classifier: folder of the success classifier that gives the reward; the twin's ground truth if None.
        reward: any reward model instead, such as `twin_tower`; its reward also shapes the way to success.
        interventions: whether the scripted person helps.
        person: what the person is like.
        seed: of weights, scenes, exploration and person.
        steps: control periods of the robot after which the run ends.
        minutes: wall time after which it ends, 0 for no limit [min].
        max_steps: control periods of an episode, 0 for the task's own limit.
        actors: processes that act; 0 acts in this process, in turn with the learner.
        save_minutes: time between two saves [min].
        snapshot_minutes: time between two copies of the policy that are kept, 0 for none [min].
        film_strips: every so many episodes one is drawn; 0 for none.
        evaluation_episodes: episodes of the deterministic evaluation at the end, 0 for none.
        resume: go on with the run in `output`.
        views: what is stored of each observation.
        memory: how much is kept.
        hil_serl: every number of the algorithm; its seed is that of the run. The verbs `train hil-serl`, `rlpd`, `wsrl`
            and `hg-dagger` differ in nothing else.
    """

    output: Path
    demonstrations: Path | None = None
    start: Path | None = None
    robot: str = "twin"
    task: str = "PickCube"
    rooms: Literal["lab", "train"] = "lab"
    cameras: tuple[str, ...] = ()
    classifier: Path | None = None
    reward: RewardChoice = field(default_factory=RewardChoice)
    interventions: bool = True
    person: InterventionSettings = field(default_factory=coach)
    seed: int = 0
    steps: int = 40_000
    minutes: float = 0.0
    max_steps: int = 0
    actors: int = 1
    save_minutes: float = 2.0
    snapshot_minutes: float = 5.0
    film_strips: int = 50
    evaluation_episodes: int = 100
    resume: bool = False
    views: ViewsConfig = field(default_factory=ViewsConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    hil_serl: HilSerlConfig = field(default_factory=default_settings)

    def __post_init__(self) -> None:
        """Refuse what no run can be made of.

        Raises:
            ConfigurationError: a number is out of bounds.
        """
        for name, least in (
            ("steps", 1),
            ("actors", 0),
            ("max_steps", 0),
            ("film_strips", 0),
            ("seed", 0),
            ("evaluation_episodes", 0),
        ):
            if getattr(self, name) < least:
                raise ConfigurationError(f"train hil-serl: {name} must be at least {least}, got {getattr(self, name)}")
        if self.seed >= RUNS:
            raise ConfigurationError(f"train hil-serl: seed must be in 0..{RUNS - 1}, got {self.seed}")
        if self.minutes < 0.0 or self.save_minutes <= 0.0 or self.snapshot_minutes < 0.0:
            raise ConfigurationError(
                "train hil-serl: minutes and snapshot_minutes must not be negative and save_minutes positive, got "
                f"{self.minutes:g}, {self.snapshot_minutes:g} and {self.save_minutes:g}"
            )

    @property
    def first_seed(self) -> int:
        """Seed of the first training episode."""
        return TRAINING_SEEDS_FROM + SEEDS_OF_A_RUN * self.seed

    @property
    def actor(self) -> ActorSettings:
        """What each actor is built from."""
        return ActorSettings(
            self.robot,
            self.task,
            self.rooms,
            self.cameras,
            self.hil_serl.model,
            self.views,
            "" if self.classifier is None else str(self.classifier),
            self.reward,
            self.hil_serl.loss.discount,
            self.person if self.interventions else None,
            self.max_steps,
            explores=not self.hil_serl.learner.imitates,
        )


def train_hil_serl(
    config: TrainHilSerlConfig,
    clock: Clock | None = None,
    show: Callable[[DisplayState], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train, and return the folder of the policy.

    Args:
        config: of the run.
        clock: steady clock.
        show: takes the state of the run, to display it.
        say: takes a line for the person before the start.

    Raises:
        ConfigurationError: settings, robot, task and demonstrations do not belong together, the memory is too small, or
            the folder holds a run and `resume` is off.
        ContractMismatchError: demonstrations or earlier steps are of another robot.
        TutelageError: what is there to go on with is damaged, or an actor or update failed.
    """
    clock = clock or SteadyClock()
    make_task(config.task)
    _claim(config)
    one_thread()
    contract = load_contract(config.robot)
    policy = actor_policy(config.actor, contract)
    views = StoredViews(policy, config.views, config.seed)
    judge = load_judge(config.actor.classifier, contract, config.reward)
    reader = DemonstrationReader(policy, views, contract, judge, config.actor.discount)
    demonstrations = _demonstrations(config, reader, say)
    settings = replace(config.hil_serl, learner=replace(config.hil_serl.learner, seed=config.seed))
    if config.start is not None:
        _check_trunk(config.start, policy)
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(
            TrainingRun(
                config.output,
                settings,
                policy.networks.shape,
                views.identity(contract.name),
                config.memory,
                clock,
                demonstrations,
                created_by="tutelage train hil-serl",
                may_lack_demonstrations=config.demonstrations is None,
                begins_with=config.start,
            )
        )
        say(_told(run, config))
        actors: list[Actor] = []
        for number in range(max(config.actors, 1)):
            name = f"actor-{number}"
            actor = ActorProcess(config.actor, name) if config.actors else TwinActor(config.actor, name)
            stack.callback(actor.close)
            actors.append(actor)
        limits = SessionSettings(
            config.first_seed,
            config.steps,
            config.minutes,
            config.save_minutes,
            config.snapshot_minutes,
            film_strips=config.film_strips,
        )
        stack.enter_context(LearningSession(run, actors, policy, limits, clock, show)).work()
    return config.output / POLICY_FOLDER


def _claim(config: TrainHilSerlConfig) -> None:
    """Write down what the run is, or see that the one that is there may go on."""
    there = [name for name in (LEARNER_FOLDER, REPLAY_FOLDER) if (config.output / name).exists()]
    if there and not config.resume:
        raise ConfigurationError(
            f"{config.output}: a run is there ({', '.join(there)}); set resume to go on with it, or take another folder"
        )
    config.output.mkdir(parents=True, exist_ok=True)
    told = {"config": to_mapping(config), "versions": versions()}
    text = json.dumps(told, indent=1, default=str)
    (config.output / CONFIG_FILE).write_text(text, encoding="utf-8")


def _check_trunk(start: Path, policy: HilSerlPolicy) -> None:
    """Refuse networks that learnt to see through another frozen trunk."""
    then, now = load_policy(start / POLICY_FOLDER), policy
    digests = [frozen_digest(p.trunk) if isinstance(p, HilSerlPolicy) and p.trunk else "" for p in (then, now)]
    if digests[0] != digests[1]:
        raise ConfigurationError(f"{start}: its networks look through another trunk than this run's")


def _demonstrations(config: TrainHilSerlConfig, reader: DemonstrationReader, say: Callable[[str], None]) -> list[Step]:
    """Return the demonstrated steps; a reward that is seen in none of them could never be learnt from."""
    if config.demonstrations is None:
        return []
    found = list(reader.read(config.demonstrations, (config.task,)))
    unseen = [demonstration.name for demonstration in found if not demonstration.judged]
    if len(unseen) == len(found):
        seen_by = f"the classifier {config.classifier}" if config.classifier else "the recorded ground truth"
        seer = f"the reward model {config.reward.model}" if config.reward.model else seen_by
        raise ConfigurationError(
            f"{seer} sees success in none of {len(found)} demonstrations, so the policy would never be rewarded: train "
            "the classifier with such demonstrations, or record ones that go on for a moment after success"
        )
    if unseen:
        say(f"no success was seen in {len(unseen)} of {len(found)} demonstrations; their own result is believed")
    return [step for demonstration in found for step in demonstration.steps]


def _told(run: TrainingRun, config: TrainHilSerlConfig) -> str:
    mixture = run.mixture
    return (
        f"replay: {mixture.bytes_needed / 2**30:.2f} GiB for {config.memory.online:,} + "
        f"{config.memory.demonstrations:,} observations; {len(mixture.demonstrations):,} demonstrated steps"
        + (f"; going on after {run.schedule.steps:,} steps" if run.schedule.steps else "")
    )


assert TRAINING_SEEDS_FROM + SEEDS_OF_A_RUN * RUNS <= EVALUATION_SEEDS_FROM
