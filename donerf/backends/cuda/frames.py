"""A picture of one size: its buffers, the work that fills them, and that work as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from donerf.backends.clock import StageClock
from donerf.backends.cuda.launch import (
    Depths,
    Picture,
    Pixels,
    Rule,
    launch_place,
    launch_shade,
    place_tiling,
    shade_tiling,
)
from donerf.backends.cuda.packing import PackedOracle, PackedShading
from donerf.backends.cuda.sharing import Blocks, listed, longest_first, sources
from donerf.backends.cuda.view import SIZE, describe_view
from donerf.backends.sample_counts import SampleCounts
from donerf.geometry.camera import Camera
from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
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
    is_adaptive: bool
    is_shared: bool
    tile: int

    @property
    def pixels(self) -> int:
        """How many."""
        return self.width * self.height

    def tiles(self) -> Iterator[range]:
        """The pixels, in parts."""
        for start in range(0, self.pixels, self.tile):
            yield range(start, min(start + self.tile, self.pixels))


@dataclass(frozen=True)
class Work:
    """How much of it there was; for a frame as a whole.

    mean_samples:  shaded per ray
    oracle_share:  questions to the oracle per ray
    """

    mean_samples: float
    oracle_share: float = 1.0


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

    def work(self) -> Work:
        """What the last `draw` did; the picture is there when it is asked."""
        ...


@dataclass(frozen=True)
class FusedCell:
    """A view cell whose networks the kernels serve."""

    cell: ViewCell
    oracle: PackedOracle
    shading: PackedShading


class FusedFrame:
    """A picture by the two kernels: every pixel asks the oracle, all get as many samples."""

    def __init__(self, kind: PictureKind, cell: FusedCell, device: torch.device) -> None:
        self._kind, self._cell, self._device = kind, cell, device
        self.place_tiling = place_tiling(cell.oracle.shape)
        self.shade_tiling = shade_tiling(cell.shading)
        self._view = torch.zeros(SIZE, device=device)
        pixels = torch.empty(kind.pixels, dtype=torch.int32, device=device)
        self.image = pixels.view(torch.uint8).view(-1, 4)
        self.color = _color(kind, device)
        self._picture = Picture(kind.width, pixels, self.color)
        self._depths = self._answers()

    def look(self, camera: Camera, subpixel_offset: tuple[float, float]) -> None:
        """Say what the next `draw` sees."""
        self._view.copy_(describe_view(camera, self._cell.cell, subpixel_offset))

    def draw(self) -> StageClock:
        """Fill the picture. Placement counts as the oracle's time, compositing as the shading's."""
        clock = StageClock(self._device)
        for pixels in self._kind.tiles():
            clock.start()
            depths = self._place(pixels)
            clock.finished("oracle")
            self._shade(pixels, depths)
            clock.finished("shading")
        return clock

    def work(self) -> Work:
        """All of it."""
        return Work(self._kind.samples)

    def _answers(self) -> Depths:
        counts = SampleCounts.exactly(self._kind.samples, self._cell.shading.shape.rule)
        tile = min(self._kind.tile, self._kind.pixels)
        return Depths.of(Rule.of(counts, self._device), tile, self._device)

    def _place(self, pixels: range) -> Depths:
        self._ask(Pixels(pixels, self._kind.width), self._depths)
        return self._depths

    def _ask(self, pixels: Pixels, depths: Depths) -> None:
        launch_place(self._cell.oracle, self._view, pixels, depths, self.place_tiling)

    def _shade(self, pixels: range, depths: Depths) -> None:
        shading, picture = self._cell.shading, self._picture
        launch_shade(shading, self._view, pixels, depths, picture, self.shade_tiling)


class SparingFrame(FusedFrame):
    """The same with less work: answers of the oracle are shared, or samples given by need.

    The whole picture is one tile.
    """

    def __init__(self, kind: PictureKind, cell: FusedCell, device: torch.device) -> None:
        assert kind.tile >= kind.pixels
        self._blocks = Blocks.of(kind.width, kind.height, device) if kind.is_shared else None
        super().__init__(kind, cell, device)
        self._questions = torch.zeros((), device=device)
        self._shaded = torch.zeros((), device=device)

    def work(self) -> Work:
        """How many questions and samples there were."""
        # sync: the frame is over when this is asked.
        questions, samples = torch.stack((self._questions, self._shaded)).tolist()
        return Work(samples / self._kind.pixels, questions / self._kind.pixels)

    def _answers(self) -> Depths:
        kind, rule = self._kind, self._cell.shading.shape.rule
        counts = SampleCounts.exactly(kind.samples, rule)
        if kind.is_adaptive:
            counts = SampleCounts.adaptive(kind.samples, rule, self._cell.oracle.shape.bins)
        blocks = self._blocks.count if self._blocks else 0
        rule = Rule.of(counts, self._device)
        return Depths.of(rule, blocks + kind.pixels, self._device, blocks)

    def _place(self, pixels: range) -> Depths:
        depths = self._depths
        if self._blocks is None:
            self._ask(Pixels(pixels, self._kind.width), depths)
            self._questions.fill_(len(pixels))
        else:
            depths = self._place_by_blocks(self._blocks, pixels)
        if depths.rule.table is None:
            self._shaded.fill_(self._kind.samples * len(pixels))
            return depths
        counts = depths.counts[: len(pixels)]
        if depths.sources is not None:
            counts = depths.counts[depths.sources]
        self._shaded.copy_(counts.sum())
        return replace(depths, order=longest_first(counts))

    def _place_by_blocks(self, blocks: Blocks, pixels: range) -> Depths:
        """One answer for 2x2 pixels where depth goes on evenly around them."""
        bins = self._cell.oracle.shape.bins
        every = Pixels(range(blocks.count), blocks.columns, is_blocks=True)
        self._ask(every, self._depths)
        landmarks = self._depths.landmarks
        alone = blocks.alone(landmarks, bins)
        wanted = listed(alone)
        own = self._depths.columns(blocks.count, blocks.count + len(pixels))
        self._ask(Pixels(pixels, self._kind.width, wanted), own)
        self._questions.copy_(wanted[0] + blocks.count)
        moves = blocks.moves(landmarks, alone)
        return replace(self._depths, sources=sources(blocks, alone), moves=moves)


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
            combs = self._networks.combs_of(self._kind.samples)
            u = quantiles(len(pixels), self._kind.samples, self._device, combs)
            rendered = render_rays(
                self._rays[part], self._cell, self._networks, u, finished=clock.finished
            )
            color = rendered.composite.color
            self.image[part, :3] = color.mul(255).round_().to(torch.uint8)
            if self.color is not None:
                self.color[part] = color.half()
        return clock

    def work(self) -> Work:
        """All of it."""
        return Work(self._kind.samples)


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
