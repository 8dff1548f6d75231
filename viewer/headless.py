"""Pictures and films without a display: needs no GL and no window library."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from donerf import Camera, Renderer, ViewCell
from viewer.film_export import (
    FilmProgress,
    FilmSettings,
    Summary,
    export_film,
    export_picture,
)
from viewer.ground_truth import GroundTruth
from viewer.status import State, Status, StatusFile


def make_film(
    renderer: Renderer,
    cell: ViewCell,
    cameras: Sequence[Camera],
    settings: FilmSettings,
    status: StatusFile,
) -> Summary:
    """Film a flight, with a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import Progress

    with ExitStack() as stack:
        bar = Progress(console=Console(file=sys.stderr))
        task = bar.add_task("rendering", total=len(cameras))

        def report(progress: FilmProgress) -> None:
            # Not before the first picture, so that an error at the start is one line alone.
            if progress.frames == 1:
                stack.enter_context(bar)
            bar.update(task, completed=progress.frames)
            status.write(_status("filming", progress.frames, settings))

        summary = export_film(renderer, cell, cameras, settings, report)
    assert summary is not None, "a film that nobody stops was stopped"
    status.write(_status("done", summary.frames, settings))
    return summary


def make_picture(
    renderer: Renderer,
    cell: ViewCell,
    camera: Camera,
    settings: FilmSettings,
    status: StatusFile,
    truth: GroundTruth | None = None,
) -> Summary:
    """Render one picture to a PNG file."""
    summary = export_picture(renderer, cell, camera, settings, truth)
    status.write(_status("done", 1, settings))
    return summary


def print_summary(summary: Summary) -> None:
    """One JSON line on stdout, for scripts."""
    print(json.dumps(vars(summary)), flush=True)


def _status(state: State, frames: int, settings: FilmSettings) -> Status:
    return Status(
        state, frames=frames, size=settings.size, samples=settings.samples, mode=settings.mode
    )
