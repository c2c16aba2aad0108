"""Open and close the hinged door of a small cabinet."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from sim.cabinet import DOOR_STOP_RAD, Cabinet, Door, add_door, place_cabinet, see_leaf
from sim.handles import Handle
from sim.rooms import Room
from sim.tasks.cabinet_task import CabinetTask
from sim.world import World

OPEN_RAD = math.radians(50.0)
"""Angle from which on a door is open [rad]."""

ASKED_RAD = math.radians(60.0)
"""Angle to which the expert pulls it [rad]."""

WIDEST_RAD = math.radians(65.0)
"""Largest angle at which it starts open [rad]."""

SHUT_RAD = math.radians(2.5)
"""Largest angle of a door that is shut [rad]."""


class DoorTask(CabinetTask):
    """What opening and closing share: the door and the words for its state."""

    scene = "door"
    styles = (Cabinet, Handle, Door)
    upright = True
    still = 0.15

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add the cabinet."""
        add_door(spec, room)

    def captions(self, world: World) -> tuple[str, ...]:
        """Say how far the door is open."""
        leaf, words = see_leaf(world), self.words(world)
        colour, handle = words["colour"], words["handle"]
        if leaf.opening <= SHUT_RAD:
            return (f"the door of the {colour} cabinet is shut", "the cabinet door is closed all the way")
        if leaf.opening >= OPEN_RAD:
            return (f"the door of the {colour} cabinet is open", "the cabinet door is swung wide open")
        return (f"the door with the {handle} is partly open", f"the {colour} cabinet's door stands ajar")

    def _range(self, world: World) -> float:
        del world
        return DOOR_STOP_RAD


class OpenDoor(DoorTask):
    """Pull the door open."""

    name = "OpenDoor"
    inverse = "CloseDoor"
    instructions = (
        "open the cabinet door",
        "pull the cabinet door open",
        "open the door of the {colour} cabinet",
        "pull the door open by its {handle}",
        "take the {handle} and swing the door open",
    )
    failures = ("shut_again", "slipped_off", "cabinet_pushed", "timeout")
    opens = True

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Place the cabinet, its door shut."""
        place_cabinet(world, rng, 0.0)

    def target(self, world: World) -> float:
        """Return the angle from which on it is open [rad]."""
        del world
        return OPEN_RAD

    def aim(self, world: World) -> float:
        """Return how far the expert pulls it [rad]."""
        del world
        return ASKED_RAD


class CloseDoor(DoorTask):
    """Push the door shut."""

    name = "CloseDoor"
    inverse = "OpenDoor"
    instructions = (
        "close the cabinet door",
        "push the cabinet door shut",
        "shut the door of the {colour} cabinet",
        "push the door with the {handle} shut",
        "swing the open door shut",
    )
    failures = ("pulled_open", "slipped_off", "cabinet_pushed", "timeout")
    opens = False

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Place the cabinet, its door open."""
        place_cabinet(world, rng, float(rng.uniform(OPEN_RAD, WIDEST_RAD)))

    def target(self, world: World) -> float:
        """Return the angle up to which it is shut [rad]."""
        del world
        return SHUT_RAD

    def aim(self, world: World) -> float:
        """Return that the expert pushes it shut [rad]."""
        del world
        return 0.0
