"""The losses of the two trainings."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from donerf.model.compositing import Composite

_OPACITY_WEIGHT = 10.0
"""As published."""


def oracle_loss(bin_logits: Tensor, targets: Tensor) -> Tensor:
    """Each bin is a yes-or-no question of its own: binary cross-entropy, mean; (R, B) both."""
    return binary_cross_entropy_with_logits(bin_logits.float(), targets)


def shading_loss(composite: Composite, colors: Tensor) -> Tensor:
    """Squared error of the sRGB colors, and of weights that do not sum to 1, mean.

    By our rule they do so by construction, the last sample being opaque; by the published one a
    ray may end nowhere and must learn not to.
    """
    missing = 1 - composite.opacity.clamp_max(1)
    return mse_loss(composite.color, colors) + _OPACITY_WEIGHT * missing.square().mean()
