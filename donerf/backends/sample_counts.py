"""How many samples a ray gets, by all backends, and how far depth may bend where pixels share one
answer of the oracle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from donerf.config import CompositingRule
from donerf.model.compositing import LONGEST_COMB, combs_of

EXTENT = (0.2, 0.8)
"""Quantiles between which a distribution's width is measured."""
SAME_SURFACE = 0.4
"""Bins by which depth may bend between neighboring blocks and still be shared."""
RING = 2
"""Blocks that are asked around those in question: a bend shows from a neighbor's neighbor."""
SHARES = (0.25, 0.5, 0.75, 1.0, 1.5)
"""Of the samples asked for, what a ray gets the wider its distribution spreads (adaptive)."""
SPREADS = (1.9, 2.35, 3.0, 3.5)
"""Spreads in bins from which on a ray gets the next share: the sky, whose spread the far end cuts
off; a sure surface; and so on. Chosen on validation views by benchmarks/adaptive_counts.py."""


@dataclass(frozen=True)
class SampleCounts:
    """Rule of how many samples a ray gets.

    combs:    that they are dealt into
    counts:   (K + 1,) of a ray, ascending
    spreads:  (K,) float32 widths of the depth distribution from which on the next count holds
    marks:    (L,) float32 quantiles by which neighbors are compared: the distribution's extent,
              and those between that get a sample
    """

    combs: int
    counts: np.ndarray
    spreads: np.ndarray
    marks: np.ndarray

    @property
    def longest(self) -> int:
        """Samples of the longest comb."""
        return -(-int(self.counts[-1]) // self.combs)

    @classmethod
    def exactly(cls, samples: int, rule: CompositingRule) -> SampleCounts:
        """The same for every ray."""
        none = np.empty(0, np.float32)
        return cls(combs_of(samples, rule), np.array([samples]), none, _marks(samples))

    @classmethod
    def adaptive(cls, samples: int, rule: CompositingRule, bins: int) -> SampleCounts:
        """Fewer where the oracle is sure, more where it is not."""
        combs = combs_of(samples, rule)
        most = max(combs * LONGEST_COMB, samples)
        counts = [min(math.ceil(share * samples), most) for share in SHARES]
        spreads = np.array(SPREADS, np.float32) / np.float32(bins)
        return cls(combs, np.array(counts), spreads, _marks(samples))


def _marks(samples: int) -> np.ndarray:
    low, high = EXTENT
    most = min(samples, LONGEST_COMB)
    between = [k / (most + 1) for k in range(1, most + 1)]
    return np.array([low, *(u for u in between if low < u < high), high], np.float32)
