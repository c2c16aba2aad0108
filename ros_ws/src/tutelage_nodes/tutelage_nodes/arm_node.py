"""The arm: its driver, the SafetyGate, the watchdog and the stop latch. The only process that commands the arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tutelage_interfaces import msg as ti

from hardware.arm import Arm
from hardware.arms import make_arm, with_host
from hardware.safety.deadman import Deadman
from hardware.safety.gate import GateDecision, make_gate
from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S, load_contract
from tutelage_core.errors import ArmError, ConfigurationError, UnknownNameError
from tutelage_core.types import ArmState, Source
from tutelage_nodes import convert, topics
from tutelage_nodes.arm_connection import connect_patiently
from tutelage_nodes.arm_desk import ArmDesk
from tutelage_nodes.arm_outputs import ArmOutputs
from tutelage_nodes.black_box_keeper import BlackBoxKeeper
from tutelage_nodes.node import NodeClock, TutelageNode, run_node
from tutelage_nodes.twin_link import TwinLinkArm

POLL_S = 0.02
"""How often a driver that has no topics of its own is asked for the arm's state [s]."""

FRESH_S = 0.25
"""The arm's state may be so old when motion is asked for [s, steady]."""

STATE_SILENCE_S = 1.0
"""Without an arm state for so long the diagnostics turn to ERROR [s, steady]."""


@dataclass(frozen=True)
class ArmNodeParameters:
    """Parameters of `arm_node`.

    Attributes:
        robot: name of the robot's contract.
        black_box: folder in which a stop seals what happened before it.
        black_box_pictures: keep small pictures too; each costs the node the copy of a whole one.
        arm_host: address of the arm's controller, instead of the contract's; empty for that.
        arm_patience_s: an arm whose controller does not answer yet is tried again for so long [s].
        time: wall (ages are measured on the node's clock) or data (on the arm's own stamps: lock-step and fast twin).
        person: in lock-step: a hand's step waits for the hand's own word for its period, which enables it.
    """

    robot: str = "twin"
    black_box: str = "runs/black_box"
    black_box_pictures: bool = True
    arm_host: str = ""
    arm_patience_s: float = 30.0
    time: str = "wall"
    person: bool = False


class ArmNode(TutelageNode[ArmNodeParameters]):
    """Passes single steps through the SafetyGate to the driver."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("arm_node", ArmNodeParameters)
        self._arm: Arm | None = None

    def setup(self) -> None:
        """Connect the driver and open the topics."""
        contract = with_host(load_contract(self.params.robot), self.params.arm_host)
        if self.params.time not in ("wall", "data"):
            raise UnknownNameError("time", self.params.time, ("wall", "data"), "node arm_node")
        if self.params.person and self.params.time != "data":
            raise ConfigurationError(
                "node arm_node: person needs time: data, as lock-step has it: on a robot no step of a hand waits for "
                f"anything; time is {self.params.time}"
            )
        self._limits = contract.safety
        self._deadman = Deadman(contract.safety.deadman_timeout_s)
        self._gate = make_gate(contract, self._deadman, armed=False)
        cameras = tuple(contract.cameras) if self.params.black_box_pictures else ()
        self._box = BlackBoxKeeper(self, contract.name, Path(self.params.black_box), cameras)
        self._steady = SteadyClock()
        self._state: ArmState | None = None
        self._state_seen_ns = self._command_seen_ns = self._steady.now_ns()
        self._moving = False
        self._state_pub = self.create_publisher(ti.ArmState, topics.ARM_STATE, topics.reliable())
        self._outputs = ArmOutputs(self, contract.arm.joints)
        self._executed_pub = self.create_publisher(ti.ExecutedAction, topics.ARM_EXECUTED, topics.reliable())
        self._word_ns = -1
        self._early: ti.ArmCommand | None = None
        self.create_subscription(ti.ArmCommand, topics.ARM_COMMAND, self._on_command, topics.reliable())
        self.create_subscription(ti.TeleopInput, topics.TELEOP, self._on_teleop, topics.reliable())
        self._desk = ArmDesk(
            self,
            self._gate,
            self._box,
            arm=lambda: self._arm,
            state=lambda: self._state,
            now_ns=self._now_ns,
            is_heard=lambda: self._executed_pub.get_subscription_count() > 0,
        )
        if contract.arm.driver == "twin":
            self._arm = TwinLinkArm(self, self._on_state)
        else:
            self._arm = make_arm(contract, NodeClock(self))
            self.create_timer(POLL_S, self._poll)
        connect_patiently(self._arm, self.params.arm_patience_s, self.get_logger())
        if self.params.time == "wall":
            self.create_timer(contract.safety.command_timeout_s / 4, self._watch)

    def teardown(self) -> None:
        """Hold and let go of the driver."""
        if self._arm is not None:
            self._arm.disconnect()
            self._arm = None

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say whether states arrive and whether the gate is latched."""
        if self._arm is None or self._state is None:
            return False, "no arm state yet", {}
        silent_s = (self._steady.now_ns() - self._state_seen_ns) / NS_PER_S
        values: dict[str, object] = {
            "refused": self._gate.refused,
            "clamped": self._gate.clamped,
            "state_silence_s": round(silent_s, 3),
        }
        values |= {"armed": self._gate.armed, "sender": self._gate.sender}
        if self._gate.latch:
            return False, f"stopped: {self._gate.latch}; send CLEAR_STOP once its cause is gone", values
        if self.params.time == "wall" and silent_s > STATE_SILENCE_S:
            return False, f"no arm state for {silent_s:.1f} s", values
        return True, "ready", values

    def missing(self) -> list[str]:
        """Say what speaks against motion."""
        if self._arm is None or self._state is None:
            return ["no arm state yet: is the arm's controller running?"]
        found = [f"stopped: {self._gate.latch}; send CLEAR_STOP once its cause is gone"] if self._gate.latch else []
        silent_s = (self._steady.now_ns() - self._state_seen_ns) / NS_PER_S
        if self.params.time == "wall" and silent_s > FRESH_S:
            found.append(f"no arm state for {silent_s:.2f} s")
        return found

    def _poll(self) -> None:
        try:
            if self._arm is not None:
                self._on_state(self._arm.read())
        except ArmError as error:
            self._gate.stop(str(error), self._state)
            self._box.seal_when_latched(self._gate.latch)

    def _on_state(self, state: ArmState) -> None:
        is_new = self._state is None or state.stamp_ns != self._state.stamp_ns  # in lock-step one may come again
        self._state = state
        self._state_seen_ns = self._steady.now_ns()
        self._box.note_state(state)
        if is_new and self._gate.feel(state) and self._arm is not None:
            self._arm.stop(self._gate.latch)
            self._box.seal_when_latched(self._gate.latch)
        message = convert.to_arm_state_msg(state)
        self._state_pub.publish(message)
        self._outputs.publish(message, state)

    def _on_command(self, message: ti.ArmCommand) -> None:
        if self._state is None:
            self.count("commands_before_first_state")
            return
        command = convert.from_arm_command_msg(message)
        if self.params.person and command.source is Source.HUMAN and command.stamp_ns > self._word_ns:
            self._early = message  # the enabling key's own message is still on its way here
            return
        decision = self._gate.admit(command, self._state, self._now_ns(), self._steady.now_ns())
        self._command_seen_ns = self._steady.now_ns()
        self._moving = command.source is not Source.HOLD and not decision.refused
        self._execute(decision, command.sender)

    def _execute(self, decision: GateDecision, sender: str = "") -> None:
        if self._arm is None:
            return
        self._box.note_step(decision.executed, sender, decision.detail)
        for reason in decision.executed.reasons:
            self.count(f"reason.{reason}")
        executed = convert.to_executed_msg(decision.executed, self.get_clock().now().nanoseconds)
        try:
            if decision.target is None:
                self._arm.stop("no finite pose was ever measured")
            else:
                self._arm.send(decision.target)
        except ArmError as error:
            self.count("driver_refusals")
            if not decision.refused:
                self._gate.stop(str(error), self._state)
                self._box.seal_when_latched(self._gate.latch)
                return
            # a stopped driver takes no hold either: it holds already, and the session must still hear of the refusal
        self._executed_pub.publish(executed)
        self._box.seal_when_latched(self._gate.latch)

    def _now_ns(self) -> int:
        if self.params.time == "data" and self._state is not None:
            return self._state.stamp_ns
        return self.get_clock().now().nanoseconds

    def _watch(self) -> None:
        """Hold when a moving arm gets no command any more; liveness is on the steady clock."""
        silent_s = (self._steady.now_ns() - self._command_seen_ns) / NS_PER_S
        if self._moving and self._state is not None and silent_s > self._limits.command_timeout_s:
            self._moving = False
            self._execute(self._gate.time_out(self._state, self._now_ns()))

    def _on_teleop(self, message: ti.TeleopInput) -> None:
        self._deadman.see(message.deadman, self._steady.now_ns())
        self._word_ns = convert.to_ns(message.header.stamp)
        early, self._early = self._early, None
        if early is not None:
            self._on_command(early)


def main() -> None:
    """Run the node."""
    run_node(ArmNode)
