"""Camera matrices; the only module that uses pyrr.

pyrr's matrices are row-vector: they are transposed once, here. It truncates integers silently:
it is given floats, always.
"""

from __future__ import annotations

import numpy as np
from pyrr import matrix44


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
