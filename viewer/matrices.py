"""Camera matrices; the only module that uses pyrr.

pyrr's matrices are row-vector: they are transposed once, here. It truncates integers silently:
it is given floats, always.
"""

from __future__ import annotations

import numpy as np
from pyrr import matrix44

from donerf import Camera

# Lines are the only thing that is cut off: nearer than this, in scene units, and never far away.
_NEAR = 1e-3


def world_from_camera(position: np.ndarray, forward: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The pose of a camera that looks somewhere with its roll locked to `up`.

    position:    (3,) scene units
    forward, up: (3,) world axes, any length, not parallel
    returns:     (4, 4) float64; camera x right, y up, looking along -z
    """
    forward = np.asarray(forward, dtype=np.float64)
    up = np.asarray(up, dtype=np.float64)
    camera_from_world = matrix44.create_look_at(np.zeros(3), forward, up).T
    pose = np.eye(4)
    pose[:3, :3] = camera_from_world[:3, :3].T
    pose[:3, 3] = position
    return pose


def clip_from_world(camera: Camera) -> np.ndarray:
    """Where a camera's picture shows places of the world: (4, 4) float64 for GL's clip space.

    The principal point may lie anywhere. There is no far plane.
    """
    k = camera.intrinsics
    left, right = -k.center_x, k.width - k.center_x
    bottom, top = k.center_y - k.height, k.center_y
    unit = _NEAR / k.focal
    projection = matrix44.create_perspective_projection_from_bounds(
        unit * left, unit * right, unit * bottom, unit * top, _NEAR, 1.0
    ).T
    # The depth row alone knows the far plane. This one is at infinity, and leaves directions a
    # little before it: nothing tests depth, but what lies behind the plane would be cut off.
    projection[2] = (0.0, 0.0, -0.999, -2 * _NEAR)
    return projection @ np.linalg.inv(camera.world_from_camera)
