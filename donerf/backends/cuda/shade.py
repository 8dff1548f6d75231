"""Kernel 2: warp, encoding, shading network, compositing, 8-bit colors."""
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportArgumentType=false
# Triton is installed on Linux alone, and its language is typed for its own compiler.

from __future__ import annotations

import triton
import triton.language as tl

from donerf.backends.cuda import packing
from donerf.backends.cuda.grid import grid_features
from donerf.backends.cuda.layers import (
    block,
    encode,
    hidden_layers,
    multiply,
    relu_packed,
    sigmoid,
)
from donerf.backends.cuda.rays import FAR, distance, unified_rays
from donerf.model import compositing

OUTPUTS = tl.constexpr(packing.OUTPUTS)
DENSITY_UNITS = tl.constexpr(compositing.DENSITY_UNITS)
ENDLESS = tl.constexpr(compositing.ENDLESS)


@triton.jit(do_not_specialize=["start", "rays", "stride", "width", "samples", "combs"])
def shade_kernel(
    view, depths, counts, sources, moves, order, image, color, first, hidden, last, scales, biases,
    of_direction, point_powers, direction_powers, of_grid, tables, levels, start, rays, stride,
    width, samples, combs,
    IS_SHARED: tl.constexpr, IS_ADAPTIVE: tl.constexpr,
    POINT: tl.constexpr, POINT_OCTAVES: tl.constexpr, DIRECTION: tl.constexpr,
    DIRECTION_OCTAVES: tl.constexpr, GRID: tl.constexpr, GRID_WORDS: tl.constexpr,
    LAYERS: tl.constexpr, IS_PUBLISHED: tl.constexpr, HAS_COLOR: tl.constexpr,
    CHUNK: tl.constexpr, HALVES: tl.constexpr, ROWS: tl.constexpr, RESIDENT: tl.constexpr,
    PTX: tl.constexpr,
):  # fmt: skip
    """The colors of some of a picture's rays; a program takes a tile of them through all samples.

    view:          the frame's numbers, see view.py
    depths:        (samples, stride) normalized depth
    counts:        (stride,) samples of each column of depths; for IS_ADAPTIVE, else all `samples`
    sources:       (rays,) which column of depths is a pixel's; for IS_SHARED, else its own
    moves:         (4, rays) how a pixel's depths move, see `Blocks.moves`; for IS_SHARED
    order:         (rays,) in which the pixels are shaded; for IS_ADAPTIVE
    image:         out, (picture's rays,) int32: red, green, blue and 255, a byte each
    color:         out, (picture's rays, 3) float16; for HAS_COLOR
    first:         (HALVES, POINT, CHUNK)
    hidden:        (LAYERS, HALVES, HALVES * CHUNK, CHUNK)
    last:          (HALVES * CHUNK, OUTPUTS): red, green, blue, density, padding
    scales:        fp32, of the hidden layers; when those are in 8 bits
    biases:        fp32, of the first, the hidden and the last layer, one after another
    of_direction:  (DIRECTION, OUTPUTS), the last layer's share of the direction
    of_grid:       (HALVES, GRID, CHUNK), the first layer's share of the hash grid's features, which
                   has tables and levels, see `grid_features`; GRID is 0 where points have no grid
    start:         index of the first ray in the picture;  rays: how many
    combs:         see `combs_of`; they are blended one after another
    IS_PUBLISHED:  compositing by the published rule instead of ours
    """
    dtype: tl.constexpr = last.dtype.element_ty
    held: tl.constexpr = hidden.dtype.element_ty
    layer: tl.constexpr = HALVES * CHUNK
    ray = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    exists = ray < rays
    if IS_ADAPTIVE:
        # Rays with as many samples stand together, so that a tile wastes little on the shorter.
        ray = tl.load(order + ray, mask=exists, other=0)
    source = ray
    if IS_SHARED:
        source = tl.load(sources + ray, mask=exists, other=0)
    count = tl.where(exists, samples, 0)
    longest = samples
    if IS_ADAPTIVE:
        count = tl.load(counts + source, mask=exists, other=0)
        longest = tl.max(count, axis=0)
    x, y, z, from_x, from_y, from_z = unified_rays(view, start + ray, width, False)
    far = tl.load(view + FAR)
    direction = encode(x, y, z, direction_powers, DIRECTION_OCTAVES, DIRECTION, ROWS, dtype, PTX)
    column = tl.arange(0, OUTPUTS)[None, :]
    of_ray = tl.dot(direction, block(of_direction, DIRECTION, OUTPUTS))
    of_ray += tl.load(biases + (1 + LAYERS) * layer + column)

    blended = tl.zeros([ROWS, OUTPUTS], tl.float32)
    transmittance = tl.full([ROWS], 1.0, tl.float32)
    comb = 0
    k = 0
    # With a grid nothing is fetched for the next sample ahead: all rows of this one's corners would
    # wait in shared memory, where the weights are.
    for _ in tl.range(longest, num_stages=1 if GRID > 0 else None):
        # Three blocks of a wide layer leave the first layer no room: its weights come anew for
        # each sample, and are on their way while the points are made.
        first_left = block(first, POINT, CHUNK, HALVES == 1)
        first_right = first_left
        if HALVES == 2:
            first_right = block(first + POINT * CHUNK, POINT, CHUNK, False)
        place = depths + k * stride + source
        s = tl.load(place, mask=k < count, other=1.0)
        s_next = tl.load(place + combs * stride, mask=k + combs < count, other=1.0)
        if IS_SHARED:
            s = _moved(s, moves + ray, rays, exists)
            s_next = _moved(s_next, moves + ray, rays, exists)
        t = distance(view, s)
        q_x, q_y, q_z = from_x + t * x, from_y + t * y, from_z + t * z
        # The warp is singular at the cell's center: there the result is 0.
        length = tl.maximum(tl.sqrt(q_x * q_x + q_y * q_y + q_z * q_z), 1e-6 * far)
        shrink = 1.0 / tl.sqrt(far * length)
        q_x, q_y, q_z = q_x * shrink, q_y * shrink, q_z * shrink
        point = encode(q_x, q_y, q_z, point_powers, POINT_OCTAVES, POINT, ROWS, dtype, PTX)
        features = point
        own_biases = biases
        if GRID > 0:
            features = grid_features(q_x, q_y, q_z, tables, levels, GRID_WORDS, GRID, ROWS, dtype)
            # The same place for each sample, which the compiler must not know: it would hold all
            # biases in registers over the loop, and leave too few for the corners.
            own_biases = biases + tl.where(k < longest, 0, CHUNK)

        left = tl.dot(point, first_left)
        if GRID > 0:
            left = tl.dot(features, block(of_grid, GRID, CHUNK, HALVES == 1), left)
        left += tl.load(own_biases + tl.arange(0, CHUNK))[None, :]
        left = relu_packed(left, ROWS, CHUNK, held, PTX)
        right = left
        if HALVES == 2:
            right = tl.dot(point, first_right)
            if GRID > 0:
                right = tl.dot(features, block(of_grid + GRID * CHUNK, GRID, CHUNK, False), right)
            right += tl.load(own_biases + CHUNK + tl.arange(0, CHUNK))[None, :]
            right = relu_packed(right, ROWS, CHUNK, held, PTX)
        left, right = hidden_layers(
            left, right, hidden, scales, own_biases + layer, LAYERS, CHUNK, HALVES, ROWS,
            RESIDENT, PTX,
        )  # fmt: skip
        raw = of_ray + multiply(left, right, last, held, OUTPUTS, CHUNK, HALVES, ROWS)

        density = tl.sum(tl.where(column == 3, raw, 0.0), axis=1)
        is_last = k + combs >= count
        if IS_PUBLISHED:
            interval = tl.where(is_last, ENDLESS, distance(view, s_next) - t)
            alpha = 1 - tl.exp(-tl.maximum(density, 0.0) * interval)
        else:
            softplus = tl.maximum(density, 0.0) + tl.log(1 + tl.exp(-tl.abs(density)))
            alpha = 1 - tl.exp(-softplus * (s_next - s) * DENSITY_UNITS)
            alpha = tl.where(is_last, 1.0, alpha)
        alpha = tl.where(k < count, alpha, 0.0)
        blended += (transmittance * alpha)[:, None] * sigmoid(raw, PTX)
        transmittance *= 1 - alpha + 1e-10
        k += combs
        if k >= longest:
            comb += 1
            k = comb
            transmittance = tl.full([ROWS], 1.0, tl.float32)

    blended /= combs
    byte = tl.minimum(blended * 255 + 0.5, 255.0).to(tl.int32)
    byte = tl.where(column < 3, byte << (8 * column), 0)
    # The highest byte is alpha: -2^24 sets all of its bits.
    tl.store(image + start + ray, tl.sum(byte, axis=1) - (1 << 24), mask=exists)
    if HAS_COLOR:
        place = color + (start + ray)[:, None] * 3 + column
        tl.store(place, blended.to(tl.float16), mask=exists[:, None] & (column < 3))


@triton.jit
def _moved(s, moves, rays, exists):
    """A depth of a block where one of its pixels sees it, see `Blocks.moves`."""
    low = tl.load(moves, mask=exists, other=0.0)
    per_width = tl.load(moves + rays, mask=exists, other=0.0)
    by_low = tl.load(moves + 2 * rays, mask=exists, other=0.0)
    widening = tl.load(moves + 3 * rays, mask=exists, other=0.0)
    place = tl.clamp((s - low) * per_width, 0.0, 1.0)
    return tl.clamp(s + by_low + place * widening, 0.0, 1.0)
