"""A hash grid as the second kernel reads it: all tables one after another, two features a word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from donerf.model.hash_grid import HashGrid, corners


@dataclass(frozen=True)
class GridShape:
    """What the second kernel knows of the points' hash grid when it is compiled.

    cells, rows:  of each level's edge and table; none where points have no grid
    features:     of each level
    """

    cells: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    features: int = 0

    @classmethod
    def of(cls, grid: HashGrid | None) -> GridShape:
        """A grid's, or that of none."""
        if grid is None:
            return cls()
        rows = tuple(len(table) for table in grid.tables)
        return cls(tuple(grid.cells), rows, grid.features // len(rows))

    @property
    def words(self) -> int:
        """Of 32 bits in a row of a table; the last feature of an odd number has one to itself."""
        return -(-self.features // 2)

    @property
    def columns(self) -> int:
        """Features that the first layer sees, with padding to a power of two; 0 without a grid."""
        columns = 2 * self.words * len(self.cells)
        return max(16, 1 << (columns - 1).bit_length()) if columns else 0

    def levels(self) -> Tensor:
        """Where the rows of each word's level stand, (5, columns / 2) int32.

        Cells an edge; rows from a corner to the next one along y, and along z (along x it is
        one); the bits of a row that a hash leaves, all where there is none; the word's place in
        the first row.
        """
        numbers = torch.zeros(5, self.columns // 2, dtype=torch.int32)
        start = 0
        for level, (cells, rows) in enumerate(zip(self.cells, self.rows, strict=True)):
            # From the first corner of all, whose row is 0, that is where the others are.
            index, _ = corners(torch.zeros(3, 1), cells, rows)
            is_hashed = (cells + 1) ** 3 > rows
            for word in range(self.words):
                place = torch.tensor(
                    (cells, index[2], index[1], rows - 1 if is_hashed else -1, start + word)
                )
                numbers[:, level * self.words + word] = place
            start += rows * self.words
        return numbers

    def reordered(self, weight: Tensor) -> Tensor:
        """A weight over `HashGrid.forward` for the kernel's columns.

        weight:   (outputs, features of all levels);  returns (outputs, columns)
        """
        levels = weight.unflatten(1, (len(self.cells), self.features)) if self.cells else weight
        levels = self._even(levels).flatten(1)
        return nn.functional.pad(levels, (0, self.columns - levels.shape[1]))

    def packed(self, tables: Iterable[Tensor], dtype: torch.dtype) -> Tensor:
        """All rows of all tables, (words,) int32.

        tables:  (rows, features) each
        dtype:   of 16 bits
        """
        rows = [self._even(table.detach()).to(dtype).flatten() for table in tables]
        return torch.cat(rows or [torch.empty(0, dtype=dtype)]).view(torch.int32)

    def _even(self, features: Tensor) -> Tensor:
        """Each level's, with a zero behind an odd number of them."""
        return nn.functional.pad(features, (0, 2 * self.words - self.features))
