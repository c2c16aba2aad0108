"""Shows the running graph in Foxglove: a read-only server on this machine that passes messages on as they are.

It reads a topic only while a client watches it, so a bridge that nobody looks at costs the graph nothing. It offers no
client publishing, no services and no parameters: nothing that a client sends reaches the graph.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import foxglove
from diagnostic_msgs.msg import DiagnosticArray
from foxglove.websocket import ChannelView, Client, ServerListener, WebSocketServer
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image, JointState
from tutelage_interfaces import msg as ti

from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S, load_contract
from tutelage_core.episodes.schemas import definition
from tutelage_core.errors import ConfigurationError, TutelageError
from tutelage_nodes import topics
from tutelage_nodes.node import TutelageNode, run_node

HOST = "127.0.0.1"
"""Never another one: the server asks nobody who they are."""

FOXGLOVE_NICENESS = 10
"""A picture that comes late harms nobody: the bridge yields to everything else, the recorder included."""

CLIENT_BACKLOG = 256
"""Messages that a slow client may be behind before it loses the oldest."""


@dataclass(frozen=True)
class FoxgloveNodeParameters:
    """Parameters of `foxglove_node`.

    Attributes:
        robot: name of the robot's contract: it names the cameras.
        port: port of the server on this machine's loopback address.
        image_rate_hz: so many pictures of each camera are passed on at most [Hz].
    """

    robot: str = "twin"
    port: int = 8765
    image_rate_hz: float = 10.0


@dataclass
class Outlet:
    """One topic on its way out.

    Attributes:
        kind: class of its messages.
        quality: how it is read.
        channel: where it goes.
        gap_ns: time between two messages at least [ns]; 0 passes all on.
        latched: a client that comes late gets the last message again.
        watchers: ids of the clients that watch it.
        subscription: how it is read now; None while nobody watches.
        due_ns: when the next message may go out, on the steady clock [ns].
        newest: the last message of a latched topic.
    """

    kind: type
    quality: QoSProfile
    channel: foxglove.Channel
    gap_ns: int = 0
    latched: bool = False
    watchers: frozenset[int] = frozenset()
    subscription: Subscription | None = None
    due_ns: int = 0
    newest: bytes | None = None


class _Watchers(ServerListener):
    """Hears, in the server's own thread, which client begins or ends to watch what."""

    def __init__(self, wake: Any) -> None:
        self.changes: deque[tuple[bool, str, int]] = deque()
        self._wake = wake

    def on_subscribe(self, client: Client, channel: ChannelView) -> None:
        self.changes.append((True, channel.topic, client.id))
        self._wake()

    def on_unsubscribe(self, client: Client, channel: ChannelView) -> None:
        self.changes.append((False, channel.topic, client.id))
        self._wake()


class FoxgloveNode(TutelageNode[FoxgloveNodeParameters]):
    """Passes the graph's messages to Foxglove clients."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("foxglove_node", FoxgloveNodeParameters)
        self._server: WebSocketServer | None = None

    def setup(self) -> None:
        """Start the server; refuse settings that cannot be and a port that is taken."""
        p = self.params
        if not 1 <= p.port <= 65535 or not 0.0 < p.image_rate_hz <= 1000.0:
            raise ConfigurationError(
                f"foxglove_node: port must be in 1..65535 and image_rate_hz in (0, 1000], got {p.port} and "
                f"{p.image_rate_hz}"
            )
        os.nice(FOXGLOVE_NICENESS)
        self._steady = SteadyClock()
        self._sdk = foxglove.Context()
        guard = self.create_guard_condition(self._follow_watchers)
        self._watchers = _Watchers(guard.trigger)
        cameras = tuple(load_contract(p.robot).cameras)
        self._outlets = {topic: self._outlet(topic, *rest) for topic, *rest in self._topics(cameras)}
        try:
            self._server = foxglove.start_server(
                name=f"Tutelage, robot {p.robot}",
                host=HOST,
                port=p.port,
                capabilities=[],
                server_listener=self._watchers,
                context=self._sdk,
                message_backlog_size=CLIENT_BACKLOG,
            )
        except (RuntimeError, OSError) as error:
            raise TutelageError(
                f"foxglove_node: no server at {HOST}:{p.port}: {error}; end the program that has this port, or choose "
                "another one with the parameter port"
            ) from error
        self.get_logger().info(f"open ws://{HOST}:{p.port} in Foxglove")

    def teardown(self) -> None:
        """End the server and let its clients go."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say who watches what."""
        watched = [topic for topic, outlet in self._outlets.items() if outlet.watchers]
        clients = frozenset[int]().union(*(outlet.watchers for outlet in self._outlets.values()))
        return True, f"{len(clients)} clients watch {len(watched)} topics", {"watched": ", ".join(watched)}

    def _topics(self, cameras: tuple[str, ...]) -> Iterator[tuple[str, type, QoSProfile, float]]:
        """Yield name, kind, quality and greatest rate [Hz] (0: none) of all that is shown."""
        for camera in cameras:
            # best effort, depth 1: a reader that cannot keep up misses pictures and holds nobody up
            yield topics.camera_image(camera), Image, topics.newest(), self.params.image_rate_hz
            yield topics.camera_info(camera), CameraInfo, topics.latched(), 0.0
        for topic, kind in (
            (topics.JOINT_STATES, JointState),
            (topics.ARM_STATE, ti.ArmState),
            (topics.ARM_TCP_POSE, PoseStamped),
            (topics.ARM_WRENCH, WrenchStamped),
            (topics.ARM_COMMAND, ti.ArmCommand),
            (topics.ARM_EXECUTED, ti.ExecutedAction),
            (topics.TELEOP, ti.TeleopInput),
            (topics.POLICY_CHUNK, ti.ActionChunk),
            (topics.TWIN_TASK_STATUS, ti.TaskStatus),
            (topics.DIAGNOSTICS, DiagnosticArray),
        ):
            yield topic, kind, topics.reliable(), 0.0
        yield topics.SESSION_STATE, ti.SessionState, topics.latched(), 0.0

    def _outlet(self, topic: str, kind: type, quality: QoSProfile, rate_hz: float) -> Outlet:
        name = f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
        schema = foxglove.Schema(name=name, encoding="ros2msg", data=definition(name).encode())
        channel = foxglove.Channel(topic, schema=schema, message_encoding="cdr", context=self._sdk)
        latched = quality.durability == topics.latched().durability
        return Outlet(kind, quality, channel, round(NS_PER_S / rate_hz) if rate_hz else 0, latched)

    def _follow_watchers(self) -> None:
        """Begin to read what clients have begun to watch, and end what nobody watches any more."""
        while self._watchers.changes:
            begins, topic, client = self._watchers.changes.popleft()
            outlet = self._outlets[topic]
            outlet.watchers = outlet.watchers | {client} if begins else outlet.watchers - {client}
            if begins and outlet.newest is not None:
                self._pass_on(outlet, outlet.newest)
        for topic, outlet in self._outlets.items():
            if outlet.watchers and outlet.subscription is None:
                take = partial(self._on_message, outlet)
                outlet.subscription = self.create_subscription(outlet.kind, topic, take, outlet.quality, raw=True)
            elif not outlet.watchers and outlet.subscription is not None:
                self.destroy_subscription(outlet.subscription)
                outlet.subscription, outlet.newest = None, None

    def _on_message(self, outlet: Outlet, data: bytes) -> None:
        now_ns = self._steady.now_ns()
        if now_ns < outlet.due_ns:
            self.count("held_back")
            return
        if outlet.gap_ns:  # a frame that came late leaves its successor the rest of its time
            outlet.due_ns = max(outlet.due_ns + outlet.gap_ns, now_ns)
        if outlet.latched:
            outlet.newest = data
        self._pass_on(outlet, data)

    def _pass_on(self, outlet: Outlet, data: bytes) -> None:
        outlet.channel.log(data, log_time=self.get_clock().now().nanoseconds)
        self.count("passed_on")


def main() -> None:
    """Run the node."""
    run_node(FoxgloveNode)
