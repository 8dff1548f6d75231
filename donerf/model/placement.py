"""Placement: where the few samples of a ray go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from donerf.geometry.depth import t_from_s
from donerf.geometry.view_cell import ViewCell

DEPTH_FILTER = 2
"""Bins on each side that a true depth spreads to, as published."""

_LEAST_EXPECTED = 0.05
"""Probability of a bin below which its samples' gradient grows no more."""


@dataclass(frozen=True)
class Samples:
    """Places on rays that get shaded.

    t:           (R, S) distance along the unified ray, ascending
    s:           (R, S) the same as normalized depth
    is_used:     (R, S) bool, or None when all are
    importance:  (R, S) how much the oracle expects there, or None
    """

    t: Tensor
    s: Tensor
    is_used: Tensor | None = None
    importance: Tensor | None = None


def quantiles(rays: int, samples: int, device: torch.device, combs: int = 1) -> Tensor:
    """The published quantiles k / (S + 1), k = 1..S, the same for every ray; (R, S).

    combs:  interleaved sets of S / combs samples, each shifted against the next; together they
            span what one of them does, not more
    """
    k = torch.arange(1, samples + 1, device=device, dtype=torch.float32)
    return ((k + (combs - 1) / 2) / (samples + combs)).expand(rays, -1)


def jittered_quantiles(
    rays: int, samples: int, jitter: float, generator: torch.Generator, combs: int = 1
) -> Tensor:
    """Quantiles for training: each moves within its stratum, so that the shading network knows
    the places between the fixed ones too. Ascending; (R, S)."""
    device = generator.device
    noise = torch.rand(rays, samples, device=device, generator=generator) - 0.5
    return quantiles(rays, samples, device, combs) + noise * (jitter / (samples + combs))


def place_samples(bin_probs: Tensor, u: Tensor, cell: ViewCell) -> Samples:
    """Distances at the quantiles u of the bins' piecewise-constant distribution.

    Sorted by construction. Differentiable in the probabilities where they ask for it: a sample
    moves along the piecewise linear inverse of the cumulative distribution. In a bin that is hardly
    expected it would fly, so there the gradient is limited.

    bin_probs:  (R, B) in [0, 1], need not sum to 1
    u:          (R, S) ascending in (0, 1)
    returns:    S samples a ray
    """
    # The 1e-5 keeps the distribution proper where the oracle expects nothing at all.
    cumulative = (bin_probs.float() + 1e-5).cumsum(-1)
    target = u * cumulative[:, -1:]
    bins = bin_probs.shape[-1]
    index = torch.searchsorted(cumulative.detach(), target.detach().contiguous())
    index = index.clamp_max(bins - 1)
    upper = cumulative.gather(-1, index)
    lower = torch.where(index > 0, cumulative.gather(-1, (index - 1).clamp_min(0)), 0.0)
    s = (index + _share(target - lower, upper - lower)) / bins
    s = s.clamp(0, 1)
    return Samples(t_from_s(s, cell.unified_range, cell.log_scale), s)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole."""
    if not whole.requires_grad:
        return part / whole
    share = _LimitedShare.apply(part, whole)
    assert isinstance(share, Tensor)
    return share


class _LimitedShare(torch.autograd.Function):
    """A quotient whose gradient is that of one by _LEAST_EXPECTED at least.

    The exact one is as large as a probability is small, squared: a few samples in bins that hardly
    count would drown what all the others say.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, whole: Tensor) -> Tensor:
        """part / whole."""
        share = part / whole
        ctx.save_for_backward(share, whole)
        return share

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """d share = (d part - share d whole) / whole."""
        share, whole = ctx.saved_tensors
        of_part = gradients[0] / whole.clamp_min(_LEAST_EXPECTED)
        return of_part, -share * of_part


def uniform_probs(rays: int, bins: int, device: torch.device) -> Tensor:
    """Bins of a ray without an oracle: every logarithmic depth is as likely; (R, B)."""
    return torch.ones(rays, bins, device=device)


def true_bin_probs(s: Tensor, bins: int) -> Tensor:
    """What a perfect oracle says of rays whose depth is known.

    s:        (R,) normalized depth of the surface; 1 is the background
    returns:  (R, B), spread along the ray as the oracle's targets are
    """
    lower, share = nearest_bins((s * bins)[:, None], bins)
    probs = torch.zeros(len(s), bins, device=s.device)
    probs.scatter_(1, lower, 1 - share).scatter_(1, lower + 1, share)
    return spread_along_ray(probs, DEPTH_FILTER)


def nearest_bins(place: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """The two bins whose centers a depth lies between, and how it divides between them.

    place:    normalized depth times the number of bins; bin b is centered at b + 0.5
    returns:  the lower bin, and the share of the one above it, both in the shape of place
    """
    place = (place - 0.5).clamp(0, bins - 1)
    lower = place.floor().clamp_max(bins - 2)
    return lower.long(), place - lower


def spread_along_ray(targets: Tensor, reach: int) -> Tensor:
    """Filter over bins with the weights 1 - |distance| / (reach + 1), summed, clamped to 1.

    reach = 2 gives the published [1/3, 2/3, 1, 2/3, 1/3].
    """
    spread = targets.clone()
    for distance in range(1, reach + 1):
        # Shifted sums: a convolution of one channel is 50 times slower on a CPU.
        weight = 1 - distance / (reach + 1)
        spread[:, distance:].add_(targets[:, :-distance], alpha=weight)
        spread[:, :-distance].add_(targets[:, distance:], alpha=weight)
    return spread.clamp_max_(1)
