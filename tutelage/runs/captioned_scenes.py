"""Pictures of the twin at work with true sentences, made in parallel processes into a folder of shards; resumable.

Every episode has a room of its own. Experts, hindered experts, experts that stop short of the goal and a wandering hand
take turns, so that what is shown ends in every way. Only the moments that are kept are drawn.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hardware.safety.gate import make_gate
from reward_models.image_text.captioned_frames import CaptionedFrames, joined, read_shard, write_shard
from sim.rooms import Room
from sim.tasks import TASKS
from sim.twin import Twin
from tutelage.attempt_drivers import Kind, driver_of
from tutelage.loop import start_gate
from tutelage_core.contract import RobotContract, load_contract, state_vectors
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.parallel import each
from tutelage_core.types import ImageArray, Observation, TaskStatus

EPISODES_PER_SHARD = 20
KINDS = {Kind.EXPERT: 7, Kind.HINDERED: 4, Kind.STOPPED: 6, Kind.WANDERING: 3}
"""Episodes of each kind among twenty."""

TURN_SHARE = 0.8
"""Share of the moments at which the true sentences change that are kept."""

AFTER_SUCCESS = 6
"""Control periods for which an episode goes on after success."""

_SETTINGS = "scenes.json"


@dataclass(frozen=True)
class ScenesConfig:
    """Which pictures.

    Attributes:
        robot: robot's contract.
        tasks: tasks that are played.
        split: split of the rooms.
        first_room: number of the first room, and seed of the first episode; the others follow.
        episodes: of each task.
        moments: that are kept of an episode, about.
    """

    robot: str = "twin"
    tasks: tuple[str, ...] = tuple(TASKS)
    split: str = "train"
    first_room: int = 600_000
    episodes: int = 200
    moments: int = 9

    def __post_init__(self) -> None:
        """Refuse what cannot be played."""
        for task in self.tasks:
            if task not in TASKS:
                raise UnknownNameError("task", task, TASKS, "ScenesConfig")
        if not self.tasks or self.episodes < 1 or self.moments < 1 or self.first_room < 0:
            raise ConfigurationError(
                f"ScenesConfig: needs a task, at least 1 episode and moment, and first_room not negative, got "
                f"{self.tasks}, {self.episodes}, {self.moments}, {self.first_room}"
            )


def captioned_scenes(config: ScenesConfig, folder: Path, processes: int) -> CaptionedFrames:
    """Return the pictures, drawing those that `folder` does not hold yet.

    Raises:
        ConfigurationError: the folder holds pictures of other settings, or a damaged shard.
        UnknownNameError: the robot is unknown.
    """
    load_contract(config.robot)
    folder.mkdir(parents=True, exist_ok=True)
    settings = json.dumps(asdict(config), indent=1)
    noted = folder / _SETTINGS
    if noted.is_file() and noted.read_text(encoding="utf-8") != settings:
        raise ConfigurationError(f"{noted} names other settings than are asked for; choose another folder")
    noted.write_text(settings, encoding="utf-8")
    starts = range(0, config.episodes, EPISODES_PER_SHARD)
    shards = {(task, start): folder / f"{task}-{start:06d}.npz" for start in starts for task in config.tasks}
    jobs = [(config, path, task, start) for (task, start), path in shards.items() if not path.exists()]
    for _ in each(_draw_shard, jobs, processes, title="scenes", unit="shard", done_before=len(shards) - len(jobs)):
        pass
    return joined([read_shard(path) for path in shards.values()])


_TWINS: dict[tuple[str, str, str], Twin] = {}


def _draw_shard(job: tuple[ScenesConfig, Path, str, int]) -> None:
    config, path, task, start = job
    contract = load_contract(config.robot)
    key = (config.robot, task, config.split)
    if key not in _TWINS:
        _TWINS[key] = Twin(contract, task, config.first_room, rooms=config.split)
    numbers = range(start, min(start + EPISODES_PER_SHARD, config.episodes))
    kinds = [kind for kind, share in KINDS.items() for _ in range(share)]
    episodes = [
        captioned_episode(_TWINS[key], contract, kinds[number % len(kinds)], config.first_room + number, config.moments)
        for number in numbers
    ]
    write_shard(path, joined(episodes))


def captioned_episode(twin: Twin, contract: RobotContract, kind: Kind, seed: int, moments: int) -> CaptionedFrames:
    """Play an episode in the room of its seed, and return about `moments` of it, its last one always among them.

    Args:
        twin: the twin; it is reset here.
        contract: the robot's contract.
        kind: who plays.
        seed: of the episode, its room and the choice of moments.
        moments: about how many are kept; those at which what is true changes are favoured.
    """
    twin.reset(seed, Room(twin.rooms, seed))
    rng = np.random.default_rng([seed, 31])
    gate, state = make_gate(contract), twin.arm_state()
    start_gate(gate, state)
    driver = driver_of(kind, twin, contract.safety)
    driver.restart(twin.instruction, seed, state.gripper_opening)
    share = moments / (twin.step_limit * (0.5 if kind in (Kind.EXPERT, Kind.HINDERED) else 0.9))
    kept: list[tuple[list[ImageArray], tuple[str, ...], TaskStatus]] = []
    said: tuple[str, ...] = ()
    steps, after_success, over = 0, 0, False
    while not over:
        status, captions = twin.task_status(), twin.captions()
        after_success += status.success
        state = twin.arm_state()
        stopped = bool(gate.feel(state)) or bool(gate.latch)
        over = stopped or steps >= twin.step_limit or after_success > AFTER_SUCCESS
        if over or rng.random() < (TURN_SHARE if captions != said else share):
            kept.append(([twin.render(camera) for camera in contract.cameras], captions, status))
        said = captions
        if over:
            break
        observation = Observation(twin.time_ns, {}, state_vectors(state, contract.state_keys))
        twin.advance(gate.admit(driver.command(observation), state, twin.time_ns).target)
        steps += 1
    return _gathered(twin, tuple(contract.cameras), seed, kept)


def _gathered(
    twin: Twin, cameras: tuple[str, ...], seed: int, kept: list[tuple[list[ImageArray], tuple[str, ...], TaskStatus]]
) -> CaptionedFrames:
    sentences = list(dict.fromkeys([twin.instruction, *(text for _, said, _ in kept for text in said)]))
    most = max(len(said) for _, said, _ in kept)
    rows = [[sentences.index(text) for text in said] + [-1] * (most - len(said)) for _, said, _ in kept]
    count = len(kept)
    return CaptionedFrames(
        cameras,
        (twin.task.name,),
        tuple(sentences),
        np.stack([np.stack(images) for images, _, _ in kept]),
        np.array(rows, np.int32),
        np.zeros(count, np.int32),
        np.zeros(count, np.int32),
        np.array([status.progress for _, _, status in kept], np.float32),
        np.array([status.success for _, _, status in kept]),
        np.full(count, seed, np.int64),
    )
