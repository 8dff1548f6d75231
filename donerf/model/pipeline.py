"""The data flow of the method, each step by its name, in order. Read this first.

    rays -> unified ray space -> depth oracle -> sample distances -> warp + encode -> shading
    -> composite

Training and evaluation call it; faster backends keep its signature and are tested against it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from donerf.config import CompositingRule, OracleSettings
from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.geometry.warp import warp
from donerf.model.compositing import LONGEST_COMB, Composite, combs_of, composite
from donerf.model.oracle import DepthOracle
from donerf.model.placement import Samples, place_samples, true_bin_probs
from donerf.model.shading import DistanceShading, ShadingNetwork


@dataclass(frozen=True)
class Networks:
    """The two networks of a cell; a scene whose shading is not trained yet has only one.

    compositing:   the rule that gives the shading network's densities their meaning
    longest_comb:  samples that end one ray by it; more are several combs
    """

    oracle: DepthOracle
    shading: ShadingNetwork | None = None
    compositing: CompositingRule = "last-opaque"
    longest_comb: int = LONGEST_COMB

    @property
    def has_usual_combs(self) -> bool:
        """Whether samples are dealt as the compiled renderers do it."""
        return self.compositing == "published" or self.longest_comb == LONGEST_COMB

    def combs_of(self, samples: int) -> int:
        """Into how many combs the samples of a ray are dealt."""
        return combs_of(samples, self.compositing, self.longest_comb)

    def copied_to(self, device: torch.device, dtype: torch.dtype) -> Networks:
        """Copies on a device, their weights in a precision; the originals stay as they are."""
        oracle = copy.deepcopy(self.oracle).to(device, dtype)
        shading = copy.deepcopy(self.shading).to(device, dtype) if self.shading else None
        return replace(self, oracle=oracle, shading=shading)


@dataclass(frozen=True)
class RenderedRays:
    """Colors, and everything on the way to them.

    bin_probs:  (R, B);  samples: t (R, S);  rgb (R, S, 3) and density (R, S) raw
    """

    composite: Composite
    bin_probs: Tensor
    samples: Samples
    rgb: Tensor
    density: Tensor


Stage = Literal["oracle", "placement", "shading", "composite"]


def _no_clock(stage: Stage) -> None:
    """Times nothing."""


def expect_depth(unified: Rays, cell: ViewCell, oracle: DepthOracle) -> Tensor:
    """Where the oracle expects surfaces: (R, B) probabilities, in fp32."""
    return probs_from_logits(oracle(unified, cell), oracle.settings)


def probs_from_logits(logits: Tensor, settings: OracleSettings) -> Tensor:
    """The oracle's answer as (R, B) probabilities, in fp32."""
    answer = logits.float().sigmoid()
    return true_bin_probs(answer[:, 0], settings.bins) if settings.answer == "depth" else answer


def render_rays(
    rays: Rays,
    cell: ViewCell,
    networks: Networks,
    u: Tensor,
    bin_probs: Tensor | None = None,
    finished: Callable[[Stage], None] = _no_clock,
) -> RenderedRays:
    """Color each ray from a few samples, placed where the oracle expects a surface.

    A scene whose shading network is not trained yet shows the distance that its oracle expects.
    The oracle that is asked here gets no gradient; bin_probs that are given do.

    u:          (R, S) quantiles of the depth distribution that get a sample
    bin_probs:  (R, B) to use in the oracle's place (uniform, or the true depth)
    finished:   called with each stage's name when it is done: oracle, placement, shading,
                composite
    """
    shading = networks.shading or DistanceShading()
    unified = cell.unify(rays)  # same line, same question
    if bin_probs is None:
        with torch.no_grad():
            bin_probs = expect_depth(unified, cell, networks.oracle)
    finished("oracle")
    samples = place_samples(bin_probs, u, cell)
    finished("placement")
    points = warp(unified.at(samples.t), cell)
    rgb, density = shading(points, unified.directions)  # encodes both
    finished("shading")
    colors = composite(rgb, density, samples, networks.compositing, networks.longest_comb)
    finished("composite")
    return RenderedRays(colors, bin_probs, samples, rgb, density)
