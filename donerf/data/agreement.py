"""Whether the depths of a data set fit each other: what one view sees must be there in others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from donerf.data.dataset import View
from donerf.geometry.camera import Camera
from donerf.geometry.depth import planar_from_distance

TOLERANCE = 0.01
"""Depths that differ by less than this share of them agree."""


@dataclass(frozen=True)
class Agreement:
    """Surface points of some views, looked for in other views.

    agreeing:   points that the other view sees at their distance
    differing:  points that it sees something farther through; nothing can hide that way
    occluded:   points that something nearer hides from it; they say nothing
    """

    agreeing: int
    differing: int
    occluded: int

    @property
    def share(self) -> float | None:
        """Of the points that are not occluded, those that agree; None where no views overlap."""
        compared = self.agreeing + self.differing
        return self.agreeing / compared if compared else None


def depth_agreement(views: Sequence[View], pairs: int = 100, seed: int = 0) -> Agreement:
    """Compare random pairs of views; those without depth are left out."""
    views = [view for view in views if view.distances is not None]
    random = np.random.default_rng(seed)
    total = np.zeros(3, dtype=np.int64)
    for _ in range(pairs if len(views) > 1 else 0):
        source, target = (views[i] for i in random.choice(len(views), 2, replace=False))
        found = compare_views(source, target)
        total += (found.agreeing, found.differing, found.occluded)
    return Agreement(*total.tolist())


def compare_views(source: View, target: View) -> Agreement:
    """Look for each surface point of one view in the other's depth map."""
    assert source.distances is not None and target.distances is not None, "both must have depth"
    rays = source.camera.rays()
    distances = torch.from_numpy(np.ascontiguousarray(source.distances)).flatten()
    is_surface = distances.isfinite()
    points = (rays.origins + distances[:, None] * rays.directions)[is_surface]
    expected, seen = depths_at(target.camera, torch.from_numpy(target.distances), points)
    errors = seen / expected[:, None] - 1
    # The candidate that fits best: a depth map says nothing between its pixels' centers.
    best = errors.gather(1, errors.abs().argmin(dim=1, keepdim=True))[:, 0]
    agreeing, occluded = int((best.abs() <= TOLERANCE).sum()), int((best < -TOLERANCE).sum())
    return Agreement(agreeing, len(best) - agreeing - occluded, occluded)


def depths_at(camera: Camera, distances: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """What a depth map says where points fall into it; depths along the camera's axis.

    distances:  (H, W) along the rays, +inf is background
    points:     (P, 3) in the world; those outside the picture are left out
    returns:    (Q,) depth of the points; (Q, 5) depth of the surface that the map has there, by
                the four pixels around and interpolated between them
    """
    k = camera.intrinsics
    pose = torch.tensor(camera.world_from_camera, dtype=torch.float32)
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    local = local[local[:, 2] < 0]
    x = k.center_x - k.focal * local[:, 0] / local[:, 2] - 0.5
    y = k.center_y + k.focal * local[:, 1] / local[:, 2] - 0.5
    is_seen = (x >= 0) & (x <= k.width - 1.001) & (y >= 0) & (y <= k.height - 1.001)
    x, y = x[is_seen], y[is_seen]
    column, row = x.long(), y.long()
    planar = planar_from_distance(distances, k)
    corners = torch.stack([planar[row + j, column + i] for j in (0, 1) for i in (0, 1)], dim=1)
    right, down = x - column, y - row
    weights = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    # The inverse of depth is linear over a plane's picture, so that this is exact there.
    between = 1 / (torch.stack(weights, dim=1) / corners).sum(dim=1, keepdim=True)
    return -local[is_seen, 2], torch.cat((corners, between), dim=1)
