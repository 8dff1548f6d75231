"""Launching the two kernels: how the work is cut, and which arguments go where."""
# pyright: reportCallIssue=false
# A kernel is typed as its function, without the options of its launch.

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from donerf.backends.cuda.packing import LayerShape, PackedOracle, PackedShading
from donerf.config import CompositingRule
from donerf.model.compositing import combs_of

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


def shade_tiling(shape: LayerShape) -> Tiling:
    """The second kernel's, which comes back to the same weights for each sample."""
    if shape.halves == 1 and shape.layers * shape.width**2 * 2 <= _RESIDENT_BYTES:
        return Tiling(64, 4, 3, resident=True)
    return Tiling(128, 8, 3)


def launch_place(
    oracle: PackedOracle,
    rule: CompositingRule,
    view: Tensor,
    depths: Tensor,
    width: int,
    pixels: range,
    tiling: Tiling,
) -> None:
    """Fill `depths`, (samples, len(pixels)), for some pixels of a picture."""
    from donerf.backends.cuda.place import place_kernel

    shape = oracle.shape
    place_kernel[(_tiles(len(pixels), tiling),)](
        view,
        depths,
        oracle.first,
        oracle.hidden,
        oracle.last,
        oracle.biases,
        oracle.folded,
        oracle.direction_powers,
        oracle.origin_powers,
        pixels.start,
        len(pixels),
        width,
        depths.shape[0],
        combs_of(depths.shape[0], rule),
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
    rule: CompositingRule,
    view: Tensor,
    depths: Tensor,
    picture: Picture,
    pixels: range,
    tiling: Tiling,
) -> None:
    """Fill some pixels of a picture from their depths, (samples, len(pixels))."""
    from donerf.backends.cuda.shade import shade_kernel

    shape = shading.shape
    shade_kernel[(_tiles(len(pixels), tiling),)](
        view,
        depths,
        picture.image,
        picture.color if picture.color is not None else picture.image,
        shading.first,
        shading.hidden,
        shading.last,
        shading.biases,
        shading.of_direction,
        shading.point_powers,
        shading.direction_powers,
        pixels.start,
        len(pixels),
        picture.width,
        depths.shape[0],
        combs_of(depths.shape[0], rule),
        POINT=shape.point.columns,
        POINT_OCTAVES=shape.point.frequencies,
        DIRECTION=shape.direction.columns,
        DIRECTION_OCTAVES=shape.direction.frequencies,
        LAYERS=shape.layers,
        IS_PUBLISHED=rule == "published",
        HAS_COLOR=picture.color is not None,
        CHUNK=shape.chunk,
        HALVES=shape.halves,
        ROWS=tiling.rows,
        RESIDENT=tiling.resident,
        PTX=not _is_interpreted(),
        num_warps=tiling.warps,
        num_stages=tiling.stages,
    )


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


def _tiles(rays: int, tiling: Tiling) -> int:
    return -(-rays // tiling.rows)


def _is_interpreted() -> bool:
    from triton import knobs

    return knobs.runtime.interpret
