"""Bin targets: where along each ray the oracle shall expect a surface.

A multi-label map in [0, 1], not a distribution: each bin that a ray or its neighbors on the
screen end in, spread along the ray. DONeRF, section 4.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from donerf.config import TargetSettings
from donerf.model.placement import nearest_bins, spread_along_ray


def screen_weights(size: int, device: torch.device | str = "cpu") -> Tensor:
    """What a neighbor's depth counts: 1 - distance / (3 sqrt 2) for 5x5; (size * size,)."""
    offset = torch.arange(size, device=device) - size // 2
    distance = torch.hypot(offset[:, None].float(), offset[None, :].float())
    return (1 - distance / ((size // 2 + 1) * 2**0.5)).flatten()


def bin_targets(neighborhood: Tensor, bins: int, settings: TargetSettings) -> Tensor:
    """Targets of rays from the depths around them.

    neighborhood:  (R, K*K) normalized depths of the screen neighborhood, the ray's own in the
                   middle; >= 1 is background and goes to the last bin
    returns:       (R, B) in [0, 1]
    """
    rays = neighborhood.shape[0]
    weights = screen_weights(settings.screen_filter, neighborhood.device).expand(rays, -1)
    # Bin b is centered at b + 0.5; the background sits in the middle of the last bin.
    place = torch.where(neighborhood < 1, neighborhood * bins, bins - 0.5)
    targets = neighborhood.new_zeros(rays, bins)
    if settings.sub_bin:
        lower, share = nearest_bins(place, bins)
        targets.scatter_reduce_(1, lower, weights * (1 - share), "amax")
        targets.scatter_reduce_(1, lower + 1, weights * share, "amax")
    else:
        index = place.long().clamp(0, bins - 1)
        targets.scatter_reduce_(1, index, weights, "amax")
    return spread_along_ray(targets, settings.depth_filter)
