"""Kernel 1: rays, unified ray space, depth oracle, placement. It reads nothing but weights."""
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportArgumentType=false
# Triton is installed on Linux alone, and its language is typed for its own compiler.

from __future__ import annotations

import triton
import triton.language as tl

from donerf.backends import sample_counts
from donerf.backends.cuda.layers import (
    block,
    encode,
    hidden_layers,
    multiply,
    reciprocal,
    relu_packed,
    sigmoid,
)
from donerf.backends.cuda.rays import RADIUS, unified_rays

LOW = tl.constexpr(sample_counts.EXTENT[0])
HIGH = tl.constexpr(sample_counts.EXTENT[1])
SPREADS = tl.constexpr(len(sample_counts.SPREADS))
"""Widths of a distribution from which on a ray gets another number of samples."""


@triton.jit(
    do_not_specialize=["start", "rays", "stride", "width", "samples", "combs", "landmark_count"]
)
def place_kernel(
    view, depths, counts, landmarks, rule, marks, listed, first, hidden, last, biases, folded,
    direction_powers, origin_powers, start, rays, stride, width, samples, combs, landmark_count,
    IS_LISTED: tl.constexpr, IS_BLOCKS: tl.constexpr, IS_ADAPTIVE: tl.constexpr,
    IS_FOLDED: tl.constexpr, DIRECTION: tl.constexpr, DIRECTION_OCTAVES: tl.constexpr,
    ORIGIN: tl.constexpr, ORIGIN_OCTAVES: tl.constexpr, LAYERS: tl.constexpr, BINS: tl.constexpr,
    COLUMNS: tl.constexpr, CHUNK: tl.constexpr, HALVES: tl.constexpr, ROWS: tl.constexpr,
    RESIDENT: tl.constexpr, PTX: tl.constexpr,
):  # fmt: skip
    """Where the samples of some rays go.

    view:      the frame's numbers, see view.py
    depths:    out, (samples, stride) normalized depth, ascending along a ray, one column each
    counts:    out, (stride,) samples of each ray; for IS_ADAPTIVE
    landmarks: out, (landmark_count, R) depths at the marks; for IS_BLOCKS
    rule:      SPREADS widths, then the SPREADS + 1 counts below, between and above them; fp32
    marks:     (landmark_count,) shares of a distribution; for IS_BLOCKS
    listed:    (1 + R,) how many rays, and their pixels; for IS_LISTED, else all from `start` on
    first:     (HALVES, DIRECTION + ORIGIN, CHUNK) weights of encoded rays; not for IS_FOLDED
    hidden:    (LAYERS, HALVES, HALVES * CHUNK, CHUNK)
    last:      (HALVES * CHUNK, COLUMNS); columns from BINS on are padding
    biases:    fp32, of the first, the hidden and the last layer, one after another
    folded:    (6, HALVES * CHUNK) fp32 weights of the rays themselves; for IS_FOLDED
    samples:   of a ray, at most;  combs: see `combs_of`
    width:     of the picture in pixels; for IS_BLOCKS in blocks of 2x2, see `unified_rays`
    """
    dtype: tl.constexpr = hidden.dtype.element_ty
    layer: tl.constexpr = HALVES * CHUNK
    ray = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    pixel = start + ray
    if IS_LISTED:
        rays = tl.load(listed)
        if tl.program_id(0) * ROWS >= rays:
            return
        pixel = tl.load(listed + 1 + ray, mask=ray < rays, other=0)
    x, y, z, from_x, from_y, from_z = unified_rays(view, pixel, width, IS_BLOCKS)
    radius = tl.load(view + RADIUS)
    from_x, from_y, from_z = from_x / radius, from_y / radius, from_z / radius

    if IS_FOLDED:
        left = _folded(x, y, z, from_x, from_y, from_z, folded, biases, CHUNK, layer)
        right = left
        if HALVES == 2:
            right = _folded(
                x, y, z, from_x, from_y, from_z, folded + CHUNK, biases + CHUNK, CHUNK, layer
            )
    else:
        direction = encode(
            x, y, z, direction_powers, DIRECTION_OCTAVES, DIRECTION, ROWS, dtype, PTX
        )
        origin = encode(
            from_x, from_y, from_z, origin_powers, ORIGIN_OCTAVES, ORIGIN, ROWS, dtype, PTX
        )
        left = _encoded(direction, origin, first, biases, DIRECTION, ORIGIN, CHUNK)
        right = left
        if HALVES == 2:
            second = first + (DIRECTION + ORIGIN) * CHUNK
            right = _encoded(direction, origin, second, biases + CHUNK, DIRECTION, ORIGIN, CHUNK)
    left = relu_packed(left, ROWS, CHUNK, dtype, PTX)
    right = relu_packed(right, ROWS, CHUNK, dtype, PTX)
    # The oracle's layers have no scales: they are in 16 bits.
    left, right = hidden_layers(
        left, right, hidden, biases, biases + layer, LAYERS, CHUNK, HALVES, ROWS, RESIDENT, PTX
    )
    logits = multiply(left, right, last, dtype, COLUMNS, CHUNK, HALVES, ROWS)
    bin = tl.arange(0, COLUMNS)
    logits += tl.load(biases + (1 + LAYERS) * layer + bin)[None, :]

    # The 1e-5 keeps the distribution proper where the oracle expects nothing at all.
    probs = tl.where(bin[None, :] < BINS, sigmoid(logits, PTX) + 1e-5, 0.0)
    before = tl.cumsum(probs, axis=1) - probs
    total = tl.sum(probs, axis=1)
    shrink = reciprocal(tl.maximum(probs, 1e-10), PTX)
    exists = ray < rays
    count = samples
    if IS_BLOCKS:
        for i in range(landmark_count):
            mark = _depth_at(total * tl.load(marks + i), before, shrink, BINS)
            tl.store(landmarks + i * rays + ray, mark, mask=exists)
    if IS_ADAPTIVE:
        low = _depth_at(total * LOW, before, shrink, BINS)
        high = _depth_at(total * HIGH, before, shrink, BINS)
        count = tl.zeros([ROWS], tl.int32) + tl.load(rule + SPREADS).to(tl.int32)
        for i in tl.static_range(SPREADS):
            more = tl.load(rule + SPREADS + 1 + i).to(tl.int32)
            count = tl.where(high - low >= tl.load(rule + i), more, count)
        tl.store(counts + ray, count, mask=exists)
    for k in range(samples):
        target = total * ((k + (combs + 1) * 0.5) / (count + combs))
        s = _depth_at(target, before, shrink, BINS)
        tl.store(depths + k * stride + ray, s, mask=exists & (k < count))


@triton.jit
def _depth_at(target, before, shrink, BINS: tl.constexpr):
    """Normalized depth where the sum of the bins reaches a target, (rows,).

    It lies behind all of the bins before it, a part of its own, and none of the others.

    before, shrink:  (rows, COLUMNS) sum of the bins before each, and 1 / its own
    """
    passed = tl.clamp((target[:, None] - before) * shrink, 0.0, 1.0)
    return tl.sum(passed, axis=1) / BINS


@triton.jit
def _folded(
    x, y, z, from_x, from_y, from_z, weights, biases, CHUNK: tl.constexpr, LAYER: tl.constexpr
):
    """CHUNK outputs of a layer over the six numbers of a ray, in fp32."""
    weights += tl.arange(0, CHUNK)
    out = tl.load(biases + tl.arange(0, CHUNK))[None, :] + x[:, None] * tl.load(weights)[None, :]
    out += y[:, None] * tl.load(weights + LAYER)[None, :]
    out += z[:, None] * tl.load(weights + 2 * LAYER)[None, :]
    out += from_x[:, None] * tl.load(weights + 3 * LAYER)[None, :]
    out += from_y[:, None] * tl.load(weights + 4 * LAYER)[None, :]
    out += from_z[:, None] * tl.load(weights + 5 * LAYER)[None, :]
    return out


@triton.jit
def _encoded(
    direction, origin, weights, biases, DIRECTION: tl.constexpr, ORIGIN: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """CHUNK outputs of a layer over an encoded ray."""
    out = tl.dot(direction, block(weights, DIRECTION, CHUNK))
    out = tl.dot(origin, block(weights + DIRECTION * CHUNK, ORIGIN, CHUNK), out)
    return out + tl.load(biases + tl.arange(0, CHUNK))[None, :]
