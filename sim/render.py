"""One OpenGL context that draws all cameras of a world."""

from __future__ import annotations

import weakref

import mujoco
import numpy as np

from sim.robots import ARM_GROUP, CONTACT_GROUP, SITE_GROUP
from sim.world import TABLE_TEXTURE, World
from tutelage_core.contract import CameraContract
from tutelage_core.errors import UnknownNameError
from tutelage_core.types import ImageArray

UNSEEN_GROUPS = {"wrist": (ARM_GROUP,)}
"""Geom groups that a camera cannot see from its mounting and that are not drawn for it."""

MAX_GEOMS = 200


class WorldRenderer:
    """Draws the cameras of a contract off screen. Keeps its buffers, so it allocates one image a frame."""

    def __init__(self, world: World, cameras: dict[str, CameraContract]) -> None:
        """Open a context for `world` and the contract's `cameras`.

        Raises:
            UnknownNameError: the world has no camera of a name in `cameras`.
        """
        self._world = world
        self._cameras = dict(cameras)
        legal = [world.model.camera(i).name for i in range(world.model.ncam)]
        for name in cameras:
            if name not in legal:
                raise UnknownNameError("camera", name, legal, "the twin")
        model = world.model
        width, height = (max(getattr(c, side) for c in cameras.values()) for side in ("width", "height"))
        self._gl = mujoco.GLContext(width, height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, MAX_GEOMS)
        for flag in (
            mujoco.mjtRndFlag.mjRND_SHADOW,
            mujoco.mjtRndFlag.mjRND_REFLECTION,
            mujoco.mjtRndFlag.mjRND_SKYBOX,
            mujoco.mjtRndFlag.mjRND_HAZE,
        ):
            self._scene.flags[flag] = False
        self._free = weakref.finalize(self, _free, self._gl, self._context)
        self._texture = model.texture(TABLE_TEXTURE).id
        self._views = {name: _View(model, name, contract) for name, contract in cameras.items()}

    def refresh(self) -> None:
        """Bring what a reset changed to the context: the table's texture."""
        self._gl.make_current()
        mujoco.mjr_uploadTexture(self._world.model, self._context, self._texture)

    def render(self, camera: str) -> ImageArray:
        """Return the picture of `camera`, shape (height, width, 3), uint8, RGB.

        Raises:
            UnknownNameError: the contract has no such camera.
        """
        view = self._views.get(camera)
        if view is None:
            raise UnknownNameError("camera", camera, self._views)
        self._gl.make_current()
        mujoco.mj_camlight(self._world.model, self._world.data)
        mujoco.mjv_updateScene(
            self._world.model, self._world.data, view.option, None, view.camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(view.viewport, self._scene, self._context)
        mujoco.mjr_readPixels(view.pixels, None, view.viewport, self._context)
        return np.ascontiguousarray(view.pixels[::-1])

    def close(self) -> None:
        """Free the context. May be called twice."""
        self._free()


def _free(gl: mujoco.GLContext, context: mujoco.MjrContext) -> None:
    """Free a context; also runs when the process ends, because the library's own clean-up comes too late then."""
    gl.make_current()
    context.free()
    gl.free()


class _View:
    """What one camera needs for drawing."""

    def __init__(self, model: mujoco.MjModel, name: str, contract: CameraContract) -> None:
        self.camera = mujoco.MjvCamera()
        self.camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self.camera.fixedcamid = model.camera(name).id
        self.option = mujoco.MjvOption()
        self.option.flags[:] = 0
        self.option.flags[mujoco.mjtVisFlag.mjVIS_TEXTURE] = 1
        self.option.flags[mujoco.mjtVisFlag.mjVIS_STATIC] = 1
        self.option.geomgroup[:] = 1
        for group in (CONTACT_GROUP, SITE_GROUP, *UNSEEN_GROUPS.get(name, ())):
            self.option.geomgroup[group] = 0
        self.option.sitegroup[:] = 0
        self.viewport = mujoco.MjrRect(0, 0, contract.width, contract.height)
        self.pixels = np.empty((contract.height, contract.width, 3), dtype=np.uint8)
