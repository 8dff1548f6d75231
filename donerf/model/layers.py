"""Linear layers, with bias and ReLU in the same pass over memory where that is possible."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn


def linear_relu(layer: nn.Linear, x: Tensor) -> Tensor:
    """relu(layer(x))."""
    # torch.compile fuses by itself, and refuses to compile that layer.
    if not torch.compiler.is_compiling() and _can_fuse(x):
        return torch.ops.mkldnn._linear_pointwise(x, layer.weight, layer.bias, "relu", [], "")
    return torch.relu_(layer(x))


def _can_fuse(x: Tensor) -> bool:
    """Whether oneDNN's fused layer serves: bf16 on a CPU that has it, and no gradients.

    The plain layer copies the bias into its output first and reads it again for the ReLU,
    which takes a large part of a narrow layer's time.
    """
    is_bf16 = x.dtype is torch.bfloat16 and x.device.type == "cpu"
    return is_bf16 and torch.is_inference_mode_enabled() and _has_fused_bf16()


@cache
def _has_fused_bf16() -> bool:
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # A torch built without oneDNN.
        return False
