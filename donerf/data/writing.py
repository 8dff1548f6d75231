"""Writes data sets in the DONeRF format: whole folders, or nothing."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from donerf.data.dataset import View
from donerf.data.info import DatasetInfo, write_info
from donerf.files import write_text
from donerf.geometry.camera import Intrinsics
from donerf.geometry.depth import planar_from_distance

RAW_BACKGROUND = 1e10
"""Written for a ray that hits nothing, as the published data sets do."""

_FLOAT32_MANTISSA = 23


def write_folder_at_once(folder: Path, write: Callable[[Path], object]) -> None:
    """Fill a folder under another name beside it, then rename: it is there whole or not at all.

    folder:  must not exist yet, or be empty
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(
            f"a data set must be written to a new or an empty folder, {folder} holds something; "
            "choose another name, or move what is there away"
        )
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        beside.mkdir(parents=True)
        write(beside)
        if folder.exists():
            folder.rmdir()
        os.replace(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_views(
    folder: Path,
    info: DatasetInfo,
    splits: Mapping[str, Sequence[View]],
    mantissa_bits: int = _FLOAT32_MANTISSA,
) -> None:
    """Write views and their constants into a folder that nobody reads yet.

    info:           its flags say how depth is stored: planar or along the ray, flipped or not
    mantissa_bits:  of each depth; fewer compress better, 12 keep the relative error below 1.3e-4
    """
    write_info(folder, info)
    for split, views in splits.items():
        (folder / split).mkdir(exist_ok=True)
        for view in views:
            _write_view(folder, info, view, mantissa_bits)
        frames = {"frames": [_frame(view, info) for view in views]}
        write_text(folder / f"transforms_{split}.json", json.dumps(frames, indent=1) + "\n")


def _write_view(folder: Path, info: DatasetInfo, view: View, mantissa_bits: int) -> None:
    Image.fromarray(view.colors).save(folder / f"{view.name}.png")
    if view.distances is None:
        return
    depth = np.where(np.isinf(view.distances), np.float32(RAW_BACKGROUND), view.distances)
    if info.depth_distance_adjustment:
        planar = planar_from_distance(torch.from_numpy(depth), view.camera.intrinsics).numpy()
        depth = np.where(np.isinf(view.distances), depth, planar)
    depth = depth[::-1] if info.flip_depth else depth
    depth = round_mantissa(depth, mantissa_bits)
    np.savez_compressed(folder / f"{view.name}_depth.npz", depth=depth)


def round_mantissa(numbers: np.ndarray, bits: int) -> np.ndarray:
    """float32 rounded to the nearest that has at most so many mantissa bits, of 23.

    The zeros that this leaves at the end compress to almost nothing.
    """
    dropped = _FLOAT32_MANTISSA - bits
    if dropped <= 0:
        return np.ascontiguousarray(numbers, dtype=np.float32)
    whole = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
    half = np.uint32(1 << (dropped - 1))
    mask = np.uint32(0xFFFFFFFF ^ ((1 << dropped) - 1))
    return ((whole + half) & mask).view(np.float32)  # a carry into the exponent is right


def _frame(view: View, info: DatasetInfo) -> dict[str, Any]:
    frame: dict[str, Any] = {
        "file_path": f"./{view.name}",
        "transform_matrix": view.camera.world_from_camera.tolist(),
    }
    k = view.camera.intrinsics
    if not _same_intrinsics(k, Intrinsics.from_fov(k.width, k.height, info.camera_angle_x)):
        frame |= {"fl_x": k.focal, "cx": k.center_x, "cy": k.center_y}
    return frame


def _same_intrinsics(a: Intrinsics, b: Intrinsics) -> bool:
    pairs = ((a.focal, b.focal), (a.center_x, b.center_x), (a.center_y, b.center_y))
    return all(math.isclose(x, y, rel_tol=1e-9) for x, y in pairs)
