"""Fault 14: malformed messages. Whatever comes over the network, a node gets what it can use or a named refusal."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rig import SENDER, Rig
from scoreboard import Scoreboard
from sensor_msgs.msg import Image
from tutelage_interfaces import msg as ti

from hardware.teleop import TeleopInput
from hardware.teleop_devices.stream import StreamDevice, StreamMessage, StreamOptions
from tutelage_core.clock import ManualClock
from tutelage_core.contract import NS_PER_S
from tutelage_nodes import convert

pytestmark = [pytest.mark.faults, pytest.mark.ros]

TRIES = 10_000
SEED = 11
NUMBERS = (0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, 1e9)
WORDS = ("", "rgb8", "bgr8", "mono8", "16UC1", "RGB8", "x" * 300, "\u0000", "policy")


class Maker:
    """Draws malformed messages from a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def number(self) -> float:
        return float(self._rng.choice(NUMBERS)) if self._rng.random() < 0.5 else float(self._rng.normal())

    def numbers(self, count: int) -> list[float]:
        return [self.number() for _ in range(count)]

    def count(self, most: int) -> int:
        return int(self._rng.integers(most))

    def word(self) -> str:
        return str(self._rng.choice(WORDS))

    def stamp(self, message: Any) -> None:
        message.header.stamp.sec = int(self._rng.integers(-(2**31), 2**31))
        message.header.stamp.nanosec = int(self._rng.integers(0, 2**32))
        message.header.frame_id = self.word()

    def image(self) -> Image:
        message = Image(height=self.count(6), width=self.count(6), encoding=self.word(), step=self.count(30))
        self.stamp(message)
        message.is_bigendian = self.count(2)
        message.data = self._rng.integers(0, 256, self.count(120), dtype=np.uint8).tobytes()
        return message

    def chunk(self) -> ti.ActionChunk:
        message = ti.ActionChunk(length=self.count(5), phrase=self.word(), policy=self.word())
        self.stamp(message)
        message.period.sec, message.period.nanosec = self.count(3) - 1, self.count(10**9)
        message.steps = self.numbers(7 * message.length if self._rng.random() < 0.5 else self.count(40))
        return message

    def command(self) -> ti.ArmCommand:
        message = ti.ArmCommand(sequence=self.count(2**40), source=self.count(256), sender=self.word())
        self.stamp(message)
        message.step = np.array(self.numbers(7))
        return message

    def state(self) -> ti.ArmState:
        message = ti.ArmState()
        self.stamp(message)
        message.joint_positions = self.numbers(self.count(9))
        message.joint_velocities = self.numbers(self.count(9))
        for place in (message.pose.position, message.pose.orientation):
            for axis in "xyzw"[: 3 if place is message.pose.position else 4]:
                setattr(place, axis, self.number())
        message.gripper_opening = self.number()
        return message

    def executed(self) -> ti.ExecutedAction:
        message = ti.ExecutedAction(sequence=self.count(2**40), source=self.count(256))
        self.stamp(message)
        message.requested, message.executed = np.array(self.numbers(7)), np.array(self.numbers(7))
        message.reasons = [self.word() for _ in range(self.count(4))]
        return message

    def status(self) -> ti.TaskStatus:
        message = ti.TaskStatus(success=bool(self.count(2)), progress=self.number(), failure=self.word())
        self.stamp(message)
        return message

    def teleop(self) -> StreamMessage:
        shape = 6 if self._rng.random() < 0.7 else self.count(9)
        asked = TeleopInput(
            np.array(self.numbers(shape)),
            self.number(),
            deadman=bool(self.count(2)),
            buttons=frozenset(self.word() for _ in range(self.count(40))),
        )
        return StreamMessage(self.word(), self.count(2**20), int(self._rng.integers(-(2**62), 2**62)), asked)


CONVERTED: dict[str, tuple[Callable[[Maker], Any], Callable[[Any], Any]]] = {
    "image": (Maker.image, convert.from_image_msg),
    "chunk": (Maker.chunk, convert.from_chunk_msg),
    "command": (Maker.command, convert.from_arm_command_msg),
    "arm state": (Maker.state, convert.from_arm_state_msg),
    "executed step": (Maker.executed, convert.from_executed_msg),
    "task status": (Maker.status, convert.from_task_status_msg),
}


@pytest.mark.parametrize("kind", CONVERTED)
def test_malformed_message_is_read_or_refused_and_never_ends_a_node(scoreboard: Scoreboard, kind: str) -> None:
    make, read = CONVERTED[kind]
    maker, refused = Maker(SEED), 0
    for _ in range(TRIES):
        try:
            read(make(maker))
        except ValueError:
            refused += 1
    scoreboard.note(14, f"malformed messages: {kind}", clock="counted", tries=TRIES, refused=refused, crashes=0)
    assert refused < TRIES, "some messages are fit to be read, or nothing was tested"


def test_malformed_commands_bring_nothing_unsafe_to_the_controller(scoreboard: Scoreboard) -> None:
    """As `arm_node` does it: message, gate, controller. An operator clears each latch and goes on."""
    rig, maker, latched = Rig("simulation"), Maker(SEED), 0
    for _ in range(TRIES):
        message = maker.command()
        if maker.count(2):  # such as get further: stamped now, by the one in charge
            message.header.stamp, message.sender = convert.to_time(rig.now_ns), SENDER
        rig.admit(convert.from_arm_command_msg(message))
        rig.run(0.01)
        if rig.gate.latch:
            latched += 1
            rig.gate.clear_stop()
            rig.start()
    scoreboard.note(
        14, "malformed commands, gate and controller", clock="counted", tries=TRIES, unsafe_cmds=rig.unsafe, crashes=0
    )
    assert rig.unsafe == 0
    assert latched > 100


def test_malformed_teleoperation_never_moves_faster_than_a_hand_may(scoreboard: Scoreboard) -> None:
    clock, maker = ManualClock(), Maker(SEED)
    options = StreamOptions()
    device, held = StreamDevice(options, clock), 0
    for number in range(TRIES):
        clock.set_ns(number * NS_PER_S // 100)
        device.offer(maker.teleop())
        asked = device.read()
        held += asked.deadman
        assert np.isfinite(asked.twist).all()
        assert np.linalg.norm(asked.twist[:3]) <= options.max_speed_m_s * (1 + 1e-9)
        assert 0.0 <= asked.gripper_opening <= 1.0
        assert asked.deadman or not asked.twist.any()
    scoreboard.note(14, "malformed teleoperation", clock="counted", tries=TRIES, crashes=0, held=held)
