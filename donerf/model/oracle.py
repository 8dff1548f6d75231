"""The depth oracle: looks at a ray once and says in which depth bins its samples belong."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from donerf.config import OracleSettings
from donerf.geometry.depth import t_from_s
from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.model.encoding import encode, encoded_size
from donerf.model.layers import linear_relu


def bin_centers(bins: int, cell: ViewCell, device: torch.device) -> Tensor:
    """Distances of the bins' centers along a unified ray, (B,)."""
    s = (torch.arange(bins, device=device) + 0.5) / bins
    return t_from_s(s, cell.unified_range, cell.log_scale)


def oracle_input(unified: Rays, cell: ViewCell, settings: OracleSettings) -> Tensor:
    """What the network sees of a ray, fp32.

    'points':   (R, 6 + 3 B): direction, origin, the bin centers along the ray (DONeRF)
    'encoded':  (R, 3 (1 + 2 L_dir) + 3 (1 + 2 L_origin)): both encoded (AdaNeRF)

    Lengths are measured from the cell's center, in sphere radii or far distances.
    """
    origins = (unified.origins - cell.center_as(unified.origins)) / cell.radius
    if settings.input == "encoded":
        direction = encode(unified.directions, settings.direction_frequencies)
        return torch.cat((direction, encode(origins, settings.origin_frequencies)), dim=-1)
    t = bin_centers(settings.bins, cell, origins.device).expand(len(unified), -1)
    points = unified.at(t) - cell.center_as(unified.origins)
    points = points / cell.unified_range[1]
    return torch.cat((unified.directions, origins, points.flatten(1)), dim=-1)


class DepthOracle(nn.Module):
    """A classifier of unified rays: linear layers with ReLU between, one logit a bin."""

    def __init__(self, settings: OracleSettings) -> None:
        super().__init__()
        self.settings = settings
        widths = [
            _input_size(settings),
            *[settings.width] * (settings.layers - 1),
            settings.bins if settings.answer == "bins" else 1,
        ]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def output_layers(self) -> list[nn.Linear]:
        """The layers that make the outputs."""
        return [layer for layer in list(self.layers)[-1:] if isinstance(layer, nn.Linear)]

    def forward(self, unified: Rays, cell: ViewCell) -> Tensor:
        """Logits of the bins; independent of each other, their sigmoids do not sum to 1.

        unified:  R rays restarted on the cell's sphere
        returns:  (R, B); (R, 1), the logit of normalized depth, where the answer is 'depth'
        """
        *hidden, last = self.layers
        x = oracle_input(unified, cell, self.settings).to(next(self.parameters()).dtype)
        for layer in hidden:
            assert isinstance(layer, nn.Linear)
            x = linear_relu(layer, x)
        return last(x)


def _input_size(settings: OracleSettings) -> int:
    if settings.input == "points":
        return 6 + 3 * settings.bins
    return encoded_size(3, settings.direction_frequencies) + encoded_size(
        3, settings.origin_frequencies
    )
