"""The losses of the two trainings."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from donerf.model.compositing import Composite


def oracle_loss(bin_logits: Tensor, targets: Tensor) -> Tensor:
    """Each bin is a yes-or-no question of its own: binary cross-entropy, mean; (R, B) both."""
    return binary_cross_entropy_with_logits(bin_logits.float(), targets)


def shading_loss(composite: Composite, colors: Tensor) -> Tensor:
    """Squared error of the sRGB colors, mean.

    The published loss also asks that the weights sum to 1; here they do by construction, the
    last sample being opaque (see `alpha_from_density`).
    """
    return mse_loss(composite.color, colors)
