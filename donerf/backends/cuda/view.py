"""The few numbers that change from frame to frame, where the kernels find them.

A CUDA graph replays fixed arguments, so the camera lies in device memory, not in the arguments.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from donerf.geometry.camera import Camera
from donerf.geometry.view_cell import ViewCell

SIZE = 32
"""Numbers in a view."""


class Slot(IntEnum):
    """Where each number stands."""

    POSITION = 0
    """3: the camera's place from the cell's center."""
    ROTATION = 3
    """9: world from camera, row by row."""
    INVERSE_FOCAL = 12
    COLUMN_OFFSET = 13
    ROW_OFFSET = 14
    RADIUS = 15
    NEAR = 16
    """Of the unified range, as are the two below."""
    LOG_SCALE = 17
    LOG_RANGE = 18
    """ln(1 + (F - N) / a)."""
    FAR = 19
    """Of the cameras' range: what the warp divides by."""


def describe_view(
    camera: Camera, cell: ViewCell, subpixel_offset: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """A camera in a cell as the kernels read it, (SIZE,) float32 on the CPU."""
    k = camera.intrinsics
    near, far = cell.unified_range
    numbers = np.zeros(SIZE)
    numbers[Slot.POSITION : Slot.POSITION + 3] = camera.position - np.array(cell.center)
    numbers[Slot.ROTATION : Slot.ROTATION + 9] = camera.world_from_camera[:3, :3].ravel()
    numbers[Slot.INVERSE_FOCAL] = 1 / k.focal
    numbers[Slot.COLUMN_OFFSET] = 0.5 + subpixel_offset[0] - k.center_x
    numbers[Slot.ROW_OFFSET] = 0.5 + subpixel_offset[1] - k.center_y
    numbers[Slot.RADIUS] = cell.radius
    numbers[Slot.NEAR] = near
    assert cell.log_scale is not None, "the renderer refuses linear depth"
    numbers[Slot.LOG_SCALE] = cell.log_scale
    numbers[Slot.LOG_RANGE] = math.log1p((far - near) / cell.log_scale)
    numbers[Slot.FAR] = cell.depth_range[1]
    return torch.from_numpy(numbers.astype(np.float32))
