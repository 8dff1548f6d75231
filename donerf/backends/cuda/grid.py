"""The features of a hash grid: rows of its tables, from global memory straight to registers."""
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportArgumentType=false
# Triton is installed on Linux alone, and its language is typed for its own compiler.

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def grid_features(
    x, y, z, tables, levels, WORDS: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr,
    dtype: tl.constexpr,
):  # fmt: skip
    """Features of points from between the eight corners around each, level by level.

    A column of words belongs to one level, so that a thread, which has the same column for
    several points, knows its level's numbers from sample to sample.

    x, y, z:  (rows,) fp32, warped; what lies outside the cube gets what its surface has
    tables:   int32, two features of 16 bits a word, WORDS of them a row
    levels:   (5, SIZE / 2) int32, see `GridShape.levels`
    dtype:    16 bits, of the tables and of what is returned; weights and sums are fp32
    returns:  (rows, SIZE)
    """
    COLUMNS: tl.constexpr = SIZE // 2
    level = levels + tl.arange(0, COLUMNS)[None, :]
    cells, step_y, step_z = tl.load(level), tl.load(level + COLUMNS), tl.load(level + 2 * COLUMNS)
    mask, start = tl.load(level + 3 * COLUMNS), tl.load(level + 4 * COLUMNS)
    low_x, share_x = _cell(x, cells)
    low_y, share_y = _cell(y, cells)
    low_z, share_z = _cell(z, cells)
    even = tl.zeros([ROWS, COLUMNS], tl.float32)
    odd = tl.zeros([ROWS, COLUMNS], tl.float32)
    for corner in tl.static_range(8):
        at_x, weight_x = _end(low_x, share_x, 1, corner % 2)
        at_y, weight_y = _end(low_y, share_y, step_y, corner // 2 % 2)
        at_z, weight_z = _end(low_z, share_z, step_z, corner // 4)
        # Where no rows are shared the mask has all bits: as a number it is negative.
        row = tl.where(mask < 0, at_x + (at_y + at_z), at_x ^ (at_y ^ at_z)) & mask
        word = tl.load(tables + (start + row * WORDS))
        weight = weight_x * (weight_y * weight_z)
        even += weight * _lower_half(word, dtype)
        odd += weight * _lower_half(word >> 16, dtype)
    return tl.reshape(tl.join(even, odd), (ROWS, SIZE)).to(dtype)


@triton.jit
def _cell(x, cells):
    """Which cell along one axis each point is in, and how far in it: (rows, columns) each."""
    scaled = tl.clamp(x * 0.5 + 0.5, 0.0, 1.0)[:, None] * cells
    low = tl.minimum(scaled.to(tl.int32), cells - 1)  # The last cell has the cube's surface too.
    return low, scaled - low


@triton.jit
def _end(low, share, step, END: tl.constexpr):
    """Of an end of that cell, 0 or 1: its term of the row, its factor of the weight.

    Terms of a hash may run over 32 bits: only their low digits matter.
    """
    if END == 0:
        return low * step, 1 - share
    else:
        return low * step + step, share


@triton.jit
def _lower_half(word, dtype: tl.constexpr):
    """The number that the lower 16 bits of a word hold, in fp32."""
    return (word & 0xFFFF).to(tl.uint16).to(dtype, bitcast=True).to(tl.float32)
