"""The shading network: what color and density a point has, seen from a direction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from donerf.config import ShadingSettings
from donerf.model.encoding import encode, encoded_size
from donerf.model.hash_grid import HashGrid
from donerf.model.layers import linear_relu


class ShadingNetwork(nn.Module):
    """Warped point and direction to color and density.

    'reference':  `layers` linear layers; the encoded direction joins at the last one (DONeRF)
    'nerf':       a trunk of `layers` with the point joining again in its middle, density from
                  the trunk, color from a branch of half the width that sees the direction

    With the encoding 'hash-grid' learned features of the point join its sines and cosines.
    """

    def __init__(self, settings: ShadingSettings) -> None:
        super().__init__()
        self.settings = settings
        width, layers = settings.width, settings.layers
        self.grid = HashGrid(settings) if settings.encoding == "hash-grid" else None
        point = encoded_size(3, settings.position_frequencies)
        point += self.grid.features if self.grid is not None else 0
        direction = encoded_size(3, settings.direction_frequencies)
        is_nerf = settings.shape == "nerf"
        self.skip = layers // 2 + 1 if is_nerf else None
        trunk = layers if is_nerf else layers - 1
        inputs = [point, *[width] * (trunk - 1)]
        if self.skip is not None and self.skip < trunk:
            inputs[self.skip] += point
        self.trunk = nn.ModuleList(nn.Linear(size, width) for size in inputs)
        if is_nerf:
            self.density = nn.Linear(width, 1)
            self.feature = nn.Linear(width, width)
            self.branch = nn.Linear(width + direction, width // 2)
            self.rgb = nn.Linear(width // 2, 3)
        else:
            self.output = nn.Linear(width + direction, 4)

    def output_layers(self) -> list[nn.Linear]:
        """The layers that make the outputs."""
        return [self.density, self.rgb] if self.settings.shape == "nerf" else [self.output]

    def forward(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Shade S samples of R rays.

        points:      (R, S, 3) warped
        directions:  (R, 3) unit
        returns:     rgb (R, S, 3) before the sigmoid; density (R, S) before the softplus, or
                     the ReLU of the published rule; both in the precision of the weights
        """
        dtype = next(self.trunk.parameters()).dtype
        point = self._encode_points(points.flatten(0, 1), dtype)
        direction = encode(directions, self.settings.direction_frequencies, dtype)
        x = point
        for i, layer in enumerate(self.trunk):
            x = torch.cat((point, x), dim=-1) if i == self.skip else x
            assert isinstance(layer, nn.Linear)
            x = linear_relu(layer, x)
        rays, samples = points.shape[:2]
        if self.settings.shape == "nerf":
            density = self.density(x)[:, 0].unflatten(0, (rays, samples))
            x = torch.relu_(_with_direction(self.branch, self.feature(x), direction, samples))
            return self.rgb(x).unflatten(0, (rays, samples)), density
        x = _with_direction(self.output, x, direction, samples).unflatten(0, (rays, samples))
        return x[..., :3], x[..., 3]

    def _encode_points(self, points: Tensor, dtype: torch.dtype) -> Tensor:
        """(N, 3) to (N, inputs of the trunk)."""
        sines = encode(points, self.settings.position_frequencies, dtype)
        return sines if self.grid is None else torch.cat((sines, self.grid(points)), dim=-1)


class DistanceShading(nn.Module):
    """Stands in for a shading network that is not trained yet: nearer is brighter.

    With it a scene that has only an oracle can be looked at: what is seen is where the oracle
    expects the first surface.
    """

    def forward(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Gray by distance from the cell's center; every sample is opaque."""
        gray = 1 - points.norm(dim=-1, keepdim=True).clamp(0.02, 0.98)
        density = torch.full(points.shape[:2], 1e6, device=points.device)
        return gray.logit().expand(-1, -1, 3), density


def _with_direction(layer: nn.Linear, x: Tensor, direction: Tensor, samples: int) -> Tensor:
    """layer([x, direction]) with the direction's product done once a ray, not once a sample.

    x:          (R * S, width)
    direction:  (R, D)
    """
    width = x.shape[-1]
    per_sample = nn.functional.linear(x, layer.weight[:, :width])
    per_ray = nn.functional.linear(direction, layer.weight[:, width:], layer.bias)
    # One long row a ray: adding short rows, one a sample, is several times slower on a CPU.
    outputs = per_sample.shape[-1]
    per_ray = per_ray.repeat(1, samples)
    return per_sample.view(-1, samples * outputs).add(per_ray).view(-1, outputs)
