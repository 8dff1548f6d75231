"""The pinhole camera: x right, y up, looking along -z; pixel centers at half integers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from donerf.geometry.rays import Rays


@dataclass(frozen=True)
class Intrinsics:
    """How an image plane of width x height pixels sits before the camera; all in pixels."""

    width: int
    height: int
    focal: float
    center_x: float
    center_y: float

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(
                f"an image must be at least 1x1 pixels, got {self.width}x{self.height}"
            )
        if not (math.isfinite(self.focal) and self.focal > 0):
            raise ValueError(f"the focal length must be a positive number, got {self.focal}")

    @classmethod
    def from_fov(cls, width: int, height: int, fov_x: float) -> Intrinsics:
        """A camera with the principal point in the middle; fov_x is horizontal, in radians."""
        if not 0 < fov_x < math.pi:
            raise ValueError(f"the field of view must lie in (0, pi) radians, got {fov_x}")
        return cls(width, height, width / (2 * math.tan(fov_x / 2)), width / 2, height / 2)

    @property
    def fov_x(self) -> float:
        """Horizontal field of view, radians."""
        left = math.atan(self.center_x / self.focal)
        return left + math.atan((self.width - self.center_x) / self.focal)

    def resized(self, width: int, height: int) -> Intrinsics:
        """The same horizontal view on another pixel grid; the height may show more or less."""
        scale = width / self.width
        offset_y = (self.center_y - self.height / 2) * scale
        return Intrinsics(
            width, height, self.focal * scale, self.center_x * scale, height / 2 + offset_y
        )

    def downscaled(self, factor: int) -> Intrinsics:
        """The grid whose pixels are blocks of factor x factor; odd remainders are cut off."""
        return Intrinsics(
            self.width // factor,
            self.height // factor,
            self.focal / factor,
            self.center_x / factor,
            self.center_y / factor,
        )

    def directions(
        self,
        device: torch.device | str = "cpu",
        rows: range | None = None,
        subpixel_offset: tuple[float, float] = (0.0, 0.0),
    ) -> Tensor:
        """Unit directions through the pixels, in camera axes, row 0 on top.

        subpixel_offset:  (x right, y down) in pixels, (0, 0) is the pixel center
        returns:          (len(rows) * width, 3) float32
        """
        rows = rows if rows is not None else range(self.height)
        x = torch.arange(self.width, device=device) + (0.5 + subpixel_offset[0] - self.center_x)
        y = torch.arange(rows.start, rows.stop, device=device)
        y = y + (0.5 + subpixel_offset[1] - self.center_y)
        y, x = torch.meshgrid(-y / self.focal, x / self.focal, indexing="ij")
        directions = torch.stack((x, y, torch.full_like(x, -1.0)), dim=-1).reshape(-1, 3)
        return directions / directions.norm(dim=-1, keepdim=True)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in the world.

    world_from_camera:  (4, 4) float64, a rigid motion
    """

    world_from_camera: np.ndarray
    intrinsics: Intrinsics

    def __post_init__(self) -> None:
        pose = np.asarray(self.world_from_camera, dtype=np.float64)
        object.__setattr__(self, "world_from_camera", pose)
        if (fault := _pose_fault(pose)) is not None:
            raise ValueError(fault)

    @property
    def position(self) -> np.ndarray:
        """(3,) in scene units."""
        return self.world_from_camera[:3, 3]

    @property
    def forward(self) -> np.ndarray:
        """(3,) unit view direction."""
        return -self.world_from_camera[:3, 2]

    def resized(self, width: int, height: int) -> Camera:
        """The same view on another pixel grid."""
        return Camera(self.world_from_camera, self.intrinsics.resized(width, height))

    def rays(
        self,
        device: torch.device | str = "cpu",
        rows: range | None = None,
        subpixel_offset: tuple[float, float] = (0.0, 0.0),
    ) -> Rays:
        """The rays through the pixels of some rows, row-major, row 0 on top."""
        directions = self.intrinsics.directions(device, rows, subpixel_offset)
        return self._to_world(directions)

    def pixel_ray(self, column: int, row: int) -> Rays:
        """The ray through the center of one pixel, R = 1."""
        k = self.intrinsics
        if not (0 <= column < k.width and 0 <= row < k.height):
            raise ValueError(
                f"the pixel must lie in the {k.width}x{k.height} image, got ({column}, {row})"
            )
        return self._to_world(k.directions(rows=range(row, row + 1))[column : column + 1])

    def _to_world(self, directions: Tensor) -> Rays:
        pose = torch.tensor(self.world_from_camera, dtype=torch.float32, device=directions.device)
        # A measured rotation may be off by 1e-4; directions have unit length always.
        world = directions @ pose[:3, :3].T
        world = world / world.norm(dim=-1, keepdim=True)
        return Rays(pose[:3, 3].expand_as(world), world)


def _pose_fault(pose: np.ndarray) -> str | None:
    """What is wrong with a world_from_camera; None when nothing is."""
    if pose.shape != (4, 4):
        shape = "x".join(map(str, pose.shape)) or "a single one"
        return f"a camera pose must be 4x4 finite numbers, got {shape}"
    if not np.isfinite(pose).all():
        row, column = np.argwhere(~np.isfinite(pose))[0]
        value = pose[row, column]
        return (
            f"a camera pose must be 4x4 finite numbers, got {value} in row {row}, column {column}"
        )
    rotation = pose[:3, :3]
    rule = "a camera pose must be a rotation and a translation (no scale, no mirror), got"
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
        rows = ", ".join(f"({', '.join(f'{x:g}' for x in row)})" for row in rotation)
        return f"{rule} the rotation {rows}"
    return f"{rule} a mirror image" if np.linalg.det(rotation) < 0 else None
