"""The default flight: one closed curve through the view cell that also sweeps the trained cone."""

from __future__ import annotations

import math

import numpy as np

from donerf import ViewCell
from viewer.fly_camera import MAX_PITCH, FlyFrame, FlyPose

# How much of the cell's edges, and of the cone's angles, the flight uses.
CELL_SHARE = 0.8
CONE_SHARE = 0.95


def flight_pose(frame: FlyFrame, phase: float) -> FlyPose:
    """Where the flight is at a phase in [0, 1); phase 1 is phase 0 again.

    It starts at home. Place and direction are sines of whole multiples of one turn, so the curve
    is closed and smooth, and stays in the box and in the cone by construction. Going right it
    looks left and the other way round, which keeps the middle of the scene in view.
    """
    turn = 2 * math.pi * phase
    across, along, vertical = _axes(frame)
    swing = np.zeros(3)
    swing[across[0]] = across[1] * math.sin(turn)
    swing[along[0]] = along[1] * math.sin(2 * turn)
    swing[vertical] = math.sin(3 * turn)
    position = np.array(frame.cell.center) + CELL_SHARE * swing * np.array(frame.cell.size) / 2
    yaw = CONE_SHARE * frame.cone[0] * math.sin(turn)
    pitch = frame.base_pitch + CONE_SHARE * frame.cone[1] * math.sin(2 * turn)
    return FlyPose(position, yaw, min(max(pitch, -MAX_PITCH), MAX_PITCH))


def flight_matrices(cell: ViewCell, frames: int) -> list[np.ndarray]:
    """The flight's (4, 4) world_from_camera at evenly spaced phases; the first one is home."""
    if frames < 1:
        raise ValueError(f"a flight must have at least 1 frame, got --frames {frames}")
    frame = FlyFrame(cell)
    return [frame.matrix(flight_pose(frame, k / frames)) for k in range(frames)]


def _axes(frame: FlyFrame) -> tuple[tuple[int, float], tuple[int, float], int]:
    """The box's axes as seen from home: (right, its sign), (forward, its sign), the other one."""
    right = -frame.left
    across = int(np.argmax(np.abs(right)))
    ahead = np.where(np.arange(3) == across, 0.0, frame.ahead)
    along = int(np.argmax(np.abs(ahead)))
    return (
        (across, math.copysign(1, right[across])),
        (along, math.copysign(1, ahead[along])),
        3 - across - along,
    )
