"""How many samples each ray of a tile gets, where, and in which order they are shaded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from donerf.backends.cpu.placement import place_samples
from donerf.backends.cpu.sharing import bends, share
from donerf.backends.sample_counts import EXTENT, RING, SAME_SURFACE, SampleCounts

_EXTENT, _NO_MARKS = np.array(EXTENT, np.float32), np.empty(0, np.float32)


@dataclass(frozen=True)
class Placed:
    """Where the samples of rays go.

    s:          (longest, combs, R) normalized depths, ascending along each comb
    count:      (combs, R) samples of each comb; what lies behind them in `s` says nothing
    landmarks:  (L, R) depths at `SampleCounts.marks`; fewer where nothing is compared
    """

    s: np.ndarray
    count: np.ndarray
    landmarks: np.ndarray

    @classmethod
    def empty(cls, longest: int, combs: int, rays: int, landmarks: int = 0) -> Placed:
        """Room for so many; what it holds is what was left in it."""
        return cls(
            np.empty((longest, combs, rays), np.float32),
            np.empty((combs, rays), np.int64),
            np.empty((landmarks, rays), np.float32),
        )

    def put(self, index: np.ndarray, other: Placed) -> None:
        """Overwrite the rays at `index` with those of another, in its order."""
        self.s[..., index] = other.s
        self.count[:, index] = other.count


def place(logits: np.ndarray, rule: SampleCounts, is_compared: bool = False) -> Placed:
    """Samples at the quantiles of each ray's distribution.

    logits:       (R, B)
    is_compared:  the rays are to be compared with each other, by their landmarks
    """
    marks = rule.marks if is_compared else _EXTENT if len(rule.spreads) else _NO_MARKS
    placed = Placed.empty(rule.longest, rule.combs, len(logits), len(marks))
    place_samples(
        logits,
        marks,
        rule.spreads,
        rule.counts,
        placed.s,
        placed.landmarks,
        placed.count,
    )
    return placed


@dataclass(frozen=True)
class Blocks:
    """Where the samples of blocks of 2x2 pixels go: those of a picture, and RING of them around.

    s:          (longest, combs, rows, columns);  count: (combs, rows, columns)
    landmarks:  (L, rows, columns)
    """

    s: np.ndarray
    count: np.ndarray
    landmarks: np.ndarray

    @classmethod
    def empty(cls, rule: SampleCounts, width: int, height: int) -> Blocks:
        """Room for those of a picture of so many pixels; what it holds is what was left in it."""
        shape = tuple(-(-length // 2) + 2 * RING for length in (height, width))
        return cls(
            np.empty((rule.longest, rule.combs, *shape), np.float32),
            np.empty((rule.combs, *shape), np.int64),
            np.empty((len(rule.marks), *shape), np.float32),
        )

    def put(self, band: slice, placed: Placed) -> None:
        """Fill in some rows, from the samples of their blocks' rays."""
        self.s[:, :, band] = placed.s.reshape(self.s[:, :, band].shape)
        self.count[:, band] = placed.count.reshape(self.count[:, band].shape)
        self.landmarks[:, band] = placed.landmarks.reshape(self.landmarks[:, band].shape)

    def around(self, tile: tuple[int, int, int, int]) -> Blocks:
        """Those of a tile (left, top, width and height in pixels), and RING of them around."""
        left, top, width, height = tile
        rows = slice(top // 2, top // 2 + -(-height // 2) + 2 * RING)
        columns = slice(left // 2, left // 2 + -(-width // 2) + 2 * RING)
        # Copied, since loops are compiled for one layout.
        parts = (each[..., rows, columns].copy() for each in (self.s, self.count, self.landmarks))
        return Blocks(*parts)


def share_by_blocks(blocks: Blocks, size: tuple[int, int], bins: int) -> tuple[Placed, np.ndarray]:
    """The samples of pixels by those of their blocks, and which pixels must ask for themselves.

    size:     (width, height) in pixels
    returns:  all pixels' samples, and the indices of those that may not share
    """
    longest, combs, rows, columns = blocks.s.shape
    width, height = size
    across = np.empty((rows, columns - RING - 1), np.float32)
    along = np.empty((rows - RING - 1, columns), np.float32)
    bends(blocks.landmarks, across, along)
    placed = Placed.empty(longest, combs, width * height)
    is_alone = np.empty(width * height, np.bool_)
    share(
        blocks.landmarks,
        blocks.s,
        blocks.count,
        across,
        along,
        np.float32(SAME_SURFACE / bins),
        width,
        height,
        placed.s,
        placed.count,
        is_alone,
    )
    return placed, np.flatnonzero(is_alone)


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
