"""A teacher: a better scene of the same cell, which colors rays that no camera took.

Pictures are few, and a small network that has learned their pixels still has to guess what is seen
from between the cameras. A larger one guesses better, and can be asked about as many rays as
there are steps. Wang et al., "R2L: Distilling Neural Radiance Field to Neural Light Field", 2022.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from donerf.geometry.depth import s_from_t
from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.model.compositing import Composite
from donerf.model.pipeline import render_rays
from donerf.model.placement import quantiles
from donerf.precision import DTYPES, Precision
from donerf.scene_file import Scene
from donerf.training.batches import Batch, RayBank

_TILE_SAMPLES = 65_536


class Teacher:
    """A trained scene, asked ray by ray."""

    def __init__(
        self, scene: Scene, cell: ViewCell, samples: int, device: torch.device, precision: Precision
    ) -> None:
        """Raises ValueError for a scene of another cell, or one without colors."""
        same = [part for part in scene.cells if part.cell == cell]
        if not same:
            raise ValueError(
                "a teacher must have the view cell, depth range and log scale of what it teaches, "
                f"{scene.path} has others; train one on the same data set and [cell] settings"
            )
        networks = same[0].networks
        if networks.shading is None:
            raise ValueError(
                f"a teacher must know colors, {scene.path} has no shading network yet; run "
                "`donerf train shader` for it first"
            )
        self.cell, self.samples, self.scene = cell, samples, scene
        self.networks = networks.copied_to(device, DTYPES[precision])

    @property
    def provenance(self) -> dict[str, Any]:
        """Which file it is and how long its own networks trained."""
        trainings = self.scene.metadata.provenance
        parts = [part for part in trainings.values() if isinstance(part, dict)]
        seconds = sum(part.get("seconds", 0.0) for part in parts)
        return {"sha256": self.scene.metadata.sha256, "seconds": round(seconds, 1)}

    def draw(self, rays: int, bank: RayBank, generator: torch.Generator) -> Batch:
        """Rays from anywhere in the cell, in directions that the training views look.

        Their depth is the one that the teacher sees.
        """
        pixels = torch.randint(len(bank), (rays,), device=bank.device, generator=generator)
        directions = bank.batch_of(pixels).rays.directions
        lower, upper = (
            directions.new_tensor(self.cell.lower),
            directions.new_tensor(self.cell.upper),
        )
        places = torch.rand(rays, 3, device=bank.device, generator=generator)
        asked = Rays(lower + places * (upper - lower), directions)
        colors, s = self.see(asked)
        return Batch(asked, colors, s, pixels, torch.zeros_like(s))

    def see(self, rays: Rays) -> tuple[Tensor, Tensor]:
        """Colors (R, 3) and normalized unified depth (R,) of rays in the cell, fp32."""
        tile = max(_TILE_SAMPLES // self.samples, 1)
        seen = [self._see(rays[slice(i, i + tile)]) for i in range(0, len(rays), tile)]
        t = torch.cat([part.depth for part in seen])
        s = s_from_t(t, self.cell.unified_range, self.cell.log_scale).clamp(0, 1)
        return torch.cat([part.color for part in seen]), s

    @torch.inference_mode()
    def _see(self, rays: Rays) -> Composite:
        device = rays.origins.device
        combs = self.networks.combs_of(self.samples)
        u = quantiles(len(rays), self.samples, device, combs)
        return render_rays(rays, self.cell, self.networks, u).composite
