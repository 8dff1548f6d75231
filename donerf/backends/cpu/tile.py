"""The data flow over one tile of pixels, each step by its name, as `model.pipeline` has it.

Elementwise steps are compiled loops, products are oneDNN's. One thread renders a whole tile, small
enough that its numbers stay in the core's own cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from donerf.backends.cpu.compositing import composite
from donerf.backends.cpu.packing import PackedCell
from donerf.backends.cpu.placement import warped_points
from donerf.backends.cpu.rays import unified_rays
from donerf.backends.cpu.sampling import Blocks, Placed, SampleCounts, Slabs, place, share_by_blocks
from donerf.backends.sample_counts import RING
from donerf.model.pipeline import Stage

Tile = tuple[int, int, int, int]
"""Left, top, width and height in pixels; left and top are even."""

_ROWS = 4096
"""Rows that go through a network at once: fewer leave more time between products, more no cache."""
_ROWS_STEP = 64


class Scratch:
    """Memory that a thread uses again for each tile."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, torch.dtype], Tensor] = {}

    def tensor(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor for one purpose; what it holds is what was left in it."""
        size = math.prod(shape)
        kept = self._kept.get((name, dtype))
        if kept is None or kept.numel() < size:
            kept = self._kept[name, dtype] = torch.empty(size, dtype=dtype)
        return kept[:size].view(shape)

    def floats(self, name: str, *shape: int) -> np.ndarray:
        """The same as a float32 array."""
        return self.tensor(name, shape, torch.float32).numpy()


@dataclass(frozen=True)
class TileTask:
    """What all tiles of a frame have in common.

    camera:  from `camera_numbers`
    counts:  how many samples a ray gets
    blocks:  where 2x2 pixels ask the oracle once, if they see the same surface: their answers
    """

    cell: PackedCell
    camera: np.ndarray
    counts: SampleCounts
    blocks: Blocks | None


@dataclass(frozen=True)
class RenderedTile:
    """Pixels of a tile, row by row.

    pixels:  (5, R) color, sRGB in [0, 1]; distance from the camera; opacity
    count:   (R,) samples that were shaded
    asked:   rays that the oracle was asked about, those of the blocks apart
    """

    pixels: np.ndarray
    count: np.ndarray
    asked: int


def render_tile(
    task: TileTask, tile: Tile, scratch: Scratch, finished: Callable[[Stage], None]
) -> RenderedTile:
    """Color the pixels of a tile; `finished` is called with each stage's name when it is done."""
    cell = task.cell
    rays = scratch.floats("rays", 7, tile[2] * tile[3])
    unified_rays(tile, 1, task.camera, rays)
    if task.blocks is None:
        placed, asked = place_by_oracle(task, rays, scratch, finished), rays.shape[1]
    else:
        placed, asked = place_by_blocks(task, task.blocks, tile, rays, scratch, finished)
    samples = Slabs.of(placed)
    comb_rays = samples.rays_of_combs(rays)
    finished("placement")
    t = scratch.floats("t", samples.s.size)
    raw, by_direction = shade(cell, comb_rays, samples, t, scratch)
    finished("shading")
    pixels = np.empty((5, comb_rays.shape[1]), np.float32)
    along = samples.s if cell.is_last_opaque else t
    composite(
        raw, by_direction, along, cell.density_units, t, samples.starts, cell.is_last_opaque, pixels
    )
    pixels[3] += comb_rays[6]
    pixels = samples.mean_of_combs(pixels, rays.shape[1])
    finished("composite")
    return RenderedTile(pixels, placed.count.sum(0), asked)


def place_by_oracle(
    task: TileTask,
    rays: np.ndarray,
    scratch: Scratch,
    finished: Callable[[Stage], None],
    is_compared: bool = False,
) -> Placed:
    """Samples where the oracle expects each ray's surface; rays (7, R)."""
    logits = expect_depth(task.cell, rays, scratch)
    finished("oracle")
    placed = place(logits, task.counts, is_compared)
    finished("placement")
    return placed


def ask_blocks(
    task: TileTask,
    blocks: Blocks,
    band: slice,
    scratch: Scratch,
    finished: Callable[[Stage], None],
) -> None:
    """Ask the oracle about some rows of blocks, through the middle of each; fills them in."""
    columns = blocks.count.shape[2]
    rows = band.stop - band.start
    rays = scratch.floats("block rays", 7, columns * rows)
    first = (-2 * RING, 2 * (band.start - RING))
    unified_rays((*first, columns, rows), 2, task.camera, rays)
    blocks.put(band, place_by_oracle(task, rays, scratch, finished, is_compared=True))
    finished("placement")


def place_by_blocks(
    task: TileTask,
    blocks: Blocks,
    tile: Tile,
    rays: np.ndarray,
    scratch: Scratch,
    finished: Callable[[Stage], None],
) -> tuple[Placed, int]:
    """Samples by the blocks' answers; by the oracle where depth does not go on evenly around.

    returns:  the samples, and how many rays the oracle was asked about
    """
    placed, alone = share_by_blocks(blocks.around(tile), tile[2:], task.cell.bins)
    finished("placement")
    if alone.size:
        # Rows in order, which indexing does not promise: loops are compiled for one layout.
        asked = np.take(rays, alone, axis=1)
        placed.put(alone, place_by_oracle(task, asked, scratch, finished))
    return placed, alone.size


def expect_depth(cell: PackedCell, rays: np.ndarray, scratch: Scratch) -> np.ndarray:
    """The oracle's logits, (R, B), as `memory_of` shows them."""
    count = rays.shape[1]
    logits = scratch.tensor("logits", (count, cell.bins), cell.oracle[-1].dtype)
    for part in parts_of(count):
        if cell.ray_columns is None:
            x = scratch.tensor("folded", (_padded(part), 6), torch.float32)
            x[: part.stop - part.start] = torch.from_numpy(rays[:6, part]).T  # The ray itself.
        else:
            size = (_padded(part), len(cell.ray_columns))
            x = scratch.tensor("encoded", size, cell.oracle[0].dtype)
            cell.ray_columns.encode(rays, part.start, memory_of(x))
        for layer in cell.oracle:
            x = layer(x.to(layer.dtype))
        logits[part] = x[: part.stop - part.start]
    return memory_of(logits)


def shade(
    cell: PackedCell, rays: np.ndarray, samples: Slabs, t: np.ndarray, scratch: Scratch
) -> tuple[np.ndarray, np.ndarray]:
    """What the shading network says, before sigmoid and softplus.

    rays:     (7, C), those of the combs
    t:        (N,) out, distances along the unified rays
    returns:  (4, N) by sample, and (4, C) which the ray's direction adds
    """
    points = scratch.floats("points", 3, t.size)
    warped_points(samples.s, samples.starts, rays, cell.depth, t, points)
    raw = scratch.tensor("raw", (4, t.size), torch.float32)
    for part in parts_of(t.size):
        size = (_padded(part), len(cell.point_columns))
        x = scratch.tensor("encoded", size, cell.per_sample.dtype)
        cell.point_columns.encode(points, part.start, memory_of(x))
        for layer in cell.trunk:
            x = layer(x)
        raw[:, part] = (cell.per_sample @ x.T)[:, : part.stop - part.start]
    return raw.numpy(), _by_direction(cell, rays, scratch).numpy()


def _by_direction(cell: PackedCell, rays: np.ndarray, scratch: Scratch) -> Tensor:
    """The direction's share of the shading network's last layer, once a ray: (4, C)."""
    columns, affine = cell.direction_columns, cell.by_direction
    encoded = scratch.tensor("encoded", (rays.shape[1], len(columns)), torch.float32)
    columns.encode(rays, 0, memory_of(encoded))
    return torch.addmm(affine.bias, affine.weight, encoded.T)


def parts_of(rows: int) -> list[slice]:
    """Rows that go through a network at once."""
    return [slice(first, min(first + _ROWS, rows)) for first in range(0, rows, _ROWS)]


def _padded(part: slice) -> int:
    """Rows of a product: rounded up, since oneDNN prepares itself anew for each number of rows.

    What stands in the rows behind is whatever was left there, and nobody reads what becomes of it.
    """
    return -(-(part.stop - part.start) // _ROWS_STEP) * _ROWS_STEP


def memory_of(tensor: Tensor) -> np.ndarray:
    """A tensor's numbers for compiled loops: float32, or bf16 as int16."""
    is_bf16 = tensor.dtype is torch.bfloat16
    return (tensor.view(torch.int16) if is_bf16 else tensor).numpy()
