"""A picture of one size: its buffers, the work that fills them, and that work as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from donerf.backends.clock import StageClock
from donerf.backends.cuda.launch import (
    Picture,
    launch_place,
    launch_shade,
    place_tiling,
    shade_tiling,
)
from donerf.backends.cuda.packing import PackedOracle, PackedShading
from donerf.backends.cuda.view import SIZE, describe_view
from donerf.config import CompositingRule
from donerf.geometry.camera import Camera
from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.model.compositing import combs_of
from donerf.model.pipeline import Networks, render_rays
from donerf.model.placement import quantiles
from donerf.renderer import StageTimes


@dataclass(frozen=True)
class PictureKind:
    """What makes two pictures share their buffers.

    tile:  rays at once, at most
    """

    width: int
    height: int
    samples: int
    cell_index: int
    has_color: bool
    tile: int

    @property
    def pixels(self) -> int:
        """How many."""
        return self.width * self.height

    def tiles(self) -> Iterator[range]:
        """The pixels, in parts."""
        for start in range(0, self.pixels, self.tile):
            yield range(start, min(start + self.tile, self.pixels))


class FrameProgram(Protocol):
    """Buffers of a picture and what fills them, always the same work on the same memory.

    image:  (pixels, 4) uint8;  color: (pixels, 3) float16, or None
    """

    image: Tensor
    color: Tensor | None

    def look(self, camera: Camera, subpixel_offset: tuple[float, float]) -> None:
        """Say what the next `draw` sees."""
        ...

    def draw(self) -> StageClock:
        """Fill the picture."""
        ...


@dataclass(frozen=True)
class FusedCell:
    """A view cell whose networks the kernels serve."""

    cell: ViewCell
    oracle: PackedOracle
    shading: PackedShading
    rule: CompositingRule


class FusedFrame:
    """A picture by the two kernels."""

    def __init__(self, kind: PictureKind, cell: FusedCell, device: torch.device) -> None:
        self._kind, self._cell, self._device = kind, cell, device
        self.place_tiling = place_tiling(cell.oracle.shape)
        self.shade_tiling = shade_tiling(cell.shading.shape)
        self._view = torch.zeros(SIZE, device=device)
        self._depths = torch.empty(kind.samples * min(kind.tile, kind.pixels), device=device)
        pixels = torch.empty(kind.pixels, dtype=torch.int32, device=device)
        self.image = pixels.view(torch.uint8).view(-1, 4)
        self.color = _color(kind, device)
        self._picture = Picture(kind.width, pixels, self.color)

    def look(self, camera: Camera, subpixel_offset: tuple[float, float]) -> None:
        """Say what the next `draw` sees."""
        self._view.copy_(describe_view(camera, self._cell.cell, subpixel_offset))

    def draw(self) -> StageClock:
        """Fill the picture. Placement counts as the oracle's time, compositing as the shading's."""
        oracle, shading = self._cell.oracle, self._cell.shading
        clock = StageClock(self._device)
        for pixels in self._kind.tiles():
            clock.start()
            depths = self._depths[: self._kind.samples * len(pixels)].view(-1, len(pixels))
            launch_place(
                oracle,
                self._cell.rule,
                self._view,
                depths,
                self._kind.width,
                pixels,
                self.place_tiling,
            )
            clock.finished("oracle")
            launch_shade(
                shading,
                self._cell.rule,
                self._view,
                depths,
                self._picture,
                pixels,
                self.shade_tiling,
            )
            clock.finished("shading")
        return clock


class EagerFrame:
    """A picture by the plain pipeline, for networks or machines that the kernels do not serve."""

    def __init__(
        self, kind: PictureKind, cell: ViewCell, networks: Networks, device: torch.device
    ) -> None:
        self._kind, self._cell, self._networks, self._device = kind, cell, networks, device
        self._rays = Rays(*torch.zeros(2, kind.pixels, 3, device=device))
        self.image = torch.full((kind.pixels, 4), 255, dtype=torch.uint8, device=device)
        self.color = _color(kind, device)

    def look(self, camera: Camera, subpixel_offset: tuple[float, float]) -> None:
        """Say what the next `draw` sees."""
        rays = camera.rays(self._device, subpixel_offset=subpixel_offset)
        self._rays.origins.copy_(rays.origins)
        self._rays.directions.copy_(rays.directions)

    def draw(self) -> StageClock:
        """Fill the picture."""
        clock = StageClock(self._device)
        for pixels in self._kind.tiles():
            clock.start()
            part = slice(pixels.start, pixels.stop)
            combs = combs_of(self._kind.samples, self._networks.compositing)
            u = quantiles(len(pixels), self._kind.samples, self._device, combs)
            rendered = render_rays(
                self._rays[part], self._cell, self._networks, u, finished=clock.finished
            )
            color = rendered.composite.color
            self.image[part, :3] = color.mul(255).round_().to(torch.uint8)
            if self.color is not None:
                self.color[part] = color.half()
        return clock


class Recording:
    """A frame program that is replayed as one CUDA graph where that is possible."""

    def __init__(
        self, program: FrameProgram, device: torch.device, say: Callable[[str], None]
    ) -> None:
        """Run it twice, which compiles kernels and fills caches, then record it.

        Raises whatever the first run raises.
        """
        self.program = program
        self._graph: torch.cuda.CUDAGraph | None = None
        self._clock = program.draw()
        if device.type == "cuda":
            self._record(say)

    def play(self) -> StageTimes:
        """Draw a frame and wait for it."""
        if self._graph is None:
            self._clock = self.program.draw()
        else:
            self._graph.replay()
        return self._clock.times()

    def _record(self, say: Callable[[str], None]) -> None:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self.program.draw()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may use the GPU meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._clock = self.program.draw()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            say(f"frames are not recorded as CUDA graphs: {str(error).splitlines()[0]}")
            return
        self._graph = graph


def _color(kind: PictureKind, device: torch.device) -> Tensor | None:
    if not kind.has_color:
        return None
    return torch.empty(kind.pixels, 3, dtype=torch.float16, device=device)
