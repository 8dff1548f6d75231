"""Which pixels ask the oracle themselves, and in which order rays of many samples are shaded.

Tensor operations of fixed sizes between the two kernels, so that a CUDA graph can hold them: what
differs from frame to frame is how much of a list is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

_SAME_SURFACE = 1.5
"""Bins by which the depths of neighboring blocks may differ and still be shared. The CPU backend
looks closer, at whether depth goes on evenly."""


@dataclass(frozen=True)
class Blocks:
    """A picture in blocks of 2x2 pixels, with a ring of blocks more around it.

    of_pixel:  (pixels,) the block that a pixel lies in
    """

    width: int
    height: int
    of_pixel: Tensor

    @classmethod
    def of(cls, width: int, height: int, device: torch.device) -> Blocks:
        """The blocks of a picture; odd sizes are rounded up."""
        columns = -(-width // 2) + 2
        row = torch.arange(height, device=device)[:, None] // 2 + 1
        column = torch.arange(width, device=device) // 2 + 1
        return cls(width, height, (row * columns + column).flatten().int())

    @property
    def columns(self) -> int:
        """Blocks from left to right, those of the ring included."""
        return -(-self.width // 2) + 2

    @property
    def rows(self) -> int:
        """Blocks from top to bottom, those of the ring included."""
        return -(-self.height // 2) + 2

    @property
    def count(self) -> int:
        """Blocks, those of the ring included."""
        return self.columns * self.rows

    def alone(self, extents: Tensor, bins: int) -> Tensor:
        """The pixels of blocks that see another surface than a neighbor does, (pixels,) bool.

        extents:  (2, count) depths between which most of each block's distribution lies
        """
        extents = extents.view(2, self.rows, self.columns) * bins
        high = max_pool2d(extents, 3, 1, padding=1)
        low = -max_pool2d(-extents, 3, 1, padding=1)
        return ((high - low).amax(0) > _SAME_SURFACE).flatten()[self.of_pixel]

    def moves(self, extents: Tensor) -> Tensor:
        """How much the depth of a pixel differs from its block's, bilinear between centers.

        A surface goes on there, so the pixel's samples move along with it.

        extents:  as above;  returns (pixels,)
        """
        depth = extents.view(2, self.rows, self.columns).mean(0)
        fine = interpolate(depth[None, None], scale_factor=2, mode="bilinear")[0, 0]
        fine = fine[2 : 2 + self.height, 2 : 2 + self.width]
        return fine.flatten() - depth.flatten()[self.of_pixel]


def listed(wanted: Tensor) -> Tensor:
    """How many are wanted, then their indices, then anything; (N,) bool to (1 + N,) int32."""
    place = wanted.cumsum(0, dtype=torch.int32)
    # Those that are not wanted all go to one place, behind the list.
    place = torch.where(wanted, place, len(wanted) + 1).long()
    result = place.new_zeros(len(wanted) + 2, dtype=torch.int32)
    result.scatter_(0, place, torch.arange(len(wanted), dtype=torch.int32, device=wanted.device))
    result[0] = wanted.sum()
    return result[:-1]


def sources(blocks: Blocks, alone: Tensor) -> Tensor:
    """Where each pixel's depths stand: with its block's, or behind all blocks; (pixels,) int32.

    alone:  (pixels,) bool, those whose answers stand behind the blocks', in their order
    """
    own = blocks.count - 1 + alone.cumsum(0, dtype=torch.int32)
    return torch.where(alone, own, blocks.of_pixel)


def longest_first(counts: Tensor) -> Tensor:
    """The order of rays by their number of samples, neighbors together; (R,) int32."""
    return counts.argsort(descending=True, stable=True).int()
