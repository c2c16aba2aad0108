"""The arm's state in the standard messages that other tools read; made only where somebody listens."""

from __future__ import annotations

from collections.abc import Sequence

from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from tutelage_interfaces import msg as ti

from tutelage_core.types import ArmState
from tutelage_nodes import topics


class ArmOutputs:
    """Publishes `/joint_states`, the TCP's pose and its wrench."""

    def __init__(self, node: Node, joints: Sequence[str]) -> None:
        """Publish on `node` for the joints of these names."""
        self._joints = list(joints)
        self._joint_pub = node.create_publisher(JointState, topics.JOINT_STATES, topics.reliable())
        self._pose_pub = node.create_publisher(PoseStamped, topics.ARM_TCP_POSE, topics.reliable())
        self._wrench_pub = node.create_publisher(WrenchStamped, topics.ARM_WRENCH, topics.reliable())

    def publish(self, message: ti.ArmState, state: ArmState) -> None:
        """Publish `state`, whose own message is `message`."""
        if self._joint_pub.get_subscription_count():
            self._joint_pub.publish(
                JointState(
                    header=message.header,
                    name=self._joints,
                    position=message.joint_positions,
                    velocity=message.joint_velocities,
                    effort=[0.0] * len(self._joints),
                )
            )
        if self._pose_pub.get_subscription_count():
            self._pose_pub.publish(PoseStamped(header=message.header, pose=message.pose))
        if self._wrench_pub.get_subscription_count():
            wrench = WrenchStamped(header=message.header)
            force, torque = wrench.wrench.force, wrench.wrench.torque
            force.x, force.y, force.z, torque.x, torque.y, torque.z = (float(v) for v in state.wrench)
            self._wrench_pub.publish(wrench)
