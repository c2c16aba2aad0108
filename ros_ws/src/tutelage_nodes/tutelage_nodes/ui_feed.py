"""What the page shows of the graph, gathered from its topics: plain facts, as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from tutelage_interfaces import msg as ti

from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_core.types import STEP_SIZE, Source
from tutelage_nodes import convert, topics

SILENCE_S = 2.5
"""A node that says nothing for so long is told of as silent; one that says nothing for `GONE_S` is forgotten [s]."""

GONE_S = 30.0
REWARDS_KEPT = 500

Show = Callable[[str, Mapping[str, Any]], None]


class UiFeed:
    """Listens on `node`; `push` shows what has changed."""

    def __init__(self, node: Node, clock: Clock, show: Show, tell: Show) -> None:
        """Show newest states with `show` and single events with `tell`, liveness on the steady `clock`."""
        self._node, self._clock, self._show, self._tell = node, clock, show, tell
        self._state: ti.ArmState | None = None
        self._executed: ti.ExecutedAction | None = None
        self.session: ti.SessionState | None = None
        self.task_name = ""
        self._phrase = ""
        self._rewards: dict[str, list[dict[str, Any]]] = {}
        self._nodes: dict[str, tuple[int, DiagnosticStatus]] = {}
        self._shown: dict[str, Mapping[str, Any]] = {}
        self._steps = self._by_hand = 0
        self._episodes = self._successes = 0
        self._learner: ti.LearnerStatus | None = None
        newest, reliable = topics.newest(), topics.reliable()
        node.create_subscription(ti.ArmState, topics.ARM_STATE, self._on_state, newest)
        node.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, reliable)
        node.create_subscription(ti.ActionChunk, topics.POLICY_CHUNK, self._on_chunk, newest)
        node.create_subscription(ti.SessionState, topics.SESSION_STATE, self._on_session, topics.latched())
        node.create_subscription(ti.Reward, topics.REWARD, self._on_reward, topics.reliable(100))
        node.create_subscription(ti.LearnerStatus, topics.LEARNER_STATUS, self._on_learner, reliable)
        node.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, topics.reliable(50))

    @property
    def gripper(self) -> float:
        """What the gripper was told last, 0 closed .. 1 open; open if nobody has told it anything."""
        return float(self._executed.executed[STEP_SIZE - 1]) if self._executed is not None else 1.0

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes that give signs of life."""
        now_ns = self._clock.now_ns()
        return tuple(n for n, (heard, _) in self._nodes.items() if now_ns - heard < SILENCE_S * NS_PER_S)

    def push(self) -> None:
        """Show the arm, rewards and the session, if they have changed."""
        self._show_new("arm", self._arm())
        for model, points in self._rewards.items():
            if points:
                self._tell("reward", {"model": model, "points": points})
        self._rewards.clear()
        self._show_session()

    def push_health(self) -> None:
        """Show the nodes, and forget those that are gone."""
        now_ns = self._clock.now_ns()
        rows = []
        for name, (heard_ns, status) in sorted(self._nodes.items()):
            age_s = (now_ns - heard_ns) / NS_PER_S
            if age_s > GONE_S:
                del self._nodes[name]
                continue
            values = {item.key: item.value for item in status.values}
            well = status.level in (DiagnosticStatus.OK, b"\0")
            facts = {"name": name, "well": well, "message": status.message, "values": values, "age_s": round(age_s, 1)}
            rows.append(facts)
        self._show_new("nodes", {"nodes": rows})
        if (
            self.session is not None
            and "session_node" not in self.nodes
            and not self._node.get_publishers_info_by_topic(topics.SESSION_STATE)
        ):
            self.session = None  # its last words outlive it: they are not true any more
            self._show_session()

    def note_result(self, success: bool) -> None:
        """Count an episode that has ended."""
        self._episodes += 1
        self._successes += success

    def _show_new(self, kind: str, facts: Mapping[str, Any]) -> None:
        if self._shown.get(kind) != facts:
            self._shown[kind] = facts
            self._show(kind, facts)

    def _arm(self) -> dict[str, Any]:
        state, executed = self._state, self._executed
        runs = self.session is not None and bool(self.session.episode)
        return {
            "gripper": None if state is None else _finite(state.gripper_opening),
            "force_n": None if state is None else _finite(float(np.linalg.norm(state.wrench[:3]))),
            "speed_m_s": None if state is None else _finite(float(np.linalg.norm(state.tcp_velocity[:3]))),
            "source": Source(executed.source).name.lower() if runs and executed is not None else "hold",
            "phrase": self._phrase,
            "reasons": list(executed.reasons) if runs and executed is not None else [],
            "step": self._steps,
            "human_share": round(self._by_hand / self._steps, 3) if self._steps else None,
        }

    def _show_session(self) -> None:
        state = self.session
        facts = {"state": ""} if state is None else {
            "state": state.state,
            "task": state.task,
            "task_name": self.task_name,
            "episode": state.episode,
            "reason": state.reason,
            "driver": state.driver,
        }  # fmt: skip
        self._show_new("session", facts)

    def _on_state(self, message: ti.ArmState) -> None:
        self._state = message

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        self._executed = message
        if message.source not in (Source.HOLD, Source.HOMING):
            self._steps += 1
            self._by_hand += message.source == Source.HUMAN

    def _on_chunk(self, message: ti.ActionChunk) -> None:
        self._phrase = message.phrase

    def _on_session(self, message: ti.SessionState) -> None:
        if self.session is None or message.episode != self.session.episode:
            self._steps = self._by_hand = 0
            self._phrase = ""
        self.session = message
        self._show_session()

    def _on_reward(self, message: ti.Reward) -> None:
        points = self._rewards.setdefault(message.model, [])
        points.append(
            {
                "stamp_s": convert.to_ns(message.header.stamp) / NS_PER_S,
                "value": _finite(message.value),
                "valid": message.valid,
                "status": message.status,
                "message": message.message,
                "probability": _finite(message.success_probability),
                "progress": _finite(message.progress),
                "success": message.success,
            }
        )
        del points[:-REWARDS_KEPT]

    def _on_learner(self, message: ti.LearnerStatus) -> None:
        facts = {
            "steps": message.steps,
            "updates": message.updates,
            "updates_per_s": _finite(message.updates_per_s) or 0.0,
            "online": message.online,
            "demonstrations": message.demonstrations,
            "value": _finite(message.value),
            "critic_loss": _finite(message.critic_loss),
            "trouble": message.trouble,
            "episodes": self._episodes,
            "successes": self._successes,
            "share": round(self._by_hand / self._steps, 3) if self._steps else 0.0,
        }
        self._show_new("learner", facts)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._nodes[status.name.removeprefix("/")] = (self._clock.now_ns(), status)


def _finite(value: float) -> float | None:
    """Return a number as JSON can hold it: one that is none is null."""
    return round(float(value), 5) if math.isfinite(value) else None
