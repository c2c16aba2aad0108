"""One teleoperation device: what the hand asks for goes out at a steady rate, and each message is a heartbeat."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tutelage_interfaces import msg as ti

from hardware.teleop import TeleopInput
from hardware.teleop_devices import HandDevice, make_teleop_device, teleop_device_names
from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S, load_contract
from tutelage_core.errors import ArmError, ConfigurationError, UnknownNameError
from tutelage_core.types import STEP_SIZE
from tutelage_nodes import convert, topics
from tutelage_nodes.node import TutelageNode, run_node

MIN_RATE_HZ = 20.0
"""So that the time-out of the enabling key (0.2 s) holds a few messages."""

MAX_RATE_HZ = 200.0
REOPEN_S = 1.0


@dataclass(frozen=True)
class TeleopNodeParameters:
    """Parameters of `teleop_node`.

    Attributes:
        robot: name of the robot's contract.
        device: keyboard, gamepad or spacemouse.
        rate_hz: rate of the messages [Hz]; 0 for twice the control rate.
        max_speed_m_s, max_turn_rad_s: velocity at full deflection [m/s, rad/s].
        speed_scale: share of both that is used, 0..1.
        gripper: toggle or hold.
        options_file: YAML file with more options of the device, or other values for the ones above; empty for none.
    """

    robot: str = "twin"
    device: str = "keyboard"
    rate_hz: float = 0.0
    max_speed_m_s: float = 0.1
    max_turn_rad_s: float = 0.5
    speed_scale: float = 1.0
    gripper: str = "toggle"
    options_file: str = ""


class TeleopNode(TutelageNode[TeleopNodeParameters]):
    """Reads a device and publishes what the hand asks for; a device that is lost is looked for again."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("teleop_node", TeleopNodeParameters)
        self._device: HandDevice | None = None

    def setup(self) -> None:
        """Open the device, topics and the timer."""
        p = self.params
        devices = [name for name in teleop_device_names() if name != "stream"]  # that is for who listens to us
        if p.device not in devices:
            raise UnknownNameError("teleoperation device", p.device, devices, "node teleop_node")
        rate_hz = p.rate_hz or max(2.0 * load_contract(p.robot).control_rate_hz, MIN_RATE_HZ)
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise ConfigurationError(f"rate_hz must be in [{MIN_RATE_HZ:g}, {MAX_RATE_HZ:g}] or 0, got {rate_hz:g}")
        self._options = self._read_options()
        self._steady = SteadyClock()
        self._sequence = 0
        self._opening = 1.0
        self._held = False
        self._sentence = ""
        self._lost_ns = 0
        self._device = self._open()
        self._publisher = self.create_publisher(ti.TeleopInput, topics.TELEOP, topics.reliable())
        self.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, topics.newest())
        self.create_timer(1.0 / rate_hz, self._on_timer)

    def teardown(self) -> None:
        """Close the device."""
        if self._device is not None:
            self._device.close()
            self._device = None

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say whether the device is there, and whether its key is held."""
        if self._device is None:
            return False, self._sentence, {"device": self.params.device}
        sentence = f"{self.params.device}: enabling key {'held' if self._held else 'up'}"
        return True, sentence, {"device": self.params.device, **self._device.counters}

    def _read_options(self) -> dict[str, Any]:
        p = self.params
        options: dict[str, Any] = {
            "max_speed_m_s": p.max_speed_m_s,
            "max_turn_rad_s": p.max_turn_rad_s,
            "speed_scale": p.speed_scale,
            "gripper": p.gripper,
        }
        if not p.options_file:
            return options
        try:
            more = yaml.safe_load(Path(p.options_file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigurationError(f"teleop_node: options_file {p.options_file} cannot be read: {error}") from error
        if not isinstance(more, dict):
            raise ConfigurationError(f"teleop_node: options_file {p.options_file} must hold a mapping, got {more!r}")
        return {**options, **more}

    def _open(self) -> HandDevice:
        device = make_teleop_device(self.params.device, self._options, self._steady)
        device.follow_gripper(self._opening)
        return device

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        self._opening = float(message.executed[STEP_SIZE - 1])
        if self._device is not None:
            self._device.follow_gripper(self._opening)

    def _on_timer(self) -> None:
        asked = self._read()
        self._held = asked.deadman
        message = ti.TeleopInput(sequence=self._sequence, device=self.params.device, deadman=asked.deadman)
        self._sequence += 1
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = convert.BASE_FRAME
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = (float(value) for value in asked.twist)
        message.gripper_opening = float(asked.gripper_opening)
        message.buttons = sorted(asked.buttons)
        self._publisher.publish(message)

    def _read(self) -> TeleopInput:
        """Return the newest input; nothing is held while the device is away."""
        now_ns = self._steady.now_ns()
        try:
            if self._device is not None:
                return self._device.read()
            if now_ns - self._lost_ns > REOPEN_S * NS_PER_S:
                self._lost_ns = now_ns
                self._device = self._open()
                self.get_logger().info(f"{self.params.device} is back; press its enabling key afresh")
        except ArmError as error:
            if self._device is not None:
                self.count("lost_devices")
                self.get_logger().error(str(error))
            self._device, self._sentence, self._lost_ns = None, str(error), now_ns
        return TeleopInput(np.zeros(6), self._opening, deadman=False)


def main() -> None:
    """Run the node."""
    run_node(TeleopNode)


if __name__ == "__main__":
    main()
