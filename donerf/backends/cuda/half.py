"""Which 16-bit numbers a scene's networks fit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.model.pipeline import Networks, render_rays
from donerf.model.placement import quantiles

_RAYS = 2048
_SAMPLES = 4
_MARGIN = 8
"""Rays that were not tried may reach this many times further."""


@torch.inference_mode()
def choose_half(cell: ViewCell, networks: Networks) -> torch.dtype:
    """float16, which is eight times finer than bfloat16, unless something may grow too large.

    Looks at the weights, a hash grid's features among them, and at what they make of rays from all
    over the cell.

    networks:  in fp32, both of them
    """
    weights = [layer.weight.abs().max() for layer in _linears(networks)]
    if networks.shading is not None and networks.shading.grid is not None:
        weights += [table.abs().max() for table in networks.shading.grid.tables]
    largest = float(torch.stack([*weights, *largest_outputs(cell, networks).values()]).max())
    fits = largest * _MARGIN < torch.finfo(torch.float16).max
    return torch.float16 if fits else torch.bfloat16


def largest_outputs(cell: ViewCell, networks: Networks) -> dict[nn.Linear, Tensor]:
    """The largest that each layer makes of rays from all over the cell, by its absolute value."""
    seen: dict[nn.Linear, Tensor] = {}

    def watch(layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[layer] = output.abs().max()

    hooks = [layer.register_forward_hook(watch) for layer in _linears(networks)]
    try:
        rays = _rays_from(cell, networks.oracle.output_layers()[0].weight.device)
        render_rays(rays, cell, networks, quantiles(_RAYS, _SAMPLES, rays.origins.device))
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _linears(networks: Networks) -> list[nn.Linear]:
    modules = [module for module in (networks.oracle, networks.shading) if module is not None]
    return [part for module in modules for part in module.modules() if isinstance(part, nn.Linear)]


def _rays_from(cell: ViewCell, device: torch.device) -> Rays:
    """Rays in all directions from everywhere in the cell, the same each time."""
    generator = torch.Generator().manual_seed(0)
    place = torch.rand(_RAYS, 3, generator=generator) - 0.5
    origins = torch.tensor(cell.center) + place * torch.tensor(cell.size)
    directions = nn.functional.normalize(torch.randn(_RAYS, 3, generator=generator), dim=-1)
    return Rays(origins, directions).to(device)
