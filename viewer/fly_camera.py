"""Where the viewer stands and looks: a position in the view cell, yaw and pitch, and no roll."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from donerf import Camera, Intrinsics, ViewCell
from viewer.matrices import world_from_camera

# Straight up or down, the direction of the horizon is lost.
MAX_PITCH = math.radians(89)


@dataclass(frozen=True)
class FlyPose:
    """A place and a direction.

    position:  (3,) float64, scene units
    yaw:       radians to the left of the cell's base direction
    pitch:     radians above the horizon
    """

    position: np.ndarray
    yaw: float
    pitch: float


class FlyFrame:
    """The axes that yaw and pitch are measured in, from the cell's base direction and world up."""

    def __init__(self, cell: ViewCell) -> None:
        self.cell = cell
        base = np.array(cell.base_orientation, dtype=np.float64)
        self.up = _unit(np.array(cell.world_up, dtype=np.float64))
        # A camera that looks straight down has its upper edge pointing ahead.
        ahead = _horizontal(-base[:, 2], self.up)
        if np.linalg.norm(ahead) < 1e-6:
            ahead = _horizontal(base[:, 1], self.up)
        self.ahead = _unit(ahead)
        self.left = np.cross(self.up, self.ahead)
        self.base_pitch = math.asin(float(np.clip(-base[:, 2] @ self.up, -1, 1)))
        yaw_deg, pitch_deg = cell.view_rotation_deg
        self.cone = (math.radians(yaw_deg) / 2, math.radians(pitch_deg) / 2)

    def home(self) -> FlyPose:
        """The middle of the cell, looking in the base direction."""
        return FlyPose(np.array(self.cell.center, dtype=np.float64), 0.0, self.base_pitch)

    def pose_of(self, pose: np.ndarray) -> FlyPose:
        """A given (4, 4) world_from_camera as place and direction; its roll is dropped."""
        forward = -pose[:3, 2]
        yaw = math.atan2(forward @ self.left, forward @ self.ahead)
        pitch = math.asin(float(np.clip(forward @ self.up, -1, 1)))
        return FlyPose(pose[:3, 3].astype(np.float64), yaw, _clamp(pitch, MAX_PITCH))

    def forward(self, pose: FlyPose) -> np.ndarray:
        """(3,) unit view direction."""
        return self.direction(pose.yaw, pose.pitch)

    def direction(self, yaw: float, pitch: float) -> np.ndarray:
        """(3,) unit direction at angles in radians, to the left of ahead and above the horizon."""
        level = math.cos(yaw) * self.ahead + math.sin(yaw) * self.left
        return math.cos(pitch) * level + math.sin(pitch) * self.up

    def right(self, pose: FlyPose) -> np.ndarray:
        """(3,) unit, horizontal."""
        return _unit(np.cross(self.forward(pose), self.up))

    def matrix(self, pose: FlyPose) -> np.ndarray:
        """(4, 4) world_from_camera."""
        return world_from_camera(pose.position, self.forward(pose), self.up)

    def turned(self, pose: FlyPose, left: float, up: float) -> FlyPose:
        """Look further to the left and up, by angles in radians."""
        yaw = (pose.yaw + left + math.pi) % (2 * math.pi) - math.pi
        return replace(pose, yaw=yaw, pitch=_clamp(pose.pitch + up, MAX_PITCH))

    def moved(self, pose: FlyPose, step: np.ndarray, is_free: bool) -> FlyPose:
        """Move by a step in the camera's sense: (right, up, forward), scene units.

        In the cell, each axis is clamped by itself: who flies against a face slides along it.
        """
        offset = step[0] * self.right(pose) + step[1] * self.up + step[2] * self.forward(pose)
        position = pose.position + offset
        return replace(pose, position=position if is_free else self.cell.clamp(position))

    def into_cone(self, pose: FlyPose) -> FlyPose:
        """The same place, looking in the nearest trained direction."""
        # What is inside stays as it is to the last bit, so that a view that is stood at is kept.
        low, high = self.base_pitch - self.cone[1], self.base_pitch + self.cone[1]
        pitch = _clamp(min(max(pose.pitch, low), high), MAX_PITCH)
        return replace(pose, yaw=_clamp(pose.yaw, self.cone[0]), pitch=pitch)

    def is_in_cone(self, pose: FlyPose) -> bool:
        """Whether the direction is among those that the networks were trained on."""
        slack = 1e-6
        is_yaw_inside = abs(pose.yaw) <= self.cone[0] + slack
        return is_yaw_inside and abs(pose.pitch - self.base_pitch) <= self.cone[1] + slack


def make_camera(matrix: np.ndarray, width: int, height: int, fov: float) -> Camera:
    """A camera whose field of view applies to the longer side.

    So no shape of window looks beyond the trained view.

    matrix:  (4, 4) world_from_camera
    fov:     radians
    """
    focal = max(width, height) / (2 * math.tan(fov / 2))
    return Camera(matrix, Intrinsics(width, height, focal, width / 2, height / 2))


def _clamp(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)


def _horizontal(direction: np.ndarray, up: np.ndarray) -> np.ndarray:
    return direction - (direction @ up) * up


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
