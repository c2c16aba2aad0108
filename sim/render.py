"""One OpenGL context that draws all cameras of a world."""

from __future__ import annotations

import weakref

import mujoco
import numpy as np

from sim.render_profiles import RenderProfile
from sim.robots import ARM_GROUP, CONTACT_GROUP, SITE_GROUP
from sim.world import World
from tutelage_core.contract import CameraContract
from tutelage_core.errors import UnknownNameError
from tutelage_core.types import ImageArray

UNSEEN_GROUPS = {"wrist": (ARM_GROUP,)}
"""Geom groups that a camera cannot see from its mounting and that are not drawn for it."""

MAX_GEOMS = 200


class WorldRenderer:
    """Draws the cameras of a contract off screen. Keeps its buffers, so it allocates one image a frame."""

    def __init__(self, world: World, cameras: dict[str, CameraContract], profile: RenderProfile) -> None:
        """Open a context for `world` and the contract's `cameras`.

        Raises:
            UnknownNameError: the world has no camera of a name in `cameras`.
        """
        self._cameras = dict(cameras)
        self._profile = profile
        legal = [world.model.camera(i).name for i in range(world.model.ncam)]
        for name in cameras:
            if name not in legal:
                raise UnknownNameError("camera", name, legal, "the twin")
        width, height = (max(getattr(c, side) for c in cameras.values()) for side in ("width", "height"))
        self._gl = mujoco.GLContext(width, height)
        self._free = weakref.finalize(self, self._gl.free)
        self._free_context = weakref.finalize(self, self._gl.make_current)
        self.show(world)

    def show(self, world: World) -> None:
        """Draw another world from now on."""
        self._gl.make_current()
        self._free_context()
        model = self._model = world.model
        self._data = world.data
        model.vis.quality.offsamples = self._profile.samples
        model.vis.quality.shadowsize = self._profile.shadow_px
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        self._free_context = weakref.finalize(self, _free_context, self._gl, self._context)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, MAX_GEOMS)
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self._profile.shadow_px > 0
        for flag in (mujoco.mjtRndFlag.mjRND_REFLECTION, mujoco.mjtRndFlag.mjRND_SKYBOX, mujoco.mjtRndFlag.mjRND_HAZE):
            flags[flag] = False
        self._views = {name: _View(model, name, contract) for name, contract in self._cameras.items()}

    def render(self, camera: str) -> ImageArray:
        """Return the picture of `camera`, shape (height, width, 3), uint8, RGB.

        Raises:
            UnknownNameError: the contract has no such camera.
        """
        view = self._views.get(camera)
        if view is None:
            raise UnknownNameError("camera", camera, self._views)
        self._gl.make_current()
        mujoco.mj_camlight(self._model, self._data)
        mujoco.mjv_updateScene(
            self._model, self._data, view.option, None, view.camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(view.viewport, self._scene, self._context)
        mujoco.mjr_readPixels(view.pixels, None, view.viewport, self._context)
        return np.ascontiguousarray(view.pixels[::-1])

    def close(self) -> None:
        """Free the context. May be called twice."""
        self._free_context()
        self._free()


def _free_context(gl: mujoco.GLContext, context: mujoco.MjrContext) -> None:
    """Free what a world needed; also runs when the process ends, because the library's own clean-up comes too late."""
    gl.make_current()
    context.free()


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
        self.option.flags[mujoco.mjtVisFlag.mjVIS_FLEXSKIN] = 1
        self.option.geomgroup[:] = 1
        for group in (CONTACT_GROUP, SITE_GROUP, *UNSEEN_GROUPS.get(name, ())):
            self.option.geomgroup[group] = 0
        self.option.sitegroup[:] = 0
        self.viewport = mujoco.MjrRect(0, 0, contract.width, contract.height)
        self.pixels = np.empty((contract.height, contract.width, 3), dtype=np.uint8)
