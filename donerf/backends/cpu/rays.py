"""Rays of a tile of pixels, restarted on the sphere around the view cell."""

from __future__ import annotations

import math

import numpy as np

from donerf.backends.cpu.arithmetic import compiled, f32
from donerf.geometry.camera import Camera
from donerf.geometry.view_cell import ViewCell

_ZERO, _ONE = f32(0), f32(1)


def camera_numbers(
    camera: Camera, cell: ViewCell, subpixel_offset: tuple[float, float]
) -> np.ndarray:
    """A camera as `unified_rays` wants it: (16,) float32.

    The rotation row by row, the position from the cell's center, the focal length, the image's
    center less the place within a pixel (x, y), the radius of the cell's sphere.
    """
    k, pose = camera.intrinsics, camera.world_from_camera
    center_x = k.center_x - 0.5 - subpixel_offset[0]
    center_y = k.center_y - 0.5 - subpixel_offset[1]
    position = pose[:3, 3] - np.array(cell.center)
    numbers = [*pose[:3, :3].ravel(), *position, k.focal, center_x, center_y, cell.radius]
    return np.array(numbers, np.float32)


@compiled
def unified_rays(tile, step, camera, rays):
    """Rays through the pixels of a tile, as `Camera.rays` and `ViewCell.unify` make them.

    tile:    (left, top, width, height) in pixels
    step:    1 for each pixel; 2 for the centers of blocks of 2x2, of which width and height
             then count
    camera:  from `camera_numbers`
    rays:    (7, R) float32, out: unit direction; origin on the sphere, from the cell's center, in
             sphere radii; distance from the camera to it
    """
    left, top, width, height = tile
    px, py, pz, radius = camera[9], camera[10], camera[11], camera[15]
    inside = px * px + py * py + pz * pz - radius * radius
    half = f32(step - 1) * f32(0.5)
    for row in range(height):
        y = (camera[14] - half - f32(top + row * step)) / camera[12]
        for column in range(width):
            r = row * width + column
            x = (f32(left + column * step) + half - camera[13]) / camera[12]
            dx = camera[0] * x + camera[1] * y - camera[2]
            dy = camera[3] * x + camera[4] * y - camera[5]
            dz = camera[6] * x + camera[7] * y - camera[8]
            scale = _ONE / math.sqrt(dx * dx + dy * dy + dz * dz)
            dx, dy, dz = dx * scale, dy * scale, dz * scale
            b = dx * px + dy * py + dz * pz
            distance = math.sqrt(max(b * b - inside, _ZERO)) - b
            rays[0, r], rays[1, r], rays[2, r] = dx, dy, dz
            rays[3, r] = (px + distance * dx) / radius
            rays[4, r] = (py + distance * dy) / radius
            rays[5, r] = (pz + distance * dz) / radius
            rays[6, r] = distance
