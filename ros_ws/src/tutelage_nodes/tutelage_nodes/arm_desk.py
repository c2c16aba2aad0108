"""What may be asked of the arm beside motion: to stop, to leave a stop, and to begin an episode."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from tutelage_interfaces.srv import Command

from hardware.arm import Arm
from hardware.safety.gate import SafetyGate
from tutelage_core.errors import ArmError, UnknownNameError
from tutelage_core.types import ArmState
from tutelage_nodes import topics
from tutelage_nodes.black_box_keeper import BlackBoxKeeper
from tutelage_nodes.episode_setup import NOT_CONNECTED
from tutelage_nodes.twin_link import TwinLinkArm

ARM_EVENTS = ("STOP", "CLEAR_STOP", "RESTART")


class ArmDesk:
    """Serves `/arm/event`."""

    def __init__(
        self,
        node: Node,
        gate: SafetyGate,
        box: BlackBoxKeeper,
        *,
        arm: Callable[[], Arm | None],
        state: Callable[[], ArmState | None],
        now_ns: Callable[[], int],
        is_heard: Callable[[], bool],
    ) -> None:
        """Open the service on `node`.

        Args:
            node: whose it is.
            gate: what it stops, clears and arms.
            box: what a stop seals.
            arm: returns the driver; None while there is none.
            state: returns the arm's newest state; None before the first one.
            now_ns: returns the time on the gate's clock [ns].
            is_heard: returns whether somebody listens to what is executed.
        """
        self._node, self._gate, self._box = node, gate, box
        self._arm, self._state, self._now_ns, self._is_heard = arm, state, now_ns, is_heard
        node.create_service(Command, topics.ARM_EVENT, self._on_event)

    def _on_event(self, request: Command.Request, response: Command.Response) -> Command.Response:
        response.accepted = True
        if request.event == "STOP":
            self._gate.stop(request.reason, self._state())
            if (arm := self._arm()) is not None:
                arm.stop(request.reason)
        elif request.event == "CLEAR_STOP":
            response.message = self._clear_stop()
            response.accepted = not response.message
        elif request.event == "RESTART":
            response.message = self._restart(request.sender)
            response.accepted = not response.message
        else:
            response.accepted = False
            response.message = str(UnknownNameError("arm event", request.event, ARM_EVENTS))
        self._box.seal_when_latched(self._gate.latch)
        response.state = self._gate.latch or "READY"
        return response

    def _clear_stop(self) -> str:
        """Leave the latched stop, disarmed; return why that cannot be, or nothing."""
        arm, state = self._arm(), self._state()
        if state is None or arm is None:
            return "no arm state yet"
        if self._gate.latch and (why := self._gate.why_not_clear(state, self._now_ns())):
            return why
        try:
            arm.recover()
        except ArmError as error:
            return str(error)
        self._gate.disarm()
        self._gate.clear_stop(self._now_ns())
        return ""

    def _restart(self, sender: str) -> str:
        """Begin an episode from the measured pose and arm it for `sender`; return why that cannot be, or nothing."""
        arm, state = self._arm(), self._state()
        if self._gate.latch:
            return f"stopped: {self._gate.latch}; send CLEAR_STOP first"
        if state is None:
            return f"{NOT_CONNECTED}: no arm state yet"
        if isinstance(arm, TwinLinkArm) and not arm.is_heard():
            return f"{NOT_CONNECTED}: nobody listens on {topics.TWIN_LINK_TARGET}"
        if not self._is_heard():
            return f"{NOT_CONNECTED}: nobody listens on {topics.ARM_EXECUTED}"
        senders = self._node.get_publishers_info_by_topic(topics.ARM_COMMAND)
        if len(senders) > 1:
            names = ", ".join(sorted(s.node_name for s in senders))
            return f"{len(senders)} nodes send on {topics.ARM_COMMAND} ({names}): only one may drive, end the others"
        self._gate.restart(state)
        self._gate.arm(sender)
        return ""
