"""The bridge to Foxglove: a client sees the graph's channels and gets its messages as they are, and can do no more."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pytest
import rclpy
import running_graph
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from tutelage_interfaces import msg as ti
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tutelage.launch import packages
from tutelage.launch.runner import LaunchRunner
from tutelage_core.episodes import schemas
from tutelage_nodes import convert, topics

pytestmark = pytest.mark.ros

LIMIT_S = 40.0
"""Nothing that works takes so long, on a machine however busy."""

PROTOCOL = "foxglove.sdk.v1"
MESSAGE_DATA = 1


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Bridge:
    """A foxglove_node that runs."""

    def __init__(self, runner: LaunchRunner, output: io.StringIO, port: int) -> None:
        self.runner, self.output, self.port = runner, output, port

    def until(self, what: str, met: Callable[[], bool]) -> None:
        end_s = time.monotonic() + LIMIT_S
        while not met():
            assert time.monotonic() < end_s, f"{what}: not within {LIMIT_S} s:\n{self.output.getvalue()}"
            time.sleep(0.05)

    @contextmanager
    def viewer(self) -> Iterator[Viewer]:
        self.until("ready", lambda: "ready" in self.output.getvalue())
        with connect(f"ws://127.0.0.1:{self.port}", subprotocols=[PROTOCOL], max_size=None) as connection:
            yield Viewer(connection)

    @property
    def process(self) -> int:
        (process,) = self.runner.processes.values()
        return int(process.pid)


@contextmanager
def bridge(domain: int, arguments: Mapping[str, str] = {}) -> Iterator[Bridge]:
    environment, output, port = running_graph.test_environment(domain), io.StringIO(), free_port()
    file = packages.package_share("tutelage_bringup", environment) / "launch" / "foxglove.launch.yaml"
    with LaunchRunner(environment=environment, stream=output) as runner:
        runner.start(file, {"port": str(port), **arguments})
        yield Bridge(runner, output, port)


class Viewer:
    """A client that speaks Foxglove's protocol."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.info = json.loads(connection.recv(timeout=LIMIT_S))
        self.channels: dict[str, dict[str, str]] = {}
        while not self.channels:
            said = json.loads(connection.recv(timeout=LIMIT_S))
            if said["op"] == "advertise":
                self.channels = {channel["topic"]: channel for channel in said["channels"]}

    def say(self, **message: object) -> None:
        self.connection.send(json.dumps(message))

    def watch(self, topic: str, number: int) -> None:
        self.say(op="subscribe", subscriptions=[{"id": number, "channelId": self.channels[topic]["id"]}])

    def message(self, timeout_s: float = LIMIT_S) -> tuple[int, bytes]:
        """Return the number of the subscription and the bytes of the next message."""
        end_s = time.monotonic() + timeout_s
        while True:
            said = self.connection.recv(timeout=max(end_s - time.monotonic(), 0.0))
            if isinstance(said, bytes) and said[0] == MESSAGE_DATA:
                return struct.unpack_from("<I", said, 1)[0], said[13:]


class Robot:
    """Publishes what the graph's nodes publish."""

    def __init__(self, domain: int) -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = Node("robot", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.states = self.node.create_publisher(ti.ArmState, topics.ARM_STATE, topics.reliable())
        self.images = self.node.create_publisher(Image, topics.camera_image("front"), topics.reliable(2))
        self.sessions = self.node.create_publisher(ti.SessionState, topics.SESSION_STATE, topics.latched())

    def spin(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._executor.spin_once(timeout_sec=0.02)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def robot(domain: int) -> Iterator[Robot]:
    robot = Robot(domain)
    yield robot
    robot.close()


def arm_state(number: int) -> ti.ArmState:
    state = ti.ArmState(joint_positions=[0.1 * number] * 7, joint_velocities=[0.0] * 7, gripper_opening=0.25)
    state.header.stamp = convert.to_time(1_000_000_000 + number)
    state.wrench = np.arange(6.0)
    return state


def picture(number: int) -> Image:
    pixels = np.full((48, 64, 3), number, np.uint8)
    return convert.ImageMessage("front", 64, 48).fill(pixels, number)


def test_client_sees_the_channels_with_definitions_that_describe_them(domain: int) -> None:
    with bridge(domain) as running, running.viewer() as viewer:
        niceness = os.getpriority(os.PRIO_PROCESS, running.process)
        viewer.connection.close()
        assert running.runner.shutdown() == 0, running.output.getvalue()
    assert viewer.info["capabilities"] == []
    assert niceness > os.getpriority(os.PRIO_PROCESS, 0)
    kinds = {topic: channel["schemaName"] for topic, channel in viewer.channels.items()}
    assert kinds["/arm/state"] == "tutelage_interfaces/msg/ArmState"
    assert kinds["/arm/executed"] == "tutelage_interfaces/msg/ExecutedAction"
    assert kinds["/session/state"] == "tutelage_interfaces/msg/SessionState"
    assert kinds["/diagnostics"] == "diagnostic_msgs/msg/DiagnosticArray"
    assert {kinds[f"/camera/{camera}/image_raw"] for camera in ("front", "wrist")} == {"sensor_msgs/msg/Image"}
    for channel in viewer.channels.values():
        assert (channel["encoding"], channel["schemaEncoding"]) == ("cdr", "ros2msg")
        assert channel["schema"] == schemas.definition(channel["schemaName"])


def test_messages_arrive_and_decode_to_what_was_published(domain: int, robot: Robot) -> None:
    with bridge(domain) as running, running.viewer() as viewer:
        viewer.watch("/arm/state", 7)
        viewer.watch("/camera/front/image_raw", 8)
        running.until(
            "subscriptions",
            lambda: robot.states.get_subscription_count() > 0 and robot.images.get_subscription_count() > 0,
        )
        sent = arm_state(3)
        robot.states.publish(sent)
        number, data = viewer.message()
        assert number == 7
        assert deserialize_message(data, ti.ArmState) == sent
        channel = viewer.channels["/arm/state"]
        state = schemas.decode(data, channel["schemaName"], channel["schema"])
        np.testing.assert_array_equal(state.joint_positions, sent.joint_positions)
        np.testing.assert_array_equal(state.wrench, np.arange(6.0))
        assert state.gripper_opening == 0.25
        assert convert.to_ns(sent.header.stamp) == state.header.stamp.sec * 1_000_000_000 + state.header.stamp.nanosec

        robot.images.publish(picture(200))
        number, data = viewer.message()
        assert number == 8
        image = schemas.decode(data, "sensor_msgs/msg/Image", viewer.channels["/camera/front/image_raw"]["schema"])
        assert (image.width, image.height, image.encoding) == (64, 48, "rgb8")
        assert set(image.data) == {200}
        viewer.connection.close()
        assert running.runner.shutdown() == 0, running.output.getvalue()


def test_topic_is_read_only_while_a_client_watches_it(domain: int, robot: Robot) -> None:
    with bridge(domain) as running, running.viewer() as viewer:
        robot.spin(1.0)
        assert robot.states.get_subscription_count() == 0
        viewer.watch("/arm/state", 1)
        running.until("read", lambda: robot.states.get_subscription_count() == 1)
        viewer.say(op="unsubscribe", subscriptionIds=[1])
        running.until("left alone", lambda: robot.states.get_subscription_count() == 0)
        viewer.watch("/arm/state", 2)
        running.until("read again", lambda: robot.states.get_subscription_count() == 1)
        viewer.connection.close()
        running.until("left alone once the client is gone", lambda: robot.states.get_subscription_count() == 0)


def test_pictures_are_passed_on_at_the_capped_rate_and_states_at_their_own(domain: int, robot: Robot) -> None:
    with bridge(domain, {"image_rate_hz": "5.0"}) as running, running.viewer() as viewer:
        viewer.watch("/arm/state", 1)
        viewer.watch("/camera/front/image_raw", 2)
        running.until(
            "subscriptions",
            lambda: robot.states.get_subscription_count() > 0 and robot.images.get_subscription_count() > 0,
        )
        begun_s = time.monotonic()
        for number in range(100):
            robot.images.publish(picture(number))
            robot.states.publish(arm_state(number))
            robot.spin(0.02)
        lasted_s = time.monotonic() - begun_s
        counts = {1: 0, 2: 0}
        while counts[1] < 100:
            counts[viewer.message()[0]] += 1
        viewer.connection.close()
    assert 2 <= counts[2] <= 5.0 * lasted_s + 2, f"{counts[2]} pictures in {lasted_s:.1f} s"


def test_client_that_comes_late_hears_who_drives(domain: int, robot: Robot) -> None:
    robot.sessions.publish(ti.SessionState(state="AUTONOMOUS", task="pick the cube", driver="policy"))
    with bridge(domain) as running, running.viewer() as first, running.viewer() as second:
        for viewer in (first, second):
            viewer.watch("/session/state", 1)
            _, data = viewer.message()
            said = schemas.decode(
                data, "tutelage_interfaces/msg/SessionState", viewer.channels["/session/state"]["schema"]
            )
            assert (said.state, said.task, said.driver) == ("AUTONOMOUS", "pick the cube", "policy")


def test_nothing_that_a_client_sends_reaches_the_graph(domain: int, robot: Robot) -> None:
    heard: list[ti.ArmCommand] = []
    robot.node.create_subscription(ti.ArmCommand, topics.ARM_COMMAND, heard.append, topics.reliable())
    with bridge(domain) as running, running.viewer() as viewer:
        name = "tutelage_interfaces/msg/ArmCommand"
        offer = {"id": 1, "topic": topics.ARM_COMMAND, "encoding": "cdr", "schemaName": name}
        try:
            viewer.say(
                op="advertise", channels=[{**offer, "schema": schemas.definition(name), "schemaEncoding": "ros2msg"}]
            )
            viewer.connection.send(struct.pack("<BI", MESSAGE_DATA, 1) + serialize_message(ti.ArmCommand(sequence=5)))
        except ConnectionClosed:
            pass  # the server may also hang up on a client that wants to publish
        robot.spin(2.0)
        assert robot.node.count_publishers(topics.ARM_COMMAND) == 0
        assert not heard
        assert running.runner.shutdown() == 0, running.output.getvalue()


def test_port_that_is_taken_is_refused_and_named(domain: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with bridge(domain, {"port": str(port)}) as running:
            assert running.runner.wait(LIMIT_S) == 1
    assert f"no server at 127.0.0.1:{port}" in running.output.getvalue()
    assert "choose another one with the parameter port" in running.output.getvalue()


@pytest.mark.parametrize("arguments", [{"port": "0"}, {"port": "70000"}, {"image_rate_hz": "0.0"}])
def test_settings_that_cannot_be_are_refused(domain: int, arguments: dict[str, str]) -> None:
    with bridge(domain, arguments) as running:
        assert running.runner.wait(LIMIT_S) == 1
    assert "port must be in 1..65535 and image_rate_hz in (0, 1000]" in running.output.getvalue()
