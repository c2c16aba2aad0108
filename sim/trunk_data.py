"""Pictures for a trunk: many rooms, a few random moments in each, and where every named point truly is.

No physics runs. Objects are laid out afresh and the arm is put somewhere by inverse kinematics, which is some hundred
times cheaper than an episode; what matters to a trunk is how many rooms and places it has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.controller import TCP_SITE
from sim.render import UNSEEN_GROUPS
from sim.robots import CONTACT_GROUP, FINGER_JOINTS, OBJECT_GROUP, SITE_GROUP
from sim.rooms import Room
from sim.twin import Twin
from sim.world import World
from tutelage_core.labelled_frames import LabelledFrames
from tutelage_core.rotations import multiply_xyzw, rotation_vector_to_xyzw, xyzw_to_rotation_vector
from tutelage_core.types import FloatArray, ImageArray, Pose

TCP_POINT = "tcp"

_DOWN_XYZW = np.array([1.0, 0.0, 0.0, 0.0])
"""The hand looks straight down."""

_NEWTON_STEPS = 8
_SAME_PLACE_M = 0.005


@dataclass(frozen=True)
class MomentSettings:
    """What random moments look like.

    Attributes:
        near_share: share of the moments in which the TCP is near one of the points.
        near_m: standard deviation of its distance then, each axis [m].
        held_share: share of the moments in which it holds a movable thing.
        reach_m: where the TCP may be otherwise: lower and upper corner, x and y in the base frame, z above the
            lowest point [m].
        largest_yaw_rad: largest turn of the hand about the vertical [rad].
        tilt_rad: standard deviation of its tilt, each axis [rad].
        occlusion_m: a point counts as hidden if something stands further than this before it [m].
    """

    near_share: float = 0.35
    near_m: float = 0.035
    held_share: float = 0.15
    reach_m: tuple[tuple[float, float, float], tuple[float, float, float]] = ((0.33, -0.22, 0.0), (0.67, 0.22, 0.35))
    largest_yaw_rad: float = 0.9
    tilt_rad: float = 0.06
    occlusion_m: float = 0.05


@dataclass(frozen=True)
class _Sight:
    """What one camera sees of the points, and where they are from where it is mounted."""

    points: FloatArray
    pixels: FloatArray
    visible: NDArray[np.bool_]


AT_REST = MomentSettings(near_share=0.0, held_share=0.0)
"""The objects lie as the task lays them, and the arm is anywhere."""


def frames_of_room(twin: Twin, room: Room, seed: int, count: int, settings: MomentSettings) -> LabelledFrames:
    """Return `count` random moments in one room.

    Args:
        twin: the twin; its state afterwards is of no use but to be reset.
        room: where.
        seed: seed of all that is random in the room.
        count: moments.
        settings: what they look like.
    """
    twin.reset(seed, room)
    rng = np.random.default_rng([seed, 7])
    cameras = tuple(twin.contract.cameras)
    names = tuple(sorted(twin.points()))
    images: list[ImageArray] = []
    sights: list[_Sight] = []
    for number in range(count):
        if number:
            lay_out(twin, rng)
        _random_moment(twin, rng, settings)
        points = twin.points()
        for camera in cameras:
            images.append(twin.render(camera))
            sights.append(_look(twin.world, camera, np.stack([points[n] for n in names]), twin, settings))
    shape = (count, len(cameras), len(names))
    return LabelledFrames(
        names,
        cameras,
        np.stack(images).reshape(*shape[:2], *images[0].shape),
        np.stack([s.points for s in sights]).astype(np.float32).reshape(*shape, 3),
        np.stack([s.pixels for s in sights]).astype(np.float32).reshape(*shape, 2),
        np.stack([s.visible for s in sights]).reshape(shape),
        np.full(count, room.number, np.int64),
    )


def lay_out(twin: Twin, rng: np.random.Generator) -> None:
    """Lay the task's objects out afresh in the same room."""
    twin.task.sample(twin.world, rng)
    twin.world.measure()


def _random_moment(twin: Twin, rng: np.random.Generator, settings: MomentSettings) -> None:
    world = twin.world
    things = {name: place for name, place in twin.points().items() if name != TCP_POINT}
    lowest = min((float(place[2]) for place in things.values()), default=0.0)
    low, high = (np.array(corner) for corner in settings.reach_m)
    position = rng.uniform(low, high) + np.array([0.0, 0.0, lowest])
    kind = rng.random()
    opening = 1.0 if rng.random() < 0.5 else float(rng.random())
    if things and kind < settings.near_share:
        place = things[str(rng.choice(sorted(things)))]
        position = place + rng.normal(0.0, settings.near_m, 3)
        position[2] = max(position[2], lowest)
    turn = np.array([*rng.normal(0.0, settings.tilt_rad, 2), rng.uniform(-1.0, 1.0) * settings.largest_yaw_rad])
    pose = Pose(position, multiply_xyzw(rotation_vector_to_xyzw(turn), _DOWN_XYZW))
    place_tcp(twin, pose, opening)
    movable = _movable(world, things)
    if movable and settings.near_share <= kind < settings.near_share + settings.held_share:
        body = movable[int(rng.integers(len(movable)))]
        _put_between_fingers(world, body, float(turn[2]))
    world.measure()


def place_tcp(twin: Twin, goal: Pose, opening: float) -> None:
    """Put the arm where its TCP has the pose `goal`, as near as it gets, and the fingers at `opening` (0..1)."""
    world, model, data = twin.world, twin.world.model, twin.world.data
    joints = [model.joint(name) for name in twin.contract.arm.joints]
    qpos, dofs = (np.array([getattr(j, what)[0] for j in joints]) for what in ("qposadr", "dofadr"))
    limits = np.stack([j.range for j in joints])
    data.qpos[qpos] = twin.contract.arm.home_joint_positions
    fingers = np.array([model.joint(name).qposadr[0] for name in FINGER_JOINTS])
    data.qpos[fingers] = opening * world.settings.gripper.width_m / 2.0
    site, jacobian = model.site(TCP_SITE).id, np.zeros((6, model.nv))
    for _ in range(_NEWTON_STEPS):
        world.measure()
        pose = world.tcp_pose()
        back = pose.quaternion_xyzw * np.array([-1.0, -1.0, -1.0, 1.0])
        error = np.concatenate(
            [goal.position - pose.position, xyzw_to_rotation_vector(multiply_xyzw(goal.quaternion_xyzw, back))]
        )
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], site)
        step = np.linalg.lstsq(jacobian[:, dofs], error, rcond=0.02)[0]
        data.qpos[qpos] = np.clip(data.qpos[qpos] + np.clip(step, -0.5, 0.5), limits[:, 0], limits[:, 1])
    world.measure()


def _movable(world: World, things: Mapping[str, FloatArray]) -> list[int]:
    """Return the bodies that move freely and stand where one of the points is."""
    model, data = world.model, world.data
    free = [int(model.jnt_bodyid[j]) for j in range(model.njnt) if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE]
    return [
        body
        for body in free
        if any(np.linalg.norm(data.xpos[body] - place) < _SAME_PLACE_M for place in things.values())
    ]


def _put_between_fingers(world: World, body: int, yaw_rad: float) -> None:
    """Put a body at the TCP, turned like the hand, and close the fingers on it."""
    model, data = world.model, world.data
    address = int(model.jnt_qposadr[model.body_jntadr[body]])
    half_yaw = yaw_rad / 2.0
    data.qpos[address : address + 7] = [*world.tcp_pose().position, np.cos(half_yaw), 0.0, 0.0, np.sin(half_yaw)]
    geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] == body and model.geom_group[g] == OBJECT_GROUP]
    half_width = min((float(model.geom_size[g, 0]) for g in geoms), default=0.02)
    for name in FINGER_JOINTS:
        data.qpos[model.joint(name).qposadr[0]] = min(half_width, world.settings.gripper.width_m / 2.0)


def _look(world: World, camera: str, points: FloatArray, twin: Twin, settings: MomentSettings) -> _Sight:
    model, data = world.model, world.data
    mujoco.mj_camlight(model, data)
    number = model.camera(camera).id
    eye, axes = data.cam_xpos[number], data.cam_xmat[number].reshape(3, 3)
    seen = (points - eye) @ axes  # MuJoCo's cameras look along -z, with y up
    depth = -seen[:, 2]
    focal = twin.intrinsics(camera).fx_px
    size = twin.contract.cameras[camera]
    with np.errstate(divide="ignore", invalid="ignore"):
        right, down = focal * seen[:, 0] / depth, -focal * seen[:, 1] / depth
    pixels = np.stack([right / (size.width / 2.0), down / (size.height / 2.0)], axis=1)
    pixels[depth <= 0.0] = np.nan
    visible: NDArray[np.bool_] = np.all(np.abs(np.nan_to_num(pixels, nan=2.0)) < 1.0, axis=1)
    drawn = np.ones(6, np.uint8)
    for group in (CONTACT_GROUP, SITE_GROUP, *UNSEEN_GROUPS.get(camera, ())):
        drawn[group] = 0
    for i in np.flatnonzero(visible):
        way = points[i] - eye
        far = float(np.linalg.norm(way))
        hit = mujoco.mj_ray(model, data, eye, way / far, drawn, 1, -1, np.zeros(1, np.int32), None)
        visible[i] = hit < 0.0 or hit > far - settings.occlusion_m
    body = int(model.cam_bodyid[number])
    mounted = (points - data.xpos[body]) @ data.xmat[body].reshape(3, 3)
    return _Sight(mounted, pixels, visible)
