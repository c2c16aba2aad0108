"""Open and close the drawer of a small cabinet."""

from __future__ import annotations

import mujoco
import numpy as np

from sim.cabinet import Cabinet, Drawer, add_drawer, place_cabinet, see_leaf
from sim.handles import Handle
from sim.rooms import Room
from sim.tasks.cabinet_task import CabinetTask
from sim.world import World

OPEN_SHARE = 0.7
"""Share of its travel from which on a drawer is open."""

ASKED_SHARE = 0.86
"""Share to which the expert pulls it."""

SHUT_M = 0.005
"""Largest opening of a drawer that is shut [m]."""


class DrawerTask(CabinetTask):
    """What opening and closing share: the drawer and the words for its state."""

    scene = "drawer"
    styles = (Cabinet, Handle, Drawer)
    upright = False
    still = 0.02

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add the cabinet."""
        add_drawer(spec, room)

    def captions(self, world: World) -> tuple[str, ...]:
        """Say how far the drawer is open."""
        leaf, words = see_leaf(world), self.words(world)
        colour, handle = words["colour"], words["handle"]
        if leaf.opening <= SHUT_M:
            return (f"the drawer of the {colour} cabinet is shut", "the drawer is closed all the way")
        if leaf.opening >= OPEN_SHARE * leaf.stop:
            return (f"the drawer of the {colour} cabinet is open", "the drawer is pulled out wide")
        return (f"the drawer with the {handle} is partly open", f"the {colour} cabinet's drawer stands ajar")

    def _range(self, world: World) -> float:
        return world.room.part(Drawer).travel_m


class OpenDrawer(DrawerTask):
    """Pull the drawer open."""

    name = "OpenDrawer"
    inverse = "CloseDrawer"
    instructions = (
        "open the drawer",
        "pull the drawer open",
        "open the drawer of the {colour} cabinet",
        "pull the drawer out by its {handle}",
        "take the {handle} and open the drawer",
    )
    failures = ("shut_again", "slipped_off", "cabinet_pushed", "timeout")
    opens = True

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Place the cabinet, its drawer shut."""
        place_cabinet(world, rng, 0.0)

    def target(self, world: World) -> float:
        """Return the opening from which on it is open [m]."""
        return OPEN_SHARE * self._range(world)

    def aim(self, world: World) -> float:
        """Return how far the expert pulls it [m]."""
        return ASKED_SHARE * self._range(world)


class CloseDrawer(DrawerTask):
    """Push the drawer shut."""

    name = "CloseDrawer"
    inverse = "OpenDrawer"
    instructions = (
        "close the drawer",
        "push the drawer shut",
        "shut the drawer of the {colour} cabinet",
        "push the drawer with the {handle} in",
        "slide the open drawer back in",
    )
    failures = ("pulled_open", "slipped_off", "cabinet_pushed", "timeout")
    opens = False

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Place the cabinet, its drawer open."""
        place_cabinet(world, rng, float(rng.uniform(OPEN_SHARE, 0.95)) * self._range(world))

    def target(self, world: World) -> float:
        """Return the opening up to which it is shut [m]."""
        del world
        return SHUT_M

    def aim(self, world: World) -> float:
        """Return that the expert pushes it shut [m]."""
        del world
        return 0.0
