"""The MuJoCo twin: the robot of the contract in a drawn room, with tasks that know their ground truth."""

from __future__ import annotations

import ctypes.util
import logging
import os

os.environ.setdefault("MUJOCO_GL", "osmesa" if ctypes.util.find_library("OSMesa") else "egl")
os.environ.setdefault("LP_NUM_THREADS", "0")  # the software renderer's own threads only get in the way

import gymnasium
import mujoco

from sim.tasks import TASKS

# MuJoCo would write its warnings to a file in the current folder
mujoco.set_mju_user_warning(logging.getLogger("sim.mujoco").warning)

for _task in TASKS:
    gymnasium.register(id=f"Tutelage/{_task}-v0", entry_point="sim.env:TwinEnv", kwargs={"task": _task})
