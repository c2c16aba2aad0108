"""One episode in one process, all parts joined, no ROS: as fast as the machine goes.

Parts and their order are those of the graph in lock-step; `tests/ros/test_parity.py` compares the two bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hardware.safety.gate import SafetyGate
from sim.rooms import Room
from sim.twin import Twin
from tutelage.drivers import Driver, PolicyDriver
from tutelage_core.clock import Clock, SteadyClock
from tutelage_core.contract import RobotContract, state_vectors
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.types import ArmState, EpisodeResult, EpisodeStep, Frame, ImageArray, Observation, Source, TaskStatus

StepListener = Callable[[EpisodeStep], None]


@dataclass(frozen=True)
class EpisodeOptions:
    """How an episode is run.

    Attributes:
        seed: draws the scene and all that is random in the episode.
        max_steps: control periods, 0 for the task's own limit.
        with_expert: ask the expert at every period and keep its answer as a label.
        extra_steps: periods to go on after success, so that demonstrations show the goal being kept.
        scene_stays: begin where the last episode has left world and arm; nothing is reset.
        blind: ground truth ends nothing, as on a robot; success is what holds at the end.
    """

    seed: int
    max_steps: int = 0
    with_expert: bool = False
    extra_steps: int = 0
    scene_stays: bool = False
    blind: bool = False


class StageTimer:
    """Mean wall time of the stages of a control period."""

    def __init__(self, clock: Clock) -> None:
        """Measure with `clock`."""
        self._clock = clock
        self._sums: dict[str, float] = {}
        self._periods = 0
        self._last_ns = 0

    def begin(self) -> None:
        """Start a control period."""
        self._periods += 1
        self._last_ns = self._clock.now_ns()

    def mark(self, stage: str) -> None:
        """Charge the time since the last mark to `stage`."""
        now_ns = self._clock.now_ns()
        self._sums[stage] = self._sums.get(stage, 0.0) + (now_ns - self._last_ns) / 1e6
        self._last_ns = now_ns

    def means_ms(self) -> Mapping[str, float]:
        """Return the mean of each stage over the control periods [ms]."""
        return {stage: total / max(self._periods, 1) for stage, total in self._sums.items()}


def run_episode(
    twin: Twin,
    driver: Driver,
    gate: SafetyGate,
    contract: RobotContract,
    options: EpisodeOptions,
    writer: EpisodeWriter | None = None,
    listener: StepListener | None = None,
    clock: Clock | None = None,
    room: Room | None = None,
    until: Callable[[Observation], bool] | None = None,
) -> EpisodeResult:
    """Run one episode from reset to success, time limit or a stop.

    A stop that the gate makes, such as for a force that the arm feels, ends the episode as it does in the graph. The
    next one begins in a scene that was set anew, so the stop is cleared.

    Args:
        twin: the world; it is reset here.
        driver: who drives.
        gate: judges every step.
        contract: the robot's contract.
        options: seed, limit and labels.
        writer: records the episode; the caller closes it with the result.
        listener: called after every period with what was seen and executed.
        clock: steady clock for the stage times.
        room: where it happens; without one the seed draws it.
        until: asked about every observation; the episode ends before the one about which it says so.

    Returns:
        How the episode ended.
    """
    timer = StageTimer(clock or SteadyClock())
    if not options.scene_stays:
        twin.reset(options.seed, room)
    state = twin.arm_state()
    start_gate(gate, state)
    driver.restart(twin.instruction, options.seed, state.gripper_opening)
    limit = options.max_steps or twin.step_limit
    steps, interventions, human_periods, after_success = 0, 0, 0, 0
    succeeded = False
    while True:
        status = twin.task_status()
        succeeded = status.success if options.blind else succeeded or status.success
        if steps >= limit or (succeeded and not options.blind and after_success >= options.extra_steps):
            break
        after_success += succeeded
        timer.begin()
        images = {name: twin.render(name) for name in contract.cameras}
        timer.mark("cameras")
        state = twin.arm_state()
        if gate.feel(state) or gate.latch:
            break
        observation = Observation(twin.time_ns, images, state_vectors(state, contract.state_keys))
        if until is not None and until(observation):
            break
        expert_step = twin.expert_step() if options.with_expert else None
        command = driver.command(observation)
        timer.mark("policy")
        decision = gate.admit(command, state, twin.time_ns)
        timer.mark("gate")
        if writer is not None:
            _record(writer, observation.images, steps, observation.stamp_ns, status)
            writer.state(state)
            writer.executed(decision.executed)
            if expert_step is not None:
                writer.expert(observation.stamp_ns, expert_step)
            timer.mark("recorder")
        if listener is not None:
            listener(EpisodeStep(observation, decision.executed, status, expert_step))
        timer.mark("listener")
        twin.advance(decision.target)
        timer.mark("physics")
        interventions += bool(decision.executed.reasons)
        human_periods += decision.executed.source is Source.HUMAN
        steps += 1
    final = twin.task_status()
    succeeded = final.success if options.blind else succeeded
    stopped = "" if succeeded else gate.latch
    termination = "success" if succeeded else "stopped" if stopped else "time_limit"
    return EpisodeResult(
        succeeded,
        steps,
        termination,
        interventions,
        dict(timer.means_ms()),
        "" if succeeded else final.failure,
        human_periods,
        driver.report.figures() if isinstance(driver, PolicyDriver) else {},
    )


def start_gate(gate: SafetyGate, state: ArmState) -> None:
    """Let a gate begin an episode in a scene that was set anew; what stopped the last one is no more."""
    if gate.latch:
        gate.clear_stop()
        gate.arm()
    gate.restart(state)


def _record(
    writer: EpisodeWriter, images: Mapping[str, ImageArray], index: int, stamp_ns: int, status: TaskStatus
) -> None:
    for name, image in images.items():
        writer.image(name, Frame(image, stamp_ns, index))
    writer.status(stamp_ns, status)
