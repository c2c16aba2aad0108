"""Put a small thing into a bowl, and take it out again. The bowl stands free and can be pushed or tipped over."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.bowl import BOWL, FLOOR_M, Bowl, add_bowl, bowl_geoms
from sim.experts import UP, Grip, Hand
from sim.palette import COLOURS, other_colour, paint
from sim.parameters import choice, span
from sim.robots import PADS
from sim.rooms import Room, Table
from sim.shapes import COMMON_SHAPES, HELD_OUT_SHAPES, SHAPE_WORDS, Shape, add_shape, shape_geoms
from sim.surroundings import TABLE_CONTACT
from sim.tasks.placing import PlacingTask, at_rest, beside, upright
from sim.world import World
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

AREA_X_M, AREA_Y_M = (0.39, 0.6), (-0.17, 0.17)
"""Where bowl and item stand, by their middles."""

OFF_MIDDLE_M = 0.08
"""The bowl stands this far to the left or right at least, so that there is room beside it [m]."""

APART_M = 0.078
"""Room for a finger between the bowl's rim and the item's middle [m]."""

FINGER_WIDTH_M = 0.009
"""Half the width of a finger [m]."""

SPARE_M = 0.024
"""How much wider than the item the fingers open: no more, for the bowl is narrow [m]."""

RIM_CLEARANCE_M = 0.03
"""Height above the rim at which the item travels [m]."""

TIPPED = 0.9
"""A bowl less upright than this is tipped over (cosine of its lean)."""

ATTEMPTS = 200
ITEM = "item"


@dataclass(frozen=True)
class Item:
    """What is put into the bowl."""

    shape: str = choice(*COMMON_SHAPES, held_out=HELD_OUT_SHAPES, lab="box")
    colour: str = choice(*COLOURS, lab="red")
    tint: float = span(-1.0, 1.0)
    tone: float = span(-1.0, 1.0)
    width_m: float = span(0.027, 0.042, "m", lab=0.035, bands=12)
    height_m: float = span(0.03, 0.045, "m", lab=0.038)
    mass_kg: float = span(0.03, 0.12, "kg", lab=0.06)
    friction: float = span(0.5, 0.9)


class _BowlTask(PlacingTask):
    """What both directions share: one item, one bowl."""

    scene = "bowl"
    failures = ("pushed_away", "dropped", "bowl_tipped", "timeout")
    styles = (Item, Bowl)
    thing = ITEM
    starts_inside = False

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add item and bowl."""
        item, shape, z = room.part(Item), item_shape(room), room.part(Table).height_m
        body = spec.worldbody.add_body(name=ITEM, pos=[0.5, 0.1, z + shape.rest_m])
        body.add_freejoint(name=ITEM)
        colour = paint(item.colour, item.tint, item.tone)
        add_shape(body, spec, ITEM, shape, item.mass_kg, item.friction, colour)
        add_bowl(spec, room.part(Bowl), paint(bowl_colour(room), room.part(Bowl).tint, room.part(Bowl).tone), z)

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Stand the bowl left or right, and the item beside it or in it."""
        bowl, shape, z = world.room.part(Bowl), item_shape(world.room), world.table_z_m
        for _ in range(ATTEMPTS):
            places = np.column_stack([rng.uniform(*AREA_X_M, 2), rng.uniform(*AREA_Y_M, 2)])
            apart = np.linalg.norm(places[0] - places[1])
            if abs(places[0, 1]) > OFF_MIDDLE_M and apart > bowl.rim_m + APART_M:
                break
        else:
            raise ConfigurationError(f"{self.name} found no layout in {ATTEMPTS} tries; bowl.rim is {bowl.rim_m:g} m")
        turns = rng.uniform(-math.pi, math.pi, 2)
        if self.starts_inside:
            places[1] = places[0] + rng.uniform(-0.006, 0.006, 2)
        world.place_body(BOWL, np.array([*places[0], z]), rotation_vector_to_xyzw(turns[0] * UP))
        low = z + FLOOR_M * self.starts_inside + shape.rest_m
        world.place_body(ITEM, np.array([*places[1], low]), rotation_vector_to_xyzw(turns[1] * UP))

    def geoms(self, world: World) -> tuple[str, ...]:
        """Return the names of the item's geoms."""
        return shape_geoms(ITEM, item_shape(world.room))

    def grip(self, world: World, hand: Hand) -> Grip:
        """Return how to take the item; in the bowl its wall may not be in the fingers' way."""
        bowl, body, place = world.room.part(Bowl), world.data.body(ITEM), world.data.body(BOWL).xpos
        middle, low = place[:2], body.xpos[2] - _lowest(world) - place[2] < bowl.height_m
        inside = bool(low) and float(np.linalg.norm(body.xpos[:2] - middle)) < bowl.rim_m

        def crowding(fingers: FloatArray) -> float:
            out = np.linalg.norm(fingers - middle, axis=1) + FINGER_WIDTH_M
            return float(np.maximum(out - bowl.floor_m, 0.0).sum()) * 100.0 if inside else 0.0

        width = world.settings.gripper.width_m
        return item_shape(world.room).grip(hand, body.xpos.copy(), body.xmat, width, SPARE_M, crowding)

    def clearance_m(self, world: World) -> float:
        """Return the height at which the item passes over the bowl's rim [m]."""
        return world.room.part(Bowl).height_m + RIM_CLEARANCE_M

    def words(self, world: World) -> dict[str, str]:
        """Return the colours and the item's name."""
        item = world.room.part(Item)
        return {"colour": item.colour, "shape": SHAPE_WORDS[item.shape], "bowl_colour": bowl_colour(world.room)}

    def failure(self, world: World) -> str:
        """Tell whether the bowl tipped over, or the item got lost."""
        return "bowl_tipped" if upright(world, BOWL) < TIPPED else super().failure(world)

    def captions(self, world: World) -> tuple[str, ...]:
        """Say where the item is."""
        words = self.words(world)
        item, bowl = f"the {words['colour']} {words['shape']}", f"the {words['bowl_colour']} bowl"
        pads = world.touching(PADS, self.geoms(world))
        if upright(world, BOWL) < TIPPED:
            return (f"{bowl} is tipped over", f"{bowl} does not stand upright")
        if in_bowl(world):
            if pads:
                return (f"the gripper holds {item} inside {bowl}", f"{item} is grasped in {bowl}")
            return (f"{item} is in {bowl}", f"{item} lies in {bowl} and the gripper does not touch it")
        if pads == len(PADS):
            if world.touching(self.geoms(world), (TABLE_CONTACT,)):
                return (f"the gripper holds {item}, which stands on the table", f"{item} is grasped beside {bowl}")
            return (f"the gripper holds {item} in the air", f"{item} is carried and is not in {bowl}")
        if not world.touching(self.geoms(world), (TABLE_CONTACT,)):
            return (f"{item} is let go and does not lie on the table", f"nothing holds {item}, and it is not in {bowl}")
        return (f"{item} is on the table beside {bowl}", f"{bowl} is empty and nothing holds {item}")

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return where the item and the middle of the bowl's floor are."""
        return {"item": world.data.body(ITEM).xpos.copy(), "bowl": _bowl_floor(world)}


class PlaceInBowl(_BowlTask):
    """Put the item into the bowl."""

    name = "PlaceInBowl"
    inverse = "TakeFromBowl"
    instructions = (
        "put the {colour} {shape} into the {bowl_colour} bowl",
        "place the {colour} {shape} in the bowl",
        "pick up the {colour} {shape} and drop it into the {bowl_colour} bowl",
        "the {shape} belongs in the {bowl_colour} bowl",
        "move the {colour} {shape} from the table into the bowl",
    )

    def goal(self, world: World) -> FloatArray:
        """Return the middle of the bowl, at the height at which the item touches its floor."""
        return _bowl_floor(world) + _lowest(world) * UP

    def landing(self, world: World) -> bool:
        """Tell whether the item is over the bowl and falls, or moves about in it or on its rim."""
        bowl, item = world.room.part(Bowl), world.data.body(ITEM).xpos
        over = float(np.linalg.norm((item - world.data.body(BOWL).xpos)[:2])) < bowl.rim_m
        rests = world.touching(self.geoms(world), bowl_geoms(bowl)) > 0 and at_rest(world, ITEM)
        return over and not rests

    def lies(self, world: World) -> bool:
        """Tell whether the item is in the bowl, which stands."""
        return in_bowl(world) and upright(world, BOWL) > TIPPED


class TakeFromBowl(_BowlTask):
    """Take the item out of the bowl and lay it on the table."""

    name = "TakeFromBowl"
    inverse = "PlaceInBowl"
    instructions = (
        "take the {colour} {shape} out of the {bowl_colour} bowl",
        "remove the {colour} {shape} from the bowl and lay it on the table",
        "empty the {bowl_colour} bowl",
        "get the {shape} out of the {bowl_colour} bowl and put it beside it",
        "move the {colour} {shape} from the bowl onto the table",
    )
    starts_inside = True

    def goal(self, world: World) -> FloatArray:
        """Return a place on the table beside the bowl."""
        place = beside(world.data.body(BOWL).xpos, world.room.part(Bowl).rim_m + APART_M + 0.01)
        return np.array([*place, world.table_z_m + _lowest(world)])

    def lies(self, world: World) -> bool:
        """Tell whether the item is on the table and clear of the bowl, which stands."""
        geoms = self.geoms(world)
        clear = world.touching(geoms, bowl_geoms(world.room.part(Bowl))) == 0 and not in_bowl(world)
        on_table = world.touching(geoms, (TABLE_CONTACT,)) > 0 and clear
        return on_table and upright(world, BOWL) > TIPPED


def item_shape(room: Room) -> Shape:
    """Return the shape of the room's item."""
    item = room.part(Item)
    return Shape(item.shape, item.width_m, item.height_m)


def bowl_colour(room: Room) -> str:
    """Return the name of the bowl's colour, which is never the item's."""
    return other_colour(room.part(Item).colour, room.part(Bowl).colours_apart)


def in_bowl(world: World) -> bool:
    """Tell whether the item touches the bowl, is within its rim and well below it at its lowest point."""
    bowl, body = world.room.part(Bowl), world.data.body(BOWL)
    off = body.xmat.reshape(3, 3).T @ (world.data.body(ITEM).xpos - body.xpos)
    inside = math.hypot(off[0], off[1]) < bowl.floor_m + bowl.flare_m and off[2] - _lowest(world) < 0.6 * bowl.height_m
    return inside and world.touching(shape_geoms(ITEM, item_shape(world.room)), bowl_geoms(world.room.part(Bowl))) > 0


def _lowest(world: World) -> float:
    """Return how far the item's lowest point is below its middle [m]."""
    return item_shape(world.room).extent(-world.data.body(ITEM).xmat.reshape(3, 3)[2])


def _bowl_floor(world: World) -> FloatArray:
    body = world.data.body(BOWL)
    return body.xpos + FLOOR_M * body.xmat.reshape(3, 3)[:, 2]
