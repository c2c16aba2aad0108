"""A single-threaded executor that costs a fraction of rclpy's own for each message.

rclpy's executor gathers, locks and rebuilds its whole wait set twice for each callback, because each callback triggers
the guard condition that wakes it. A lifecycle node has two dozen entities, so this is most of a message's cost. Here
the wait set is kept until an entity comes or goes, and a callback wakes nobody. Taking and calling is still rclpy's
code. One thread, so callback groups have nothing to exclude; a coroutine that waits does not hold others up.

`python -m bench run graph_vs_loop_ratio` shows what it is for. Written against rclpy 7.1 (Jazzy).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.task import Task
from rclpy.timer import Timer
from rclpy.waitable import NumberOfEntities

FOREVER = -1


class KeptWaitSetExecutor(SingleThreadedExecutor):
    """Spins its nodes with a wait set that is kept from turn to turn."""

    def __init__(self) -> None:
        """Start with no nodes."""
        super().__init__()
        self._entities: tuple[int, ...] = ()
        self._wait_set: Any = None

    def turn(self) -> None:
        """Go on with waiting coroutines, wait until something is ready, and call what is.

        Raises:
            Exception: whatever a callback raises.
        """
        self._go_on_with_tasks()
        self._gather()
        wait_set = self._wait_set
        wait_set.clear_entities()
        for add, handles in self._handles:
            for handle in handles:
                add(handle)
        for waitable, _ in self._waitables:
            waitable.add_to_wait_set(wait_set)
        wait_set.wait(FOREVER)
        for waitable, _ in self._waitables:
            if waitable.is_ready(wait_set):
                self._run(self._take_waitable, waitable)
        self._call_ready("timer", self._timers, self._take_ready_timer)
        self._call_ready("subscription", self._subscriptions, self._take_subscription)
        self._call_ready("client", self._clients, self._take_client)
        self._call_ready("service", self._services, self._take_service)
        self._call_ready("guard_condition", self._node_guards, self._take_guard_condition)

    def _go_on_with_tasks(self) -> None:
        with self._tasks_lock:
            tasks = list(self._tasks)
        for task, _, _ in tasks:
            if not task.done():
                task()
            if task.done() and task.exception() is not None:
                raise task.exception()
        with self._tasks_lock:
            self._tasks = [entry for entry in self._tasks if not entry[0].done() and not entry[0].cancelled()]

    def _gather(self) -> None:
        """Make the wait set anew if an entity has come or gone since the last turn."""
        nodes = self.get_nodes()
        subscriptions = [s for node in nodes for s in node.subscriptions]
        timers = [t for node in nodes for t in node.timers]
        clients = [c for node in nodes for c in node.clients]
        services = [s for node in nodes for s in node.services]
        guards = [g for node in nodes for g in node.guards]
        waitables = [w for node in nodes for w in node.waitables]
        entities = tuple(map(id, (*subscriptions, *timers, *clients, *services, *guards, *waitables)))
        if entities == self._entities:
            return
        self._entities = entities
        self._node_guards = {g.handle.pointer: g for g in guards}
        guards += [self._guard, self._sigint_gc]
        count = NumberOfEntities(len(subscriptions), len(guards), len(timers), len(clients), len(services))
        for waitable in waitables:
            count += waitable.get_num_entities()
        wait_set = _rclpy.WaitSet(
            count.num_subscriptions,
            count.num_guard_conditions,
            count.num_timers,
            count.num_clients,
            count.num_services,
            count.num_events,
            self._context.handle,
        )
        self._handles = (
            (wait_set.add_subscription, [s.handle for s in subscriptions]),
            (wait_set.add_client, [c.handle for c in clients]),
            (wait_set.add_service, [s.handle for s in services]),
            (wait_set.add_timer, [t.handle for t in timers]),
            (wait_set.add_guard_condition, [g.handle for g in guards]),
        )
        self._subscriptions = {s.handle.pointer: s for s in subscriptions}
        self._clients = {c.handle.pointer: c for c in clients}
        self._services = {s.handle.pointer: s for s in services}
        self._timers = {t.handle.pointer: t for t in timers}
        self._waitables = [(w, id(w)) for w in waitables]
        self._wait_set = wait_set

    def _call_ready(self, kind: str, entities: dict[int, Any], take: Callable[[Any], Any]) -> None:
        for pointer in self._wait_set.get_ready_entities(kind):
            entity = entities.get(pointer)
            if entity is not None:
                self._run(take, entity)

    def _take_ready_timer(self, timer: Timer) -> Callable[[], Coroutine[Any, Any, None]] | None:
        try:
            ready = timer.handle.is_timer_ready()
        except InvalidHandle:
            return None  # a callback of this turn has destroyed it
        return self._take_timer(timer) if ready else None

    def _run(self, take: Callable[[Any], Callable[[], Coroutine[Any, Any, None]] | None], entity: Any) -> None:
        """Take from `entity` and call its callback; a coroutine that waits becomes a task."""
        call = take(entity)
        if call is None:
            return
        coroutine = call()
        try:
            coroutine.send(None)
        except StopIteration:
            return
        with self._tasks_lock:
            self._tasks.append((Task(coroutine, executor=self), None, None))
