"""What a frame costs: operations and memory traffic, counted from the networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from donerf.evaluation.quality import count_mflop_per_ray
from donerf.geometry.camera import Camera, Intrinsics
from donerf.geometry.view_cell import ViewCell
from donerf.model.nerf import NerfNetworks
from donerf.model.pipeline import Networks
from donerf.renderer import Placement
from donerf.scene_file import Scene

_FOLDED_INPUTS = 6
"""What is left of raw points along a ray where the first layer is folded: direction and origin."""

LayerShape = tuple[int, int]
"""Inputs and outputs of a linear layer."""


@dataclass(frozen=True)
class Work:
    """How much a frame has to do.

    rays:          pixels
    samples:       shaded per ray, on average
    oracle_share:  questions to the oracle per ray
    is_folded:     the oracle's raw points along a ray are folded into the ray
    """

    rays: int
    samples: float
    oracle_share: float = 1.0
    is_folded: bool = False


def layer_rows(networks: Networks, work: Work) -> list[tuple[LayerShape, float]]:
    """Every linear layer of both networks, and the rows that it serves in a frame."""
    shapes = [_shape(layer) for layer in linear_layers(networks.oracle)]
    if work.is_folded and networks.oracle.settings.input == "points":
        shapes[0] = (_FOLDED_INPUTS, shapes[0][1])
    rows = [(shape, work.rays * work.oracle_share) for shape in shapes]
    shading = linear_layers(networks.shading)
    return rows + [(_shape(layer), work.rays * work.samples) for layer in shading]


@dataclass(frozen=True)
class RayCost:
    """Millions of floating-point operations in a ray's matrix products; a multiply-add is two.

    direction:  what of the shading network is done once a ray
    """

    oracle: float
    folded_oracle: float
    direction: float
    per_sample: float

    def mflop_per_pixel(self, work: Work) -> float:
        """Mean over a frame's pixels."""
        oracle = self.folded_oracle if work.is_folded else self.oracle
        return oracle * work.oracle_share + self.direction + self.per_sample * work.samples


def ray_cost(scene: Scene) -> RayCost:
    """Count the pipeline's products while they run, with one sample a ray and with two."""
    cell, networks = scene.cells[0].cell, scene.cells[0].networks
    camera = center_camera(cell, 8, 8)
    one, two = (count_mflop_per_ray(scene, camera, samples) for samples in (1, 2))
    plain, folded = (
        2e-6 * sum(rows * a * b for (a, b), rows in layer_rows(networks, Work(1, 0, 1, is_folded)))
        for is_folded in (False, True)
    )
    return RayCost(
        oracle=plain, folded_oracle=folded, direction=2 * one - two - plain, per_sample=two - one
    )


def parameter_mflop(scene: Scene, samples: int, placement: Placement = "oracle") -> float:
    """2 (oracle + S shading) of all layers' parameters, biases too: how the paper counts a pixel.

    What a hash grid looks up is read, not multiplied by a matrix, and is not in it.

    The coarse and the fine network of a NeRF are asked for the coarse samples, the fine one for
    its own as well.
    """
    model = scene.cells[0].model
    if isinstance(model, NerfNetworks):
        return 2e-6 * _parameters(model.fine) * model.evaluations
    oracle = _parameters(model.oracle) if placement == "oracle" else 0
    shading = _parameters(model.shading) if model.shading is not None else 0
    return 2e-6 * (oracle + samples * shading)


def product_mflop(network: nn.Module) -> float:
    """A network's matrix products for one input, every input of every layer multiplied."""
    return 2e-6 * sum(m.weight.numel() for m in linear_layers(network))


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for layer in linear_layers(network) for p in layer.parameters())


def unfused_numbers(networks: Networks, work: Work) -> float:
    """Numbers that go through memory where each layer reads its rows from there and writes them
    there; the weights, few beside them, left out."""
    return sum(rows * sum(shape) for shape, rows in layer_rows(networks, work))


def linear_layers(network: nn.Module | None) -> list[nn.Linear]:
    """In the order in which they stand in the network; none of no network."""
    return [m for m in network.modules() if isinstance(m, nn.Linear)] if network else []


def center_camera(cell: ViewCell, width: int, height: int) -> Camera:
    """From the cell's center, in the middle of the trained directions."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = cell.base_orientation, cell.center
    return Camera(pose, Intrinsics.from_fov(width, height, cell.fov_x))


def _shape(layer: nn.Linear) -> LayerShape:
    return layer.in_features, layer.out_features
