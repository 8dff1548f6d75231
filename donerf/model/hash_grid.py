"""Hash grid: learned features at the corners of finer and finer grids, in tables of bounded size.

Müller et al., "Instant Neural Graphics Primitives with a Multiresolution Hash Encoding", 2022.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from donerf.config import ShadingSettings

_PRIMES = (1, 2_654_435_761, 805_459_861)
"""One for each axis: neighbors along it land far apart in the table."""
_LARGEST_FIRST_FEATURE = 1e-4
"""The grid begins next to nothing, so that all that is in it was learned."""


class HashGrid(nn.Module):
    """Features of warped points, from several grids over the cube [-1, 1]^3 side by side.

    In a grid whose corners fit its table each has a row of its own; in a finer one corners share
    rows, as a hash of their indices says, and the few that lie on surfaces decide what stands
    there.
    """

    def __init__(self, settings: ShadingSettings) -> None:
        super().__init__()
        self.cells = cells_per_edge(settings)
        self.tables = nn.ParameterList(
            torch.empty(table_rows(cells, settings), settings.grid_features).uniform_(
                -_LARGEST_FIRST_FEATURE, _LARGEST_FIRST_FEATURE
            )
            for cells in self.cells
        )

    @property
    def features(self) -> int:
        """Numbers per point, of all levels together."""
        return sum(table.shape[1] for table in self.tables)

    @property
    def bytes_per_point(self) -> int:
        """Read from the tables for one point, in half precision: eight corners a level."""
        return 8 * 2 * self.features

    def forward(self, points: Tensor) -> Tensor:
        """Features between the eight corners around each point, level by level.

        Differentiable in the tables, not in the points, which are data here.

        points:   (N, 3) float32 warped; what lies outside the cube gets what its surface has
        returns:  (N, features) in the precision of the tables
        """
        unit = ((points.detach().T + 1) / 2).clamp(0, 1).contiguous()  # Long rows are fast.
        levels = [
            _Lookup.apply(table, *corners(unit, cells, len(table)))
            for table, cells in zip(self.tables, self.cells, strict=True)
        ]
        return torch.cat(levels, dim=-1)


def cells_per_edge(settings: ShadingSettings) -> list[int]:
    """Of each level's grid, coarsest first; each finer than the one before by the same factor."""
    first, last, levels = settings.grid_coarsest, settings.grid_finest, settings.grid_levels
    return [round(first * (last / first) ** (i / max(levels - 1, 1))) for i in range(levels)]


def table_rows(cells: int, settings: ShadingSettings) -> int:
    """Rows of the table of a grid with so many cells an edge."""
    return min((cells + 1) ** 3, 1 << settings.grid_log2_rows)


def corners(unit: Tensor, cells: int, rows: int) -> tuple[Tensor, Tensor]:
    """The corners of the grid's cell that each point is in.

    unit:     (3, N) in [0, 1]
    returns:  (8, N) int32 rows of the table; (8, N) their weights, which sum to 1
    """
    scaled = unit * cells
    low = scaled.int().clamp_max_(cells - 1)  # The last cell has the cube's surface too.
    share = scaled - low
    edge = cells + 1
    if edge**3 <= rows:
        steps, joined = (1, edge, edge * edge), operator.add
    else:
        # Only the product's low digits matter, and those of the prime give them: 32 bits do.
        steps, joined = tuple(prime % rows for prime in _PRIMES), operator.xor
    # Steps stay Python's numbers: a copy of them to a GPU would be one that no CUDA graph can hold.
    ends = torch.stack((low, low + 1), dim=1)  # (3, 2, N)
    index = _outer([end * step for end, step in zip(ends, steps, strict=True)], joined)
    weights = _outer(torch.stack((1 - share, share), dim=1), operator.mul)
    return index & (rows - 1) if joined is operator.xor else index, weights


def _outer(terms: Iterable[Tensor], joined: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Two terms an axis, (2, N) each, to (8, N): every choice of one of each, joined."""
    x, y, z = terms
    return joined(x[:, None, None], joined(y[:, None], z[None])).flatten(0, 2)


class _Lookup(torch.autograd.Function):
    """Weighted sums of table rows.

    torch's own gradient sorts the rows first; adding them up as they come is ten times as fast on
    a CPU.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """table (rows, F), index and weights (8, N); (N, F)."""
        ctx.save_for_backward(index, weights)
        ctx.rows = len(table)
        return nn.functional.embedding_bag(
            index.T.contiguous(),
            table,
            per_sample_weights=weights.T.to(table.dtype).contiguous(),
            mode="sum",
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Of the table alone."""
        index, weights = ctx.saved_tensors
        (gradient,) = gradients
        columns = gradient.T.contiguous()
        sums = columns.new_zeros(len(columns), ctx.rows)
        flat = index.flatten()
        for total, column in zip(sums, columns, strict=True):
            total.index_add_(0, flat, (weights * column).flatten())
        return sums.T.contiguous(), None, None
