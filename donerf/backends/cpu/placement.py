"""Placement in compiled loops: where the few samples of a ray go, and the points that they are.

A comb is what is composited together: a whole ray, or every second sample of one that has many.
Samples lie in slabs: all combs' first samples, then all second ones, and so on. Combs that have
more samples come first, so slab k belongs to the first `starts[k + 1] - starts[k]` combs.
"""

from __future__ import annotations

import math

import numpy as np

from donerf.backends.cpu.arithmetic import compiled, exp2, f32, loaded, sigmoid
from donerf.geometry.view_cell import ViewCell
from donerf.geometry.warp import SMALLEST_RADIUS

CHUNK = 8
"""Bins that a search skips at once; the number of bins is a multiple of it."""
_FLOOR = f32(1e-5)
_ZERO, _HALF, _ONE = f32(0), f32(0.5), f32(1)


@compiled
def place_samples(logits, marks, spreads, counts, s, landmarks, count):
    """Normalized depths at the quantiles of the bins' distribution, as `model.placement` does.

    A ray gets the more samples the wider its distribution spreads, dealt into combs as
    `model.compositing.combs_of` says.

    logits:     (R, B) float32, or bf16 as int16
    marks:      (L,) ascending quantiles to tell the depths of
    spreads:    (K,) ascending widths of the distribution, between its first and its last mark,
                from which on a ray gets the next count
    counts:     (K + 1,) samples a ray
    s:          (longest, combs, R) out, ascending along each comb
    landmarks:  (L, R) out, depths at the marks
    count:      (combs, R) int64 out, samples of each comb; what lies behind them in `s` is not set
    """
    rays, bins = logits.shape
    combs = s.shape[1]
    probs = np.empty(bins, np.float32)
    sums = np.empty(bins // CHUNK, np.float32)
    for r in range(rays):
        total = _distribution(logits[r], probs, sums)
        start = 0, _ZERO
        for i in range(len(marks)):
            landmarks[i, r], start = _depth_at(marks[i] * total, probs, sums, start)
        choice = 0
        while choice < len(spreads) and landmarks[-1, r] - landmarks[0, r] >= spreads[choice]:
            choice += 1
        n = counts[choice]
        for comb in range(combs):
            start = 0, _ZERO
            k = 0
            for sample in range(comb, n, combs):
                place = f32(sample + 1) + f32(combs - 1) * _HALF
                s[k, comb, r], start = _depth_at(place / f32(n + combs) * total, probs, sums, start)
                k += 1
            count[comb, r] = k


@compiled
def _depth_at(target, probs, sums, start):
    """Normalized depth where the bins' sum reaches `target`.

    start:    (chunk, sum of all chunks before it) to search from
    returns:  the depth, and where to search for a larger target
    """
    chunk, before = start
    while chunk < len(sums) - 1 and before + sums[chunk] < target:
        before += sums[chunk]
        chunk += 1
    place, lower = chunk * CHUNK, before
    while place < chunk * CHUNK + CHUNK - 1 and lower + probs[place] < target:
        lower += probs[place]
        place += 1
    share = min((target - lower) / probs[place], _ONE)
    return (f32(place) + share) / f32(len(probs)), (chunk, before)


@compiled
def _distribution(logits, probs, sums):
    """Probabilities of the bins and their sums by chunk, both out; returns the sum of all."""
    for b in range(len(probs)):
        probs[b] = sigmoid(loaded(logits[b])) + _FLOOR
    total = _ZERO
    for chunk in range(len(sums)):
        part = _ZERO
        for b in range(chunk * CHUNK, chunk * CHUNK + CHUNK):
            part += probs[b]
        sums[chunk] = part
        total += part
    return total


def depth_numbers(cell: ViewCell) -> np.ndarray:
    """A cell's depth axis as `warped_points` wants it: (6,) float32.

    Radius of the sphere, near end, log scale, log2(1 + (far - near) / log scale), far end of the
    warp, the smallest radius that it divides by.
    """
    near, far = cell.unified_range
    assert cell.log_scale is not None, "why_not_served refuses linear depth"
    octaves = math.log2(1 + (far - near) / cell.log_scale)
    end = cell.depth_range[1]
    return np.array(
        [cell.radius, near, cell.log_scale, octaves, end, SMALLEST_RADIUS * end], np.float32
    )


@compiled
def warped_points(s, starts, rays, depth, t, points):
    """Distances and warped places of samples: `t_from_s`, `Rays.at` and `warp`.

    s:       (N,) normalized depth, in slabs
    rays:    (7, C) from `unified_rays`, those of the combs
    depth:   from `depth_numbers`
    t:       (N,) out, distance along the unified ray
    points:  (3, N) out
    """
    radius, near, scale, octaves, end, smallest = depth
    stretch = _ONE / math.sqrt(end)
    for k in range(len(starts) - 1):
        begin = starts[k]
        for r in range(starts[k + 1] - begin):
            distance = near + scale * (exp2(s[begin + r] * octaves) - _ONE)
            x = radius * rays[3, r] + distance * rays[0, r]
            y = radius * rays[4, r] + distance * rays[1, r]
            z = radius * rays[5, r] + distance * rays[2, r]
            shrink = stretch / math.sqrt(max(math.sqrt(x * x + y * y + z * z), smallest))
            t[begin + r] = distance
            points[0, begin + r] = x * shrink
            points[1, begin + r] = y * shrink
            points[2, begin + r] = z * shrink
