"""Episodes in the ROS graph: brings it up, asks for episodes, takes it down."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

from policies.registry import find_checkpoint, load_policy
from reward_models.verifier.loading import load_verifier
from sim.parameters import Split
from sim.tasks import make_task
from tutelage.environment import graph_environment
from tutelage.launch import packages
from tutelage.launch.runner import LaunchRunner
from tutelage.runs.collect import EVALUATION_SEEDS_FROM
from tutelage_core.contract import check_cameras, check_fit, load_contract
from tutelage_core.errors import ConfigurationError, TutelageError

BRING_UP_PACKAGE = "tutelage_bringup"
LAUNCH_FILE = "tutelage.launch.yaml"


class GraphError(TutelageError):
    """The graph did not come up, or a node of it died."""


@dataclass(frozen=True)
class RunConfig:
    """Settings of `tutelage run`.

    Attributes:
        robot: robot's contract; the only switch between simulation and hardware.
        task: task to do.
        policy: name of a shipped checkpoint, or the folder of one.
        clock: clock of the twin.
        rooms: split that the twin's rooms are drawn from.
        episodes: episodes to run; 0 for no end (Ctrl-C ends it).
        first_seed: seed of the first one; the others follow.
        output: folder for recordings and the graph's log; a new one, `runs/graph-NNN`, if not given.
        record: record the episodes.
        verifier: verify and retry: says whether a task is done, such as `success_classifier:FOLDER`; no retry if empty.
        tries: attempts at most, with a verifier.
    """

    robot: str = "twin"
    task: str = "PickCube"
    policy: str = "bc_pick_cube"
    clock: Literal["realtime", "fast", "lockstep"] = "realtime"
    rooms: Split = "lab"
    episodes: int = 1
    first_seed: int = EVALUATION_SEEDS_FROM
    output: Path | None = None
    record: bool = True
    verifier: str = ""
    tries: int = 10


@dataclass(frozen=True)
class GraphOutcome:
    """What came of one episode in the graph, or of a task with its attempts.

    `recording` is the folder of the last attempt, None if it was not recorded.
    """

    seed: int
    success: bool
    steps: int
    termination: str
    failure: str
    interventions: int
    message: str
    stage_ms: dict[str, float]
    recording: Path | None
    driving: dict[str, float] = field(default_factory=dict)
    attempts: int = 1


def check(config: RunConfig) -> None:
    """Refuse what cannot run, before anything is started.

    Raises:
        UnknownNameError: robot, task or policy is unknown; the legal names are listed.
        CheckpointError: the checkpoint is missing or corrupt.
        ContractMismatchError: the policy does not fit the robot.
        ConfigurationError: a number is out of range.
    """
    contract = load_contract(config.robot)
    make_task(config.task)
    check_fit(load_policy(find_checkpoint(config.policy)).spec, contract)
    if config.verifier:
        check_cameras(f"verifier '{config.verifier}'", load_verifier(config.verifier).cameras, contract)
    if config.tries < 1:
        raise ConfigurationError(f"tries must be at least 1, got {config.tries}")
    if config.episodes < 0 or config.first_seed < 0:
        raise ConfigurationError(
            f"episodes and first_seed must not be negative, got {config.episodes}, {config.first_seed}"
        )


def run_graph(config: RunConfig, on_outcome: Callable[[GraphOutcome], None]) -> list[GraphOutcome]:
    """Bring the graph up, run the episodes, take it down.

    Args:
        config: what to run.
        on_outcome: called after each episode.

    Returns:
        The outcomes in their order.

    Raises:
        TutelageError: see `check`; or the graph did not come up, or a node died (`GraphError`).
    """
    check(config)
    output = config.output or _new_folder(Path("runs"), "graph")
    output.mkdir(parents=True, exist_ok=True)
    episodes = (output / "episodes").resolve()
    log_path = output / "graph.log"
    arguments = {
        "robot": config.robot,
        "task": config.task,
        "policy": str(find_checkpoint(config.policy).resolve()),
        "clock": config.clock,
        "folder": str(episodes),
        "black_box": str(output / "black_box"),
        "seed": str(config.first_seed),
        "rooms": config.rooms,
        "verifier": config.verifier,
    }
    environment = graph_environment()
    launch_file = packages.package_share(BRING_UP_PACKAGE, environment) / "launch" / LAUNCH_FILE
    with log_path.open("w", encoding="utf-8") as log, LaunchRunner(environment=environment, stream=log) as runner:
        runner.start(launch_file, arguments)
        outcomes = _ask(config, environment, runner, episodes, on_outcome, log)
        if runner.shutdown() != 0:
            raise GraphError(f"a node did not end well: see {log_path}")
    return outcomes


def _new_folder(parent: Path, name: str) -> Path:
    taken = {path.name for path in parent.glob(f"{name}-*")}
    return parent / next(f"{name}-{n:03d}" for n in itertools.count(1) if f"{name}-{n:03d}" not in taken)


def _ask(
    config: RunConfig,
    environment: dict[str, str],
    runner: LaunchRunner,
    episodes: Path,
    on_outcome: Callable[[GraphOutcome], None],
    log: TextIO,
) -> list[GraphOutcome]:
    program = packages.executable("tutelage_nodes", "run_episodes", environment)
    prefix = config.task if config.record else ""
    client = subprocess.Popen(
        [
            str(program),
            "--task",
            config.task,
            "--first-seed",
            str(config.first_seed),
            "--episodes",
            str(config.episodes),
            "--prefix",
            prefix,
            "--tries",
            str(config.tries if config.verifier else 0),
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deaths: list[str] = []
    watcher = threading.Thread(target=_end_when_a_node_dies, args=(runner, client, deaths), daemon=True)
    watcher.start()
    outcomes: list[GraphOutcome] = []
    try:
        if client.stdout is None or client.stderr is None:
            raise GraphError("the episode client has no output")
        for line in client.stdout:
            data = json.loads(line)
            name = data.pop("episode")
            recording = episodes / name if config.record else None
            outcomes.append(GraphOutcome(**data, recording=recording))
            on_outcome(outcomes[-1])
        said = client.stderr.read()
        log.write(said)
        code = client.wait()
    except KeyboardInterrupt:
        return outcomes
    finally:
        if client.poll() is None:
            client.send_signal(signal.SIGINT)
            client.wait()
    if deaths:
        raise GraphError(deaths[0])
    if code != 0:
        raise GraphError(said.strip().removeprefix("run_episodes: ") or (outcomes[-1].message if outcomes else ""))
    return outcomes


def _end_when_a_node_dies(runner: LaunchRunner, client: subprocess.Popen[str], deaths: list[str]) -> None:
    """A graph that lacks a node can only wait: end the client, and say what the node said last."""
    pause = threading.Event()
    while client.poll() is None:
        for name, process in list(runner.processes.items()):
            if process.returncode not in (None, 0):
                told = [line for line in process.lines if line.strip()]
                deaths.append(f"{name} ended with {process.returncode}: {told[-1] if told else 'no output'}")
                client.send_signal(signal.SIGINT)
                return
        pause.wait(0.2)
