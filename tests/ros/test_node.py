"""What every node shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import rclpy

from tutelage_nodes.node import TutelageNode

pytestmark = pytest.mark.ros


@dataclass(frozen=True)
class NoParameters:
    """None."""


@pytest.fixture
def node(domain: int) -> Iterator[TutelageNode[NoParameters]]:
    rclpy.init(args=[], domain_id=domain)
    made = TutelageNode("some_node", NoParameters)
    yield made
    made.destroy_node()
    rclpy.shutdown()


def test_timers_that_came_and_went_leave_nothing_behind(node: TutelageNode[NoParameters]) -> None:
    """A session makes a dozen for each episode; a callback group would remember each of them for ever."""
    group = node.default_callback_group
    before = len(group.entities)
    for _ in range(20):
        timer = node.create_timer(60.0, lambda: None)
        assert group.has_entity(timer)
        node.destroy_timer(timer)
    assert len(group.entities) == before
    assert not list(node.timers)
