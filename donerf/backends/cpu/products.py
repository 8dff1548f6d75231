"""The matrix products of the CPU path: oneDNN's, over weights that are laid out for it once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Product:
    """A linear layer in one precision, with ReLU behind it or not.

    weight:  (outputs, inputs); in oneDNN's own order where it does the product, else plain
    bias:    (outputs,)
    """

    weight: Tensor
    bias: Tensor
    has_relu: bool

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor, dtype: torch.dtype, has_relu: bool = True) -> Product:
        """The layer of these numbers, copied."""
        weight, bias = (x.detach().to("cpu", dtype, copy=True) for x in (weight, bias))
        if has_fused_products(dtype):
            # Plain weights would be put in order in each product anew, for about 4 % of its time.
            weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
        return cls(weight, bias, has_relu)

    @property
    def dtype(self) -> torch.dtype:
        """Of the layer's numbers, which its inputs must have."""
        return self.weight.dtype

    def __call__(self, x: Tensor) -> Tensor:
        """The layer of rows (N, inputs): (N, outputs). Without gradients."""
        if self.weight.is_mkldnn:
            after = "relu" if self.has_relu else "none"
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, after, [], "")
        y = functional.linear(x, self.weight, self.bias)
        return torch.relu_(y) if self.has_relu else y


@cache
def has_fused_products(dtype: torch.dtype) -> bool:
    """Whether oneDNN does bias and ReLU within the product here, with weights in its own order.

    The plain layer copies the bias into its output first and reads it again for the ReLU, which
    takes a large part of a narrow layer's time; and the library that torch takes for fp32 is half
    as fast on some processors.
    """
    one = torch.ones(1, 1, dtype=dtype)
    try:
        if dtype is torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        weight = torch.ops.mkldnn._reorder_linear_weight(one, None)
        torch.ops.mkldnn._linear_pointwise(one, weight, None, "relu", [], "")
    except (AttributeError, RuntimeError):  # A torch built without oneDNN.
        return False
    return True
