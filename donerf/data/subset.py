"""A smaller data set made from a larger one: fewer views, smaller pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from donerf.data.dataset import View, open_source, read_view
from donerf.data.info import DatasetInfo
from donerf.data.source import SPLITS, FrameRecord, read_frames, read_source_info
from donerf.data.writing import RAW_BACKGROUND, write_folder_at_once, write_views

_MANTISSA_BITS = 12


def write_subset(
    folder: Path,
    subset: Path,
    downscale: int,
    views: tuple[int, int, int] | None = None,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> None:
    """Write some views of a data set as another one; they keep their names.

    The depth ranges are left out, since they belong to the views: `donerf prepare` finds them.

    subset:     a new or an empty folder
    downscale:  as in `load_dataset`
    views:      (train, val, test) numbers of views, spread evenly over those there are; None: all
    """
    with closing(open_source(folder)) as source:
        info = read_source_info(source)
        chosen: dict[str, list[FrameRecord]] = {}
        for split, count in zip(SPLITS, views or (None, None, None), strict=True):
            frames = read_frames(source, split, optional=True)
            chosen[split] = _spread(frames, count, split, info)
        total = sum(len(frames) for frames in chosen.values())
        read: dict[str, list[View]] = {}
        done = 0
        for split, frames in chosen.items():
            read[split] = []
            for frame in frames:
                read[split].append(read_view(source, info, frame, downscale))
                done += 1
                on_progress(done, total)
    small = _info_of_subset(info, [view for views in read.values() for view in views])
    splits = {split: views for split, views in read.items() if views}
    write_folder_at_once(subset, lambda path: write_views(path, small, splits, _MANTISSA_BITS))


def _spread(
    frames: list[FrameRecord], count: int | None, split: str, info: DatasetInfo
) -> list[FrameRecord]:
    """`count` of the frames, evenly spread; None: all."""
    if count is None:
        return frames
    if not 0 <= count <= len(frames):
        raise ValueError(
            f"the subset must take 0 to {len(frames)} '{split}' views, as many as there are in "
            f"{info.source.parent}, got {count}"
        )
    return [frames[index * len(frames) // count] for index in range(count)]


def _info_of_subset(info: DatasetInfo, views: list[View]) -> DatasetInfo:
    if not views:
        raise ValueError("a subset must have at least one view, got none")
    intrinsics = views[0].camera.intrinsics
    return replace(
        info,
        # Wider blocks than the picture has columns cut its right side off, and the view with it.
        camera_angle_x=2 * math.atan(intrinsics.width / (2 * intrinsics.focal)),
        resolution=(intrinsics.width, intrinsics.height),
        depth_ignore=RAW_BACKGROUND if _has_background(views) else None,
        flip_depth=False,
        depth_range=None,
        depth_range_warped_log=None,
        depth_range_warped_lin=None,
    )


def _has_background(views: list[View]) -> bool:
    return any(
        view.distances is not None and bool((view.distances == math.inf).any()) for view in views
    )
