"""`donerf view-data`: looks at a data set before anybody trains on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from donerf.data.agreement import TOLERANCE, Agreement, depth_agreement
from donerf.data.contact_sheet import distance_limits, write_sheet
from donerf.data.dataset import View, open_source, read_view
from donerf.data.info import DatasetInfo, Range
from donerf.data.source import SPLITS, read_frames, read_source_info

_ENOUGH_VIEWS = 40
"""The sets that come with the program have 40 and 48, and train well."""
_AGREES, _AGREES_FROM_WIDTH = 0.98, 100
"""In smaller pictures, more of the points lie at an edge, where depth jumps within a pixel."""
_NEAR_SHARE = 0.01
"""A nearer surface, in diagonals of the cell, takes all the depth range for itself."""
_FILLED = 0.7
_BLACK = 4
_CELL_SLACK = 1e-3


@dataclass(frozen=True)
class DataReport:
    """What was found in a data set.

    counts:       views of each split that is there
    limits:       nearest and farthest distance, None where no view shows a surface
    sky_share:    of the pixels with depth
    agreement:    of the depths of random pairs of views
    warnings:     sentences, worst first
    """

    counts: dict[str, int]
    limits: Range | None
    sky_share: float
    agreement: Agreement
    warnings: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report as sentences for a terminal or a picture."""
        counts = ", ".join(f"{count} {split}" for split, count in self.counts.items())
        lines = [f"{counts} views; sky in {self.sky_share:.1%} of the pixels"]
        if self.limits is not None:
            lines.append(f"surfaces from {self.limits[0]:.4g} to {self.limits[1]:.4g} scene units")
        if self.agreement.share is not None:
            lines.append(
                f"depths of different views agree to {TOLERANCE:.0%} at "
                f"{self.agreement.share:.2%} of {self._compared:,} points"
            )
        return lines + [f"warning: {warning}" for warning in self.warnings]

    @property
    def _compared(self) -> int:
        return self.agreement.agreeing + self.agreement.differing


def view_data_command(folder: Path, out: Path | None = None) -> None:
    """Print what a data set is like and draw its sheet.

    out:  of the sheet; None: view_data.png in the folder, or beside a packed file
    """
    folder, console = Path(folder), Console()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading")
        info, views = read_all_views(
            folder, lambda done, total: progress.update(task, completed=done, total=total)
        )
    report = inspect(info, views)
    if out is None:
        out = folder / "view_data.png" if folder.is_dir() else folder.with_suffix(".png")
    write_sheet(
        out, str(folder), info, [view for split in views.values() for view in split], report.lines()
    )
    for line in report.lines():
        style = "yellow" if line.startswith("warning") else None
        console.print(line, style=style, highlight=False, soft_wrap=True)
    console.print(f"contact sheet: {out}", highlight=False, soft_wrap=True)


def read_all_views(
    path: Path, on_progress: Callable[[int, int], object] = lambda done, total: None
) -> tuple[DatasetInfo, dict[str, list[View]]]:
    """The views of each split that is there; cameras outside the cell are read as well."""
    with closing(open_source(path)) as source:
        info = read_source_info(source)
        listed = {split: read_frames(source, split, optional=True) for split in SPLITS}
        total = sum(map(len, listed.values()))
        if not total:
            raise ValueError(f"a data set must have views, transforms_*.json of {path} list none")
        everywhere = replace(info, view_cell_size=(1e30, 1e30, 1e30))
        views: dict[str, list[View]] = {}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for split, frames in listed.items():
                for view in pool.map(lambda frame: read_view(source, everywhere, frame), frames):
                    views.setdefault(split, []).append(view)
                    on_progress(sum(map(len, views.values())), total)
    return info, views


def inspect(info: DatasetInfo, views: Mapping[str, Sequence[View]]) -> DataReport:
    """Measure a data set and find what may be wrong with it."""
    everything = [view for split in views.values() for view in split]
    depths = [view.distances for view in everything if view.distances is not None]
    sky = sum(int(np.isinf(depth).sum()) for depth in depths)
    agreement = depth_agreement(everything)
    limits = distance_limits(everything)
    counts = {split: len(found) for split, found in views.items()}
    width = everything[0].camera.intrinsics.width
    least = 1 - (1 - _AGREES) * max(1, _AGREES_FROM_WIDTH / width)
    warnings = [
        *_depth_warnings(info, limits, len(everything) - len(depths), agreement, least),
        *_view_warnings(counts, everything),
        *_cell_warnings(info, everything),
    ]
    share = sky / max(sum(depth.size for depth in depths), 1)
    return DataReport(counts, limits, share, agreement, tuple(warnings))


def _depth_warnings(
    info: DatasetInfo, limits: Range | None, without: int, agreement: Agreement, least: float
) -> Iterator[str]:
    if without:
        yield f"{without} views have no depth; they can be compared with, not trained on"
    share = agreement.share
    if share is not None and share < least:
        yield (
            f"only {share:.1%} of the points are where other views see them, good sets reach "
            f"{least:.0%}; check 'flip_depth', 'depth_distance_adjustment' and the poses"
        )
    elif share is None and not without:
        yield "no two views see the same surface, so their depths could not be compared"
    if limits is not None and limits[0] < _NEAR_SHARE * 2 * info.radius:
        yield (
            f"a surface is {limits[0]:.2g} scene units from a camera, next to nothing in a cell of "
            f"{2 * info.radius:.2g}; move the cell away from it, or make it smaller"
        )


def _view_warnings(counts: Mapping[str, int], views: Sequence[View]) -> Iterator[str]:
    if counts.get("train", 0) < _ENOUGH_VIEWS:
        yield f"{counts.get('train', 0)} views to train on are few, 100 and more are good"
    for split in ("val", "test"):
        if split not in counts:
            yield f"there are no '{split}' views; quality is measured on val and test views"
    black = [view.name for view in views if view.colors.max() < _BLACK]
    if black:
        yield f"{len(black)} views are black, the first is '{black[0]}'; is there a light"
    seen = [v for v in views if v.distances is not None]
    empty = [v.name for v in seen if v.distances is not None and np.isinf(v.distances).all()]
    if empty:
        yield f"{len(empty)} views show nothing but sky, the first is '{empty[0]}'"


def _cell_warnings(info: DatasetInfo, views: Sequence[View]) -> Iterator[str]:
    center, size = np.array(info.view_cell_center), np.array(info.view_cell_size)
    places = np.stack([view.camera.position for view in views])
    slack = _CELL_SLACK * 2 * info.radius
    is_outside = np.any(np.abs(places - center) > size / 2 + slack, axis=1)
    if is_outside.any():
        first = views[int(is_outside.argmax())].name
        yield (
            f"{int(is_outside.sum())} cameras stand outside the view cell, the first is '{first}'; "
            f"enlarge the cell in {info.source.name} or leave them out"
        )
    filled = np.ptp(places, axis=0) / size
    if len(views) >= _ENOUGH_VIEWS and filled.min() < _FILLED:
        yield (
            f"the cameras fill only {filled.min():.0%} of the cell along {'xyz'[filled.argmin()]}; "
            "where no camera stood, pictures are made up"
        )
