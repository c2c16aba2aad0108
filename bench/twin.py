"""How fast the twin runs: control steps through the SafetyGate, resets included."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children, wait_for_the_others

LASTS_S = 8.0
"""How long each process is measured [s]; the episode that is under way then is finished."""

PERIODS = 50
"""Control periods of an episode."""

WARM_UP_PERIODS = 5
DISTURBANCE = 0.2
FIRST_SEED = 1


@dataclass(frozen=True)
class Pace:
    """What one process did.

    Attributes:
        steps: control steps.
        episodes: resets.
        wall_s: time that passed, resets included [s].
        cpu_s: processor time that it took, resets included [s].
        stepping_s: time that passed inside the episodes, resets left out [s].
    """

    steps: int
    episodes: int
    wall_s: float
    cpu_s: float
    stepping_s: float


def run_twin(cameras: bool, first_seed: int) -> Pace:
    """Drive the twin with its disturbed expert for `LASTS_S`, with every camera of the contract or with none."""
    from hardware.safety.gate import make_gate
    from sim.twin import Twin
    from tutelage.drivers import ExpertDriver
    from tutelage.loop import EpisodeOptions, run_episode
    from tutelage_core.contract import load_contract

    contract = load_contract("twin")
    twin = Twin(contract)
    if not cameras:
        contract = replace(contract, cameras={})  # nothing is drawn: the twin opens its renderer with the first picture
    driver, gate = ExpertDriver(twin, contract.safety, DISTURBANCE), make_gate(contract)
    run_episode(twin, driver, gate, contract, EpisodeOptions(first_seed, max_steps=WARM_UP_PERIODS))
    wait_for_the_others()
    steps, episodes, stepping_s = 0, 0, 0.0
    wall_begun, cpu_begun = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall_begun < LASTS_S:
        # success must not shorten an episode: the pace is that of steps, not of resets
        options = EpisodeOptions(first_seed + episodes, max_steps=PERIODS, extra_steps=PERIODS)
        result = run_episode(twin, driver, gate, contract, options)
        steps += result.steps
        episodes += 1
        stepping_s += sum(result.stage_ms.values()) * result.steps / 1e3
    pace = Pace(steps, episodes, time.perf_counter() - wall_begun, time.process_time() - cpu_begun, stepping_s)
    twin.close()
    return pace


def measure_pace(cameras: bool, processes: int) -> Measurement:
    """Return the joint pace of `processes` twins, each on a core of its own."""
    paces: list[Pace] = measure_in_children(
        run_twin, [(cameras, FIRST_SEED + 1000 * number) for number in range(processes)], pin=True
    )
    return Measurement(
        value=sum(p.steps / p.wall_s for p in paces),
        episodes=sum(p.episodes for p in paces),
        seeds=range(FIRST_SEED, FIRST_SEED + paces[0].episodes),
        extra={
            "steps_per_cpu_s": sum(p.steps / p.cpu_s for p in paces),
            "steps_per_s_without_resets": sum(p.steps / p.stepping_s for p in paces),
            "share_of_core": sum(p.cpu_s / p.wall_s for p in paces) / len(paces),
            "processes": [asdict(p) for p in paces],
        },
    )


@measures(
    Figure(
        "twin_two_cameras_steps_per_s",
        1,
        "steps/s",
        100.0,
        Direction.AT_LEAST,
        False,
        "twin with two 128x128 cameras, 10 Hz control, one process on one core",
    )
)
def two_cameras(_: Settings) -> Mapping[str, Measurement]:
    """Measure one process with cameras."""
    return {"twin_two_cameras_steps_per_s": measure_pace(cameras=True, processes=1)}


@measures(
    Figure(
        "twin_two_cameras_two_processes_steps_per_s",
        1,
        "steps/s",
        200.0,
        Direction.AT_LEAST,
        False,
        "the same in two processes on two cores, together",
    )
)
def two_processes(_: Settings) -> Mapping[str, Measurement]:
    """Measure two processes with cameras."""
    return {"twin_two_cameras_two_processes_steps_per_s": measure_pace(cameras=True, processes=2)}


@measures(
    Figure(
        "twin_no_cameras_steps_per_s",
        1,
        "steps/s",
        300.0,
        Direction.AT_LEAST,
        False,
        "twin without cameras, one process on one core",
    )
)
def no_cameras(_: Settings) -> Mapping[str, Measurement]:
    """Measure one process without cameras."""
    return {"twin_no_cameras_steps_per_s": measure_pace(cameras=False, processes=1)}
