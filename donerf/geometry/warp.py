"""The space warp: everything seen from the cell, contracted into the unit ball."""

from __future__ import annotations

import math

from torch import Tensor

from donerf.geometry.view_cell import ViewCell

SMALLEST_RADIUS = 1e-6
"""Keeps the warp and its gradient finite at the cell's center, as a share of the far distance."""


def warp(points: Tensor, cell: ViewCell) -> Tensor:
    """Contract space around the cell's center: |result| = sqrt(|q| / D), direction kept.

    Equal steps of the result then cover little space near the camera and much far away, as a
    camera's pixels do. DONeRF, section 4.3.

    points:   (..., 3) world; D is the far end of the cameras' depth range
    returns:  (..., 3), within the unit ball up to the far distance; the rule 'none' only scales
              to it, |result| = |q| / D
    """
    far = cell.depth_range[1]
    q = points - cell.center_as(points)
    if cell.warp == "none":
        return q / far
    # q / (sqrt(D) sqrt(|q|)) is singular at q = 0: there it is 0, and so is its slope.
    radius = q.norm(dim=-1, keepdim=True).clamp_min(SMALLEST_RADIUS * far)
    return q / (math.sqrt(far) * radius.sqrt())
