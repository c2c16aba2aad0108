"""Push a button: it springs back, stands on a box that can be shoved, and may have neighbours of other colours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.experts import HALF_TURN, UP, ExpertSettings, alike_yaw, approach, pointing, see_hand
from sim.palette import paint
from sim.parameters import choice, span, whole
from sim.robots import FINGERS, OBJECT_GROUP, PADS, WORLD_BITS
from sim.rooms import MAX_SEED, Room, Table
from sim.tasks.task import WatchedTask
from sim.textures import rgb
from sim.world import World
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

CALLED = ("red", "yellow", "green", "blue", "purple")
"""The colours that a button may have and be called by: names of the palette that nobody confuses."""

PRESSED_SHARE = 0.6
"""Share of its travel at which a button counts as pressed."""

MOVED_M = 0.03
TIPPED_RAD = 0.3
BESIDE_PERIODS = 8
"""Control periods in a row of pressing on the box, no button down, after which that is a failure."""

PITCH_M = 0.065
"""From one button to the next [m]."""

ABOVE_M = 0.013
"""How far a button that is not pressed stands out of the box [m]."""

MANNER = ExpertSettings(hover_m=0.04, aligned_m=0.01)
"""A button need not be hit in its middle."""

AREA_X_M, AREA_Y_M = (0.4, 0.62), (-0.17, 0.17)
LARGEST_YAW = math.radians(60.0)
BOX = "box"
TOUCHING = (*PADS, *(f"{finger}_contact" for finger in FINGERS))


@dataclass(frozen=True)
class Button:
    """The buttons of a room; the first is the one that is asked for."""

    colour: str = choice(*CALLED, lab="red")
    shape: str = choice("round", "square", "rounded", held_out=("dome", "bar"), lab="round")
    count: int = whole(1, 3, lab=2)
    order: int = whole(0, MAX_SEED)
    tint: float = span(-1.0, 1.0)
    tone: float = span(-1.0, 1.0)
    half_m: float = span(0.014, 0.021, "m", lab=0.018)
    travel_m: float = span(0.007, 0.009, "m", lab=0.008)
    stiffness_n_m: float = span(200.0, 700.0, "N/m", lab=400.0)
    preload_n: float = span(0.8, 2.0, "N", lab=1.2)

    def colours(self) -> tuple[str, ...]:
        """Return the colours of all buttons, the one that is asked for first."""
        others = [name for name in CALLED if name != self.colour]
        np.random.default_rng(self.order).shuffle(others)
        return (self.colour, *others[: self.count - 1])

    def places(self) -> tuple[float, ...]:
        """Return where the buttons stand along the box, from its middle [m]."""
        slots = [(i - (self.count - 1) / 2) * PITCH_M for i in range(self.count)]
        return tuple(np.random.default_rng((self.order, 1)).permutation(slots).tolist())


@dataclass(frozen=True)
class Box:
    """What the buttons stand on; it lies loose on rubber feet."""

    height_m: float = span(0.03, 0.055, "m", lab=0.04)
    margin_m: float = span(0.012, 0.02, "m", lab=0.015)
    mass_kg: float = span(0.6, 1.2, "kg", lab=0.9)
    friction: float = span(0.6, 0.9, lab=0.8)
    saturation: float = span(0.0, 0.12)
    hue: float = span(0.0, 1.0)
    value: float = span(0.15, 0.75, lab=(0.3, 0.5))


class PushButton(WatchedTask):
    """The task, its ground truth and its expert."""

    name = "PushButton"
    scene = "button"
    instructions = (
        "push the {colour} button",
        "press the {colour} button",
        "press down on the button that is {colour}",
        "push down the {colour} one",
        "hit the {colour} button on the box",
    )
    step_limit = 60
    failures = ("wrong_button", "box_moved", "pressed_beside", "timeout")
    styles = (Button, Box)

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add the box and its buttons."""
        button, box, z = room.part(Button), room.part(Box), room.part(Table).height_m
        half_x = button.half_m + box.margin_m
        half_y = half_x + (button.count - 1) * PITCH_M / 2
        body = spec.worldbody.add_body(name=BOX, pos=[0.5, 0.0, z])
        body.add_freejoint(name=BOX)
        body.add_geom(
            name=BOX,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[0.0, 0.0, box.height_m / 2],
            size=[half_x, half_y, box.height_m / 2],
            mass=box.mass_kg,
            friction=[box.friction, 0.005, 0.0001],
            group=OBJECT_GROUP,
            rgba=[*rgb(box.hue, box.saturation, box.value), 1.0],
            **WORLD_BITS,
        )
        for index, (colour, place) in enumerate(zip(button.colours(), button.places(), strict=True)):
            _add_button(body, button, f"button{index}", colour, (0.0, place, box.height_m))

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Lay the box down anywhere on its part of the table, turned."""
        place = [rng.uniform(*AREA_X_M), rng.uniform(*AREA_Y_M), world.table_z_m]
        yaw = rng.uniform(-LARGEST_YAW, LARGEST_YAW)
        world.place_body(BOX, np.array(place), rotation_vector_to_xyzw(yaw * UP))
        for index in range(world.room.part(Button).count):
            world.data.joint(f"button{index}").qpos[0] = 0.0

    def note(self, world: World) -> None:
        """Note where the box stands and how far the hand is."""
        self._box = world.data.body(BOX).xpos.copy()
        self._far_m = max(float(np.linalg.norm(world.tcp_pose().position - cap_top(world))), 0.05)
        self._beside, self._wrong = 0, False

    def look(self, world: World) -> None:
        """See which buttons are down and whether the hand presses on the box."""
        count = world.room.part(Button).count
        down = [travel_share(world, index) for index in range(count)]
        self._wrong = self._wrong or max(down[1:], default=0.0) >= PRESSED_SHARE
        on_box = max(down) < PRESSED_SHARE and world.touching(TOUCHING, (BOX,)) > 0
        self._beside = self._beside + 1 if on_box else 0

    def done(self, world: World) -> bool:
        """Tell whether the right button is down, and never another one was."""
        return not self._wrong and travel_share(world, 0) >= PRESSED_SHARE

    def progress(self, world: World) -> float:
        """Return how far it has come: near, then down."""
        near = 1.0 - min(float(np.linalg.norm(world.tcp_pose().position - cap_top(world))) / self._far_m, 1.0)
        return 0.7 * near + 0.3 * min(travel_share(world, 0) / PRESSED_SHARE, 1.0)

    def failure(self, world: World) -> str:
        """Tell whether another button was pressed, the box shoved, or the hand presses beside."""
        if self._wrong:
            return "wrong_button"
        body = world.data.body(BOX)
        if np.linalg.norm(body.xpos - self._box) > MOVED_M or body.xmat[8] < math.cos(TIPPED_RAD):
            return "box_moved"
        return "pressed_beside" if self._beside >= BESIDE_PERIODS else ""

    def words(self, world: World) -> dict[str, str]:
        """Return the colour that is asked for."""
        return {"colour": world.room.part(Button).colour}

    def captions(self, world: World) -> tuple[str, ...]:
        """Say which button is down."""
        colours = world.room.part(Button).colours()
        down = [name for index, name in enumerate(colours) if travel_share(world, index) >= PRESSED_SHARE]
        if colours[0] in down:
            return (f"the {colours[0]} button is pressed down", f"the gripper pushes the {colours[0]} button")
        if down:
            return (f"the {down[0]} button is pressed down", f"the {colours[0]} button is up, the {down[0]} one down")
        if world.touching(TOUCHING, (BOX,)):
            return ("the gripper touches the box beside the buttons", f"the {colours[0]} button is not pressed")
        return (f"the {colours[0]} button is not pressed", "no button is pressed")

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return where the tops of the buttons are; `button` is the one that is asked for."""
        count = world.room.part(Button).count
        others = {f"other_button{index}": cap_top(world, index) for index in range(1, count)}
        return {"button": cap_top(world), "box": world.data.body(BOX).xpos.copy(), **others}

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Come down on the button from above with closed fingers and press it into the box."""
        hand = see_hand(world.arm_state(), world.settings.gripper.width_m, max_step_m, max_step_rad, MANNER)
        body, button = world.data.body(BOX), world.room.part(Button)
        yaw = alike_yaw(math.atan2(body.xmat[3], body.xmat[0]), HALF_TURN, hand.heading)
        # the fingers' tips lie 9 mm beyond the TCP; the goal is a little below the button's end stop
        rest = cap_top(world) + travel_share(world, 0) * button.travel_m * UP
        goal = rest + (0.009 - button.travel_m) * UP
        return approach(hand, goal, pointing(yaw), 0.0)


def travel_share(world: World, index: int) -> float:
    """Return how far button `index` is down, as a share of its travel; 0 is the one that is asked for."""
    return max(-float(world.data.joint(f"button{index}").qpos[0]) / world.room.part(Button).travel_m, 0.0)


def cap_top(world: World, index: int = 0) -> FloatArray:
    """Return the middle of a button's top, shape (3,) [m]; 0 is the one that is asked for."""
    body = world.data.body(f"button{index}")
    return body.xpos + ABOVE_M * body.xmat.reshape(3, 3)[:, 2]


def _add_button(box: mujoco.MjsBody, button: Button, name: str, colour: str, foot: tuple[float, float, float]) -> None:
    """Add a cap on a spring; its frame's origin is at the box's top while it is not pressed."""
    body = box.add_body(name=name, pos=list(foot))
    body.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=[0.0, 0.0, 1.0],
        limited=True,
        range=[-button.travel_m, 0.0],
        stiffness=button.stiffness_n_m,
        springref=button.preload_n / button.stiffness_n_m,
        damping=4.0,
        armature=0.02,
    )
    for kind, pos, size in _cap_geoms(button):
        body.add_geom(
            name=f"{name}_{kind.name}{pos[1]:.3f}",
            type=kind,
            pos=list(pos),
            size=list(size),
            mass=0.01,
            friction=[0.6, 0.005, 0.0001],
            group=OBJECT_GROUP,
            rgba=[*paint(colour, button.tint, button.tone), 1.0],
            **WORLD_BITS,
        )


def _cap_geoms(
    button: Button,
) -> list[tuple[mujoco.mjtGeom, tuple[float, float, float], tuple[float, float, float]]]:
    """Return the geoms of a cap: kind, place and size [m]. A stem goes down into the box."""
    half, tall = button.half_m, ABOVE_M
    kinds = mujoco.mjtGeom
    box, cylinder, ellipsoid = kinds.mjGEOM_BOX, kinds.mjGEOM_CYLINDER, kinds.mjGEOM_ELLIPSOID
    middle = (0.0, 0.0, tall / 2)
    if button.shape == "round":
        return [(cylinder, middle, (half, tall / 2, 0.0))]
    if button.shape == "square":
        return [(box, middle, (half, half, tall / 2))]
    if button.shape == "bar":
        return [(box, middle, (0.55 * half, 1.25 * half, tall / 2))]
    if button.shape == "dome":
        return [(ellipsoid, (0.0, 0.0, 0.0), (half, half, tall))]
    if button.shape == "rounded":
        ends = [(cylinder, (0.0, sign * 0.4 * half, tall / 2), (0.8 * half, tall / 2, 0.0)) for sign in (-1, 1)]
        return [*ends, (box, middle, (0.8 * half, 0.4 * half, tall / 2))]
    raise ConfigurationError(f"button.shape = {button.shape!r} has no geoms; legal: round, square, rounded, dome, bar")
