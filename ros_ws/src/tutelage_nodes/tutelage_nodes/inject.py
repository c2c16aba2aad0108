"""Make one component of a running graph fail: `inject COMPONENT MODE`, such as `inject camera/front stuck`.

`inject COMPONENT none` ends the fault. The graph, and this program too, must have been started with TUTELAGE_FAULTS=1.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from std_msgs.msg import String

from tutelage_core.errors import ConfigurationError, TutelageError, UnknownNameError
from tutelage_nodes import topics
from tutelage_nodes.faults import ALLOWED, FaultMode

LOOK_S = 0.05


def read_arguments(arguments: Sequence[str], allowed: str | None) -> argparse.Namespace:
    """Return what the command line asks for; `allowed` is the value of the environment's TUTELAGE_FAULTS.

    Raises:
        ConfigurationError: faults are not allowed here, or there is no such mode.
    """
    parser = argparse.ArgumentParser(prog="inject", description=__doc__)
    parser.add_argument("component", help="policy, arm, camera/NAME, or the name of a node (which can only be killed)")
    parser.add_argument("mode", help=", ".join(FaultMode))
    parser.add_argument("--timeout-s", type=float, default=10.0, help="how long to wait for a node that listens")
    settings = parser.parse_args(arguments)
    if settings.mode not in tuple(FaultMode):
        raise UnknownNameError("fault mode", settings.mode, FaultMode)
    if allowed != "1":
        raise ConfigurationError(
            f"{ALLOWED} is {allowed or 'not set'}: faults are for tests. Start the graph with {ALLOWED}=1, and set it "
            "here too"
        )
    return settings


def inject(node: Node, component: str, mode: str, timeout_s: float) -> None:
    """Send the fault to the component.

    Raises:
        TutelageError: it does not listen within `timeout_s` [s], or has not taken the fault.
    """
    publisher = node.create_publisher(String, topics.fault(component), topics.reliable())
    end_s = time.monotonic() + timeout_s
    while publisher.get_subscription_count() == 0:
        if time.monotonic() > end_s:
            raise TutelageError(_nobody(node, component, timeout_s))
        time.sleep(LOOK_S)
    publisher.publish(String(data=mode))
    taken = publisher.wait_for_all_acked(Duration(seconds=timeout_s))
    if not taken and mode != FaultMode.KILL:  # the killed acknowledge nothing
        raise TutelageError(f"{component} has not taken '{mode}' within {timeout_s:g} s")


def _nobody(node: Node, component: str, timeout_s: float) -> str:
    """Return why a fault reaches nobody, with the components that do listen."""
    prefix = f"{topics.FAULTS}/"
    listen = [
        name.removeprefix(prefix)
        for name, _ in node.get_topic_names_and_types()
        if name.startswith(prefix) and name != topics.fault(component)
    ]
    if listen:
        return str(UnknownNameError("component", component, listen))
    return (
        f"nobody listens under {prefix} after {timeout_s:g} s: does the graph run in ROS domain "
        f"{os.environ.get('ROS_DOMAIN_ID', '0')}, and was it started with {ALLOWED}=1?"
    )


def main() -> None:
    """Run the program; exit 2 when the request is refused, 1 when nobody takes it."""
    try:
        settings = read_arguments(rclpy.utilities.remove_ros_args(sys.argv)[1:], os.environ.get(ALLOWED))
    except ConfigurationError as error:
        print(f"inject: {error}", file=sys.stderr)
        sys.exit(2)
    rclpy.init()
    node = rclpy.create_node("inject")
    try:
        inject(node, settings.component, settings.mode, settings.timeout_s)
        print(f"{settings.component} {settings.mode}")
    except TutelageError as error:
        print(f"inject: {error}", file=sys.stderr)
        sys.exit(1)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
