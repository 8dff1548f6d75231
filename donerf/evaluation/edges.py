"""Where in a picture depth jumps: what an oracle is for shows there."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

EDGE_RATIO = 1.1
"""Of the largest to the smallest distance in a pixel's 3x3 neighborhood, from which on it is an
edge. A ratio, and so the same for every method whatever its depth axis."""


def depth_edges(distance: Tensor) -> np.ndarray:
    """Pixels beside a jump in depth, on both sides of it.

    distance:  (H, W) along the rays, inf for the background
    returns:   (H, W) bool
    """
    # In logarithms a ratio is a difference; the background lies behind everything.
    finite = distance[distance.isfinite()]
    behind = float(finite.max()) * 10 if len(finite) else 1.0
    depth = torch.where(distance.isfinite(), distance, behind).log()[None, None]
    spread = max_pool2d(depth, 3, 1, 1) + max_pool2d(-depth, 3, 1, 1)
    return (spread[0, 0] > np.log(EDGE_RATIO)).cpu().numpy()
