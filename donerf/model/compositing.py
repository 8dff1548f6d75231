"""Compositing: samples of a ray, front to back, into one color."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from donerf.config import CompositingRule, CompositingSettings
from donerf.model.placement import Samples

DENSITY_UNITS = 128
"""By our rule densities are per 1/128 of the normalized depth axis, about one bin of the oracle."""

LONGEST_COMB = CompositingSettings().longest_comb
"""Samples that end one ray by our rule where a scene says nothing else; more are several combs."""

ENDLESS = 1e10
"""The published length of the last interval, scene units."""


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


def density_from_raw(raw: Tensor, rule: CompositingRule) -> Tensor:
    """The network's output as a density, at least 0, in the unit of the rule; any shape."""
    return torch.relu(raw) if rule == "published" else softplus(raw)


def alpha_last_opaque(raw: Tensor, s: Tensor) -> Tensor:
    """Opacity of each sample: 1 - exp(-softplus(raw) * interval), the last one's is 1.

    Intervals are measured in normalized depth, not in scene units: there a surface is as thick
    near the camera as far away, so the network need not learn densities a hundred times apart.
    A ray always ends somewhere, on a surface or in the sky, and its last sample is where the
    oracle expects the end at the latest: no light is lost, and at S = 1 the sample is the color.

    raw:  (R, S) density before the softplus;  s: (R, S) ascending;  returns (R, S)
    """
    interval = torch.diff(s, dim=-1) * DENSITY_UNITS
    alpha = -torch.expm1(-density_from_raw(raw[:, :-1], "last-opaque") * interval)
    return torch.cat((alpha, torch.ones_like(raw[:, :1])), dim=-1)


def alpha_published(raw: Tensor, t: Tensor) -> Tensor:
    """Opacity of each sample as published: 1 - exp(-relu(raw) * interval), in scene units.

    The last interval is 1e10, which makes any density there opaque. The ReLU has no gradient
    where a sample is transparent: half of them then never learn to be a surface, and quality
    falls as S grows. For files that were trained so.

    raw:  (R, S) density before the ReLU;  t: (R, S) ascending;  returns (R, S)
    """
    interval = torch.cat((torch.diff(t, dim=-1), torch.full_like(t[:, :1], ENDLESS)), dim=-1)
    return -torch.expm1(-density_from_raw(raw, "published") * interval)


def combs_of(samples: int, rule: CompositingRule, longest: int = LONGEST_COMB) -> int:
    """Into how many interleaved combs the samples of a ray are dealt.

    By our rule a ray with more than `longest` samples is the mean of several shorter ones,
    shifted against each other: samples 1, 3, 5, ... and 2, 4, 6, ... of sixteen. Where an oracle
    places them a longer comb draws a surface ever softer, and quality falls; the mean of two that
    see it a little earlier and a little later smooths what both get wrong. Samples that are spread
    all along the ray need one long comb instead, or each of the short ones misses the surface.
    """
    return 1 if rule == "published" else -(-samples // longest)


def composite(
    rgb: Tensor,
    density: Tensor,
    samples: Samples,
    rule: CompositingRule = "last-opaque",
    longest_comb: int = LONGEST_COMB,
) -> Composite:
    """Blend the samples of each ray, in fp32.

    rgb:      (R, S, 3) before the sigmoid
    density:  (R, S) as it leaves the network
    rule:     the one that the shading network was trained with; longest_comb: the same
    """
    rgb, density = rgb.float().sigmoid(), density.float()
    weights = torch.empty_like(density)
    combs = combs_of(density.shape[1], rule, longest_comb)
    for comb in (slice(first, None, combs) for first in range(combs)):
        if rule == "published":
            alpha = alpha_published(density[:, comb], samples.t[:, comb])
        else:
            alpha = alpha_last_opaque(density[:, comb], samples.s[:, comb])
        if samples.is_used is not None:
            alpha = alpha * samples.is_used[:, comb]
        weights[:, comb] = weights_from_alpha(alpha) / combs
    return Composite(
        color=(weights[..., None] * rgb).sum(1),
        opacity=weights.sum(-1),
        depth=(weights * samples.t).sum(-1),
        weights=weights,
    )


def weights_from_alpha(alpha: Tensor) -> Tensor:
    """Each sample's share of the light: its opacity times what passed those before; (R, S)."""
    # The 1e-10 keeps the product's gradient finite behind an opaque sample, as published.
    passed = torch.cumprod(1 - alpha[:, :-1] + 1e-10, dim=-1)
    return alpha * torch.cat((torch.ones_like(alpha[:, :1]), passed), dim=-1)
