"""Put the lid on a pot, and take it off. The pot is fixed: it stands for one too heavy to be moved by a hand."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from sim.experts import UP, Grip, Hand
from sim.palette import other_colour, paint
from sim.pot import (
    COLLAR_M,
    COLLAR_SLACK_M,
    DISC_M,
    LID,
    LOOP_M,
    OVERLAP_M,
    POT,
    Lid,
    Pot,
    add_lid,
    add_pot,
    knob_shape,
    lid_geoms,
    pot_geoms,
)
from sim.robots import PADS
from sim.rooms import Room, Table
from sim.surroundings import TABLE_CONTACT
from sim.tasks.placing import STILL_M_S, PlacingTask, beside, upright
from sim.world import World
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

AREA_X_M, AREA_Y_M = (0.39, 0.6), (-0.16, 0.16)
"""Where pot and lid stand, by their middles."""

OFF_MIDDLE_M = 0.07
"""The pot stands this far to the left or right at least, so that there is room beside it [m]."""

APART_M = 0.02
"""Room between pot and lid, handles included [m]."""

SEATED_M, SEATED_UP = 0.0025, 0.998
"""A lid sits well if it is this near to the rim, and this upright."""

TRAVEL_M = 0.035
"""Height of the lid above the rim while it travels [m]."""

LYING_UP = 0.99
ATTEMPTS = 400


class _LidTask(PlacingTask):
    """What both directions share: a pot and its lid."""

    scene = "pot"
    failures = ("pushed_away", "dropped", "askew", "timeout")
    styles = (Pot, Lid)
    thing = LID
    starts_on = False

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add pot and lid."""
        pot, lid, z = room.part(Pot), room.part(Lid), room.part(Table).height_m
        add_pot(spec, pot, paint(pot_colour(room), pot.tint, pot.tone), z)
        add_lid(spec, pot, lid, paint(lid.colour, lid.tint, lid.tone), z)

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Stand the pot left or right, and lay the lid beside it or on it."""
        pot, z = world.room.part(Pot), world.table_z_m
        for _ in range(ATTEMPTS):
            places = np.column_stack([rng.uniform(*AREA_X_M, 2), rng.uniform(*AREA_Y_M, 2)])
            if abs(places[0, 1]) > OFF_MIDDLE_M and np.linalg.norm(places[0] - places[1]) > _apart_m(pot):
                break
        else:
            raise ConfigurationError(
                f"{self.name} found no layout in {ATTEMPTS} tries with {_apart_m(pot):.3f} m between pot and lid"
            )
        turns = rng.uniform(-math.pi, math.pi, 2)
        if pot.kind == "saucepan":
            # the handle points away from both places where the lid may lie
            aside = [place - places[0] for place in (places[1], beside(places[0], 1.0))]
            away = -np.sum([way / np.linalg.norm(way) for way in aside], axis=0)
            turns[0] = math.atan2(away[1], away[0]) + 0.4 * turns[0] / math.pi
        mocap = int(world.model.body(POT).mocapid[0])
        world.data.mocap_pos[mocap] = [*places[0], z]
        world.data.mocap_quat[mocap] = rotation_vector_to_xyzw(turns[0] * UP)[[3, 0, 1, 2]]
        world.measure()
        place = _seat(world) if self.starts_on else np.array([*places[1], z + 2.0 * COLLAR_M])
        world.place_body(LID, place, rotation_vector_to_xyzw(turns[1] * UP))

    def geoms(self, world: World) -> tuple[str, ...]:
        """Return the names of the lid's geoms."""
        return lid_geoms(world.room.part(Lid))

    def grip(self, world: World, hand: Hand) -> Grip:
        """Return how to take the lid by its knob."""
        matrix = world.data.body(LID).xmat
        return knob_shape(world.room.part(Lid)).grip(hand, self.handle(world), matrix, world.settings.gripper.width_m)

    def handle(self, world: World) -> FloatArray:
        """Return the middle of the knob."""
        body = world.data.body(LID)
        return body.xpos + (DISC_M + knob_shape(world.room.part(Lid)).rest_m) * body.xmat.reshape(3, 3)[:, 2]

    def words(self, world: World) -> dict[str, str]:
        """Return the colours."""
        return {"colour": world.room.part(Lid).colour, "pot_colour": pot_colour(world.room)}

    def failure(self, world: World) -> str:
        """Tell whether the lid rests crookedly against the pot, or got lost."""
        velocity = float(np.linalg.norm(world.data.joint(LID).qvel[:3]))
        touches = world.touching(self.geoms(world), pot_geoms(world.room.part(Pot))) > 0
        if touches and not self._pads and not seated(world) and velocity < STILL_M_S:
            return "askew"
        return super().failure(world)

    def captions(self, world: World) -> tuple[str, ...]:
        """Say where the lid is."""
        words = self.words(world)
        lid, pot = f"the {words['colour']} lid", f"the {words['pot_colour']} pot"
        pads = world.touching(PADS, self.geoms(world))
        if seated(world):
            if pads:
                return (f"the gripper holds the knob of {lid}, which is on {pot}", f"{lid} is on {pot} and still held")
            return (f"{lid} is on {pot}", f"{pot} is closed with its {words['colour']} lid")
        if pads == len(PADS):
            if world.touching(self.geoms(world), (TABLE_CONTACT,)):
                return (f"the gripper holds the knob of {lid} on the table", f"{lid} is grasped and {pot} is open")
            return (f"the gripper holds {lid} in the air", f"{lid} is carried and {pot} is open")
        if world.touching(self.geoms(world), pot_geoms(world.room.part(Pot))):
            return (f"{lid} rests crookedly on {pot}", f"{lid} touches {pot} and does not close it")
        return (f"{lid} lies beside {pot}", f"{pot} is open and {lid} is on the table")

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return where the knob, the lid and the middle of the pot's rim are."""
        return {"knob": self.handle(world), "lid": world.data.body(LID).xpos.copy(), "pot": _seat(world)}


class PutLid(_LidTask):
    """Put the lid on the pot."""

    name = "PutLid"
    inverse = "TakeLid"
    instructions = (
        "put the {colour} lid on the {pot_colour} pot",
        "close the {pot_colour} pot with its lid",
        "pick the lid up by its knob and put it on the pot",
        "cover the {pot_colour} pot with the {colour} lid",
        "place the lid on the pot",
    )

    near_m = COLLAR_SLACK_M

    def goal(self, world: World) -> FloatArray:
        """Return the middle of the pot's rim."""
        return _seat(world)

    def clearance_m(self, world: World) -> float:
        """Return the height above the rim at which the lid travels [m]."""
        del world
        return TRAVEL_M

    def lies(self, world: World) -> bool:
        """Tell whether the lid sits in the rim."""
        return seated(world)


class TakeLid(_LidTask):
    """Take the lid off and lay it on the table."""

    name = "TakeLid"
    inverse = "PutLid"
    instructions = (
        "take the {colour} lid off the {pot_colour} pot",
        "open the {pot_colour} pot and lay the lid beside it",
        "lift the lid off by its knob and put it on the table",
        "uncover the {pot_colour} pot",
        "remove the {colour} lid from the pot",
    )
    starts_on = True

    def goal(self, world: World) -> FloatArray:
        """Return a place on the table beside the pot."""
        place = beside(world.data.body(POT).xpos, _apart_m(world.room.part(Pot)))
        return np.array([*place, world.table_z_m + 2.0 * COLLAR_M])

    def clearance_m(self, world: World) -> float:
        """Return the height above the table at which the lid travels over the rim [m]."""
        return world.room.part(Pot).height_m + TRAVEL_M

    def lies(self, world: World) -> bool:
        """Tell whether the lid lies on the table, knob up, clear of the pot."""
        geoms = self.geoms(world)
        on_table = world.touching(geoms, (TABLE_CONTACT,)) > 0 and not world.touching(
            geoms, pot_geoms(world.room.part(Pot))
        )
        return on_table and upright(world, LID) > LYING_UP


def pot_colour(room: Room) -> str:
    """Return the name of the pot's colour, which is never the lid's."""
    return other_colour(room.part(Lid).colour, room.part(Pot).colours_apart)


def seated(world: World) -> bool:
    """Tell whether the lid sits on the pot as it should."""
    off = world.data.body(LID).xpos - _seat(world)
    near = math.hypot(off[0], off[1]) < 2.0 * COLLAR_SLACK_M and abs(off[2]) < SEATED_M
    return near and upright(world, LID) > SEATED_UP


def _seat(world: World) -> FloatArray:
    return world.data.body(POT).xpos + world.room.part(Pot).height_m * UP


def _apart_m(pot: Pot) -> float:
    """Return the least distance between the middles of pot and lid that lie side by side [m]."""
    return 2.0 * pot.outer_m + OVERLAP_M + APART_M + (LOOP_M if pot.kind == "casserole" else 0.0)
