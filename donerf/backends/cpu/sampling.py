"""How many samples each ray of a tile gets, where, and in which order they are shaded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from donerf.backends.cpu.placement import place_samples
from donerf.backends.sample_counts import SAME_SURFACE, SampleCounts


@dataclass(frozen=True)
class Placed:
    """Where the samples of rays go.

    s:       (longest, combs, R) normalized depths, ascending along each comb
    extent:  (2, R) depths at the quantiles `sample_counts.EXTENT`
    count:   (combs, R) samples of each comb; what lies behind them in `s` says nothing
    """

    s: np.ndarray
    extent: np.ndarray
    count: np.ndarray

    def taken(self, index: np.ndarray) -> Placed:
        """The rays at `index`, in its order."""
        parts = self.s, self.extent, self.count
        return Placed(*(np.take(part, index, axis=-1) for part in parts))

    def put(self, index: np.ndarray, other: Placed) -> None:
        """Overwrite the rays at `index` with those of another, in its order."""
        self.s[..., index] = other.s
        self.extent[:, index] = other.extent
        self.count[:, index] = other.count


def place(logits: np.ndarray, rule: SampleCounts) -> Placed:
    """Samples at the quantiles of each ray's distribution; logits (R, B)."""
    rays = len(logits)
    placed = Placed(
        # Not empty: what lies behind a comb's last sample is moved along with the others.
        np.zeros((rule.longest, rule.combs, rays), np.float32),
        np.empty((2, rays), np.float32),
        np.empty((rule.combs, rays), np.int64),
    )
    place_samples(logits, rule.spreads, rule.counts, placed.s, placed.extent, placed.count)
    return placed


def is_edge(extent: np.ndarray) -> np.ndarray:
    """Which blocks see another surface than a neighbor does, so that their pixels may not share.

    extent:   (2, rows, columns) in bins, with a ring of neighbors around the blocks in question
    returns:  (rows - 2, columns - 2) bool
    """
    beside = extent[:, :, :-2], extent[:, :, 1:-1], extent[:, :, 2:]
    low, high = np.minimum.reduce(beside), np.maximum.reduce(beside)
    low = np.minimum.reduce((low[:, :-2], low[:, 1:-1], low[:, 2:]))
    high = np.maximum.reduce((high[:, :-2], high[:, 1:-1], high[:, 2:]))
    return (high - low).max(0) > SAME_SURFACE


def towards_neighbors(depth: np.ndarray) -> np.ndarray:
    """How much the depth of a block's pixels differs from its own: bilinear between centers.

    depth:    (rows, columns) of blocks, with a ring of neighbors around those in question
    returns:  (2 (rows - 2), 2 (columns - 2)) by pixel
    """
    # A pixel's center lies a quarter of a block from its block's center, both ways.
    inner = depth[:, 1:-1]
    across = np.stack((depth[:, :-2] - inner, depth[:, 2:] - inner), axis=-1) / 4
    wide = np.repeat(inner, 2, axis=1) + across.reshape(len(depth), -1)
    inner = wide[1:-1]
    along = np.stack((wide[:-2] - inner, wide[2:] - inner), axis=1) / 4
    fine = np.repeat(inner, 2, axis=0) + along.reshape(-1, wide.shape[1])
    return fine - np.repeat(np.repeat(depth[1:-1, 1:-1], 2, axis=0), 2, axis=1)


@dataclass(frozen=True)
class Slabs:
    """Samples in the order in which they are shaded: all combs' first ones, all second ones, ...

    order:   (C,) combs, those with the most samples first, so that slab k belongs to the first
             starts[k + 1] - starts[k] of them; None when all have equally many
    starts:  (longest + 1,) where each slab starts
    s:       (N,) normalized depth
    """

    order: np.ndarray | None
    starts: np.ndarray
    s: np.ndarray

    @classmethod
    def of(cls, placed: Placed) -> Slabs:
        """Placed samples, sorted; comb c of ray r is number c * R + r."""
        s, count = placed.s.reshape(len(placed.s), -1), placed.count.reshape(-1)
        longest, combs = s.shape
        if count.min() == longest:
            return cls(None, np.arange(longest + 1) * combs, s.reshape(-1))
        order = np.argsort(-count, kind="stable")
        sizes = [int(np.count_nonzero(count > k)) for k in range(count.max())]
        in_slabs = np.concatenate([s[k, order[:size]] for k, size in enumerate(sizes)])
        return cls(order, np.cumsum([0, *sizes]), in_slabs)

    def rays_of_combs(self, rays: np.ndarray) -> np.ndarray:
        """The ray of each comb, in this order; rays (7, R)."""
        if self.order is not None:
            return np.take(rays, self.order % rays.shape[1], axis=1)
        combs = (self.starts[1] - self.starts[0]) // rays.shape[1]
        return rays if combs == 1 else np.tile(rays, combs)

    def mean_of_combs(self, pixels: np.ndarray, rays: int) -> np.ndarray:
        """What rays see that are the mean of their combs; (5, C) in this order to (5, R)."""
        if self.order is not None:
            pixels[:, self.order] = pixels.copy()
        return pixels if pixels.shape[1] == rays else pixels.reshape(5, -1, rays).mean(1)
