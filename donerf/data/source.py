"""Where the files of a data set are read from, and what each of them must be.

A folder is one such place, a packed file (packed.py) the other. Both give decoded pictures and raw
depth; what these mean is left to dataset.py.
"""

from __future__ import annotations

import io
import json
import math
import threading
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from donerf.data.info import BACKGROUND_FROM, INFO_FILE, DatasetInfo, cone_of_poses, parse_info

SPLITS = ("train", "val", "test")
HOW_TO_GET = (
    "take the small set that comes with the program (assets/data/courtyard_small), make one in "
    "seconds with `donerf demo-data DIR`, or bring your own renders (docs/data-format.md)"
)

BROKEN_FILE = (OSError, SyntaxError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)
"""What Pillow, numpy and zipfile raise for files that are cut short or altered."""
_ONE_HEADER_AT_A_TIME = threading.Lock()
"""numpy reads an array's header with Python's parser, which Python 3.11 may get confused in when
two threads are in it: "AST constructor recursion depth mismatch"."""


class ViewSource(Protocol):
    """Reads the files of one data set; its methods may be called from several threads."""

    path: Path

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A JSON object by its file name; None where there is no such file."""
        ...

    def read_colors(self, name: str) -> np.ndarray:
        """(H, W, 3) uint8 of the view 'train/00000', RGBA over white."""
        ...

    def read_depth(self, name: str, size: tuple[int, int], info: DatasetInfo) -> np.ndarray | None:
        """(H, W) float32 raw depth, row 0 on top, +inf for background; None where it is absent.

        size:  (width, height) of the view's picture
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


@dataclass(frozen=True)
class FrameRecord:
    """One view as transforms_*.json has it.

    name:                       'train/00000', without extension
    world_from_camera:          (4, 4) float64, not yet checked
    focal, center_x, center_y:  its own intrinsics in pixels, None where it has none
    """

    name: str
    world_from_camera: np.ndarray
    focal: float | None = None
    center_x: float | None = None
    center_y: float | None = None


class FolderSource:
    """A folder in the DONeRF format."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def read_json(self, name: str) -> dict[str, Any] | None:
        path = self.path / name
        if not path.is_file():
            return None
        return parse_json(path.read_bytes(), path)

    def read_colors(self, name: str) -> np.ndarray:
        path = self.path / f"{name}.png"
        if not path.is_file():
            raise FileNotFoundError(
                f"every view must have its picture, there is no {path}; "
                "render it, or take the view out of transforms_*.json"
            )
        try:
            with Image.open(path) as image:
                return rgb_over_white(image)
        except BROKEN_FILE as error:
            raise ValueError(
                f"a picture must be a whole PNG of 8 bits a channel, {path} is not ({error}); "
                "render or copy it again"
            ) from None

    def read_depth(self, name: str, size: tuple[int, int], info: DatasetInfo) -> np.ndarray | None:
        raw = self.read_raw_depth(name)
        if raw is None:
            return None
        return checked_depth(raw, size, info, self.path / f"{name}_depth.npz")

    def read_raw_depth(self, name: str) -> np.ndarray | None:
        """The array as it is stored; None where the view has no depth."""
        path = self.path / f"{name}_depth.npz"
        if not path.is_file():
            return None
        try:
            return _first_array(path)
        except BROKEN_FILE as error:
            raise ValueError(
                f"a depth map must be a whole .npz with one array of numbers, {path} is not "
                f"({error}); render or copy it again"
            ) from None

    def close(self) -> None:
        pass


def _first_array(path: Path) -> np.ndarray:
    # numpy leaves a damaged file open when it opens it by itself.
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):  # a .npy under the name of an .npz, or a broken file
            file.seek(0)
            return _array_of(file.read())
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if not names:
                raise ValueError("it holds no array")
            # Unpacking is what takes long, and may happen in all threads at once.
            content = archive.read("depth.npy" if "depth.npy" in names else names[0])
        return _array_of(content)


def _array_of(content: bytes) -> np.ndarray:
    with _ONE_HEADER_AT_A_TIME:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def checked_depth(
    raw: np.ndarray, size: tuple[int, int], info: DatasetInfo, path: Path
) -> np.ndarray:
    """Bring raw depth into the picture's shape, rows top-down, background as +inf.

    raw:      any shape with width * height numbers, row by row
    returns:  (H, W) float32
    """
    width, height = size
    if raw.dtype.kind not in "fiu":
        raise ValueError(f"a depth map must hold numbers, got {raw.dtype} in {path}")
    if raw.size != width * height:
        raise ValueError(
            f"a depth map must have one number a pixel, {width}x{height} as its picture, got an "
            f"array of shape {raw.shape} in {path}; render both at one size"
        )
    with np.errstate(over="ignore"):  # a float64 beyond float32 is background
        depth = raw.reshape(height, width).astype(np.float32)
    depth = depth[::-1] if info.flip_depth else depth
    is_background = ~(np.abs(depth) < BACKGROUND_FROM)  # NaN compares as false
    if info.depth_ignore is not None:
        # Files state the float32 value in decimal.
        is_background |= depth == np.float32(info.depth_ignore)
    depth = np.where(is_background, np.float32(math.inf), depth)
    if not (depth > 0).all():
        raise ValueError(
            f"depth must be positive, got {depth.min()} in {path}; if that value means "
            f"background, state it as 'depth_ignore' in {INFO_FILE}"
        )
    return depth


def rgb_over_white(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8; straight alpha is composited over white."""
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"it has the mode {image.mode}")
    if "A" not in image.mode and "transparency" not in image.info:
        return np.array(image.convert("RGB"))
    rgba = np.array(image.convert("RGBA")).astype(np.uint16)
    color, alpha = rgba[..., :3], rgba[..., 3:]
    # Whole numbers, at most 255 * 255 + 127: rounds half up and fits 16 bits.
    return ((color * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def parse_json(data: bytes, path: Path) -> dict[str, Any]:
    """A JSON object from bytes."""
    try:
        values = json.loads(data)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be valid JSON ({error}); write or copy it again") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must be a JSON object, got a {type(values).__name__}")
    return values


def read_source_info(source: ViewSource) -> DatasetInfo:
    """dataset_info.json, checked; what it leaves to the poses is taken from these."""
    path = source.path / INFO_FILE
    values = source.read_json(INFO_FILE)
    if values is None:
        raise FileNotFoundError(
            f"a data set must have a {INFO_FILE}, there is none in {source.path}; {HOW_TO_GET}"
        )
    transforms = [t for s in SPLITS if (t := source.read_json(f"transforms_{s}.json"))]
    if values.get("camera_angle_x") is None:
        values = values | _field_of_view(transforms, values.get("resolution"))
    if values.get("camera_base_orientation") is None or values.get("view_rotation_deg") is None:
        frames = [frame for split in SPLITS for frame in read_frames(source, split, optional=True)]
        poses = [f.world_from_camera for f in frames if np.isfinite(f.world_from_camera).all()]
        if poses:
            base, widths = cone_of_poses(poses)
            cone = {"camera_base_orientation": base.tolist(), "view_rotation_deg": list(widths)}
            values = values | {k: v for k, v in cone.items() if values.get(k) is None}
    return parse_info(values, path)


def _field_of_view(transforms: list[dict[str, Any]], resolution: Any) -> dict[str, float]:
    """camera_angle_x where it stands in transforms_*.json, or the widest of the views' own."""
    for values in transforms:
        if values.get("camera_angle_x") is not None:
            return {"camera_angle_x": values["camera_angle_x"]}
    focals = [
        frame["fl_x"]
        for values in transforms
        for frame in values.get("frames", [])
        if isinstance(frame, dict) and isinstance(frame.get("fl_x"), int | float)
    ]
    if not focals or not isinstance(resolution, list | tuple):
        return {}
    return {"camera_angle_x": 2 * math.atan(resolution[0] / (2 * min(focals)))}


def read_frames(source: ViewSource, split: str, optional: bool = False) -> list[FrameRecord]:
    """The views of one split, in the order of transforms_<split>.json.

    optional:  an absent file is then an empty list, otherwise an error
    """
    name = f"transforms_{split}.json"
    path = source.path / name
    values = source.read_json(name)
    if values is None and optional:
        return []
    if values is None:
        raise FileNotFoundError(
            f"the views of the split '{split}' must be listed in {path}, there is no such file; "
            f"the splits are {', '.join(SPLITS)}"
        )
    frames = values.get("frames")
    if not isinstance(frames, list):
        raise ValueError(f"'frames' must be a list of views, got {frames!r:.60} in {path}")
    if not frames and not optional:
        raise ValueError(f"a split must have at least one view, 'frames' is empty in {path}")
    return [_frame_record(frame, index, path) for index, frame in enumerate(frames)]


def _frame_record(frame: Any, index: int, path: Path) -> FrameRecord:
    where = f"frame {index} of {path}"
    file_path = frame.get("file_path") if isinstance(frame, dict) else None
    if not isinstance(file_path, str) or not file_path:
        raise ValueError(f"a frame must have a 'file_path' such as './train/00000', see {where}")
    try:
        pose = np.array(frame.get("transform_matrix"), dtype=np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)
    if pose.shape != (4, 4):
        raise ValueError(f"'transform_matrix' must be 4x4 numbers, see {where} ({file_path})")
    own = [frame.get(key) for key in ("fl_x", "cx", "cy")]
    for key, value in zip(("fl_x", "cx", "cy"), own, strict=True):
        if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
            raise ValueError(f"'{key}' must be a number of pixels, got {value!r} in {where}")
    name = file_path.removeprefix("./").removesuffix(".png")
    return FrameRecord(name, pose, *own)
