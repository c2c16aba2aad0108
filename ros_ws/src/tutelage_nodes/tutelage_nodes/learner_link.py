"""An actor's line to its learner: a node of its own in the learner's ROS domain, so that several arms can share one.

Each arm's graph has a domain to itself, with one name for each thing; the learner may be in any of them or in another.
"""

from __future__ import annotations

import threading

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from tutelage_interfaces import msg as ti

from policies.hil_serl.acknowledgement import Acknowledgement
from policies.hil_serl.outbox import Parcel
from policies.hil_serl.weights_stream import WeightsPacket
from tutelage_nodes import convert_learning, topics

LOOK_S = 0.1
"""How often the thread looks whether it shall end [s]."""


class LearnerLink:
    """Sends steps and hears words and weights. A thread takes messages in; `heard` hands them to whoever asks."""

    def __init__(self, name: str, domain: int | None = None) -> None:
        """Join the learner's domain.

        Args:
            name: of the node.
            domain: ROS domain of the learner; None for that of this process.
        """
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(
            name, context=self._context, use_global_arguments=False, enable_rosout=False, start_parameter_services=False
        )
        self._lock = threading.Lock()
        self._word: Acknowledgement | None = None
        self._packet: WeightsPacket | None = None
        self.bad_words = 0
        """Words of a learner that could not be read."""
        self._steps = self._node.create_publisher(ti.Transition, topics.LEARNER_STEP, topics.reliable(topics.STEPS))
        self._node.create_subscription(ti.TransitionAck, topics.LEARNER_ACK, self._on_ack, topics.latched())
        self._node.create_subscription(ti.PolicyWeights, topics.LEARNER_WEIGHTS, self._on_weights, topics.latched())
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="learner link", daemon=True)
        self._thread.start()

    @property
    def is_heard(self) -> bool:
        """Whether a learner takes steps."""
        return self._steps.get_subscription_count() > 0

    def send(self, parcel: Parcel) -> None:
        """Send a step."""
        self._steps.publish(convert_learning.to_transition_msg(parcel))

    def heard(self) -> tuple[Acknowledgement | None, WeightsPacket | None]:
        """Return the newest word and the newest weights that came since the last call."""
        with self._lock:
            found = self._word, self._packet
            self._word = self._packet = None
        return found

    def close(self) -> None:
        """Leave the domain."""
        self._over.set()
        self._thread.join(timeout=2.0)
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _spin(self) -> None:
        try:
            while not self._over.is_set():
                self._executor.spin_once(timeout_sec=LOOK_S)
        except ExternalShutdownException:
            return

    def _on_ack(self, message: ti.TransitionAck) -> None:
        try:
            word = convert_learning.from_ack_msg(message)
        except ValueError:
            self.bad_words += 1
            return
        with self._lock:
            self._word = word

    def _on_weights(self, message: ti.PolicyWeights) -> None:
        packet = convert_learning.from_weights_msg(message)
        with self._lock:
            self._packet = packet
