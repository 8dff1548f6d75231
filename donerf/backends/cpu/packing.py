"""The networks of a cell, laid out for the compiled loops and the products between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from donerf.backends.cpu.encoding import EncodedColumns
from donerf.backends.cpu.grid import GridColumns
from donerf.backends.cpu.placement import CHUNK, depth_numbers
from donerf.backends.cpu.products import Product
from donerf.backends.folding import Affine, fold_oracle_input, split_direction
from donerf.config import CompositingRule
from donerf.geometry.view_cell import ViewCell
from donerf.model.compositing import DENSITY_UNITS
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork


@dataclass(frozen=True)
class PackedCell:
    """A cell's networks; layers are in the precision of the products, the rest is fp32.

    ray_columns:    columns of the oracle's encoded input; None where it sees the ray itself
    oracle:         all layers; the first two stay fp32 where it is folded
    trunk:          the shading network's layers but the last, the encoded point first
    per_sample:     (4, width), the shading network's last layer without the direction
    by_direction:   weight (4, columns), bias (4, 1): what the direction adds to it
    """

    cell: ViewCell
    bins: int
    ray_columns: EncodedColumns | None
    oracle: tuple[Product, ...]
    point_columns: EncodedColumns | GridColumns
    trunk: tuple[Product, ...]
    per_sample: Tensor
    direction_columns: EncodedColumns
    by_direction: Affine
    depth: np.ndarray
    compositing: CompositingRule

    @property
    def is_last_opaque(self) -> bool:
        """Whether the compositing rule is ours."""
        return self.compositing == "last-opaque"

    @property
    def density_units(self) -> np.float32:
        """Densities are per 1 / density_units of the axis that the compositing rule measures."""
        return np.float32(DENSITY_UNITS if self.is_last_opaque else 1)


def why_not_served(cell: ViewCell, networks: Networks) -> str | None:
    """What keeps this cell and its networks from the compiled path, or None."""
    if cell.left_out is not None:
        return f"a ray space without {cell.left_out} has no compiled path"
    if networks.oracle.settings.answer != "bins":
        return "an oracle that answers with one depth has no compiled path"
    if networks.shading is None:
        return "the shading network is not trained yet"
    if networks.shading.settings.shape != "reference":
        return f"the shading shape '{networks.shading.settings.shape}' has no compiled path"
    if not networks.has_usual_combs:
        return f"combs of up to {networks.longest_comb} samples have no compiled path"
    bins = networks.oracle.settings.bins
    return f"{bins} bins are not a multiple of {CHUNK}" if bins % CHUNK else None


@torch.no_grad()
def packed(cell: ViewCell, networks: Networks, dtype: torch.dtype) -> PackedCell:
    """Lay networks out; they must be served (`why_not_served`) and stay as they are."""
    shading = networks.shading
    assert shading is not None
    settings = shading.settings
    ray_columns, oracle = _packed_oracle(networks.oracle, cell, dtype)
    point_columns = _point_columns(shading, dtype)
    first, *others = _linears(shading.trunk)
    split = split_direction(shading.output, settings.width)
    columns = EncodedColumns.of(settings.direction_frequencies)
    by_direction = Affine(
        columns.weights(split.per_ray.weight).float(), split.per_ray.bias.float()[:, None]
    )
    return PackedCell(
        cell=cell,
        bins=networks.oracle.settings.bins,
        ray_columns=ray_columns,
        oracle=oracle,
        point_columns=point_columns,
        trunk=(
            Product.of(point_columns.weights(first.weight), first.bias, dtype),
            *(Product.of(layer.weight, layer.bias, dtype) for layer in others),
        ),
        per_sample=split.per_sample.to(dtype),
        direction_columns=columns,
        by_direction=by_direction,
        depth=depth_numbers(cell),
        compositing=networks.compositing,
    )


def _packed_oracle(
    oracle: DepthOracle, cell: ViewCell, dtype: torch.dtype
) -> tuple[EncodedColumns | None, tuple[Product, ...]]:
    """The columns of an encoded input, and the layers."""
    first, *others = _linears(oracle.layers)
    precisions = [dtype] * len(others)
    if oracle.settings.input == "points":
        columns = None
        folded = fold_oracle_input(oracle, cell)
        start = Product.of(folded.weight, folded.bias, torch.float32)
        # Half of what bf16 does to the picture comes from rounding between these two.
        precisions[0] = torch.float32
    else:
        columns = EncodedColumns.of(
            oracle.settings.direction_frequencies, oracle.settings.origin_frequencies
        )
        start = Product.of(columns.weights(first.weight), first.bias, dtype)
    rest = (
        Product.of(layer.weight, layer.bias, precision, has_relu=layer is not others[-1])
        for layer, precision in zip(others, precisions, strict=True)
    )
    return columns, (start, *rest)


def _point_columns(shading: ShadingNetwork, dtype: torch.dtype) -> EncodedColumns | GridColumns:
    frequencies = shading.settings.position_frequencies
    if shading.grid is None:
        return EncodedColumns.of(frequencies)
    return GridColumns.of(shading.grid, frequencies, dtype)


def _linears(layers: nn.ModuleList) -> list[nn.Linear]:
    return [layer for layer in layers if isinstance(layer, nn.Linear)]
