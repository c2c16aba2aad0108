"""What stands in every room: table, floor, wall, lamp and cameras."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.robots import CONTACT_GROUP, WORLD_BITS, WORLD_GROUP
from sim.rooms import CAMERA_PARTS, Floor, Light, Room, Table, Wall
from sim.textures import add_texture, rgb
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

FLOOR_Z_M = -0.75
TABLE_TEXTURE = "table"
TABLE_CONTACT = "table_contact"
TABLE_BACK_M = -0.2
"""Where the table ends behind the robot, x [m]."""

TABLE_FRICTION = (0.4, 0.005, 0.0001)


@dataclass(frozen=True)
class CameraMount:
    """Nominal mounting of a camera.

    Attributes:
        body: what it is fixed to.
        position: where it stands, in the body's frame [m].
        look_at: the point in the middle of the picture, in the body's frame [m].
        up: direction that is up in the picture, in the body's frame.
        fovy_deg: vertical field of view [degrees].
    """

    body: str
    position: tuple[float, float, float]
    look_at: tuple[float, float, float]
    up: tuple[float, float, float]
    fovy_deg: float


CAMERA_MOUNTS = {
    "front": CameraMount("world", (0.98, 0.28, 0.40), (0.47, -0.01, 0.10), (0.0, 0.0, 1.0), 40.0),
    "wrist": CameraMount("hand", (0.072, 0.0, 0.005), (0.022, 0.0, 0.125), (1.0, 0.0, 0.0), 80.0),
}


def add_surroundings(spec: mujoco.MjSpec, room: Room) -> None:
    """Add the room's table, floor, wall and lamp to a model."""
    light, table = room.part(Light), room.part(Table)
    spec.worldbody.add_light(
        name="lamp",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[0.5, 0.0, 0.0] - 3.0 * light.direction,
        dir=light.direction,
        castshadow=True,  # drawn only where a render profile has shadows
        diffuse=light.colour,
        ambient=[0.0] * 3,
        specular=[0.1] * 3,
    )
    spec.visual.headlight.ambient = [light.ambient] * 3
    add_texture(spec, TABLE_TEXTURE, table.texture(), repeat=2.0)
    looks = {"contype": 0, "conaffinity": 0, "group": WORLD_GROUP}
    plane, box = mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_BOX
    # the third size is the drawn grid's spacing: a small one costs milliseconds a frame
    spec.worldbody.add_geom(
        name="floor",
        type=plane,
        pos=[0.0, 0.0, FLOOR_Z_M],
        size=[3.0, 3.0, 5.0],
        rgba=[*room.part(Floor).colour, 1.0],
        **looks,
    )
    spec.worldbody.add_geom(
        name="wall",
        type=plane,
        pos=[-1.2, 0.0, 1.0],
        size=[3.0, 3.0, 5.0],
        quat=[np.cos(np.pi / 4), 0.0, np.sin(np.pi / 4), 0.0],
        rgba=[*room.part(Wall).colour, 1.0],
        **looks,
    )
    middle, half = (table.front_m + TABLE_BACK_M) / 2, (table.front_m - TABLE_BACK_M) / 2
    spec.worldbody.add_geom(
        name="table",
        type=plane,
        pos=[middle, 0.0, table.height_m],
        size=[half, table.half_width_m, 5.0],
        material=TABLE_TEXTURE,
        **looks,
    )
    spec.worldbody.add_geom(
        name="table_slab",
        type=box,
        pos=[middle, 0.0, table.height_m - 0.0155],
        size=[half, table.half_width_m, 0.015],
        rgba=[*rgb(table.hue, table.saturation, 0.7 * table.value), 1.0],
        **looks,
    )
    spec.worldbody.add_geom(
        name=TABLE_CONTACT,
        type=plane,
        pos=[0.0, 0.0, table.height_m],
        size=[1.0, 1.0, 5.0],
        group=CONTACT_GROUP,
        friction=list(TABLE_FRICTION),
        **WORLD_BITS,
    )


def add_cameras(spec: mujoco.MjSpec, room: Room) -> None:
    """Add the cameras where the room has them; the hand must be in the model already."""
    for name, mount in CAMERA_MOUNTS.items():
        _add_camera(spec, name, mount, room)


def _add_camera(spec: mujoco.MjSpec, name: str, mount: CameraMount, room: Room) -> None:
    """Add a camera where its mount and the room's mounting error put it."""
    error = room.part(CAMERA_PARTS[name])
    quaternion = np.empty(4)
    mujoco.mju_mulQuat(quaternion, _looking(mount), rotation_vector_to_xyzw(error.turn)[[3, 0, 1, 2]])
    parent = spec.worldbody if mount.body == "world" else spec.body(mount.body)
    parent.add_camera(
        name=name, pos=np.array(mount.position) + error.shift, quat=quaternion, fovy=mount.fovy_deg * error.fovy_factor
    )


def _looking(mount: CameraMount) -> FloatArray:
    """Return the camera's rotation as a quaternion wxyz: it looks along its -z, with y up in the picture."""
    back = np.array(mount.position) - np.array(mount.look_at)
    back /= np.linalg.norm(back)
    right = np.cross(np.array(mount.up), back)
    right /= np.linalg.norm(right)
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.column_stack([right, np.cross(back, right), back]).reshape(-1))
    return quaternion
