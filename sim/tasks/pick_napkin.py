"""Pick up a napkin: it lies on the table, turned anyhow and a little rippled, and shall be pinched, lifted and held."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.cloth import Cloth, Weave, add_cloth, gripped, pinch
from sim.experts import blend, pointing, see_hand
from sim.parameters import choice, span, whole
from sim.rooms import MAX_SEED, Room, Table
from sim.tasks.task import WatchedTask
from sim.textures import COMMON_PATTERNS, HELD_OUT_PATTERNS
from sim.world import World
from tutelage_core.types import FloatArray

NAPKIN = "napkin"
AREA_CENTRE_M = (0.5, 0.0)
AREA_HALF_M = 0.08
LIFT_M = 0.08
"""How high the middle of the napkin, the mean of its points, must be above the table [m]."""

CLEAR_M = 0.01
"""How high its lowest point must be [m]."""

ASKED_TCP_M = 0.19
"""Height of the TCP above the table that the expert lifts to [m]."""

SLIPPED_M = 0.03
"""A napkin that was lifted by this much and is then held no longer slipped [m]."""

OPENING = 0.6
"""How far the fingers are apart when they come down: nearer ones slide over the cloth."""

REACH_M = ((0.3, 0.7), (-0.28, 0.28))
"""Where the napkin's middle can still be pinched, x and y [m]."""


@dataclass(frozen=True)
class Napkin:
    """The napkin of a room: 11 to 14 cm a side."""

    hue: float = span(0.0, 1.0)
    saturation: float = span(0.05, 0.75)
    value: float = span(0.6, 0.95)
    pattern: str = choice(*COMMON_PATTERNS, held_out=HELD_OUT_PATTERNS)
    grain: int = whole(0, MAX_SEED)
    count_x: int = whole(8, 9, lab=9)
    count_y: int = whole(8, 9, lab=9)
    spacing_m: float = span(0.016, 0.0175, "m", lab=0.017)
    mass_kg: float = span(0.012, 0.025, "kg", lab=0.02)
    friction: float = span(0.25, 0.4, lab=0.3)
    ripple_m: float = span(0.0, 0.012, "m", lab=(0.0, 0.004))

    @property
    def weave(self) -> Weave:
        """What it is made of."""
        return Weave(
            count=(self.count_x, self.count_y),
            spacing_m=self.spacing_m,
            mass_kg=self.mass_kg,
            friction=self.friction,
            hue=self.hue,
            saturation=self.saturation,
            value=self.value,
            pattern=self.pattern,
            grain=self.grain,
        )


class PickNapkin(WatchedTask):
    """The task, its ground truth and its expert."""

    name = "PickNapkin"
    scene = "napkin"
    instructions = (
        "pick up the napkin",
        "lift the napkin off the table",
        "pinch the cloth in the middle and raise it",
        "take the napkin from the table",
        "grasp the napkin and hold it up",
    )
    failures = ("pushed_away", "slipped", "timeout")
    styles = (Napkin,)

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add the napkin."""
        add_cloth(spec, NAPKIN, room.part(Napkin).weave, room.part(Table).height_m)

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Lay the napkin somewhere in its square, turned anyhow, with ripples that point in any direction."""
        cloth = Cloth(world, NAPKIN)
        centre = AREA_CENTRE_M + rng.uniform(-AREA_HALF_M, AREA_HALF_M, 2)
        yaw, waves, phases = rng.uniform(-np.pi, np.pi), rng.uniform(30.0, 70.0, 2), rng.uniform(0.0, 2.0 * np.pi, 2)
        place = cloth.points[:, :2] * waves + phases
        ripple = world.room.part(Napkin).ripple_m * (1.0 + np.sin(place[:, 0]) * np.sin(place[:, 1]))
        cloth.lay(centre, yaw, ripple)

    def note(self, world: World) -> None:
        """Note how far away the napkin is."""
        self._far_m = max(self._distance(world), 0.05)
        self._held = self._fallen = False
        self._highest_m = 0.0

    def look(self, world: World) -> None:
        """See whether the napkin is held, how high it is and whether it slipped."""
        cloth = Cloth(world, NAPKIN)
        self._held = cloth.held()
        lifted = middle_height_m(world)
        if self._held:
            self._highest_m, self._fallen = max(self._highest_m, lifted), False
        elif self._highest_m >= SLIPPED_M:
            self._highest_m, self._fallen = 0.0, True

    def done(self, world: World) -> bool:
        """Tell whether it is held up, all of it off the table."""
        return self._held and middle_height_m(world) >= LIFT_M and Cloth(world, NAPKIN).lowest_m() >= CLEAR_M

    def progress(self, world: World) -> float:
        """Return how far it has come: near, pinched, lifted."""
        if not self._held:
            return 0.4 * (1.0 - min(self._distance(world) / self._far_m, 1.0))
        lift = min(middle_height_m(world) / LIFT_M, 1.0)
        clear = min(Cloth(world, NAPKIN).lowest_m() / CLEAR_M, 1.0)
        return 0.5 + 0.4 * lift + 0.09 * clear

    def failure(self, world: World) -> str:
        """Tell whether the napkin got out of reach or slipped."""
        x, y, _ = Cloth(world, NAPKIN).points.mean(axis=0)
        if not (REACH_M[0][0] <= x <= REACH_M[0][1] and REACH_M[1][0] <= y <= REACH_M[1][1]):
            return "pushed_away"
        return "slipped" if self._fallen else ""

    def captions(self, world: World) -> tuple[str, ...]:
        """Say where the napkin is."""
        cloth = Cloth(world, NAPKIN)
        if cloth.held():
            if cloth.lowest_m() >= CLEAR_M:
                return ("the gripper holds the napkin in the air", "the napkin hangs from the gripper")
            return ("the gripper has pinched the napkin, which still touches the table", "the napkin is pinched")
        if cloth.height_m() > 0.06:
            return ("the napkin hangs loosely on the hand", "nothing pinches the napkin, though it hangs on the hand")
        return ("the napkin lies on the table", "the gripper is empty and the napkin is on the table")

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return where the napkin's middle and its highest point are."""
        points = Cloth(world, NAPKIN).points
        return {"napkin": points.mean(axis=0), "corner": points[0].copy()}

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Pinch the napkin in its middle and lift it."""
        hand = see_hand(world.arm_state(), world.settings.gripper.width_m, max_step_m, max_step_rad)
        cloth = Cloth(world, NAPKIN)
        go_on = pinch(hand, world, cloth, cloth.points[:, :2].mean(axis=0), 0.0, OPENING)
        up = world.table_z_m + ASKED_TCP_M - hand.position[2]
        lift = hand.step(np.array([0.0, 0.0, min(up, 0.02)]), hand.turn_to(pointing(0.0)), 0.0)
        return blend(go_on, lift, gripped(hand, cloth))

    def _distance(self, world: World) -> float:
        return float(np.linalg.norm(world.tcp_pose().position - Cloth(world, NAPKIN).points.mean(axis=0)))


def middle_height_m(world: World) -> float:
    """Return the mean height of the napkin's points above the table [m]."""
    return float(Cloth(world, NAPKIN).points[:, 2].mean()) - world.table_z_m
