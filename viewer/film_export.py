"""A flight rendered to a film or to one picture: the one way for the window and without it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from donerf import Camera, Renderer, ViewCell
from donerf.renderer import Placement
from viewer.capture import depth_path, save_depth, save_png
from viewer.coloring import PLAIN, Look
from viewer.film import open_film
from viewer.ground_truth import GroundTruth
from viewer.render_modes import RenderMode
from viewer.rendering import Picture, RenderRequest, render_capture


@dataclass(frozen=True)
class FilmSettings:
    """What to make of a flight.

    out:       *.mp4, *.gif, a folder, or *.png for a single picture
    size:      width and height, pixels
    fps:       of the film when it is played
    placement, passes, look, view, wants_depth, adaptive:  as in `RenderRequest`
    """

    out: Path
    size: tuple[int, int]
    samples: int
    mode: RenderMode
    fps: int
    placement: Placement = "oracle"
    passes: int = 1
    look: Look = PLAIN
    view: int | None = None
    wants_depth: bool = False
    adaptive: bool = False


@dataclass(frozen=True)
class FilmProgress:
    """How far a film has come.

    seconds:  since it was begun
    pixels:   (H, W, 4) uint8, its latest picture
    """

    frames: int
    total: int
    seconds: float
    pixels: np.ndarray

    @property
    def seconds_left(self) -> float:
        """At the pace so far."""
        return self.seconds / self.frames * (self.total - self.frames)


@dataclass(frozen=True)
class Summary:
    """What rendering cost; film writing is not counted.

    fps:           1000 / ms_median
    ms_median:     of a picture, from the request to its pixels in main memory
    mean_samples:  shaded per ray, over all pictures
    """

    frames: int
    fps: float
    ms_median: float
    size: tuple[int, int]
    samples: int
    mean_samples: float
    device: str
    backend: str
    precision: str
    out: str


def never() -> bool:
    """Do not stop."""
    return False


def export_film(
    renderer: Renderer,
    cell: ViewCell,
    cameras: Sequence[Camera],
    settings: FilmSettings,
    report: Callable[[FilmProgress], None],
    is_to_stop: Callable[[], bool] = never,
) -> Summary | None:
    """Render a picture for each camera and write them all to `settings.out`.

    Stopped between two tiles, it leaves nothing and returns None; an error leaves nothing, too.

    report:  called after each picture
    """
    costs: list[_Cost] = []
    start = time.monotonic()
    try:
        with open_film(settings.out, settings.size, settings.fps) as film:
            for camera in cameras:
                picture = _render(renderer, cell, camera, settings, is_to_stop)
                film.add(picture.pixels)
                costs.append(_Cost(picture.ms, picture.mean_samples))
                seconds = time.monotonic() - start
                report(FilmProgress(len(costs), len(cameras), seconds, picture.pixels))
    except _Stopped:
        return None
    return _summarize(renderer, settings, costs)


def export_picture(
    renderer: Renderer,
    cell: ViewCell,
    camera: Camera,
    settings: FilmSettings,
    truth: GroundTruth | None = None,
) -> Summary:
    """Render one picture to a PNG file; with its distances beside it, if they are wanted.

    truth:  what `settings.view` is compared with
    """
    picture = _render(renderer, cell, camera, settings, never, truth)
    if picture.depth is not None:
        save_depth(depth_path(settings.out), picture.depth)
    save_png(settings.out, picture.pixels)
    return _summarize(renderer, settings, [_Cost(picture.ms, picture.mean_samples)])


class _Stopped(Exception):
    """The film is no longer wanted."""


@dataclass(frozen=True)
class _Cost:
    """What is kept of a picture that is written."""

    ms: float
    mean_samples: float


def _render(
    renderer: Renderer,
    cell: ViewCell,
    camera: Camera,
    settings: FilmSettings,
    is_to_stop: Callable[[], bool],
    truth: GroundTruth | None = None,
) -> Picture:
    request = RenderRequest(
        camera,
        settings.samples,
        settings.mode,
        placement=settings.placement,
        passes=settings.passes,
        look=settings.look,
        view=settings.view,
        wants_depth=settings.wants_depth,
        adaptive=settings.adaptive,
    )
    if is_to_stop():
        raise _Stopped
    picture = render_capture(renderer, request, cell, is_to_stop, truth)
    if picture is None:
        raise _Stopped
    return picture


def _summarize(renderer: Renderer, settings: FilmSettings, costs: list[_Cost]) -> Summary:
    ms_median = statistics.median(cost.ms for cost in costs)
    info = renderer.info
    return Summary(
        frames=len(costs),
        fps=round(1000 / ms_median, 2),
        ms_median=round(ms_median, 2),
        size=settings.size,
        samples=settings.samples,
        mean_samples=round(statistics.fmean(cost.mean_samples for cost in costs), 3),
        device=info.device,
        backend=info.backend,
        precision=info.precision,
        out=str(settings.out),
    )
