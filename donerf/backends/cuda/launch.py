"""Launching the two kernels: how the work is cut, and which arguments go where."""
# pyright: reportCallIssue=false
# A kernel is typed as its function, without the options of its launch.

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from donerf.backends.cuda.packing import LayerShape, PackedOracle, PackedShading
from donerf.backends.sample_counts import SampleCounts

_RESIDENT_BYTES = 100 * 1024
"""Weights that may stay in shared memory: two programs share a multiprocessor's 227 KB."""


@dataclass(frozen=True)
class Tiling:
    """How a kernel cuts its work.

    rows:      rays that one program takes through all layers
    warps:     of 32 threads, per program
    stages:    blocks of weights in shared memory, the one in use included
    resident:  whether all hidden layers stay in shared memory together
    """

    rows: int
    warps: int
    stages: int
    resident: bool = False


def place_tiling(shape: LayerShape) -> Tiling:
    """The first kernel's."""
    return Tiling(128, 8, 3) if shape.halves == 2 else Tiling(64, 4, 3)


def shade_tiling(shading: PackedShading) -> Tiling:
    """The second kernel's, which comes back to the same weights for each sample."""
    shape = shading.shape
    if shape.halves == 1 and shape.layers * shape.width**2 * 2 <= _RESIDENT_BYTES:
        # Unrolled layers of 8 bits need more registers than there are, for their scales.
        return Tiling(64, 4, 3, resident=shading.hidden.dtype.itemsize == 2)
    return Tiling(128, 8, 3)


@dataclass(frozen=True)
class Rule:
    """How many samples a ray gets, as the kernels read it.

    most:   of any ray;  combs: that they are dealt into
    table:  spreads and counts, see `place_kernel`, on the device; None when all rays get the most
    marks:  shares of a distribution at whose depths neighbors are compared, on the device
    """

    most: int
    combs: int
    table: Tensor | None = None
    marks: Tensor | None = None

    @classmethod
    def of(cls, counts: SampleCounts, device: torch.device) -> Rule:
        """The rule that all backends share."""
        table = None
        if len(counts.counts) > 1:
            numbers = [*counts.spreads.tolist(), *counts.counts.tolist()]
            table = torch.tensor(numbers, dtype=torch.float32, device=device)
        marks = torch.from_numpy(counts.marks).to(device)
        return cls(int(counts.counts[-1]), counts.combs, table, marks)


@dataclass(frozen=True)
class Depths:
    """What the first kernel leaves for the second: one column for each answer of the oracle.

    s:          (rule.most, columns) normalized depth, ascending
    counts:     (columns,) int32 samples of each; set when the rule has a table
    landmarks:  (marks, blocks) depths at the rule's marks, of a picture's blocks, which come first
    sources:    (pixels,) int32 column of each pixel's depths; None: each has its own
    moves:      (4, pixels) how a pixel's depths move, see `Blocks.moves`; set with sources
    order:      (pixels,) int32 in which the pixels are shaded; None: as they stand
    """

    rule: Rule
    s: Tensor
    counts: Tensor
    landmarks: Tensor
    sources: Tensor | None = None
    moves: Tensor | None = None
    order: Tensor | None = None

    @classmethod
    def of(cls, rule: Rule, columns: int, device: torch.device, blocks: int = 0) -> Depths:
        """Memory for the answers to so many questions, the first of which some blocks ask."""
        return cls(
            rule,
            torch.empty(rule.most, columns, device=device),
            torch.empty(columns, dtype=torch.int32, device=device),
            torch.empty(0 if rule.marks is None else len(rule.marks), blocks, device=device),
        )

    def columns(self, start: int, stop: int) -> Depths:
        """Some of the columns, in the same memory."""
        part = slice(start, stop)
        return replace(self, s=self.s[:, part], counts=self.counts[part])


@dataclass(frozen=True)
class Pixels:
    """Pixels that ask the oracle.

    range:      of the picture
    width:      of the picture
    listed:     how many of them, then which, int32 on the device; None: all
    is_blocks:  range and width count blocks of 2x2 pixels, see `unified_rays`
    """

    range: range
    width: int
    listed: Tensor | None = None
    is_blocks: bool = False


@dataclass(frozen=True)
class Picture:
    """Where the second kernel writes.

    width:  pixels
    image:  (pixels,) int32, four bytes red, green, blue, alpha
    color:  (pixels, 3) float16, or None when nobody asks
    """

    width: int
    image: Tensor
    color: Tensor | None = None


def launch_place(
    oracle: PackedOracle, view: Tensor, pixels: Pixels, depths: Depths, tiling: Tiling
) -> None:
    """Fill columns of `depths`, from the first on, for some pixels of a picture or its blocks."""
    from donerf.backends.cuda.place import place_kernel

    shape, rule = oracle.shape, depths.rule
    place_kernel[(_tiles(len(pixels.range), tiling),)](
        view,
        depths.s,
        depths.counts,
        depths.landmarks,
        _or(rule.table, view),
        _or(rule.marks, view),
        _or(pixels.listed, depths.counts),
        oracle.first,
        oracle.hidden,
        oracle.last,
        oracle.biases,
        oracle.folded,
        oracle.direction_powers,
        oracle.origin_powers,
        pixels.range.start,
        len(pixels.range),
        depths.s.stride(0),
        pixels.width,
        rule.most,
        rule.combs,
        len(depths.landmarks),
        IS_LISTED=pixels.listed is not None,
        IS_BLOCKS=pixels.is_blocks,
        IS_ADAPTIVE=rule.table is not None,
        IS_FOLDED=shape.is_folded,
        DIRECTION=shape.direction.columns,
        DIRECTION_OCTAVES=shape.direction.frequencies,
        ORIGIN=shape.origin.columns,
        ORIGIN_OCTAVES=shape.origin.frequencies,
        LAYERS=shape.layers,
        BINS=shape.bins,
        COLUMNS=shape.columns,
        CHUNK=shape.chunk,
        HALVES=shape.halves,
        ROWS=tiling.rows,
        RESIDENT=tiling.resident,
        PTX=not _is_interpreted(),
        num_warps=tiling.warps,
        num_stages=tiling.stages,
    )


def launch_shade(
    shading: PackedShading,
    view: Tensor,
    pixels: range,
    depths: Depths,
    picture: Picture,
    tiling: Tiling,
) -> None:
    """Color some pixels of a picture; the first of them has the first column of `depths`."""
    from donerf.backends.cuda.shade import shade_kernel

    shape, rule = shading.shape, depths.rule
    shade_kernel[(_tiles(len(pixels), tiling),)](
        view,
        depths.s,
        depths.counts,
        _or(depths.sources, depths.counts),
        _or(depths.moves, depths.s),
        _or(depths.order, depths.counts),
        picture.image,
        _or(picture.color, picture.image),
        shading.first,
        shading.hidden,
        shading.last,
        shading.scales,
        shading.biases,
        shading.of_direction,
        shading.point_powers,
        shading.direction_powers,
        shading.of_grid,
        shading.tables,
        shading.levels,
        pixels.start,
        len(pixels),
        depths.s.stride(0),
        picture.width,
        rule.most,
        rule.combs,
        IS_SHARED=depths.sources is not None,
        IS_ADAPTIVE=depths.order is not None,
        POINT=shape.point.columns,
        POINT_OCTAVES=shape.point.frequencies,
        DIRECTION=shape.direction.columns,
        DIRECTION_OCTAVES=shape.direction.frequencies,
        GRID=shape.grid.columns,
        GRID_WORDS=shape.grid.words,
        LAYERS=shape.layers,
        IS_PUBLISHED=shape.rule == "published",
        HAS_COLOR=picture.color is not None,
        CHUNK=shape.chunk,
        HALVES=shape.halves,
        ROWS=tiling.rows,
        RESIDENT=tiling.resident,
        PTX=not _is_interpreted(),
        num_warps=tiling.warps,
        num_stages=tiling.stages,
    )


def _or(tensor: Tensor | None, other: Tensor) -> Tensor:
    """A tensor, or another in its place where the kernel is compiled without it."""
    return other if tensor is None else tensor


def _tiles(rays: int, tiling: Tiling) -> int:
    return -(-rays // tiling.rows)


def _is_interpreted() -> bool:
    from triton import knobs

    return knobs.runtime.interpret
