"""Compositing in compiled loops: samples of a ray, front to back, into one pixel."""

from __future__ import annotations

import numpy as np

from donerf.backends.cpu.arithmetic import LOG2_E, compiled, exp2, f32, sigmoid, softplus_log2

_ZERO, _HALF, _ONE, _WHITE = f32(0), f32(0.5), f32(1), f32(255)


@compiled
def composite(raw, by_direction, along, units, t, starts, is_last_opaque, pixels):
    """Blend the samples of each comb, as `model.compositing` does by either rule.

    raw:             (4, N or more) red, green, blue before the sigmoid, and density; in slabs
    by_direction:    (4, C) what a ray's direction adds to each
    along:           (N,) where samples lie: normalized depth for our rule, t for the published one
    units:           densities are per 1 / units of it
    t:               (N,) distance along the unified ray
    is_last_opaque:  our rule; otherwise the published one
    pixels:          (5, C) out: color, sRGB in [0, 1]; mean distance by weight; opacity
    """
    rays = pixels.shape[1]
    passed = np.empty(rays, np.float32)
    weight = np.empty(rays, np.float32)
    for r in range(rays):
        passed[r] = _ONE
        for c in range(5):
            pixels[c, r] = _ZERO
    for k in range(len(starts) - 1):
        begin, end = starts[k], starts[k + 1]
        following = starts[k + 2] - end if k + 2 < len(starts) else 0
        density, next_along = raw[3, begin:end], along[end : end + following]
        _weigh(density, by_direction[3], along[begin:end], next_along, units, is_last_opaque,
               passed, weight)  # fmt: skip
        for r in range(following, end - begin):
            is_opaque = is_last_opaque or density[r] + by_direction[3, r] > _ZERO
            weight[r] = passed[r] if is_opaque else _ZERO
        for c in range(3):
            _blend(raw[c, begin:end], by_direction[c], weight, pixels[c])
        for r in range(end - begin):
            pixels[3, r] += weight[r] * t[begin + r]
            pixels[4, r] += weight[r]


@compiled
def _weigh(density, by_direction, along, next_along, units, is_last_opaque, passed, weight):
    """A sample's share of the light that passed those before it, where another one follows."""
    if is_last_opaque:
        for r in range(len(next_along)):
            # exp(-softplus(d) x) = 2^(-log2(1 + e^d) x)
            strength = softplus_log2(density[r] + by_direction[r])
            through = exp2(-strength * (next_along[r] - along[r]) * units)
            weight[r] = passed[r] * (_ONE - through)
            passed[r] = passed[r] * through
    else:
        for r in range(len(next_along)):
            strength = max(density[r] + by_direction[r], _ZERO) * LOG2_E
            through = exp2(-strength * (next_along[r] - along[r]) * units)
            weight[r] = passed[r] * (_ONE - through)
            passed[r] = passed[r] * through


@compiled
def _blend(raw, by_direction, weight, channel):
    """Add a sample's light to one color channel, in place."""
    for r in range(len(raw)):
        channel[r] += weight[r] * sigmoid(raw[r] + by_direction[r])


@compiled
def write_pixels(pixels, tile, image):
    """8-bit pixels of a tile.

    pixels:  (5, R) from `composite`;  tile: (left, top, width, height)
    image:   (H, W, 4) uint8, out
    """
    left, top, width, height = tile
    for row in range(height):
        for column in range(width):
            r = row * width + column
            for c in range(3):
                value = min(max(pixels[c, r], _ZERO), _ONE)
                image[top + row, left + column, c] = np.uint8(value * _WHITE + _HALF)
            image[top + row, left + column, 3] = np.uint8(255)
