"""The correction page: shows the graph in a browser, and takes what people there do back into it.

The web server has a thread of its own and touches nothing of ROS: what people ask for waits in a queue for this node's
thread, and what is shown goes the other way. A page says what its hand does many times a second; this node never says
it again by itself, so a page that falls silent has let go.
"""

from __future__ import annotations

import os
import secrets
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from tutelage_interfaces import msg as ti

from hardware.safety.profiles import find_profile
from tutelage.looking.jpeg import to_jpeg
from tutelage.ui import messages
from tutelage.ui.access import Access
from tutelage.ui.choices import choices
from tutelage.ui.clients import Picture
from tutelage.ui.graph_starter import GraphStarter
from tutelage.ui.library import Library
from tutelage.ui.pages import Welcome
from tutelage.ui.server import PageServer
from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S, load_contract
from tutelage_core.errors import ConfigurationError
from tutelage_nodes import convert, topics
from tutelage_nodes.node import TutelageNode, run_node
from tutelage_nodes.ui_desk import UiDesk
from tutelage_nodes.ui_feed import UiFeed

PUSH_S = 0.1
HEALTH_S = 1.0
READY_PEERS = ("arm_node", "policy_node", "recorder_node", "session_node")
"""Whose check-lists are shown, beside the cameras'."""


@dataclass(frozen=True)
class UiNodeParameters:
    """Parameters of `ui_node`.

    Attributes:
        robot: name of the robot's contract: it names the cameras.
        host: address to listen at; any but this machine's own needs a token.
        port: port there.
        token: what a visitor has to know, 16 letters and digits at least; empty for none.
        names: other names of this machine in a browser's address line, with commas between them.
        folder: where recorded episodes are.
        image_rate_hz: pictures of each camera that are shown at most [Hz].
        max_speed_m_s, max_turn_rad_s: velocity at full deflection [m/s, rad/s].
        log: where the output of a graph goes that was brought up from the page.
    """

    robot: str = "twin"
    host: str = "127.0.0.1"
    port: int = 8080
    token: str = ""
    names: str = ""
    folder: str = "runs/episodes"
    image_rate_hz: float = 15.0
    max_speed_m_s: float = 0.1
    max_turn_rad_s: float = 0.5
    log: str = "runs/page"


class UiNode(TutelageNode[UiNodeParameters]):
    """Serves the page."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("ui_node", UiNodeParameters)
        self._server: PageServer | None = None
        self._starter: GraphStarter | None = None

    def setup(self) -> None:
        """Open the page; refuse settings that cannot be, an open door and a port that is taken."""
        p = self.params
        contract = load_contract(p.robot)
        profile = find_profile(contract.safety.speed_profile)
        for name, bound in (("max_speed_m_s", profile.max_speed_m_s), ("max_turn_rad_s", profile.max_speed_rad_s)):
            if not 0.0 < getattr(p, name) <= bound:
                raise ConfigurationError(f"ui_node: {name} must be in (0, {bound:g}], got {getattr(p, name)}")
        if not 0.0 < p.image_rate_hz <= 60.0:
            raise ConfigurationError(f"ui_node: image_rate_hz must be in (0, 60], got {p.image_rate_hz}")
        names = tuple(name.strip() for name in p.names.split(",") if name.strip())
        access = Access(p.host, p.port, p.token, names)
        self._steady = SteadyClock()
        self._run = secrets.token_hex(2)
        self._fullest = np.repeat([p.max_speed_m_s, p.max_turn_rad_s], 3)
        self._todo: deque[Callable[[], None]] = deque()
        self._guard = self.create_guard_condition(self._work)
        self._cameras = tuple(contract.cameras)
        self._watched: dict[str, Subscription] = {}
        self._due_ns = dict.fromkeys(self._cameras, 0)
        self._last_word: dict[str, messages.HandMessage] = {}
        self._hands = self.create_publisher(ti.TeleopInput, topics.TELEOP, topics.reliable())
        facts = {"robot": p.robot, **choices()}
        welcome = Welcome(self._cameras, facts)
        server = PageServer(access, self, welcome, Library(Path(p.folder)))
        self._starter = GraphStarter(Path(p.log), Path(p.folder), server.show)
        self._feed = UiFeed(self, self._steady, server.show, server.tell)
        self._desk = UiDesk(self, self._steady, self._starter, server.show, self._feed.note_result)
        peers = (*READY_PEERS, *(f"camera_{camera}" for camera in self._cameras))
        self._ready = {peer: self.create_client(Trigger, topics.ready(peer)) for peer in peers}
        self._lists: dict[str, str] = {}
        self.create_timer(PUSH_S, self._push)
        self.create_timer(HEALTH_S, self._look)
        server.start()
        self._server = server
        self.get_logger().info(f"open http://{p.host}:{p.port}{'/?token=...' if p.token else ''} in a browser")

    def teardown(self) -> None:
        """Let the pages go, then end a graph that was brought up from one."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._starter is not None:
            self._starter.close()
            self._starter = None

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say who is connected."""
        server = self._server
        if server is None:
            return False, "no server", {}
        values: dict[str, object] = {"pictures_dropped": server.dropped, **server.counters}
        where = f"{server.clients} pages at {self.params.host}:{self.params.port}"
        return "errors" not in self.counters, where, values

    # what the server asks for; in its thread, so all of it waits for this node's own

    def watch(self, cameras: frozenset[str]) -> None:
        """Show pictures of these cameras only."""
        self._later(partial(self._watch, cameras))

    def stop(self, reason: str) -> None:
        """Stop the arm, before all else that waits."""
        self._todo.appendleft(partial(self._desk.stop, reason))
        self._guard.trigger()

    def hand(self, sender: str, asked: messages.HandMessage) -> None:
        """Pass on what a hand asks for."""
        self._later(partial(self._say, sender, asked))

    def let_go(self, sender: str) -> None:
        """Say for a hand that is gone that it holds nothing."""
        self._later(partial(self._release, sender))

    def request(self, request: messages.AnyRequest, author: str, reply: Callable[[bool, str], None]) -> None:
        """Do what is asked."""
        self._later(partial(self._desk.do, request, author, reply))

    def _later(self, what: Callable[[], None]) -> None:
        self._todo.append(what)
        self._guard.trigger()

    # this node's thread

    def _work(self) -> None:
        while self._todo:
            try:
                self._todo.popleft()()
            except Exception:  # one page's wish must not end what the others see, nor the way to a stop
                self.count("errors")
                self.get_logger().error(traceback.format_exc())

    def _say(self, sender: str, asked: messages.HandMessage) -> None:
        self._last_word[sender] = asked
        message = ti.TeleopInput(sequence=asked.number, device=f"{sender} ({self._run})", deadman=asked.held)
        message.header.stamp = convert.to_time(round(asked.ms * 1e6))  # the page's own clock: only differences count
        message.header.frame_id = convert.BASE_FRAME
        twist = np.array(asked.axes) * asked.speed * self._fullest
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = (float(value) for value in twist)
        message.gripper_opening = float(self._feed.gripper if asked.gripper is None else asked.gripper)
        self._hands.publish(message)
        self.count("hand_messages")

    def _release(self, sender: str) -> None:
        last = self._last_word.pop(sender, None)
        if last is not None and last.held:
            update = {"number": last.number + 1, "ms": last.ms + 1.0, "held": False, "axes": [0.0] * 6}
            self._say(sender, last.model_copy(update=update))
            del self._last_word[sender]

    def _watch(self, cameras: frozenset[str]) -> None:
        for camera in cameras - self._watched.keys():
            take = partial(self._on_image, camera)
            topic = topics.camera_image(camera)
            self._watched[camera] = self.create_subscription(Image, topic, take, topics.newest())
        for camera in self._watched.keys() - cameras:
            self.destroy_subscription(self._watched.pop(camera))

    def _on_image(self, camera: str, message: Image) -> None:
        now_ns = self._steady.now_ns()
        if now_ns < self._due_ns[camera] or self._server is None:
            return
        # a tenth of leave: a camera at this very rate jitters, and would lose every other picture
        gap_ns = round(0.9 * NS_PER_S / self.params.image_rate_hz)
        self._due_ns[camera] = max(self._due_ns[camera] + gap_ns, now_ns)
        frame = convert.from_image_msg(message)
        self._server.picture(Picture(camera, frame.stamp_ns / NS_PER_S, to_jpeg(frame.image)))
        self.count("pictures")

    def _push(self) -> None:
        self._desk.look()
        if self._server is not None and self._server.clients:
            self._feed.push()

    def _look(self) -> None:
        """Show diagnostics and check-lists, and who does not answer."""
        if self._server is None or not self._server.clients:
            return
        self._feed.push_health()
        for peer, client in self._ready.items():
            if client.service_is_ready():
                client.call_async(Trigger.Request()).add_done_callback(partial(self._note_ready, peer))
            elif peer in READY_PEERS:
                self._lists[peer] = "does not answer: bring the graph up"
            else:
                self._lists.pop(peer, None)
        items = [{"node": peer, "ready": not why, "missing": why} for peer, why in self._lists.items()]
        self._server.show("checks", {"items": items})

    def _note_ready(self, peer: str, future: object) -> None:
        answer = future.result()  # type: ignore[attr-defined]
        self._lists[peer] = "" if answer.success else answer.message


def main() -> None:
    """Run the node."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run_node(UiNode)


if __name__ == "__main__":
    main()
