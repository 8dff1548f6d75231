"""The losses of the two trainings."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from donerf.config import OracleSettings, TargetSettings
from donerf.model.compositing import Composite
from donerf.training.batches import Batch, RayBank
from donerf.training.targets import bin_targets

_OPACITY_WEIGHT = 10.0
"""As published."""


def oracle_loss(bin_logits: Tensor, targets: Tensor) -> Tensor:
    """Each bin is a yes-or-no question of its own: binary cross-entropy, mean; (R, B) both."""
    return binary_cross_entropy_with_logits(bin_logits.float(), targets)


def answer_loss(
    logits: Tensor, batch: Batch, bank: RayBank, oracle: OracleSettings, targets: TargetSettings
) -> Tensor:
    """What the oracle's answer for a batch is worth, by the kind of its answer.

    A single depth is fitted by its squared error: where a ray may end on either side of an edge,
    the best of it lies between the two, where nothing is.
    """
    if oracle.answer == "depth":
        return mse_loss(logits.float().sigmoid()[:, 0], batch.s)
    depths = bank.neighborhood(batch, targets.screen_filter)
    return oracle_loss(logits, bin_targets(depths, oracle.bins, targets))


def shading_loss(composite: Composite, colors: Tensor) -> Tensor:
    """Squared error of the sRGB colors, and of weights that do not sum to 1, mean.

    By our rule they do so by construction, the last sample being opaque; by the published one a
    ray may end nowhere and must learn not to.
    """
    missing = 1 - composite.opacity.clamp_max(1)
    return mse_loss(composite.color, colors) + _OPACITY_WEIGHT * missing.square().mean()
