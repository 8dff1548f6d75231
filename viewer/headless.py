"""Pictures and films without a display: needs no GL and no window library."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from donerf import Camera, Renderer, ViewCell
from viewer.capture import save_png
from viewer.film import open_film
from viewer.render_modes import RenderMode
from viewer.status import Status, StatusFile
from viewer.worker import Picture, RenderRequest, render_picture


@dataclass(frozen=True)
class FilmSettings:
    """What to make of a flight.

    out:   *.mp4, *.gif, a folder, or *.png for a single picture
    size:  width and height, pixels
    fps:   of the film when it is played
    """

    out: Path
    size: tuple[int, int]
    samples: int
    mode: RenderMode
    fps: int


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


def make_film(
    renderer: Renderer,
    cell: ViewCell,
    cameras: Sequence[Camera],
    settings: FilmSettings,
    status: StatusFile,
) -> Summary:
    """Render a picture for each camera and write them all to `settings.out`."""
    ms: list[float] = []
    samples: list[float] = []
    with open_film(settings.out, settings.size, settings.fps) as film:
        for camera in _with_progress(cameras):
            picture = _render(renderer, cell, camera, settings)
            ms.append(picture.ms)
            samples.append(picture.mean_samples)
            status.write(_status("filming", len(ms), settings))
            film.add(picture.pixels)
    status.write(_status("done", len(ms), settings))
    return _summarize(renderer, settings, ms, samples)


def make_picture(
    renderer: Renderer, cell: ViewCell, camera: Camera, settings: FilmSettings, status: StatusFile
) -> Summary:
    """Render one picture to a PNG file."""
    picture = _render(renderer, cell, camera, settings)
    save_png(settings.out, picture.pixels)
    status.write(_status("done", 1, settings))
    return _summarize(renderer, settings, [picture.ms], [picture.mean_samples])


def print_summary(summary: Summary) -> None:
    """One JSON line on stdout, for scripts."""
    print(json.dumps(vars(summary)), flush=True)


def _render(renderer: Renderer, cell: ViewCell, camera: Camera, settings: FilmSettings) -> Picture:
    picture = render_picture(renderer, RenderRequest(camera, settings.samples, settings.mode), cell)
    assert picture is not None, "a picture that cannot be cancelled was cancelled"
    return picture


def _with_progress(cameras: Sequence[Camera]) -> Iterable[Camera]:
    from rich.console import Console
    from rich.progress import track

    return track(cameras, "rendering", console=Console(file=sys.stderr))


def _status(state: str, frames: int, settings: FilmSettings) -> Status:
    return Status(
        "done" if state == "done" else "filming",
        frames=frames,
        size=settings.size,
        samples=settings.samples,
        mode=settings.mode,
    )


def _summarize(
    renderer: Renderer, settings: FilmSettings, ms: list[float], samples: list[float]
) -> Summary:
    ms_median = statistics.median(ms)
    info = renderer.info
    return Summary(
        frames=len(ms),
        fps=round(1000 / ms_median, 2),
        ms_median=round(ms_median, 2),
        size=settings.size,
        samples=settings.samples,
        mean_samples=round(statistics.fmean(samples), 3),
        device=info.device,
        backend=info.backend,
        precision=info.precision,
        out=str(settings.out),
    )
