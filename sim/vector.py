"""Several twins in parallel, one process each."""

from __future__ import annotations

from functools import partial

from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from sim.env import TwinEnv


def make_vector_env(
    count: int, task: str = "PickCube", robot: str = "twin", cameras: bool = True, rooms: str = "lab"
) -> AsyncVectorEnv:
    """Return `count` environments of one task; more than one for each core gains nothing.

    Pictures and states travel through shared memory. An environment whose episode is over starts
    the next one with the following step.
    """
    make = partial(TwinEnv, task=task, robot=robot, cameras=cameras, rooms=rooms)
    return AsyncVectorEnv([make] * count, context="spawn", autoreset_mode=AutoresetMode.NEXT_STEP)
