"""NeRF behind the Renderer interface: it can be flown through and measured as ours can."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor

from donerf.geometry.camera import Camera
from donerf.geometry.depth import t_from_s
from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.memory import keep_freed_memory
from donerf.model.compositing import density_from_raw
from donerf.model.nerf import NerfNetworks, NerfRays, render_nerf_rays
from donerf.precision import DTYPES, Precision, choose_device, choose_precision, device_name
from donerf.renderer import (
    Frame,
    Output,
    RayProbe,
    RendererInfo,
    RenderOptions,
    StageTimes,
)
from donerf.scene_file import Scene

_TILE_EVALUATIONS = {"cpu": 1 << 16, "cuda": 1 << 21}
"""Few enough on a CPU to answer a cancel soon."""


class NerfRenderer:
    """Renders with both networks, in fp32 or bf16 products. A ray costs always the same."""

    def __init__(self, scene: Scene, device: str = "auto", precision: str = "auto") -> None:
        self._device = choose_device(device)
        if self._device.type == "cpu":
            keep_freed_memory()
        width = _networks_of(scene)[0][1].settings.width
        self._precision: Precision = choose_precision(precision, self._device, width)
        self._cells: list[tuple[ViewCell, NerfNetworks]] = []
        self._evaluations = 0
        self.load(scene)

    @property
    def info(self) -> RendererInfo:
        """What this renderer is and can do; nobody places its samples but itself."""
        return RendererInfo(
            backend="nerf",
            device=self._device.type,
            device_name=device_name(self._device),
            precision=self._precision,
            outputs=frozenset(_OUTPUTS),
            sample_counts=(self._evaluations,),
            placements=(),
        )

    def load(self, scene: Scene) -> None:
        """Show another scene, or newer weights of the same one."""
        dtype = DTYPES[self._precision]
        self._cells = [
            (cell, copy.deepcopy(networks).to(self._device, dtype))
            for cell, networks in _networks_of(scene)
        ]
        self._evaluations = self._cells[0][1].evaluations

    def close(self) -> None:
        """Free the networks."""
        self._cells = []

    @torch.inference_mode()
    def render(
        self,
        camera: Camera,
        options: RenderOptions,
        cancelled: Callable[[], bool] | None = None,
    ) -> Frame | None:
        """Render one frame, tile by tile; None when `cancelled` said so between two tiles."""
        began = time.perf_counter()
        cell, networks = self._cells[options.cell_index]
        rays = camera.rays(self._device, subpixel_offset=options.subpixel_offset)
        shape = (camera.intrinsics.height, camera.intrinsics.width)
        image = torch.full((len(rays), 4), 255, dtype=torch.uint8, device=self._device)
        tiles: dict[Output, list[Tensor]] = {o: [] for o in options.outputs if o in _OUTPUTS}
        tile = max(_TILE_EVALUATIONS[self._device.type] // networks.evaluations, 1)
        for start in range(0, len(rays), tile):
            if cancelled is not None and cancelled():
                return None
            part = slice(start, start + tile)
            rendered = render_nerf_rays(rays[part], cell, networks)
            image[part, :3] = rendered.fine.color.mul(255).round_().to(torch.uint8)
            for output, values in tiles.items():
                values.append(_OUTPUTS[output](rendered, rays[part], cell))
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # sync: the frame's time is read.
        pixels = {output: torch.cat(values).unflatten(0, shape) for output, values in tiles.items()}
        return Frame(
            image=image.unflatten(0, shape),
            times=StageTimes(total_ms=(time.perf_counter() - began) * 1000),
            mean_samples=float(networks.evaluations),
            oracle_share=0.0,
            color=pixels.get(Output.COLOR),
            depth=pixels.get(Output.DEPTH),
            opacity=pixels.get(Output.OPACITY),
        )

    @torch.inference_mode()
    def probe(self, camera: Camera, pixel: tuple[int, int], options: RenderOptions) -> RayProbe:
        """Look at the ray of one pixel; the coarse network's weights stand for the oracle."""
        cell, networks = self._cells[options.cell_index]
        rays = camera.pixel_ray(*pixel).to(self._device)
        rendered = render_nerf_rays(rays, cell, networks)
        bins = networks.settings.coarse_samples
        edges = torch.arange(bins + 1, device=self._device) / bins
        exit_t = cell.exit_distance(rays)
        return RayProbe(
            bin_probs=rendered.coarse.weights[0],
            bin_edges=t_from_s(edges, cell.unified_range, cell.log_scale) + exit_t,
            t=rendered.samples.t[0] + exit_t,
            rgb=rendered.rgb[0].float().sigmoid(),
            density=density_from_raw(rendered.density[0].float(), "published"),
            weights=rendered.fine.weights[0],
            color=rendered.fine.color[0],
            opacity=float(rendered.fine.opacity[0]),
        )


def _networks_of(scene: Scene) -> list[tuple[ViewCell, NerfNetworks]]:
    found = [(c.cell, c.model) for c in scene.cells if isinstance(c.model, NerfNetworks)]
    if len(found) != len(scene.cells):
        raise ValueError(f"this renderer shows NeRFs alone, {scene.name} is none; open it anew")
    return [(cell, model) for cell, model in found]


def _depth(rendered: NerfRays, rays: Rays, cell: ViewCell) -> Tensor:
    return rendered.fine.depth + cell.exit_distance(rays)


_OUTPUTS: dict[Output, Callable[[NerfRays, Rays, ViewCell], Tensor]] = {
    Output.COLOR: lambda rendered, rays, cell: rendered.fine.color.half(),
    Output.DEPTH: _depth,
    Output.OPACITY: lambda rendered, rays, cell: rendered.fine.opacity,
}
