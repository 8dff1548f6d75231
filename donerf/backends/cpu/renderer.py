"""The renderer of the fast CPU path: tiles of pixels, shared out among threads."""

from __future__ import annotations

import math
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, get_args

import numpy as np
import torch

from donerf.backends.cpu.compositing import write_pixels
from donerf.backends.cpu.packing import PackedCell, packed, why_not_served
from donerf.backends.cpu.rays import camera_numbers
from donerf.backends.cpu.sampling import Blocks, SampleCounts
from donerf.backends.cpu.tile import (
    RenderedTile,
    Scratch,
    Tile,
    TileTask,
    ask_blocks,
    render_tile,
)
from donerf.backends.eager import EagerRenderer
from donerf.geometry.camera import Camera
from donerf.memory import keep_freed_memory
from donerf.model.pipeline import Stage
from donerf.precision import DTYPES, Precision, choose_precision
from donerf.renderer import (
    PLACEMENTS,
    Frame,
    Output,
    RayProbe,
    RendererInfo,
    RenderOptions,
    StageTimes,
)
from donerf.scene_file import Scene

_TILES_PER_THREAD = 4
_TILE_SAMPLES = 1 << 17
_SMALLEST_TILE, _LARGEST_TILE = 32, 128
"""Pixels a side: large enough that a tile's edges and calls cost little, small enough that a cancel
is answered soon."""
_BAND_BLOCKS = 1 << 13
"""Blocks that ask the oracle before their thread looks whether it is still wanted."""
_START_SECONDS = 60.0
"""After which threads that do not start are given up."""
_SERVED = frozenset({Output.COLOR, Output.DEPTH, Output.SAMPLE_COUNT})
"""Outputs of the compiled path; a frame with others is rendered by the eager renderer."""
Part = TypeVar("Part")


class CpuRenderer:
    """Renders on all cores, a tile a thread. What is rarely asked for goes the eager way."""

    def __init__(self, scene: Scene, precision: str = "auto") -> None:
        keep_freed_memory()
        width = scene.cells[0].networks.oracle.settings.width
        self._precision: Precision = choose_precision(precision, torch.device("cpu"), width)
        self._threads = torch.get_num_threads()
        self._pool, self._process = _one_thread_each(self._threads), os.getpid()
        self._scratch = threading.local()
        self._eager: EagerRenderer | None = None
        self.load(scene)

    @property
    def info(self) -> RendererInfo:
        """What this renderer is and can do."""
        return RendererInfo(
            backend="cpu" if any(self._cells) else "eager",
            device="cpu",
            device_name=platform.machine(),
            precision=self._precision,
            outputs=frozenset(Output),
            sample_counts=None,
            placements=PLACEMENTS,
            can_adapt=any(self._cells),
        )

    def load(self, scene: Scene) -> None:
        """Show another scene, or newer weights of the same one.

        Cells whose networks have no compiled path are rendered by the eager renderer.
        """
        dtype = DTYPES[self._precision]
        cells = [
            None if why_not_served(c.cell, c.networks) else packed(c.cell, c.networks, dtype)
            for c in scene.cells
        ]
        if self._eager is not None:
            self._eager.load(scene)
        self._cells: list[PackedCell | None] = cells
        self._scene: Scene | None = scene

    def close(self) -> None:
        """Free the networks and end the threads."""
        self._cells = []
        self._scene = None
        self._pool.shutdown()
        if self._eager is not None:
            self._eager.close()
            self._eager = None

    def probe(self, camera: Camera, pixel: tuple[int, int], options: RenderOptions) -> RayProbe:
        """Look at the ray of one pixel (column, row)."""
        return self._eager_renderer().probe(camera, pixel, options)

    def render(
        self,
        camera: Camera,
        options: RenderOptions,
        cancelled: Callable[[], bool] | None = None,
    ) -> Frame | None:
        """Render one frame, tile by tile; None when `cancelled` said so between two tiles."""
        assert self._scene is not None, "this renderer is closed"
        cell = self._cells[options.cell_index]
        if cell is None or options.placement != "oracle" or not options.outputs <= _SERVED:
            return self._eager_renderer().render(camera, options, cancelled)
        began = time.perf_counter()
        work = _FrameWork(camera, options, cell, cancelled, self._threads)
        clocks: list[_StageClock] = []
        try:
            # All blocks have their answers before the first tile looks at those around it.
            for part in (self._ask_blocks, self._render_tiles):
                clocks += self._tile_pool().map(part, [work] * self._threads)
        except BaseException:
            work.stop()  # So that the other threads do not go on with a frame that nobody gets.
            raise
        if work.is_stopped:
            return None
        return work.frame(_stage_times(clocks, self._threads, time.perf_counter() - began))

    def _tile_pool(self) -> ThreadPoolExecutor:
        """The threads; after a fork new ones, since a child process has none of its parent's."""
        if self._process != os.getpid():
            self._pool, self._process = _one_thread_each(self._threads), os.getpid()
        return self._pool

    def _my_scratch(self) -> Scratch:
        """The memory of the thread that asks."""
        if not hasattr(self._scratch, "mine"):
            self._scratch.mine = Scratch()
        return self._scratch.mine

    @torch.inference_mode()
    def _ask_blocks(self, work: _FrameWork) -> _StageClock:
        """Ask the oracle about blocks until all have answers; runs in each thread."""
        clock, blocks = _StageClock(), work.task.blocks
        if blocks is not None:
            for band in work.bands():
                clock.start()
                ask_blocks(work.task, blocks, band, self._my_scratch(), clock.finished)
        return clock

    @torch.inference_mode()
    def _render_tiles(self, work: _FrameWork) -> _StageClock:
        """Render tiles until none is left; runs in each thread."""
        clock = _StageClock()
        for tile in work.tiles():
            clock.start()
            rendered = render_tile(work.task, tile, self._my_scratch(), clock.finished)
            work.keep(tile, rendered)
            clock.finished("composite")
        return clock

    def _eager_renderer(self) -> EagerRenderer:
        if self._eager is None:
            assert self._scene is not None, "this renderer is closed"
            self._eager = EagerRenderer(self._scene, "cpu", self._precision)
        return self._eager


class _FrameWork:
    """A frame while threads render it."""

    def __init__(
        self,
        camera: Camera,
        options: RenderOptions,
        cell: PackedCell,
        cancelled: Callable[[], bool] | None,
        threads: int,
    ) -> None:
        size = (camera.intrinsics.height, camera.intrinsics.width)
        counts = (
            SampleCounts.adaptive(options.samples, cell.compositing, cell.bins)
            if options.adaptive
            else SampleCounts.exactly(options.samples, cell.compositing)
        )
        blocks = Blocks.empty(counts, size[1], size[0]) if options.shared_oracle else None
        numbers = camera_numbers(camera, cell.cell, options.subpixel_offset)
        self.task = TileTask(cell, numbers, counts, blocks)
        self.is_stopped = False
        self._outputs = options.outputs
        self._image = torch.empty(*size, 4, dtype=torch.uint8)
        # Color, distance and count, for frames that are more than an image.
        self._planes = torch.empty(5, *size) if options.outputs else None
        self._shaded = 0
        rows, columns = (0, 1) if blocks is None else blocks.landmarks.shape[1:]
        self._asked = rows * columns
        self._bands = iter(bands_of(rows, columns, threads) if rows else [])
        self._tiles = iter(tiles_of(*size, threads, int(counts.counts[-1])))
        self._cancelled = cancelled
        self._lock = threading.Lock()

    def bands(self) -> Iterator[slice]:
        """Rows of blocks for one thread, until none are left or the frame is stopped."""
        return self._handed_out(self._bands)

    def tiles(self) -> Iterator[Tile]:
        """Tiles for one thread, until none is left or the frame is stopped."""
        return self._handed_out(self._tiles)

    def _handed_out(self, waiting: Iterator[Part]) -> Iterator[Part]:
        while True:
            with self._lock:
                if self._cancelled is not None and self._cancelled():
                    self.is_stopped = True
                part = None if self.is_stopped else next(waiting, None)
            if part is None:
                return
            yield part

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._lock:
            self.is_stopped = True

    def keep(self, tile: Tile, rendered: RenderedTile) -> None:
        """Put a tile into the frame; no two threads have the same one."""
        left, top, width, height = tile
        write_pixels(rendered.pixels, tile, self._image.numpy())
        if self._planes is not None:
            planes = np.concatenate((rendered.pixels[:4], rendered.count[None]), dtype=np.float32)
            self._planes[:, top : top + height, left : left + width] = torch.from_numpy(
                planes.reshape(5, height, width)
            )
        with self._lock:
            self._shaded += int(rendered.count.sum())
            self._asked += rendered.asked

    def frame(self, times: StageTimes) -> Frame:
        """The finished frame."""
        height, width = self._image.shape[:2]
        color = depth = count = None
        if self._planes is not None:
            color, depth = self._planes[:3].permute(1, 2, 0).half(), self._planes[3]
            count = self._planes[4].to(torch.int16)
        return Frame(
            image=self._image,
            times=times,
            mean_samples=self._shaded / (height * width),
            oracle_share=self._asked / (height * width),
            color=color if Output.COLOR in self._outputs else None,
            depth=depth if Output.DEPTH in self._outputs else None,
            sample_count=count if Output.SAMPLE_COUNT in self._outputs else None,
        )


def tiles_of(height: int, width: int, threads: int, samples: int) -> list[Tile]:
    """A picture in tiles, several a thread, so that no thread waits long for the last one.

    samples:  of a ray at most
    """
    side = math.sqrt(height * width / (threads * _TILES_PER_THREAD))
    most = min(_LARGEST_TILE, math.sqrt(_TILE_SAMPLES / samples))
    side = max(2 * int(min(max(side, _SMALLEST_TILE), most) / 2), 2)
    tile_width, tile_height = _even_share(width, side), _even_share(height, side)
    return [
        (left, top, min(tile_width, width - left), min(tile_height, height - top))
        for top in range(0, height, tile_height)
        for left in range(0, width, tile_width)
    ]


def bands_of(rows: int, columns: int, threads: int) -> list[slice]:
    """Rows of blocks, shared out like tiles."""
    most = min(-(-rows // (threads * _TILES_PER_THREAD)), max(_BAND_BLOCKS // columns, 1))
    return [slice(first, min(first + most, rows)) for first in range(0, rows, most)]


def _even_share(length: int, most: float) -> int:
    """The even number of pixels that divides a length into equal shares of about `most`."""
    return 2 * math.ceil(length / math.ceil(length / most) / 2)


class _StageClock:
    """Adds up what each stage takes over the tiles of one thread, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = dict.fromkeys(get_args(Stage), 0.0)
        self._last = 0.0

    def start(self) -> None:
        """The first stage of a tile begins now."""
        self._last = time.perf_counter()

    def finished(self, stage: Stage) -> None:
        """A stage is done, the next one begins."""
        now = time.perf_counter()
        self.seconds[stage] += now - self._last
        self._last = now


def _stage_times(clocks: list[_StageClock], threads: int, total: float) -> StageTimes:
    """Stages as the threads' mean, so that they add up to about the whole frame's time."""
    mean = {
        stage: 1000 * sum(clock.seconds[stage] for clock in clocks) / threads
        for stage in get_args(Stage)
    }
    return StageTimes(
        oracle_ms=mean["oracle"],
        placement_ms=mean["placement"],
        shading_ms=mean["shading"],
        composite_ms=mean["composite"],
        total_ms=1000 * total,
    )


def _one_thread_each(threads: int) -> ThreadPoolExecutor:
    """Threads whose own products run on one core each: together they use all of them."""
    pool = ThreadPoolExecutor(threads, "tile", _use_one_core)
    # Each waits for all the others, so that every thread exists when the setting is restored:
    # torch keeps the number of a thread that exists, and gives later ones what was set last.
    barrier = threading.Barrier(threads, timeout=_START_SECONDS)
    try:
        list(pool.map(lambda _: barrier.wait(), range(threads)))
    except BaseException:
        barrier.abort()
        raise
    finally:
        torch.set_num_threads(threads)
    return pool


def _use_one_core() -> None:
    """Let this thread's products run on one core from now on."""
    # torch sets up a thread when it first needs its number of threads, by what was set last
    # anywhere; it must not do so later, when that is the number of all cores again.
    torch.get_num_threads()
    torch.set_num_threads(1)
