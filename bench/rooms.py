"""What rooms and pictures cost: resets, frames, and several environments at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children, usable_cores, wait_for_the_others

TASK = "PickCube"
RESETS = 60
FRAMES = 1500
VECTOR_STEPS = 400


def time_resets(task: str) -> tuple[list[float], list[float]]:
    """Return how long resets to the first observation took [ms]: in new rooms, and in the same room."""
    from sim.rooms import Room
    from sim.twin import Twin
    from tutelage_core.contract import load_contract

    twin = Twin(load_contract("twin"), task, rooms="test")
    wait_for_the_others()

    def observe(seed: int, room: Room) -> float:
        begun = time.perf_counter()
        twin.reset(seed, room)
        for camera in twin.contract.cameras:
            twin.render(camera)
        twin.arm_state()
        return 1e3 * (time.perf_counter() - begun)

    observe(0, Room("test", 0))
    fresh = [observe(n, Room("test", n)) for n in range(1, RESETS + 1)]
    observe(0, Room("test", 0))
    same = [observe(n, Room("test", 0)) for n in range(1, RESETS + 1)]
    twin.close()
    return fresh, same


@measures(
    Figure(
        "reset_new_room_ms",
        2,
        "ms",
        150.0,
        Direction.UNDER,
        False,
        "median time from a reset into a new room, compiled for it, to its first observation",
    ),
    Figure("reset_same_room_ms", 2, "ms", 10.0, Direction.UNDER, False, "the same where the room stays"),
)
def resets(_: Settings) -> Mapping[str, Measurement]:
    """Measure resets of the task with the fewest and of one with many parts."""
    found: dict[str, Measurement] = {}
    kinds = ("reset_new_room_ms", "reset_same_room_ms")
    tasks = (TASK, "OpenDrawer")
    per_task = {task: measure_in_children(time_resets, [(task,)], pin=True)[0] for task in tasks}
    for index, name in enumerate(kinds):
        medians = {task: statistics.median(times[index]) for task, times in per_task.items()}
        slowest = {task: round(max(times[index]), 1) for task, times in per_task.items()}
        found[name] = Measurement(
            max(medians.values()), RESETS, range(1, RESETS + 1), extra={"medians": medians, "slowest": slowest}
        )
    return found


def time_frames(profile: str) -> float:
    """Return the frames per second of the front camera, as an expert's episodes go by; only drawing is timed."""
    from sim.twin import Twin
    from tutelage_core.contract import load_contract

    twin = Twin(load_contract("twin"), TASK, rooms="test", profile=profile)
    twin.render("front")
    wait_for_the_others()
    drawing_s, frames, seed = 0.0, 0, 0
    while frames < FRAMES:
        twin.reset(seed := seed + 1)
        twin.render("front")
        for _ in range(50):
            twin.advance(None, 20_000_000)
            begun = time.perf_counter()
            twin.render("front")
            drawing_s += time.perf_counter() - begun
            frames += 1
    twin.close()
    return frames / drawing_s


@measures(
    Figure(
        "render_fast_frames_per_s",
        2,
        "frames/s",
        350.0,
        Direction.AT_LEAST,
        False,
        "one 128x128 camera, profile `fast`",
    ),
    Figure("render_pretty_frames_per_s", 2, "frames/s", None, Direction.AT_LEAST, False, "the same, profile `pretty`"),
)
def frames(_: Settings) -> Mapping[str, Measurement]:
    """Measure drawing alone."""
    return {
        f"render_{profile}_frames_per_s": Measurement(measure_in_children(time_frames, [(profile,)], pin=True)[0])
        for profile in ("fast", "pretty")
    }


def pace_of(count: int) -> float:
    """Return the control steps per second of `count` vectorised environments together, with two cameras."""
    import numpy as np

    from sim.vector import make_vector_env

    env = make_vector_env(count, TASK, rooms="test")
    env.reset(seed=1)
    actions = np.tile(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]), (count, 1))
    for _ in range(20):
        env.step(actions)
    wait_for_the_others()
    begun = time.perf_counter()
    for _ in range(VECTOR_STEPS):
        env.step(actions)
    pace = count * VECTOR_STEPS / (time.perf_counter() - begun)
    env.close()
    return pace


@measures(
    Figure(
        "vector_speed_up",
        2,
        "times",
        1.8,
        Direction.AT_LEAST,
        False,
        "steps/s of the vectorised environment on two cores, over that on one core, its main process included",
    )
)
def vector(_: Settings) -> Mapping[str, Measurement]:
    """Measure one environment on one core, main process and all, and as many as there are cores, at most two."""
    count = min(len(usable_cores()), 2)
    (alone,) = measure_in_children(pace_of, [(1,)], pin=True)
    paces = {n: measure_in_children(pace_of, [(n,)], pin=False)[0] for n in (1, count)}
    about = {
        "one_core": alone,
        "steps_per_s": paces,
        "processes": count,
        "of_one_with_two_cores": paces[count] / paces[1],
    }
    return {"vector_speed_up": Measurement(paces[count] / alone, extra=about)}
