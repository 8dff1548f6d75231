"""Exact algebra that saves a backend work: linear steps that meet are done as one.

Pure functions of the networks, in float64, so that what folds stays exact to the last bit of the
fp32 weights; a backend rounds the result once, to the precision of its products.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.model.oracle import DepthOracle, oracle_input

RAY_NUMBERS = 6
"""Inputs of a folded first layer: the unit direction, then the unified origin in sphere radii."""


@dataclass(frozen=True)
class Affine:
    """y = x @ weight.T + bias, in float64.

    weight:  (outputs, inputs);  bias: (outputs,)
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class DirectionSplit:
    """A layer over [features, direction] as two: the direction's part is done once a ray.

    layer([x, d]) = x @ per_sample.T + (d @ per_ray.weight.T + per_ray.bias)

    per_sample:  (outputs, features), float64
    """

    per_sample: Tensor
    per_ray: Affine


def ray_numbers(unified: Rays, cell: ViewCell) -> Tensor:
    """What a folded first layer sees of a unified ray, (R, 6).

    returns:  unit direction; origin from the cell's center in sphere radii, so also of unit length
    """
    origins = (unified.origins - cell.center_as(unified.origins)) / cell.radius
    return torch.cat((unified.directions, origins), dim=-1)


def fold_oracle_input(oracle: DepthOracle, cell: ViewCell) -> Affine:
    """The oracle's first layer over the ray itself instead of points on it: 390 inputs become 6.

    The bin centers along a ray are affine in its direction and origin, so seven rays tell all
    about the network's input: the one of zeros, and one for each of the six numbers.

    oracle:   its input must be 'points'; encoded rays are not affine
    returns:  weight (width, 6) over `ray_numbers`, bias (width,)
    """
    assert oracle.settings.input == "points", "only raw points fold"
    first = oracle.layers[0]
    assert isinstance(first, nn.Linear)
    device = first.weight.device
    numbers = torch.eye(RAY_NUMBERS + 1, RAY_NUMBERS, dtype=torch.float64, device=device).roll(1, 0)
    center = cell.center_as(numbers)
    rays = Rays(center + cell.radius * numbers[:, 3:], numbers[:, :3])
    inputs = oracle_input(rays, cell, oracle.settings)
    constant, change = inputs[0], inputs[1:] - inputs[0]
    weight = first.weight.detach().double()
    return Affine(weight @ change.T, first.bias.detach().double() + weight @ constant)


def split_direction(layer: nn.Linear, features: int) -> DirectionSplit:
    """A layer's share of the features, which differ by sample, and of the ray's direction.

    features:  leading inputs that differ by sample; the rest is the encoded direction
    """
    weight = layer.weight.detach().double()
    bias = layer.bias.detach().double()
    return DirectionSplit(weight[:, :features], Affine(weight[:, features:], bias))
