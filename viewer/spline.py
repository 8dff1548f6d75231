"""Curves through, or along, points in time. Pure functions on numpy arrays.

Letters: N points of D numbers each, K times.
"""

from __future__ import annotations

import numpy as np


def catmull_rom(times: np.ndarray, points: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The Catmull-Rom curve, which passes through every point at its time.

    Between two points it is the cubic whose velocity at each is that of the straight line between
    the neighbors; at the ends, of the line to the only one. Times need not be evenly spaced.

    times:    (N,) strictly increasing;  points: (N, D), N >= 1
    t:        (K,); before the first and after the last time the curve rests
    returns:  (K, D)
    """
    if len(times) == 1:
        return np.repeat(points, len(t), axis=0)
    velocities = np.empty_like(points)
    velocities[1:-1] = (points[2:] - points[:-2]) / (times[2:] - times[:-2])[:, None]
    velocities[0] = (points[1] - points[0]) / (times[1] - times[0])
    velocities[-1] = (points[-1] - points[-2]) / (times[-1] - times[-2])
    return _hermite(times, points, velocities, t)


def b_spline(times: np.ndarray, points: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The uniform cubic B-spline: smoother, passes near the points, never leaves their hull.

    Its weights are positive and sum to one, so it stays in any convex cell that holds the points.
    It begins in the first and ends in the last point, where it comes to rest.

    The arguments are those of `catmull_rom`.
    """
    count = len(times)
    if count == 1:
        return np.repeat(points, len(t), axis=0)
    # An end point three times over is where the curve begins.
    padded = np.concatenate((points[:1], points[:1], points, points[-1:], points[-1:]))
    # Its N + 1 spans are laid over the time evenly by the number of the point.
    place = _index_at(times, t) * (count + 1) / (count - 1)
    span = np.minimum(place.astype(np.int64), count)
    u = (place - span)[:, None]
    weights = (
        (1 - u) ** 3 / 6,
        (3 * u**3 - 6 * u**2 + 4) / 6,
        (-3 * u**3 + 3 * u**2 + 3 * u + 1) / 6,
        u**3 / 6,
    )
    return sum((w * padded[span + k] for k, w in enumerate(weights)), np.zeros((len(t), 1)))


def _index_at(times: np.ndarray, t: np.ndarray) -> np.ndarray:
    """At which point's number, in fractions, a time is: (K,) in [0, N - 1].

    A smooth, increasing curve, so that unevenly spaced times give no jolts in the speed.
    """
    numbers = np.arange(len(times), dtype=np.float64)
    slopes = 1 / np.diff(times)
    rates = np.empty(len(times))
    rates[0], rates[-1] = slopes[0], slopes[-1]
    # The harmonic mean keeps a cubic between increasing values increasing (Fritsch and Butland).
    rates[1:-1] = 2 * slopes[1:] * slopes[:-1] / (slopes[1:] + slopes[:-1])
    return _hermite(times, numbers[:, None], rates[:, None], t)[:, 0]


def _hermite(
    times: np.ndarray, points: np.ndarray, velocities: np.ndarray, t: np.ndarray
) -> np.ndarray:
    """Piecewise cubics through points with given velocities, (K, D)."""
    t = np.clip(t, times[0], times[-1])
    i = np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(times) - 2)
    length = (times[i + 1] - times[i])[:, None]
    u = (t - times[i])[:, None] / length
    return (
        (1 + 2 * u) * (1 - u) ** 2 * points[i]
        + u * (1 - u) ** 2 * length * velocities[i]
        + u**2 * (3 - 2 * u) * points[i + 1]
        + u**2 * (u - 1) * length * velocities[i + 1]
    )
