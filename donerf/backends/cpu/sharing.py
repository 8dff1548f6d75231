"""Which pixels may take their block's answer of the oracle, and where their samples go then.

The oracle is asked once for 2x2 pixels, through the middle of the block. A pixel lies between its
block and three others; where depth goes on evenly between these, so do the pixel's samples.
"""

from __future__ import annotations

from donerf.backends.cpu.arithmetic import compiled, f32
from donerf.backends.sample_counts import RING

_ZERO, _ONE, _TWO = f32(0), f32(1), f32(2)
_OWN, _BESIDE, _CORNER = f32(9 / 16), f32(3 / 16), f32(1 / 16)
"""A pixel's center lies a quarter of a block from its block's center, both ways: what the four
blocks around it weigh."""
_NARROW = f32(1e-6)


@compiled
def bends(landmarks, across, along):
    """How unevenly depth goes on between two neighboring blocks, by their worst landmark.

    It is even where the line through the two meets the next block on one side at least: where a
    surface starts, ends or has a crease, one side is even; where another surface begins between
    the two, none.

    landmarks:  (L, rows, columns) of blocks
    across:     (rows, columns - 3) out: between block j + 1 and its right neighbor
    along:      (rows - 3, columns) out: between block i + 1 and its lower neighbor
    """
    marks, rows, columns = landmarks.shape
    across[:] = _ZERO
    along[:] = _ZERO
    for k in range(marks):
        for i in range(rows):
            d = landmarks[k, i]
            for j in range(columns - 3):
                before = abs(d[j] - _TWO * d[j + 1] + d[j + 2])
                behind = abs(d[j + 1] - _TWO * d[j + 2] + d[j + 3])
                across[i, j] = max(across[i, j], min(before, behind))
        for i in range(rows - 3):
            a, b = landmarks[k, i], landmarks[k, i + 1]
            c, d = landmarks[k, i + 2], landmarks[k, i + 3]
            for j in range(columns):
                before = abs(a[j] - _TWO * b[j] + c[j])
                behind = abs(b[j] - _TWO * c[j] + d[j])
                along[i, j] = max(along[i, j], min(before, behind))


@compiled
def share(landmarks, block_s, block_count, across, along, most, width, height, s, count, is_alone):
    """Give each pixel its block's samples, moved along with the depth between blocks.

    landmarks:    (L, rows, columns) of blocks, RING of them around those of the pixels
    block_s:      (longest, combs, rows, columns);  block_count: (combs, rows, columns)
    across, along:  from `bends`;  most: bend from which on a pixel must ask for itself
    s, count:     (longest, combs, R), (combs, R) out, by pixel
    is_alone:     (R,) out: whether the pixel must ask for itself
    """
    combs = s.shape[1]
    low, high = landmarks[0], landmarks[-1]
    for y in range(height):
        i = y // 2 + RING
        beyond = i + 2 * (y % 2) - 1
        for x in range(width):
            j = x // 2 + RING
            beside = j + 2 * (x % 2) - 1
            r = y * width + x
            left, upper = min(j, beside) - 1, min(i, beyond) - 1
            bend = max(across[i, left], across[beyond, left])
            bend = max(bend, max(along[upper, j], along[upper, beside]))
            is_alone[r] = bend > most
            by_low = _between(low, i, j, beyond, beside) - low[i, j]
            by_high = _between(high, i, j, beyond, beside) - high[i, j]
            per_width = _ONE / max(high[i, j] - low[i, j], _NARROW)
            for comb in range(combs):
                count[comb, r] = block_count[comb, i, j]
                for k in range(block_count[comb, i, j]):
                    own = block_s[k, comb, i, j]
                    place = min(max((own - low[i, j]) * per_width, _ZERO), _ONE)
                    moved = own + by_low + place * (by_high - by_low)
                    s[k, comb, r] = min(max(moved, _ZERO), _ONE)


@compiled
def _between(depth, i, j, beyond, beside):
    """Depth at a pixel's center, bilinear between the centers of four blocks."""
    near = _OWN * depth[i, j] + _BESIDE * (depth[i, beside] + depth[beyond, j])
    return near + _CORNER * depth[beyond, beside]
