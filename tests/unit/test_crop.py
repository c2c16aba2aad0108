"""Pictures, depth and intrinsics are cut and resized alike."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.camera import Intrinsics
from hardware.cameras.crop import Crop

pytestmark = pytest.mark.unit

SIZES = [(64, 48, 64, 48), (64, 48, 32, 24), (64, 48, 48, 48), (64, 48, 24, 24), (64, 48, 64, 16), (5, 3, 128, 1)]


@pytest.mark.parametrize("sizes", SIZES)
def test_what_comes_out_has_the_wanted_size_and_is_a_copy(sizes: tuple[int, int, int, int]) -> None:
    width, height, to_width, to_height = sizes
    crop = Crop.middle(*sizes)
    pixels = np.zeros((height, width, 3), np.uint8)
    depth_m = np.ones((height, width), np.float32)
    image, depth = crop.image(pixels), crop.depth(depth_m)
    assert (image.shape, image.dtype) == ((to_height, to_width, 3), np.uint8)
    assert (depth.shape, depth.dtype) == ((to_height, to_width), np.float32)
    assert not np.shares_memory(image, pixels)
    assert not np.shares_memory(depth, depth_m)


def test_depth_is_never_a_mean_of_near_and_far() -> None:
    depth_m = np.where(np.arange(64) % 2, 1.0, 3.0).astype(np.float32)[None].repeat(48, 0)
    depth_m[10:20] = np.nan
    small = Crop.middle(64, 48, 20, 15).depth(depth_m)
    assert set(np.unique(small[~np.isnan(small)])) <= {1.0, 3.0}
    assert np.isnan(small).any()


@pytest.mark.parametrize("sizes", SIZES[1:5])
def test_intrinsics_project_a_point_to_where_the_picture_shows_it(sizes: tuple[int, int, int, int]) -> None:
    width, height, to_width, to_height = sizes
    whole = Intrinsics(60.0, 60.0, 31.0, 22.5)
    crop = Crop.middle(*sizes)
    part = crop.intrinsics(whole)
    pixels = np.zeros((height, width, 3), np.uint8)
    u, v = 36.0, 24.0  # middle of a patch of four pixels around (36, 24) and the next ones
    pixels[int(v) : int(v) + 2, int(u) : int(u) + 2] = 255
    u, v = u + 0.5, v + 0.5
    x, y = (u - whole.cx_px) / whole.fx_px, (v - whole.cy_px) / whole.fy_px
    image = crop.image(pixels)[..., 0].astype(float)
    rows, columns = np.indices((to_height, to_width))
    seen = (image * columns).sum() / image.sum(), (image * rows).sum() / image.sum()
    told = part.fx_px * x + part.cx_px, part.fy_px * y + part.cy_px
    assert seen == pytest.approx(told, abs=0.05)
