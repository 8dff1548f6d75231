"""`donerf prepare`: reads every view once, finds the depth ranges, says what it found."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from donerf.data.dataset import read_view
from donerf.data.info import (
    BACKGROUND_FROM,
    INFO_FILE,
    DatasetInfo,
    Range,
    update_info_file,
)
from donerf.data.packed import pack as write_pack
from donerf.data.source import (
    HOW_TO_GET,
    SPLITS,
    FolderSource,
    FrameRecord,
    read_frames,
    read_source_info,
)
from donerf.data.subset import write_subset
from donerf.geometry.view_cell import ViewCell

_MARGIN = 0.05
"""By which the ranges are wider than what the views show, as a share of each end."""
_STRAY_SHARE = 1e-4
"""Of all pixels: fewer that equal a finite depth_ignore are a surface by chance, not a sky."""


@dataclass(frozen=True)
class DepthFields:
    """The fields of dataset_info.json that follow from the depth maps, and what was seen.

    depth_ignore:      raw depth that means background; None: there is none
    depth_range:       near, far distance from the cameras
    unified_range:     the same from the sphere around the cell; near may be negative
    views:             number of views of each split that is there
    size:              (width, height) of the first picture
    background_share:  of all pixels
    warnings:          sentences about what looks wrong but can be trained
    """

    depth_ignore: float | None
    depth_range: Range
    unified_range: Range
    views: dict[str, int]
    size: tuple[int, int]
    background_share: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _ViewDepth:
    """One view's extremes; None where it shows background alone, or has no depth."""

    name: str
    size: tuple[int, int]
    has_depth: bool
    distances: Range | None
    unified: Range | None
    background_pixels: int


Progressed = Callable[[int, int], object]


def compute_depth_fields(
    folder: Path, on_progress: Progressed = lambda done, total: None
) -> DepthFields:
    """Read all views of a folder and find its depth ranges; writes nothing.

    on_progress:  called with the number of views that are done, and of all
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(
            f"only the folder of a data set can be prepared, there is none at {folder}; "
            f"{HOW_TO_GET}"
        )
    source = FolderSource(folder)
    info = read_source_info(source)
    splits = {split: read_frames(source, split, optional=True) for split in SPLITS}
    frames = [frame for split in SPLITS for frame in splits[split]]
    if not splits["train"]:
        raise ValueError(
            f"a data set must have views to train on, {folder} has none; list them in "
            "transforms_train.json"
        )
    cell = _cell_without_ranges(info)
    found: list[_ViewDepth] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for view in pool.map(lambda frame: _view_depth(source, info, cell, frame), frames):
            found.append(view)
            on_progress(len(found), len(frames))

    distances = [view.distances for view in found if view.distances is not None]
    unified = [view.unified for view in found if view.unified is not None]
    if not distances or not unified:
        raise ValueError(_no_surface(found, info))
    pixels = sum(view.size[0] * view.size[1] for view in found if view.has_depth)
    background = sum(view.background_pixels for view in found)
    views = {split: len(splits[split]) for split in SPLITS if splits[split]}
    return DepthFields(
        depth_ignore=_depth_ignore(source, info, found),
        depth_range=_widened(distances),
        unified_range=_widened(unified),
        views=views,
        size=found[0].size,
        background_share=background / pixels,
        warnings=tuple(_warnings(info, found, views, background / pixels)),
    )


def write_depth_fields(folder: Path, fields: DepthFields) -> None:
    """Put the depth fields into dataset_info.json; whatever else it says stays."""
    unified = list(fields.unified_range)
    update_info_file(
        folder,
        {
            "depth_ignore": fields.depth_ignore,
            "depth_range": list(fields.depth_range),
            "depth_range_warped_log": unified,
            "depth_range_warped_lin": unified,
        },
    )


def prepare_command(
    folder: Path,
    pack: Path | None = None,
    subset: Path | None = None,
    downscale: int = 1,
    views: tuple[int, int, int] | None = None,
) -> None:
    """Compute the depth ranges of a data set, and say what was found.

    pack:       also write the whole data set as this one file
    subset:     also write some of the views as a smaller data set into this folder
    downscale:  of the subset's pictures
    views:      (train, val, test) number of the subset's views, spread evenly; None: all
    """
    if subset is None and (downscale != 1 or views is not None):
        raise ValueError("'downscale' and 'views' say what a subset is; give --subset DIR, too")
    folder = Path(folder)
    console = Console()
    with _progress(console, "reading") as on_progress:
        fields = compute_depth_fields(folder, on_progress)
    write_depth_fields(folder, fields)
    _print_fields(console, folder, fields)
    if pack is not None:
        with _progress(console, "packing") as on_progress:
            write_pack(folder, pack, on_progress)
        megabytes = Path(pack).stat().st_size / 1e6
        console.print(f"packed into {pack}, {megabytes:.1f} MB", highlight=False)
    if subset is not None:
        with _progress(console, "writing") as on_progress:
            write_subset(folder, subset, downscale, views, on_progress)
        small = compute_depth_fields(subset)
        write_depth_fields(subset, small)
        _print_fields(console, subset, small)


def _cell_without_ranges(info: DatasetInfo) -> ViewCell:
    """The sphere that distances are measured from; its depth ranges are what is looked for."""
    unknown = (0.0, 1.0)
    return replace(info, depth_range=unknown, depth_range_warped_log=unknown).view_cell()


def _view_depth(
    source: FolderSource, info: DatasetInfo, cell: ViewCell, frame: FrameRecord
) -> _ViewDepth:
    view = read_view(source, info, frame)
    height, width = view.colors.shape[:2]
    if view.distances is None:
        return _ViewDepth(view.name, (width, height), False, None, None, 0)
    distances = torch.from_numpy(np.ascontiguousarray(view.distances)).flatten()
    is_surface = distances.isfinite()
    background = int((~is_surface).sum())
    if background == len(distances):
        return _ViewDepth(view.name, (width, height), True, None, None, background)
    unified = (distances - cell.exit_distance(view.camera.rays()))[is_surface]
    return _ViewDepth(
        view.name,
        (width, height),
        True,
        _extremes(distances[is_surface]),
        _extremes(unified),
        background,
    )


def _extremes(t: torch.Tensor) -> Range:
    return float(t.min()), float(t.max())


def _widened(ranges: list[Range]) -> Range:
    """All ranges in one, with a margin; a negative end moves outwards as well."""
    near, far = min(near for near, _ in ranges), max(far for _, far in ranges)
    near, far = near - _MARGIN * abs(near), far + _MARGIN * abs(far)
    # Everything at one distance: any width will do, but there must be one.
    return (near, far) if near < far else (near - _MARGIN, far + _MARGIN)


def _depth_ignore(source: FolderSource, info: DatasetInfo, found: list[_ViewDepth]) -> float | None:
    """What the file says; else the raw value that the background has, if there is one."""
    if info.depth_ignore is not None:
        return info.depth_ignore
    for view in found:
        raw = source.read_raw_depth(view.name) if view.background_pixels else None
        if raw is not None:
            raw = raw[np.isfinite(raw) & (np.abs(raw) >= BACKGROUND_FROM)]
            if raw.size:
                return float(raw.max())
    return None


def _no_surface(found: list[_ViewDepth], info: DatasetInfo) -> str:
    if not any(view.has_depth for view in found):
        return (
            f"depth ranges need depth maps, none of the {len(found)} views in "
            f"{info.source.parent} has one; export {found[0].name}_depth.npz and its like with "
            "the renders"
        )
    return (
        f"depth must show a surface somewhere, all pixels of all views in {info.source.parent} "
        "are background; check the depth export and 'depth_ignore'"
    )


def _warnings(
    info: DatasetInfo, found: list[_ViewDepth], views: dict[str, int], background_share: float
) -> Iterator[str]:
    for split in SPLITS:
        if split not in views:
            yield f"there are no '{split}' views; quality is measured on val and test views"
    without = [view.name for view in found if not view.has_depth]
    if without:
        yield f"{len(without)} views have no depth, the first is '{without[0]}'"
    empty = [view.name for view in found if view.has_depth and view.distances is None]
    if empty:
        yield f"{len(empty)} views show nothing but background, the first is '{empty[0]}'"
    ignore = info.depth_ignore
    if ignore is not None and ignore < BACKGROUND_FROM and 0 < background_share < _STRAY_SHARE:
        yield (
            f"'depth_ignore' {ignore} meets a few pixels only: if it is the farthest surface and "
            f"not a sky, set it to null in {INFO_FILE}"
        )


@contextmanager
def _progress(console: Console, what: str) -> Iterator[Progressed]:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print_fields(console: Console, folder: Path, fields: DepthFields) -> None:
    table = Table(box=None, show_header=False, title=str(folder), title_justify="left")
    counts = ", ".join(f"{count} {split}" for split, count in fields.views.items())
    table.add_row("views", f"{counts}, {fields.size[0]}x{fields.size[1]}")
    table.add_row("background", f"{fields.background_share:.1%} of the pixels")
    table.add_row("from the cameras", _range_text(fields.depth_range))
    table.add_row("from the cell's sphere", _range_text(fields.unified_range))
    if fields.unified_range[0] < 0:
        table.add_row("", "the sphere reaches behind some surfaces: negative distances are right")
    console.print(table)
    for warning in fields.warnings:
        console.print(f"[yellow]warning:[/yellow] {warning}", highlight=False)


def _range_text(depth_range: Range) -> str:
    return f"{depth_range[0]:.4g} to {depth_range[1]:.4g} scene units"
