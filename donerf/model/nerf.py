"""NeRF, the baseline: two networks find out by themselves where a ray's color comes from.

    rays -> even samples -> coarse network -> weights -> more samples -> fine network -> composite

The coarse network stands where our oracle stands, and answers 64 questions a ray instead of one.
Rays, depth axis and warp are the view cell's, so that NeRF with log depth and warp is a setting.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from donerf.config import NerfSettings, ShadingSettings
from donerf.geometry.depth import t_from_s
from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.geometry.warp import warp
from donerf.model.compositing import Composite, composite
from donerf.model.placement import Samples, jittered_quantiles, place_samples, quantiles
from donerf.model.shading import ShadingNetwork


class NerfNetworks(nn.Module):
    """The coarse and the fine network, of one shape."""

    def __init__(self, settings: NerfSettings) -> None:
        super().__init__()
        self.settings = settings
        shape = ShadingSettings(
            shape="nerf",
            layers=settings.layers,
            width=settings.width,
            position_frequencies=settings.position_frequencies,
            direction_frequencies=settings.direction_frequencies,
        )
        self.coarse, self.fine = ShadingNetwork(shape), ShadingNetwork(shape)

    @property
    def evaluations(self) -> int:
        """Questions to a network per ray: the fine one is asked for the coarse samples too."""
        return 2 * self.settings.coarse_samples + self.settings.fine_samples

    def output_layers(self) -> list[nn.Linear]:
        """The layers that make the outputs."""
        return self.coarse.output_layers() + self.fine.output_layers()


@dataclass(frozen=True)
class NerfRays:
    """What a ray sees, by both networks; rgb (R, S, 3) and density (R, S) raw, of the fine one."""

    coarse: Composite
    fine: Composite
    samples: Samples
    rgb: Tensor
    density: Tensor


def render_nerf_rays(
    rays: Rays, cell: ViewCell, networks: NerfNetworks, generator: torch.Generator | None = None
) -> NerfRays:
    """Color each ray by samples all along it.

    generator:  moves each sample within its stratum, in training; None: all in the middle
    """
    settings, device = networks.settings, rays.origins.device
    unified = cell.unify(rays)
    s = _strata(len(rays), settings.coarse_samples, device, generator)
    even = Samples(t_from_s(s, cell.unified_range, cell.log_scale), s)
    coarse, _, _ = _shade(unified, even, cell, networks.coarse)
    count = settings.fine_samples
    u = quantiles(len(rays), count, device)
    if generator is not None:
        u = jittered_quantiles(len(rays), count, 1.0, generator)
    more = place_samples(coarse.weights.detach(), u, cell)
    s = torch.cat((even.s, more.s), dim=-1).sort(dim=-1).values
    samples = Samples(t_from_s(s, cell.unified_range, cell.log_scale), s)
    fine, rgb, density = _shade(unified, samples, cell, networks.fine)
    return NerfRays(coarse, fine, samples, rgb, density)


def _strata(
    rays: int, count: int, device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """One place in each of equal intervals of normalized depth; (R, S)."""
    places = torch.arange(count, device=device).expand(rays, -1)
    if generator is None:
        return (places + 0.5) / count
    return (places + torch.rand(rays, count, device=device, generator=generator)) / count


def _shade(
    unified: Rays, samples: Samples, cell: ViewCell, network: ShadingNetwork
) -> tuple[Composite, Tensor, Tensor]:
    """The composite, and the raw colors and densities; by the rule that NeRF published."""
    rgb, density = network(warp(unified.at(samples.t), cell), unified.directions)
    return composite(rgb, density, samples, "published"), rgb, density
