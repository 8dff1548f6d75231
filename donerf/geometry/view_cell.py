"""The view cell: the box the camera stays in, and the ray space and depth ranges it defines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from donerf.config import RaySpace, WarpRule
from donerf.geometry.rays import Rays

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class ViewCell:
    """An axis-aligned box that the camera may move in, and what a scene looks like from it.

    center, size:       box, scene units; size is the full edge lengths
    radius:             of the sphere around the center where unified rays start
    depth_range:        near, far distance seen from the cameras
    unified_range:      near, far distance from the sphere; near is negative where geometry
                        lies inside the sphere
    log_scale:          a in `s_from_t`, scene units; None: depth is linear
    ray_space:          where distances begin: 'unified' on the sphere, 'camera' at the origins;
                        unified_range is measured from there
    warp:               how `warp` contracts space
    base_orientation:   3x3 world_from_camera rotation in the middle of the trained cone
    view_rotation_deg:  full widths (yaw, pitch) of the trained cone around it
    fov_x:              horizontal field of view of the training views, radians
    """

    center: Vector
    size: Vector
    radius: float
    depth_range: tuple[float, float]
    unified_range: tuple[float, float]
    log_scale: float | None = 1.0
    ray_space: RaySpace = "unified"
    warp: WarpRule = "inverse-sqrt-distance"
    base_orientation: tuple[Vector, Vector, Vector] = ((1, 0, 0), (0, 0, -1), (0, 1, 0))
    view_rotation_deg: tuple[float, float] = (360.0, 180.0)
    fov_x: float = math.radians(70)
    world_up: Vector = (0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        log_scale = 1.0 if self.log_scale is None else self.log_scale
        numbers = (*self.center, *self.size, self.radius, log_scale, self.fov_x)
        if not all(math.isfinite(x) for x in numbers) or min(self.size) <= 0 or self.radius <= 0:
            raise ValueError(
                "a view cell must have a finite center, positive edge lengths and a positive "
                f"radius, got center {self.center}, size {self.size}, radius {self.radius}"
            )
        for name in ("depth_range", "unified_range"):
            near, far = getattr(self, name)
            if not (math.isfinite(near) and math.isfinite(far) and near < far):
                raise ValueError(f"'{name}' must be near < far, both finite, got {near}, {far}")
        rotation = np.array(self.base_orientation, dtype=np.float64)
        if rotation.shape != (3, 3) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
            raise ValueError(f"'base_orientation' must be a rotation, got {rotation.tolist()}")
        if not np.linalg.norm(self.world_up) > 0:
            raise ValueError(f"'world_up' must be a direction, got {self.world_up}")
        if self.depth_range[1] <= 0 or log_scale <= 0:
            raise ValueError(
                "the far distance and the log scale must be positive, got "
                f"far {self.depth_range[1]}, log scale {self.log_scale}"
            )

    @cached_property
    def lower(self) -> np.ndarray:
        """(3,) smallest corner."""
        return np.array(self.center) - np.array(self.size) / 2

    @cached_property
    def upper(self) -> np.ndarray:
        """(3,) largest corner."""
        return np.array(self.center) + np.array(self.size) / 2

    @property
    def left_out(self) -> str | None:
        """Which step of the ray space is left out, the first of them; None: none is."""
        if self.ray_space == "camera":
            return "ray unification"
        if self.log_scale is None:
            return "log depth"
        return "the warp" if self.warp == "none" else None

    @property
    def diagonal(self) -> float:
        """Length of the box's diagonal."""
        return float(np.linalg.norm(self.size))

    def center_as(self, like: Tensor) -> Tensor:
        """The center in a tensor's precision and on its device, (3,).

        Filled in there: a copy from the CPU would wait for the GPU, and no CUDA graph can hold it.
        """
        return torch.stack(
            [torch.full((), x, dtype=like.dtype, device=like.device) for x in self.center]
        )

    def contains(self, position: np.ndarray, tolerance: float = 1e-6) -> bool:
        """Whether a position lies in the box, give or take a tolerance of the diagonal."""
        slack = tolerance * self.diagonal
        inside = (position >= self.lower - slack) & (position <= self.upper + slack)
        return bool(np.all(inside))

    def clamp(self, position: np.ndarray) -> np.ndarray:
        """The nearest position in the box; moving against a face slides along it."""
        return np.clip(position, self.lower, self.upper)

    def exit_distance(self, rays: Rays) -> Tensor:
        """How far each ray runs until it leaves the sphere going forward, (R,).

        A ray that starts behind the sphere exits at a negative distance; one that misses it
        takes its closest point to the center. In the cameras' own ray space all is 0.
        """
        if self.ray_space == "camera":
            return torch.zeros_like(rays.origins[:, 0])
        offset = rays.origins - self.center_as(rays.origins)
        b = (rays.directions * offset).sum(-1)
        discriminant = b * b - ((offset * offset).sum(-1) - self.radius**2)
        return -b + discriminant.clamp_min(0).sqrt()

    def unify(self, rays: Rays) -> Rays:
        """Restart each ray where it leaves the sphere around the cell.

        Cameras that look along one line then ask the oracle the same question. In the cameras'
        own ray space rays stay as they are.

        rays:     origins (R, 3) anywhere, meant inside the sphere; unit directions (R, 3)
        returns:  the same directions; origins (R, 3) on the sphere
        """
        exit_t = self.exit_distance(rays)
        origins = torch.addcmul(rays.origins, exit_t[:, None], rays.directions)
        return Rays(origins, rays.directions)
