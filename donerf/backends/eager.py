"""The pipeline in plain PyTorch, tile by tile, on a CPU or a CUDA GPU."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from donerf.backends.clock import StageClock
from donerf.geometry.camera import Camera
from donerf.geometry.depth import s_from_t, t_from_s
from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.memory import keep_freed_memory
from donerf.model.compositing import density_from_raw
from donerf.model.pipeline import Networks, RenderedRays, render_rays
from donerf.model.placement import place_samples, quantiles, true_bin_probs, uniform_probs
from donerf.precision import DTYPES, Precision, choose_device, choose_precision, device_name
from donerf.renderer import (
    PLACEMENTS,
    Frame,
    Output,
    RayProbe,
    RendererInfo,
    RenderOptions,
)
from donerf.scene_file import Scene

_CPU_TILE_SAMPLES = 65_536
"""Samples shaded at once on a CPU: few enough to answer a cancel soon, many enough for threads."""
_CPU_TILE_RAYS = 16_384
_GPU_TILE_SAMPLES = 1 << 20
_GPU_TILE_RAYS = 1 << 18


class EagerRenderer:
    """Renders with the networks as they are, in fp32 or bf16 products."""

    def __init__(self, scene: Scene, device: str = "auto", precision: str = "auto") -> None:
        self._device = choose_device(device)
        if self._device.type == "cpu":
            keep_freed_memory()
        oracle = scene.cells[0].networks.oracle
        self._precision: Precision = choose_precision(
            precision, self._device, oracle.settings.width
        )
        self._cells: list[tuple[ViewCell, Networks]] = []
        self.load(scene)

    @property
    def info(self) -> RendererInfo:
        """What this renderer is and can do."""
        return RendererInfo(
            backend="eager",
            device=self._device.type,
            device_name=device_name(self._device),
            precision=self._precision,
            outputs=frozenset(Output),
            sample_counts=None,
            placements=PLACEMENTS,
        )

    def load(self, scene: Scene) -> None:
        """Show another scene, or newer weights of the same one."""
        self._cells = [
            (c.cell, c.networks.copied_to(self._device, DTYPES[self._precision]))
            for c in scene.cells
        ]

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
        clock = StageClock(self._device)
        rays = camera.rays(self._device, subpixel_offset=options.subpixel_offset)
        shape = (camera.intrinsics.height, camera.intrinsics.width)
        image = torch.full((len(rays), 4), 255, dtype=torch.uint8, device=self._device)
        pixels: dict[Output, Tensor] = {}
        tile = self._tile_rays(options.samples)
        for start in range(0, len(rays), tile):
            if cancelled is not None and cancelled():
                return None
            part = slice(start, min(start + tile, len(rays)))
            rendered = self._render_tile(rays[part], part, shape, options, clock)
            image[part, :3] = rendered.composite.color.mul(255).round_().to(torch.uint8)
            for output in options.outputs:
                values = _OUTPUTS[output](rendered, rays[part], self._cells[options.cell_index][0])
                if output not in pixels:
                    pixels[output] = values.new_empty(len(rays), *values.shape[1:])
                pixels[output][part] = values
        images = {output: values.unflatten(0, shape) for output, values in pixels.items()}
        return Frame(
            image=image.unflatten(0, shape),
            times=clock.times(),
            mean_samples=float(options.samples),
            color=images.get(Output.COLOR),
            depth=images.get(Output.DEPTH),
            oracle_depth=images.get(Output.ORACLE_DEPTH),
            opacity=images.get(Output.OPACITY),
            sample_count=images.get(Output.SAMPLE_COUNT),
            entropy=images.get(Output.ENTROPY),
            sample_places=images.get(Output.SAMPLE_PLACES),
            density_opacity=images.get(Output.DENSITY_OPACITY),
        )

    @torch.inference_mode()
    def probe(self, camera: Camera, pixel: tuple[int, int], options: RenderOptions) -> RayProbe:
        """Look at the ray of one pixel (column, row)."""
        cell, networks = self._cells[options.cell_index]
        rays = camera.pixel_ray(*pixel).to(self._device)
        k = camera.intrinsics
        start = pixel[1] * k.width + pixel[0]
        rendered = self._render_tile(
            rays, slice(start, start + 1), (k.height, k.width), options, StageClock(self._device)
        )
        bins = rendered.bin_probs.shape[-1]
        exit_t = cell.exit_distance(rays)
        edges = torch.arange(bins + 1, device=self._device) / bins
        return RayProbe(
            bin_probs=rendered.bin_probs[0],
            bin_edges=t_from_s(edges, cell.unified_range, cell.log_scale) + exit_t,
            t=rendered.samples.t[0] + exit_t,
            rgb=rendered.rgb[0].float().sigmoid(),
            density=density_from_raw(rendered.density[0].float(), networks.compositing),
            weights=rendered.composite.weights[0],
            color=rendered.composite.color[0],
            opacity=float(rendered.composite.opacity[0]),
        )

    def _render_tile(
        self,
        rays: Rays,
        part: slice,
        shape: tuple[int, int],
        options: RenderOptions,
        clock: StageClock,
    ) -> RenderedRays:
        """The pipeline over some of a frame's rays; `part` says which, `shape` is (H, W)."""
        cell, networks = self._cells[options.cell_index]
        clock.start()
        return render_rays(
            rays,
            cell,
            networks,
            self._quantiles(len(rays), options),
            self._given_probs(rays, part, shape, options),
            clock.finished,
        )

    def _quantiles(self, rays: int, options: RenderOptions) -> Tensor:
        """Of each ray's distribution, where its samples go; (R, S)."""
        _, networks = self._cells[options.cell_index]
        combs = networks.combs_of(options.samples)
        return quantiles(rays, options.samples, self._device, combs)

    def _given_probs(
        self, rays: Rays, part: slice, shape: tuple[int, int], options: RenderOptions
    ) -> Tensor | None:
        """The distribution to use in the oracle's place, (R, B); None asks the oracle."""
        cell, networks = self._cells[options.cell_index]
        bins = networks.oracle.settings.bins
        if options.placement == "uniform":
            return uniform_probs(len(rays), bins, self._device)
        if options.true_distance is None:
            return None
        if options.true_distance.shape != shape:
            raise ValueError(
                f"true_distance must have the picture's size {shape[1]}x{shape[0]}, got "
                f"{tuple(options.true_distance.shape)} (rows, columns)"
            )
        distance = options.true_distance.flatten()[part].to(self._device)
        t = distance - cell.exit_distance(rays)
        s = s_from_t(t, cell.unified_range, cell.log_scale)
        return true_bin_probs(torch.where(distance.isfinite(), s, 1.0), bins)

    def _tile_rays(self, samples: int) -> int:
        """Rays that are rendered at once."""
        if self._device.type == "cuda":
            return min(max(_GPU_TILE_SAMPLES // samples, 1), _GPU_TILE_RAYS)
        return min(max(_CPU_TILE_SAMPLES // samples, 1), _CPU_TILE_RAYS)


def _depth(rendered: RenderedRays, rays: Rays, cell: ViewCell) -> Tensor:
    return rendered.composite.depth + cell.exit_distance(rays)


def _oracle_depth(rendered: RenderedRays, rays: Rays, cell: ViewCell) -> Tensor:
    middle = place_samples(rendered.bin_probs, quantiles(len(rays), 1, rays.origins.device), cell)
    return middle.t[:, 0] + cell.exit_distance(rays)


def _entropy(rendered: RenderedRays, rays: Rays, cell: ViewCell) -> Tensor:
    probs = rendered.bin_probs.float() + 1e-5
    probs = probs / probs.sum(-1, keepdim=True)
    return -(probs * probs.log()).sum(-1) / math.log(probs.shape[-1])


def _sample_count(rendered: RenderedRays, rays: Rays, cell: ViewCell) -> Tensor:
    samples = rendered.samples
    if samples.is_used is not None:
        return samples.is_used.sum(-1).to(torch.int16)
    return torch.full((len(rays),), samples.t.shape[-1], dtype=torch.int16, device=samples.t.device)


def _sample_places(rendered: RenderedRays, rays: Rays, cell: ViewCell) -> Tensor:
    s, is_used = rendered.samples.s, rendered.samples.is_used
    if is_used is None:
        return torch.stack((s.mean(-1), s[:, -1] - s[:, 0]), dim=-1)
    count = is_used.sum(-1).clamp_min(1)
    first, last = s.where(is_used, 1.0).amin(-1), s.where(is_used, 0.0).amax(-1)
    mean = (s * is_used).sum(-1) / count
    return torch.stack((mean, (last - first).clamp_min(0)), dim=-1)


_OUTPUTS: dict[Output, Callable[[RenderedRays, Rays, ViewCell], Tensor]] = {
    Output.COLOR: lambda rendered, rays, cell: rendered.composite.color.half(),
    Output.DEPTH: _depth,
    Output.ORACLE_DEPTH: _oracle_depth,
    Output.OPACITY: lambda rendered, rays, cell: rendered.composite.opacity,
    Output.SAMPLE_COUNT: _sample_count,
    Output.ENTROPY: _entropy,
    Output.SAMPLE_PLACES: _sample_places,
    Output.DENSITY_OPACITY: lambda rendered, rays, cell: rendered.composite.weights[:, :-1].sum(-1),
}
