"""Compositing: samples of a ray, front to back, into one color."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from donerf.model.placement import Samples

DENSITY_UNITS = 128
"""Densities are per 1/128 of the normalized depth axis, about one bin of the oracle."""


@dataclass(frozen=True)
class Composite:
    """What a ray sees.

    color:    (R, 3) sRGB in [0, 1]
    opacity:  (R,) sum of the weights
    depth:    (R,) mean distance along the unified ray, by weight
    weights:  (R, S)
    """

    color: Tensor
    opacity: Tensor
    depth: Tensor
    weights: Tensor


def alpha_from_density(density: Tensor, s: Tensor) -> Tensor:
    """Opacity of each sample: 1 - exp(-softplus(density) * interval), the last one's is 1.

    Intervals are measured in normalized depth, not in scene units: there a surface is as thick
    near the camera as far away, so the network need not learn densities a hundred times apart.
    A ray always ends somewhere, on a surface or in the sky, and its last sample is where the
    oracle expects the end at the latest: no light is lost, and at S = 1 the sample is the color.
    (The published rule measures scene units and gives the last interval a length of 1e10, which
    makes any density there opaque. It also takes a ReLU of the density, which has no gradient
    where a sample is transparent: half of them then never learn to be a surface, and quality
    falls as S grows.)

    density:  (R, S) before the softplus;  s: (R, S) ascending;  returns (R, S)
    """
    interval = torch.diff(s, dim=-1) * DENSITY_UNITS
    alpha = -torch.expm1(-softplus(density[:, :-1]) * interval)
    return torch.cat((alpha, torch.ones_like(density[:, :1])), dim=-1)


def composite(rgb: Tensor, density: Tensor, samples: Samples) -> Composite:
    """Blend the samples of each ray, in fp32.

    rgb:      (R, S, 3) before the sigmoid
    density:  (R, S) before the softplus
    """
    rgb, density = rgb.float().sigmoid(), density.float()
    alpha = alpha_from_density(density, samples.s)
    if samples.is_used is not None:
        alpha = alpha * samples.is_used
    # The 1e-10 keeps the product's gradient finite behind an opaque sample, as published.
    passed = torch.cumprod(1 - alpha[:, :-1] + 1e-10, dim=-1)
    transmittance = torch.cat((torch.ones_like(alpha[:, :1]), passed), dim=-1)
    weights = transmittance * alpha
    return Composite(
        color=(weights[..., None] * rgb).sum(1),
        opacity=weights.sum(-1),
        depth=(weights * samples.t).sum(-1),
        weights=weights,
    )
