"""The twin's arm as the `Arm` driver of `arm_node` sees it: a controller at the other end of two topics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode
from tutelage_interfaces import msg as ti

from tutelage_core.errors import ArmError
from tutelage_core.types import ArmCommand, ArmState
from tutelage_nodes import convert, topics


class TwinLinkArm:
    """An `Arm` whose controller is `twin_node`."""

    def __init__(self, node: LifecycleNode, on_state: Callable[[ArmState], None]) -> None:
        """Talk through `node`; `on_state` is called with each new state."""
        self._node, self._on_state = node, on_state
        self._state: ArmState | None = None
        self._stopped = ""
        self._held: ArmCommand | None = None
        self._connected = False

    def connect(self) -> None:
        """Open both topics."""
        if self._connected:
            return
        self._targets = self._node.create_publisher(ti.ArmTarget, topics.TWIN_LINK_TARGET, topics.reliable())
        self._states = self._node.create_subscription(
            ti.ArmState, topics.TWIN_LINK_STATE, self._receive, topics.reliable()
        )
        self._connected = True

    def read(self) -> ArmState:
        """Return the newest state."""
        if not self._connected or self._state is None:
            raise ArmError(
                f"no state from the twin's arm: is twin_node running and publishing {topics.TWIN_LINK_STATE}?"
            )
        return self._state

    def send(self, command: ArmCommand) -> ArmCommand:
        """Send the target."""
        if not self._connected:
            raise ArmError("the twin's arm is not connected")
        if self._stopped:
            raise ArmError(f"the twin's arm is stopped: {self._stopped}; recover first")
        self._targets.publish(convert.to_arm_target_msg(command))
        return command

    def stop(self, reason: str) -> None:
        """Hold the measured pose and latch."""
        if self._connected and self._state is not None and not self._stopped:
            state = self._state
            self._held = ArmCommand(state.stamp_ns, state.T_base_tcp, state.gripper_opening, hold=True)
            self.send(self._held)
        self._stopped = reason or "stopped"

    def recover(self) -> None:
        """Leave the latch."""
        self._stopped = ""

    def disconnect(self) -> None:
        """Close both topics."""
        if self._connected:
            self._node.destroy_publisher(self._targets)
            self._node.destroy_subscription(self._states)
            self._connected = False

    def is_heard(self) -> bool:
        """Return whether the controller listens."""
        return self._connected and self._targets.get_subscription_count() > 0

    def _receive(self, message: ti.ArmState) -> None:
        state = convert.from_arm_state_msg(message)
        if self._state is not None and state.stamp_ns == self._state.stamp_ns:
            self._node.count("states_repeated")  # type: ignore[attr-defined]
            self._let_time_pass(state)
        self._state = state
        self._on_state(state)

    def _let_time_pass(self, state: ArmState) -> None:
        """Go on holding: in lock-step a stopped arm would stop time as well, and never come to rest."""
        if self._stopped and self._held is not None:
            self._targets.publish(convert.to_arm_target_msg(dataclasses.replace(self._held, stamp_ns=state.stamp_ns)))
