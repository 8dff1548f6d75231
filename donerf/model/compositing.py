"""Compositing: samples of a ray, front to back, into one color."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from donerf.model.placement import Samples

LAST_INTERVAL = 1e10
"""Length of the interval behind the last sample, as published: any density there is opaque."""


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


def alpha_from_density(density: Tensor, t: Tensor, last: Literal["opaque", "density"]) -> Tensor:
    """Opacity of each sample: 1 - exp(-density * interval).

    A ray always ends somewhere, on a surface or in the sky, and its last sample is where the
    oracle expects the end. 'opaque' says so: no light is lost, and at S = 1 the one sample is
    the color. 'density' is the published rule, whose last interval is endless.

    density:  (R, S) before the ReLU;  t: (R, S) ascending;  returns (R, S)
    """
    interval = torch.diff(t, dim=-1, append=t[:, -1:] + LAST_INTERVAL)
    alpha = -torch.expm1(-torch.relu(density) * interval)
    if last == "opaque":
        alpha = torch.cat((alpha[:, :-1], torch.ones_like(alpha[:, :1])), dim=-1)
    return alpha


def composite(
    rgb: Tensor, density: Tensor, samples: Samples, last: Literal["opaque", "density"] = "opaque"
) -> Composite:
    """Blend the samples of each ray, in fp32.

    rgb:      (R, S, 3) before the sigmoid
    density:  (R, S) before the ReLU
    """
    rgb, density = rgb.float().sigmoid(), density.float()
    alpha = alpha_from_density(density, samples.t, last)
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
