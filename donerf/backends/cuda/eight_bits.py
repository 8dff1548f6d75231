"""Hidden layers of the shading network in 8 bits (e4m3): scales, weights, and the plain twin.

Between the first layer and the last everything is rounded: weights, each output by a unit of its
own, and activations, by one scale a layer. The first layer's and the last one's weights stay in 16
bits, sums in 32. So does the oracle, to which three bits of mantissa do far more harm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from donerf.backends.cuda.half import largest_outputs
from donerf.geometry.view_cell import ViewCell
from donerf.model.pipeline import Networks

E4M3 = torch.float8_e4m3fn
_LARGEST = torch.finfo(E4M3).max
_MARGIN = 8
"""Rays that were not tried may reach this many times further; beyond it numbers are cut off."""
_SMALLEST = 1e-3
"""Outputs below it are not brought up further."""

Scales = tuple[float, ...]
"""What the outputs of each layer but the last are multiplied by while they are e4m3; empty where
there are no hidden layers."""


@torch.inference_mode()
def choose_scales(cell: ViewCell, networks: Networks) -> Scales:
    """Powers of two, by what the shading network makes of rays from all over the cell.

    networks:  in fp32, both of them
    """
    assert networks.shading is not None
    trunk = trunk_of(networks)
    if len(trunk) < 2:
        return ()
    largest = largest_outputs(cell, networks)
    return tuple(scale_for(float(largest[layer])) for layer in trunk)


def scale_for(largest: float) -> float:
    """The power of two that brings a layer's outputs into the range of e4m3.

    largest:  of its outputs for rays that were tried
    """
    return 2.0 ** math.floor(math.log2(_LARGEST / _MARGIN / max(largest, _SMALLEST)))


def rounded_weights(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A layer's weights in e4m3, and the unit of each output's.

    weight:   (outputs, inputs)
    returns:  (outputs, inputs) e4m3, (outputs,) fp32; their product is about the weight
    """
    weight = weight.detach().float()
    unit = (weight.abs().amax(1) / _LARGEST).clamp_min(1e-12)
    return (weight / unit[:, None]).to(E4M3), unit


def rounded_networks(networks: Networks, scales: Scales) -> Networks:
    """The same networks for the plain pipeline, their numbers rounded as the kernels round them."""
    twin = networks.copied_to(networks.oracle.output_layers()[0].weight.device, torch.float32)
    assert twin.shading is not None
    trunk = trunk_of(twin)
    for i, scale in enumerate(scales):
        twin.shading.trunk[i] = RoundedLinear(trunk[i], scale, is_hidden=i > 0)
    return twin


class RoundedLinear(nn.Linear):
    """A layer whose outputs, and weights where it is hidden, are e4m3; sums are fp32."""

    def __init__(self, layer: nn.Linear, scale: float, is_hidden: bool) -> None:
        super().__init__(layer.in_features, layer.out_features, device=layer.weight.device)
        self.load_state_dict(layer.state_dict())
        self._scale = scale
        if is_hidden:
            weight, unit = rounded_weights(layer.weight)
            self.weight = nn.Parameter(weight.float() * unit[:, None])

    def forward(self, input: Tensor) -> Tensor:
        """The ReLU that follows does not mind whether it comes before the rounding."""
        x = super().forward(input) * self._scale
        return x.clamp(-_LARGEST, _LARGEST).to(E4M3).float() / self._scale


def trunk_of(networks: Networks) -> list[nn.Linear]:
    """The shading network's layers but the last."""
    trunk = networks.shading.trunk if networks.shading else []
    return [layer for layer in trunk if isinstance(layer, nn.Linear)]
