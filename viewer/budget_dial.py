"""One dial for speed and quality: the samples that were measured to look best in a given time.

Fewer samples leave time for more pixels. Which of the two is worth more was measured on validation
views (benchmarks/size_and_samples.py); the points that are best for their cost are the front that
the dial moves along.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from donerf import Scene
from donerf.assets import asset

TABLE = "assets/size_and_samples.json"
# A change of samples is seen; it has to be worth it.
WORTH_DB = 0.1


@dataclass(frozen=True)
class Quality:
    """PSNR of moving pictures, stretched to the full size.

    scales:  of the edges, ascending, 1 is the full size
    psnr:    (C, len(scales)) dB, a row for each of the counts
    """

    counts: tuple[int, ...]
    scales: tuple[float, ...]
    psnr: np.ndarray

    def at(self, samples: int, scale: float) -> float:
        """PSNR in dB, between the measured scales by interpolation."""
        row = self.psnr[self.counts.index(samples)]
        return float(np.interp(math.log(scale), np.log(self.scales), row))


@dataclass(frozen=True)
class DialPoint:
    """What the dial points to.

    scale:  of the edges, that the budget leaves
    """

    samples: int
    scale: float
    psnr: float

    @property
    def sentence(self) -> str:
        """For the panel."""
        percent = round(100 * self.scale)
        return f"S = {self.samples} at {percent} %: about {self.psnr:.1f} dB while moving"


def quality_of(scene: Scene) -> Quality | None:
    """What is known about a scene; None where it was never measured.

    A scene that is not in the table has its own PSNR by samples, and loses with its size what the
    scenes in the table lose on average.
    """
    table = json.loads(asset(TABLE).read_text(encoding="utf-8"))
    scales = tuple(table["scales"])
    known = table["scenes"].get(scene.metadata.sha256)
    if known is not None:
        return Quality(tuple(map(int, known)), scales, np.array(list(known.values())))
    stored = scene.metadata.quality.get("psnr")
    if not stored:
        return None
    full = np.array(list(stored.values()), np.float64)
    rows = [np.array(list(psnr.values())) for psnr in table["scenes"].values()]
    # A picture that is sharper to begin with has more to lose: as shares, not as differences.
    kept = np.mean([(row / row[:, -1:]).mean(0) for row in rows], axis=0)
    return Quality(tuple(map(int, stored)), scales, full[:, None] * kept)


def choose(
    quality: Quality,
    ms_of: Callable[[int], float],
    budget_ms: float,
    counts: tuple[int, ...],
    present: int | None = None,
) -> DialPoint:
    """The point of the front that a budget reaches.

    ms_of:    what a picture of full size takes with so many samples
    counts:   that are offered; at least one of them was measured
    present:  stays, unless another one is better by more than a trifle
    """
    points = []
    for samples in set(counts) & set(quality.counts):
        share = min(budget_ms / max(ms_of(samples), 1e-6), 1.0)
        scale = max(math.sqrt(share), quality.scales[0])
        points.append(DialPoint(samples, scale, quality.at(samples, scale)))
    best = max(points, key=lambda point: (point.psnr, -point.samples))
    kept = [point for point in points if point.samples == present]
    return kept[0] if kept and kept[0].psnr > best.psnr - WORTH_DB else best
