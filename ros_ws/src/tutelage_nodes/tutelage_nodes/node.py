"""What every node shares: typed parameters, lifecycle with autostart, diagnostics, and a clean end."""

from __future__ import annotations

import dataclasses
import signal
import sys
import threading
import traceback
import weakref
from typing import Any, Generic, TypeVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.timer import Timer
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from tutelage_core.config import from_mapping
from tutelage_core.errors import TutelageError, UnknownNameError
from tutelage_core.memory import hold_steady
from tutelage_core.types import Frame
from tutelage_nodes import convert, topics
from tutelage_nodes.executor import KeptWaitSetExecutor
from tutelage_nodes.faults import listen_for_kill
from tutelage_nodes.one_graph import NameClaim

P = TypeVar("P")
DIAGNOSTICS_PERIOD_S = 1.0
END_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})

ROS_PARAMETERS = frozenset({"use_sim_time", "start_type_description_service"})


class NodeClock:
    """A node's clock as the core knows clocks: the one that commands and states are stamped with."""

    def __init__(self, node: LifecycleNode) -> None:
        """Read the clock of `node`."""
        self._node = node

    def now_ns(self) -> int:
        """Return the time on it [ns]."""
        return int(self._node.get_clock().now().nanoseconds)


class TutelageNode(LifecycleNode, Generic[P]):
    """A lifecycle node whose parameters are one frozen dataclass.

    Subclasses implement `setup` (make everything, refuse bad settings), `diagnose` and, where there is something to
    end, `teardown`.
    """

    def __init__(self, name: str, parameters: type[P]) -> None:
        """Declare the fields of the dataclass `parameters` as ROS parameters and read them."""
        super().__init__(name, automatically_declare_parameters_from_overrides=False)
        fields = {f.name: f for f in dataclasses.fields(parameters)}  # type: ignore[arg-type]
        overrides = self._parameter_overrides
        for key in overrides:
            if key.split(".")[0] not in fields and key not in ROS_PARAMETERS and not key.startswith("qos_overrides"):
                raise UnknownNameError("parameter", key, fields, f"node {name}")
        values: dict[str, Any] = {}
        for key, field in fields.items():
            default = field.default if field.default is not dataclasses.MISSING else None
            if default is None:
                self.declare_parameter(key, Parameter.Type.STRING)
                if key in overrides:
                    values[key] = self.get_parameter(key).value
            else:
                self.declare_parameter(key, list(default) if isinstance(default, tuple) else default)
                values[key] = self.get_parameter(key).value
        self.params: P = from_mapping(values, parameters, f"node {name}")
        self.counters: dict[str, int] = {}
        self._diagnostics = self.create_publisher(DiagnosticArray, topics.DIAGNOSTICS, topics.reliable())

    def create_publisher(self, *args: Any, **kwargs: Any) -> Any:
        """As rclpy's, without its handlers of QoS events.

        Each is one more entity that Python looks at in every turn of the executor; `topics` fixes all qualities of
        service in one place, so that the mismatch they report cannot arise between these nodes.
        """
        kwargs.setdefault("event_callbacks", PublisherEventCallbacks(use_default_callbacks=False))
        return super().create_publisher(*args, **kwargs)

    def create_subscription(self, *args: Any, **kwargs: Any) -> Any:
        """As rclpy's, without its handlers of QoS events."""
        kwargs.setdefault("event_callbacks", SubscriptionEventCallbacks(use_default_callbacks=False))
        return super().create_subscription(*args, **kwargs)

    def destroy_timer(self, timer: Timer) -> bool:
        """As rclpy's; its callback group forgets the timer, too: it would keep a weak reference to each for ever."""
        timer.callback_group.entities.discard(weakref.ref(timer))
        return super().destroy_timer(timer)

    def frame_of(self, camera: str, message: Image) -> Frame | None:
        """Return a camera's picture; one that is none is counted and told, and None is returned."""
        try:
            return convert.from_image_msg(message)
        except ValueError as error:
            self.count("bad_images")
            self.get_logger().error(f"camera {camera}: {error}", throttle_duration_sec=1.0)
            return None

    def setup(self) -> None:
        """Make publishers, subscriptions and the core objects; raise TutelageError to refuse."""
        raise TutelageError(f"{type(self).__name__} does nothing: it has no setup")

    def teardown(self) -> None:
        """End what `setup` began."""

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Return whether all is well, a sentence, and values worth seeing."""
        return True, "running", {}

    def missing(self) -> list[str]:
        """Return what this node lacks before anything may move: a sentence each, with what to do about it."""
        return []

    def count(self, what: str) -> None:
        """Count an event; the counts are published."""
        self.counters[what] = self.counters.get(what, 0) + 1

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Set up; a refusal is logged and ends the transition."""
        try:
            self.setup()
        except TutelageError as error:
            self.get_logger().fatal(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:  # rclpy would end the transition without a word
            self.get_logger().fatal(traceback.format_exc())
            return TransitionCallbackReturn.FAILURE
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics)
        self.create_service(Trigger, topics.ready(self.get_name()), self._on_ready)
        listen_for_kill(self)
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Tear down."""
        self.teardown()
        return TransitionCallbackReturn.SUCCESS

    def _on_ready(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        missing = self.missing()
        response.success, response.message = not missing, "; ".join(missing)
        return response

    def _publish_diagnostics(self) -> None:
        well, sentence, values = self.diagnose()
        status = DiagnosticStatus(name=self.get_fully_qualified_name(), hardware_id="tutelage", message=sentence)
        status.level = DiagnosticStatus.OK if well else DiagnosticStatus.ERROR
        everything = {**values, **self.counters}
        status.values = [KeyValue(key=str(k), value=str(v)) for k, v in everything.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def run_node(make: type[TutelageNode[Any]]) -> None:
    """Run one node until SIGINT or SIGTERM; exit 0 then, 1 when it refuses to start.

    A signal ends the loop between two callbacks, never within one: rclpy's own handlers shut the context down at once,
    and a message that is being taken then raises.
    """
    hold_steady()
    signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    executor = KeptWaitSetExecutor()
    stop = threading.Event()
    threading.Thread(target=_wait_for_end, args=(stop, executor), name="signals", daemon=True).start()
    code = 0
    claim: NameClaim | None = None
    node: TutelageNode[Any] | None = None
    try:
        node = make()  # type: ignore[call-arg]
        executor.add_node(node)
        claim = NameClaim(node)
        for transition in (node.trigger_configure, node.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                code = 1
                break
        else:
            node.get_logger().info("ready")
            while not stop.is_set():
                executor.turn()
    except TutelageError as error:
        print(f"{make.__name__}: {error}", file=sys.stderr, flush=True)
        code = 1
    finally:
        if node is not None:
            node.teardown()
            executor.remove_node(node)
            node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()
    del claim  # held until here: the name is free once the node is gone
    sys.exit(code)


def _wait_for_end(stop: threading.Event, executor: KeptWaitSetExecutor) -> None:
    signal.sigwait(END_SIGNALS)
    stop.set()
    executor.wake()
