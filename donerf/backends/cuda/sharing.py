"""Which pixels ask the oracle themselves, and in which order rays of many samples are shaded.

Tensor operations of fixed sizes between the two kernels, so that a CUDA graph can hold them: what
differs from frame to frame is how much of a list is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from donerf.backends.sample_counts import RING, SAME_SURFACE

_NARROW = 1e-6


@dataclass(frozen=True)
class Blocks:
    """A picture in blocks of 2x2 pixels, with RING of blocks more around it.

    of_pixel:  (pixels,) the block that a pixel lies in
    """

    width: int
    height: int
    of_pixel: Tensor

    @classmethod
    def of(cls, width: int, height: int, device: torch.device) -> Blocks:
        """The blocks of a picture; odd sizes are rounded up."""
        columns = -(-width // 2) + 2 * RING
        row = torch.arange(height, device=device)[:, None] // 2 + RING
        column = torch.arange(width, device=device) // 2 + RING
        return cls(width, height, (row * columns + column).flatten().int())

    @property
    def columns(self) -> int:
        """Blocks from left to right, those of the ring included."""
        return -(-self.width // 2) + 2 * RING

    @property
    def rows(self) -> int:
        """Blocks from top to bottom, those of the ring included."""
        return -(-self.height // 2) + 2 * RING

    @property
    def count(self) -> int:
        """Blocks, those of the ring included."""
        return self.columns * self.rows

    def alone(self, landmarks: Tensor, bins: int) -> Tensor:
        """The pixels around which depth does not go on evenly, (pixels,) bool.

        Between two neighboring blocks it does where the line through them meets the next block on
        one side at least; `donerf.backends.cpu.sharing` says why. A pixel lies between four blocks,
        and each such four are around 2x2 pixels.

        landmarks:  (L, count) depths of each block's distribution
        """
        depth = landmarks.view(-1, self.rows, self.columns)
        across = _bends(depth)
        along = _bends(depth.transpose(1, 2)).T
        around = torch.maximum(
            torch.maximum(across[1:-2], across[2:-1]),
            torch.maximum(along[:, 1:-2], along[:, 2:-1]),
        )
        bend = interpolate(around[None, None], scale_factor=2)[0, 0]
        bend = bend[1 : 1 + self.height, 1 : 1 + self.width]
        return (bend > SAME_SURFACE / bins).flatten()

    def moves(self, landmarks: Tensor, alone: Tensor) -> Tensor:
        """How samples move from a block to its pixels, by its first and its last landmark.

        Depth at both is bilinear between the centers of blocks; what lies between the two moves by
        as much of either as its place says.

        landmarks:  as above;  alone: (pixels,) bool, those whose samples stay as they are
        returns:    (4, pixels): the first landmark's depth, 1 / its distance to the last, how far
                    the first one moves, how much further the last one
        """
        ends = torch.stack((landmarks[0], landmarks[-1])).view(2, self.rows, self.columns)
        fine = interpolate(ends[None], scale_factor=2, mode="bilinear")[0]
        begin = 2 * RING
        fine = fine[:, begin : begin + self.height, begin : begin + self.width].flatten(1)
        low, high = ends.flatten(1)[:, self.of_pixel]
        by_low, by_high = torch.where(alone, 0.0, fine - torch.stack((low, high)))
        return torch.stack((low, 1 / (high - low).clamp_min(_NARROW), by_low, by_high - by_low))


def _bends(depth: Tensor) -> Tensor:
    """How unevenly depth goes on in each row between block j + 1 and the next, by the worst
    landmark: (L, rows, columns) to (rows, columns - 3)."""
    bend = (depth[..., :-2] - 2 * depth[..., 1:-1] + depth[..., 2:]).abs()
    return torch.minimum(bend[..., :-1], bend[..., 1:]).amax(0)


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
