"""The losses of the two trainings, one number a ray."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from donerf.config import OracleSettings, TargetSettings
from donerf.model.compositing import Composite
from donerf.model.pipeline import RenderedRays
from donerf.model.placement import Samples
from donerf.training.batches import Batch, RayBank
from donerf.training.targets import bin_targets

_OPACITY_WEIGHT = 10.0
"""As published."""


def oracle_loss(bin_logits: Tensor, targets: Tensor) -> Tensor:
    """Each bin is a yes-or-no question of its own: mean binary cross-entropy.

    bin_logits, targets:  (R, B);  returns: (R,)
    """
    loss = binary_cross_entropy_with_logits(bin_logits.float(), targets, reduction="none")
    return loss.mean(-1)


def answer_loss(
    logits: Tensor, batch: Batch, bank: RayBank, oracle: OracleSettings, targets: TargetSettings
) -> Tensor:
    """What the oracle's answer for a batch is worth, by the kind of its answer.

    A single depth is fitted by its squared error: where a ray may end on either side of an edge,
    the best of it lies between the two, where nothing is.

    returns:  (R,)
    """
    if oracle.answer == "depth":
        return (logits.float().sigmoid()[:, 0] - batch.s).square()
    depths = bank.neighborhood(batch, targets.screen_filter)
    return oracle_loss(logits, bin_targets(depths, oracle.bins, targets))


def shading_loss(rendered: RenderedRays, batch: Batch, depth_weight: float) -> Tensor:
    """The error in color, and the error in depth by its weight, 0 for none; (R,)."""
    loss = color_error(rendered.composite, batch.colors)
    if depth_weight == 0:
        return loss
    return loss + depth_weight * depth_error(rendered.composite, rendered.samples, batch.s)


def color_error(composite: Composite, colors: Tensor) -> Tensor:
    """Squared error of the sRGB colors, and of weights that do not sum to 1; (R,).

    By our rule they do so by construction, the last sample being opaque; by the published one a
    ray may end nowhere and must learn not to.
    """
    missing = 1 - composite.opacity.clamp_max(1)
    error = (composite.color - colors).square().mean(-1)
    return error + _OPACITY_WEIGHT * missing.square()


def depth_error(composite: Composite, samples: Samples, s: Tensor) -> Tensor:
    """Squared error of the composited normalized depth.

    No weighting can end a ray where it has no sample. So the depth asked for is the nearest one
    between its first and its last sample: where the oracle missed the surface, on the background,
    which lies behind all of them, and with a single sample, where there is nothing to learn.

    s:        (R,) true normalized depth, 1 for the background
    returns:  (R,)
    """
    reachable = torch.minimum(torch.maximum(s, samples.s[:, 0]), samples.s[:, -1])
    return ((composite.weights * samples.s).sum(-1) - reachable).square()
