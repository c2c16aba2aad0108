"""Arm, SafetyGate and watchdog of a robot in one process and in simulated time, as `arm_node` joins them.

The twin's physics tells how fast the arm stops; nothing here depends on how busy the machine is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hardware.safety.deadman import Deadman
from hardware.safety.gate import GateDecision, make_gate
from sim.twin import Twin
from tutelage_core.contract import NS_PER_S, RobotContract, load_contract
from tutelage_core.types import ArmCommand, ArmState, FloatArray, Source, StepCommand

SLICE_NS = 10_000_000
"""Simulated time between two looks of the watchdog and two measurements [ns]; `arm_node` looks as often."""

SLICES_PER_STATE = 2
"""The arm's state is published at 50 Hz."""

STILL_RAD_S = 0.01
STILL_M_S = 0.02
"""Below these speeds joints and TCP count as still [rad/s, m/s]."""

SENDER = "session"
EXACT_M = 1e-9


@dataclass(frozen=True)
class Row:
    """What was measured at one instant.

    Attributes:
        steady_ns: when, on the steady clock [ns].
        speed_rad_s: largest joint speed [rad/s].
        tcp_m_s: TCP speed [m/s].
        position: of the TCP, shape (3,) [m].
        force_n: what the robot truly presses with on anything [N].
    """

    steady_ns: int
    speed_rad_s: float
    tcp_m_s: float
    position: FloatArray
    force_n: float


class Rig:
    """A robot whose sender and clocks the test plays."""

    def __init__(self, profile: str = "reduced", seed: int = 0, contract: RobotContract | None = None) -> None:
        """Arm the gate with the speed profile of this name; the twin's episode is drawn from `seed`."""
        contract = contract or load_contract("twin")
        self.contract = replace(contract, safety=replace(contract.safety, speed_profile=profile))
        self.limits = self.contract.safety
        self.twin = Twin(self.contract, "PickCube", seed)
        self.deadman = Deadman(self.limits.deadman_timeout_s)
        self.gate = make_gate(self.contract, self.deadman, armed=False)
        self.steady_ns = 50 * NS_PER_S
        self.wall_offset_ns = 1_700_000_000 * NS_PER_S
        self.rows: list[Row] = []
        self.unsafe = 0
        self.key_held = True
        self._target: ArmCommand | None = None
        self._heard_ns, self._moving, self._sequence = self.steady_ns, False, 0
        self.start()

    @property
    def now_ns(self) -> int:
        """Time on the clock of stamps [ns]."""
        return self.steady_ns + self.wall_offset_ns

    def start(self) -> None:
        """Restart and arm, as a session does when an episode begins."""
        self.gate.restart(self.state())
        self.gate.arm(SENDER)
        self._sequence = 0

    def state(self) -> ArmState:
        """Return what the arm measures now."""
        return replace(self.twin.arm_state(), stamp_ns=self.now_ns)

    def send(self, step: FloatArray, *, source: Source = Source.POLICY, sender: str = SENDER) -> GateDecision:
        """Send a step for the present period."""
        self._sequence += 1
        return self.admit(StepCommand(self.now_ns, self._sequence, source, step, sender))

    def admit(self, command: StepCommand) -> GateDecision:
        """Pass a command through the gate to the controller, and count it if it is unsafe."""
        before = self._target
        decision = self.gate.admit(command, self.state(), self.now_ns, self.steady_ns)
        self._heard_ns = self.steady_ns
        self._moving = command.source is not Source.HOLD and not decision.refused
        self.unsafe += not self._is_safe(decision, before)
        self._target = decision.target or self._target
        return decision

    def run(self, seconds: float) -> None:
        """Let time pass [s]; the watchdog holds the arm when no command comes."""
        for _ in range(round(seconds * NS_PER_S / SLICE_NS)):
            silent_s = (self.steady_ns - self._heard_ns) / NS_PER_S
            if self._moving and silent_s > self.limits.command_timeout_s:
                self._moving = False
                self._target = self.gate.time_out(self.state(), self.now_ns).target
            self.twin.advance(self._target, SLICE_NS)
            self.steady_ns += SLICE_NS
            state = self.state()
            if len(self.rows) % SLICES_PER_STATE == 0 and self.gate.feel(state):
                self._target = ArmCommand(self.now_ns, state.T_base_tcp, state.gripper_opening, hold=True)
            self.rows.append(
                Row(
                    self.steady_ns,
                    float(np.abs(state.joint_velocities).max()),
                    float(np.linalg.norm(state.tcp_velocity[:3])),
                    state.T_base_tcp.position.copy(),
                    self.twin.contact_force_n(),
                )
            )

    def drive(self, direction: tuple[float, float, float], seconds: float, source: Source = Source.POLICY) -> None:
        """Send the longest legal step along `direction` once a control period, for so long [s]."""
        step = np.zeros(7)
        step[:3] = np.array(direction) * self.limits.max_step_m
        step[6] = 1.0
        for _ in range(round(seconds * self.contract.control_rate_hz)):
            if self.key_held:
                self.deadman.see(held=True, steady_ns=self.steady_ns)
            self.send(step, source=source)
            self.run(self.contract.period_ns / NS_PER_S)

    def to_full_speed(self, source: Source = Source.POLICY) -> None:
        """Bring the arm to the top speed of its profile, in the middle of its workspace."""
        self.drive((0.0, -1.0, 0.0), 2.0, source)
        self.drive((0.0, 1.0, 0.0), 1.0, source)
        assert self.rows[-1].tcp_m_s > 0.8 * self.limits.max_step_m * self.contract.control_rate_hz

    def stop_ms(self, since_ns: int) -> float:
        """Return how long after `since_ns` (steady clock) the joints stood still for good; infinite if they do not."""
        return self._still_ms(since_ns, [row.speed_rad_s < STILL_RAD_S for row in self.rows])

    def tcp_stop_ms(self, since_ns: int) -> float:
        """Return the same of the TCP: the elbow may still settle while the tool stands."""
        return self._still_ms(since_ns, [row.tcp_m_s < STILL_M_S for row in self.rows])

    def _still_ms(self, since_ns: int, still: list[bool]) -> float:
        after = [row for row in self.rows if row.steady_ns > since_ns]
        moving = [row.steady_ns for row, stands in zip(self.rows, still, strict=True) if not stands]
        moving = [at_ns for at_ns in moving if at_ns > since_ns]
        if moving and moving[-1] == after[-1].steady_ns:
            return float("inf")
        still_ns = moving[-1] + SLICE_NS if moving else since_ns
        return (still_ns - since_ns) / 1e6

    def travelled_m(self, since_ns: int) -> float:
        """Return the greatest distance of the TCP from where it was at `since_ns` [m]."""
        places = np.array([row.position for row in self.rows if row.steady_ns >= since_ns])
        return float(np.linalg.norm(places - places[0], axis=1).max())

    def _is_safe(self, decision: GateDecision, before: ArmCommand | None) -> bool:
        """Tell whether what goes to the controller is finite, in the box and no longer than a step."""
        target = decision.target
        if target is None:
            return True
        position, executed = target.T_base_tcp_target.position, decision.executed.executed
        numbers = np.concatenate([position, target.T_base_tcp_target.quaternion_xyzw, executed])
        if not np.isfinite(numbers).all() or not 0.0 <= target.gripper_opening <= 1.0:
            return False
        if decision.refused:
            away_m = np.linalg.norm(position - self.state().T_base_tcp.position)
            return bool(away_m <= self.limits.max_step_m * (1 + EXACT_M))
        legal = np.linalg.norm(executed[:3]) <= self.limits.max_step_m * (1 + EXACT_M)
        low, high = np.array(self.limits.workspace_min_m), np.array(self.limits.workspace_max_m)
        outside = np.maximum(low - position, position - high).max()
        held = self.state().T_base_tcp.position if before is None else before.T_base_tcp_target.position
        was_outside = np.maximum(low - held, held - high).max()
        return bool(legal and (outside <= EXACT_M or outside <= was_outside + EXACT_M))
