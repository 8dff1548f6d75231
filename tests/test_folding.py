"""The algebra that backends share: what is folded computes the same function."""

import math

import pytest
import torch
from torch.testing import assert_close

from donerf.backends.folding import fold_oracle_input, ray_numbers, split_direction
from donerf.config import OracleSettings, ShadingSettings
from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.model.encoding import encode
from donerf.model.oracle import DepthOracle, oracle_input
from donerf.model.shading import ShadingNetwork

CELLS = {
    "centered": ViewCell((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.9, (0.5, 20.0), (0.1, 19.0)),
    # Far from the world's origin, and surfaces inside the sphere: the near distance is negative.
    "moved": ViewCell((31.0, -7.5, 2.0), (2.0, 4.0, 0.5), 2.3, (0.2, 60.0), (-2.0, 57.0), 0.4),
}


def some_rays(count: int, cell: ViewCell) -> Rays:
    directions = torch.randn(count, 3, dtype=torch.float64)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    places = torch.rand(count, 3, dtype=torch.float64) - 0.5
    return cell.unify(Rays(places.new_tensor(cell.center) + places, directions))


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("bins", [128, 7])
def test_the_folded_first_layer_is_the_first_layer(cell: ViewCell, bins: int):
    oracle = DepthOracle(OracleSettings(input="points", width=48, bins=bins)).double()
    rays = some_rays(101, cell)

    folded = fold_oracle_input(oracle, cell)

    expected = oracle.layers[0](oracle_input(rays, cell, oracle.settings))
    assert folded.weight.shape == (48, 6)
    actual = ray_numbers(rays, cell) @ folded.weight.T + folded.bias
    assert_close(actual, expected, atol=1e-12, rtol=1e-12)


def test_a_folded_layer_of_fp32_weights_is_exact_beyond_fp32():
    oracle = DepthOracle(OracleSettings(input="points", layers=8, width=256))
    folded = fold_oracle_input(oracle, CELLS["moved"])

    same = fold_oracle_input(oracle.double(), CELLS["moved"])

    assert folded.weight.dtype == torch.float64
    assert_close(folded.weight, same.weight, atol=0, rtol=0)
    assert_close(folded.bias, same.bias, atol=0, rtol=0)


def test_ray_numbers_have_unit_length():
    numbers = ray_numbers(some_rays(50, CELLS["moved"]), CELLS["moved"])

    # A unified ray starts on the sphere.
    assert_close(numbers[:, :3].norm(dim=-1), torch.ones(50, dtype=torch.float64))
    assert_close(numbers[:, 3:].norm(dim=-1), torch.ones(50, dtype=torch.float64))


@pytest.mark.parametrize("shape", ["reference", "nerf"])
def test_the_direction_can_be_added_once_a_ray(shape: str):
    network = ShadingNetwork(ShadingSettings(shape=shape, width=40)).double()  # type: ignore[arg-type]
    layer = network.output if shape == "reference" else network.branch
    features = torch.randn(5, 3, 40, dtype=torch.float64)
    rays = some_rays(5, CELLS["centered"])
    direction = encode(rays.directions, network.settings.direction_frequencies, torch.float64)

    split = split_direction(layer, 40)

    per_ray = direction @ split.per_ray.weight.T + split.per_ray.bias
    together = torch.cat((features, direction[:, None].expand(-1, 3, -1)), dim=-1)
    assert_close(
        features @ split.per_sample.T + per_ray[:, None], layer(together), atol=1e-12, rtol=1e-12
    )
    assert math.prod(split.per_ray.weight.shape) == layer.out_features * direction.shape[1]
