"""The twin's cameras say how they project, and their pictures show things there."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

from sim.twin import Twin
from sim.twin_camera import TwinCamera
from tutelage_core.contract import load_contract
from tutelage_core.errors import UnknownNameError
from tutelage_core.types import FloatArray

pytestmark = pytest.mark.sim

PLACES = 80
BALL_M = 0.02
OUT_OF_SIGHT_M = 1000.0


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    twin = Twin(load_contract("twin"))
    model = twin.world.model
    ball = model.geom("cube").id
    model.geom_type[ball], model.geom_size[ball] = mujoco.mjtGeom.mjGEOM_SPHERE, BALL_M
    yield twin
    twin.close()


def show_ball(twin: Twin, camera: str, place: FloatArray) -> FloatArray:
    """Return where the picture shows the middle of a ball, column and row [px], that is at `place`, with nothing else.

    Args:
        twin: whose cube is a ball.
        camera: that looks.
        place: in the camera's optical frame (z ahead, x right, y down), shape (3,) [m].
    """
    data, number = twin.world.data, twin.world.model.camera(camera).id
    data.geom_xpos[:] = data.cam_xpos[number] + OUT_OF_SIGHT_M
    seen = data.cam_xmat[number].reshape(3, 3) @ (place * [1.0, -1.0, -1.0])
    data.geom_xpos[twin.world.model.geom("cube").id] = data.cam_xpos[number] + seen
    rows, columns = np.nonzero(twin.render(camera).any(axis=-1))
    return np.array([columns.mean(), rows.mean()])


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_a_point_that_is_projected_lies_where_the_picture_shows_it(twin: Twin, camera: str) -> None:
    known, size, rng = twin.intrinsics(camera), twin.contract.cameras[camera], np.random.default_rng(0)
    reach = 0.3 * np.array([size.width / known.fx_px, size.height / known.fy_px])
    errors = np.empty((PLACES, 2))
    for k in range(PLACES):
        depth = rng.uniform(0.3, 0.6)
        x, y = rng.uniform(-reach, reach) * depth
        projected = known.fx_px * x / depth + known.cx_px, known.fy_px * y / depth + known.cy_px
        errors[k] = show_ball(twin, camera, np.array([x, y, depth])) - projected
    # what is left is how pixels round a disc of a few of them; half a pixel, or a wrong focal length, is much more
    np.testing.assert_allclose(errors.mean(axis=0), 0.0, atol=0.1)
    assert np.abs(errors).max() < 0.5


def test_a_cameras_driver_tells_the_twins_own_intrinsics(twin: Twin) -> None:
    assert TwinCamera(twin, "wrist").intrinsics() == twin.intrinsics("wrist")


def test_intrinsics_of_an_unknown_camera_are_refused_with_the_legal_names(twin: Twin) -> None:
    with pytest.raises(UnknownNameError, match="wrist"):
        twin.intrinsics("wirst")
