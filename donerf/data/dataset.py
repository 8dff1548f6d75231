"""The views of a data set in memory: cameras, colors and distances, from a folder or a packed file.

The format on disk is that of the DONeRF paper, with what docs/data-format.md adds to it.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from donerf.assets import asset
from donerf.data.info import DatasetInfo, write_info
from donerf.data.packed import PackedSource
from donerf.data.source import (
    HOW_TO_GET,
    FolderSource,
    FrameRecord,
    ViewSource,
    read_frames,
    read_source_info,
)
from donerf.geometry.camera import Camera, Intrinsics
from donerf.geometry.depth import distance_from_planar
from donerf.geometry.view_cell import ViewCell

__all__ = ["Dataset", "DatasetInfo", "load_dataset", "open_source", "read_info", "write_info"]

_CELL_SLACK = 1e-3
"""How far beyond the cell a camera may be, of its diagonal: files round their numbers."""


@dataclass(frozen=True)
class Dataset:
    """The views of one split.

    info:       what the data set says about itself
    split:      'train', 'val' or 'test'
    names:      V names, 'train/00000'
    cameras:    V cameras, each with its own intrinsics
    colors:     (V, H, W, 3) uint8 sRGB
    distances:  (V, H, W) float32 along each pixel's ray, +inf is background; None where the views
                have no depth
    """

    info: DatasetInfo
    split: str
    names: list[str]
    cameras: list[Camera]
    colors: Tensor
    distances: Tensor | None

    @property
    def cell(self) -> ViewCell:
        """The view cell as published: log scale 1, radius half the diagonal."""
        return self.info.view_cell()


@dataclass(frozen=True)
class View:
    """One view of a data set: its camera, (H, W, 3) uint8 colors, (H, W) distances or None."""

    name: str
    camera: Camera
    colors: np.ndarray
    distances: np.ndarray | None


def load_dataset(
    folder_or_pack: Path, split: str, downscale: int = 1, need_depth: bool = False
) -> Dataset:
    """Read all views of one split.

    downscale:   pictures get this many times smaller: the mean color of a block, and of its sorted
                 depths the one with index downscale - 1, which does not invent a depth between
                 foreground and background
    need_depth:  views without depth are then an error
    """
    if downscale < 1:
        raise ValueError(f"'downscale' must be at least 1, got {downscale}")
    with closing(open_source(folder_or_pack)) as source:
        info = read_source_info(source)
        frames = read_frames(source, split)
        workers = min(8, os.cpu_count() or 1)
        # Decoding a PNG or an .npz lets go of the interpreter lock.
        with ThreadPoolExecutor(workers) as pool:
            views = list(pool.map(lambda frame: read_view(source, info, frame, downscale), frames))
    _check_views(views, split, source.path, need_depth)
    distances = [view.distances for view in views if view.distances is not None]
    return Dataset(
        info=info,
        split=split,
        names=[view.name for view in views],
        cameras=[view.camera for view in views],
        colors=torch.from_numpy(np.stack([view.colors for view in views])),
        distances=torch.from_numpy(np.stack(distances)) if distances else None,
    )


def read_info(folder_or_pack: Path) -> DatasetInfo:
    """dataset_info.json, checked; what it leaves to the poses is taken from these."""
    with closing(open_source(folder_or_pack)) as source:
        return read_source_info(source)


def open_source(path: Path) -> ViewSource:
    """A folder, or a file written by `donerf prepare --pack`."""
    path = Path(path)
    if path.parts[:1] == ("assets",) and not path.exists():
        # What comes with the program is found under this name from any folder.
        with suppress(FileNotFoundError):
            path = asset(path.as_posix())
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        return PackedSource(path)
    raise FileNotFoundError(f"there is no data set at {path}; {HOW_TO_GET}")


def read_view(
    source: ViewSource, info: DatasetInfo, frame: FrameRecord, downscale: int = 1
) -> View:
    """Read one view and check it against the rest of the data set."""
    colors = source.read_colors(frame.name)
    height, width = colors.shape[:2]
    if info.resolution not in (None, (width, height)):
        raise ValueError(
            f"all pictures must have the size {info.resolution[0]}x{info.resolution[1]} stated as "
            f"'resolution' in {info.source}, got {width}x{height} in view '{frame.name}'"
        )
    if downscale > min(width, height):
        raise ValueError(
            f"'downscale' must leave at least one pixel of {width}x{height}, got {downscale}"
        )
    camera = view_camera(frame, info, width, height)
    small = camera.intrinsics.downscaled(downscale) if downscale > 1 else camera.intrinsics
    raw = source.read_depth(frame.name, (width, height), info)
    distances = None
    if raw is not None:
        distances = downscale_depth(raw, downscale)
        if info.depth_distance_adjustment:
            planar = torch.from_numpy(np.ascontiguousarray(distances))
            distances = distance_from_planar(planar, small).numpy()
    camera = Camera(camera.world_from_camera, small)
    return View(frame.name, camera, downscale_colors(colors, downscale), distances)


def downscale_colors(colors: np.ndarray, factor: int) -> np.ndarray:
    """The mean of each block of factor x factor pixels; odd remainders are cut off.

    colors:   (H, W, 3) uint8;  returns: (H // factor, W // factor, 3) uint8, rounded half up
    """
    if factor == 1:
        return colors
    total = _blocks(colors, factor).astype(np.uint32).sum(axis=2)
    pixels = factor * factor
    return ((total + pixels // 2) // pixels).astype(np.uint8)


def downscale_depth(depth: np.ndarray, factor: int) -> np.ndarray:
    """Of each block's sorted depths the one with index factor - 1; background takes the block.

    depth:    (H, W) with +inf for background;  returns: (H // factor, W // factor)
    """
    if factor == 1:
        return depth
    blocks = np.sort(_blocks(depth[..., None], factor)[..., 0], axis=2)
    return np.where(np.isinf(blocks[..., -1]), blocks[..., -1], blocks[..., factor - 1])


def _blocks(image: np.ndarray, factor: int) -> np.ndarray:
    """(H, W, C) as (H // factor, W // factor, factor * factor, C)."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    image = image[: height * factor, : width * factor]
    image = image.reshape(height, factor, width, factor, -1).swapaxes(1, 2)
    return image.reshape(height, width, factor * factor, -1)


def view_camera(frame: FrameRecord, info: DatasetInfo, width: int, height: int) -> Camera:
    """The camera of a view whose picture has this size; it must stand in the view cell."""
    focal = frame.focal
    if focal is None:
        focal = width / (2 * math.tan(info.camera_angle_x / 2))
    center_x = width / 2 if frame.center_x is None else frame.center_x
    center_y = height / 2 if frame.center_y is None else frame.center_y
    try:
        intrinsics = Intrinsics(width, height, focal, center_x, center_y)
        camera = Camera(frame.world_from_camera, intrinsics)
    except ValueError as error:
        transforms = info.source.parent / "transforms_*.json"
        raise ValueError(f"{error}, in view '{frame.name}' of {transforms}") from None
    center, size = np.array(info.view_cell_center), np.array(info.view_cell_size)
    position, slack = camera.position, _CELL_SLACK * 2 * info.radius
    if np.any(np.abs(position - center) > size / 2 + slack):
        raise ValueError(
            f"every camera must stand in the view cell, {(center - size / 2).round(4).tolist()} to "
            f"{(center + size / 2).round(4).tolist()}, view '{frame.name}' stands at "
            f"{position.round(4).tolist()}; enlarge the cell in {info.source} or leave the view out"
        )
    return camera


def _check_views(views: list[View], split: str, path: Path, need_depth: bool) -> None:
    """Views of one split must have one size, and depth all or none."""
    shape = views[0].colors.shape
    for view in views:
        if view.colors.shape != shape:
            raise ValueError(
                f"all pictures of a split must have one size, '{views[0].name}' is "
                f"{shape[1]}x{shape[0]} and '{view.name}' is "
                f"{view.colors.shape[1]}x{view.colors.shape[0]} in {path}"
            )
    without = [view.name for view in views if view.distances is None]
    if without and (need_depth or len(without) < len(views)):
        raise ValueError(
            f"{'the' if need_depth else 'either none or all'} '{split}' views must have depth, "
            f"{len(without)} of {len(views)} have none in {path}, the first is '{without[0]}'; "
            f"export {without[0]}_depth.npz and its like with the renders"
        )
    if need_depth and all(np.isinf(view.distances).all() for view in views):  # type: ignore[arg-type]
        raise ValueError(
            f"depth must show a surface somewhere, all that the '{split}' views in {path} show "
            "is background; check the depth export and 'depth_ignore'"
        )
