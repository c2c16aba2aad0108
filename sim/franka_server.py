"""The twin behind the real network protocol of a Franka robot, for drivers to be tested without the robot.

`franky-sim` speaks the protocol (TCP and UDP, ports 1337 and 1338); here its abstract robot is our own world. Collision
thresholds, reflexes, missed commands and recovery, which franky-sim leaves out, follow libfranka's documentation. The
robot's own checks of speed and smoothness are not modelled.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from franky_sim import franka_robot_protocol as protocol
from franky_sim.franka_gripper_protocol import GripperCommandStatus
from franky_sim.franka_gripper_server import FrankaGripperServer
from franky_sim.franka_robot_server import FrankaRobotServer
from franky_sim.franka_robot_state import FrankaRobotState
from franky_sim.franka_server import BaseCommand

from sim.franka_robot import COMMUNICATION_VIOLATION, TICK_NS, TwinRobot, TwinSimulator
from sim.twin import Twin
from tutelage_core.errors import ConfigurationError

LOOPBACK_HOSTS = tuple(f"127.0.0.{last}" for last in range(2, 255))
"""The protocol's ports are fixed, so each served robot takes an address of its own."""


@dataclass(frozen=True)
class ServerSettings:
    """How a world is served.

    Attributes:
        hosts: addresses to try, one after the other.
        patience_s: how long to wait for the command of each cycle [s]; then it counts as 20 missed ones and the motion
            is aborted. Where the machine is busy, a long patience stretches time instead of failing.
        speed: of simulated time against the clock; 0 for as fast as the client answers.
    """

    hosts: tuple[str, ...] = LOOPBACK_HOSTS
    patience_s: float = 0.02
    speed: float = 1.0


class _SetThresholds(protocol.SetCollisionBehaviorCommand):
    """Takes the upper nominal thresholds; franky-sim ignores them."""

    def handle(self, server: TwinRobotServer) -> None:
        server.robot.torque_limits = np.array(self.upper_torque_thresholds_nominal)
        server.robot.force_limits = np.array(self.upper_force_thresholds_nominal)
        self.reply(0)


class _Move(protocol.MoveCommand):
    """A motion, refused while an error stands."""

    def handle(self, server: TwinRobotServer) -> None:
        if server.robot.errors:
            self.reply(protocol.MoveStatus.kCommandNotPossibleRejected)
        else:
            super().handle(server)


class _Recover(protocol.AutomaticErrorRecoveryCommand):
    """Clears the errors; franky-sim has none."""

    def handle(self, server: TwinRobotServer) -> None:
        if server.locked:
            self.reply(protocol.AutomaticErrorRecoveryStatus.kManualErrorRecoveryRequiredRejected)
            return
        server.robot.errors = frozenset()
        super().handle(server)


class _GripperServer(FrankaGripperServer):
    """Answers a command that was stopped, which franky-sim forgets: its client would wait for ever."""

    def stop(self, command_id: int, tcp_socket: socket.socket) -> None:
        """Stop, and tell whoever waits for the command before."""
        kind, pending = self._pending_command_type, self._pending_command_id
        if kind is not None and pending is not None:
            BaseCommand.send_response(
                tcp_socket,
                kind,
                pending,
                GripperCommandStatus.kAborted,
                command_type_struct="H",
                status_type_struct="H",
            )
        super().stop(command_id, tcp_socket)


class TwinRobotServer(FrankaRobotServer):
    """The protocol's server, with the faults that franky-sim leaves out.

    Attributes:
        locked: refuse to recover, as a robot does whose cause of error still stands.
    """

    robot: TwinRobot

    def __init__(self, robot: TwinRobot, hosts: Iterable[str]) -> None:
        """Serve `robot` at the first of `hosts` whose ports are free."""
        super().__init__(robot, hosts)
        self.locked = False
        self._motion_answered = False
        commands = self._FrankaServer__command_class_map
        commands[protocol.RobotCommand.kSetCollisionBehavior] = _SetThresholds
        commands[protocol.RobotCommand.kMove] = _Move
        commands[protocol.RobotCommand.kAutomaticErrorRecovery] = _Recover

    def _bind_children(self, hostname: str) -> None:
        gripper = _GripperServer(self.robot, hostname)
        gripper.init()
        self._FrankaRobotServer__gripper_server = gripper

    @property
    def in_motion(self) -> bool:
        """Whether a client controls the arm."""
        return self.udp_connected and self.current_motion_id > 0

    def start_motion(
        self,
        controller_mode: protocol.MoveCommandControllerMode,
        motion_generator_mode: protocol.MoveCommandMotionGeneratorMode,
        motion_id: int,
    ) -> None:
        """Begin the motion that a client asks for."""
        super().start_motion(controller_mode, motion_generator_mode, motion_id)
        self._motion_answered = False

    def _handle_udp_command(self, command_data: bytes) -> None:
        super()._handle_udp_command(command_data)
        self._motion_answered = True

    def command_arrives(self, patience_s: float) -> bool:
        """Wait for the client's next word and return whether it came.

        Nobody waits while the robot is at rest, nor before a motion's first command: a client looks at states first.
        """
        if not (self.in_motion and self._motion_answered):
            return True
        sockets = [self._FrankaServer__udp_socket, self._tcp_socket]
        return bool(select.select(sockets, [], [], patience_s)[0])

    def throw_out(self) -> None:
        """Close the connections to whoever is connected, to the arm or to the hand."""
        self.reset_state()
        if self.gripper_server is not None:
            self.gripper_server.reset_state()

    def abort(self, errors: frozenset[int]) -> None:
        """Stop the motion with `errors`; the arm holds until they are recovered from."""
        self.robot.errors = errors
        motion = self.current_motion_id
        self.stop_motion(send_preemption_signal=False)
        if motion:
            BaseCommand.send_response(
                self._tcp_socket, protocol.RobotCommand.kMove, motion, protocol.MoveStatus.kReflexAborted
            )
        self.reset_current_motion_id()

    @property
    def robot_state(self) -> FrankaRobotState:
        """The robot's state with its mode."""
        state = super().robot_state
        return state.replace(robot_mode=protocol.RobotMode.kReflex) if self.robot.errors else state


class WorldServer:
    """Serves one twin until it is closed. The caller passes time with `tick`."""

    def __init__(self, twin: Twin, settings: ServerSettings | None = None) -> None:
        """Open the ports.

        Raises:
            ConfigurationError: the twin's control period is no multiple of 2 ms, or every address is taken.
        """
        self.settings = settings or ServerSettings()
        self.simulator = TwinSimulator(twin)
        self.simulator.init()
        self.server = TwinRobotServer(self.simulator.robot, self.settings.hosts)
        try:
            self.server.init()
        except OSError as error:
            raise ConfigurationError(f"no address left to serve a Franka robot at: {error}") from error
        self.simulator.start()
        self._next_s = time.monotonic()
        self._idle()

    @property
    def host(self) -> str:
        """Address that a client connects to."""
        return str(self.server.hostname)

    @property
    def ticks(self) -> int:
        """Milliseconds that have passed in the robot."""
        return self.simulator.ticks

    def tick(self) -> None:
        """Let one millisecond pass: take commands, step, look for reflexes, send the state."""
        server = self.server
        if not server.command_arrives(self.settings.patience_s):
            server.abort(frozenset({COMMUNICATION_VIOLATION}))
        server.process_commands()
        self.simulator.step()
        if server.in_motion and (reflexes := self.simulator.robot.reflexes()):
            server.abort(reflexes)
        server.send_state()
        if self.settings.speed > 0.0:
            self._next_s = max(self._next_s + TICK_NS * 1e-9 / self.settings.speed, time.monotonic() - 0.005)
            time.sleep(max(0.0, self._next_s - time.monotonic()))

    def reset(self, seed: int) -> None:
        """Begin a new episode of the twin. Whoever controls the arm loses it, as when a robot is switched off."""
        self.server.throw_out()
        self.simulator.robot.release()
        self.simulator.twin.reset(seed)
        self.simulator.robot.errors = frozenset()
        self.simulator.robot.attach()
        self.server.throw_out()  # once more: the arm holds the pose of the new episode
        self._idle()

    def show(self, twin: Twin) -> None:
        """Set another scene around the arm, which notices nothing of it: whoever controls it goes on."""
        self.simulator.twin = twin
        self.simulator.robot.move_to(twin)

    def close(self) -> None:
        """Close the ports."""
        self.server.cleanup()
        self.simulator.cleanup()

    def _idle(self) -> None:
        """Take one step at rest, so that there is a state to send."""
        self.server.process_commands()
        self.simulator.step()
