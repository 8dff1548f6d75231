"""One picture as a PNG, and beside it a JSON file from which it can be made again."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from donerf import Camera, Scene, ViewCell
from donerf.files import read_json, write_atomically, write_text
from donerf.renderer import Placement, Precision, RendererInfo
from viewer.arguments import MAX_EDGE, MAX_SAMPLES
from viewer.coloring import PLAIN, Look
from viewer.fly_camera import make_camera
from viewer.path_file import matrix_from_json
from viewer.render_modes import RenderMode
from viewer.rendering import Picture


@dataclass(frozen=True)
class PoseFile:
    """What a pose file says; None where it says nothing.

    matrix:    (4, 4) world_from_camera
    fov_x:     horizontal field of view, radians
    size:      width and height, pixels
    passes:    averaged, with rays moved within their pixels
    adaptive:  rays get fewer or more samples by how sure the oracle is
    """

    path: Path
    matrix: np.ndarray
    fov_x: float | None = None
    size: tuple[int, int] | None = None
    samples: int | None = None
    mode: RenderMode | None = None
    precision: str | None = None
    placement: Placement = "oracle"
    passes: int = 1
    look: Look = PLAIN
    adaptive: bool = False

    def camera(self, cell: ViewCell, size: tuple[int, int]) -> Camera:
        """The camera that it stands for, with a picture of `size` pixels."""
        fov = self.fov_x
        if fov is None:
            return make_camera(self.matrix, *size, cell.fov_x)
        # A file states the horizontal field of view, ours is that of the longer side.
        longer = 2 * math.atan(math.tan(fov / 2) * max(size) / size[0])
        return make_camera(self.matrix, *size, longer)


def save_png(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W, 4) uint8 as an RGB picture; a failure leaves no half file."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    write_atomically(path, lambda beside: image.save(beside, format="PNG"))


def depth_path(picture: Path) -> Path:
    """Where the distances of a picture lie: beside it, as in a data set."""
    return picture.with_name(f"{picture.stem}_depth.npz")


def save_depth(path: Path, depth: np.ndarray) -> None:
    """Write (H, W) float32 distances along the rays, scene units, as the array `depth`."""

    def write(beside: Path) -> None:
        # numpy would add an ending of its own to a name.
        with beside.open("wb") as file:
            np.savez_compressed(file, depth=depth)

    write_atomically(path, write)


def save_capture(picture: Picture, folder: Path, scene: Scene, info: RendererInfo) -> Path:
    """Write a picture, and beside it as .json its pose and settings; returns the picture's path.

    Its distances, if it has them, become NAME_depth.npz.
    """
    path = free_path(folder, scene.name, ".png")
    if picture.depth is not None:
        save_depth(depth_path(path), picture.depth)
    save_png(path, picture.pixels)
    request = picture.request
    camera, intrinsics = request.camera, request.camera.intrinsics
    document = {
        "transform_matrix": camera.world_from_camera.tolist(),
        "camera_angle_x": intrinsics.fov_x,
        "size": [intrinsics.width, intrinsics.height],
        "samples": request.samples,
        "mode": request.mode,
        "placement": request.placement,
        "passes": request.passes,
        "adaptive": request.adaptive,
        **vars(request.look),
        "scene": scene.name,
        "scene_sha256": scene.metadata.sha256,
        "backend": info.backend,
        "device": info.device,
        "precision": info.precision,
    }
    write_text(path.with_suffix(".json"), json.dumps(document, indent=1) + "\n")
    return path


def read_pose(path: Path) -> PoseFile:
    """Read a pose: JSON with a `transform_matrix`, such as a screenshot leaves beside itself."""
    source = "key P in the window saves a picture with its pose beside it"
    return pose_from_json(read_json(path, "pose", source), path)


def pose_document(matrix: np.ndarray, cell: ViewCell, samples: int, mode: RenderMode) -> str:
    """A pose as text, for the clipboard; `pose_from_json` understands it."""
    document = {
        "transform_matrix": matrix.tolist(),
        "camera_angle_x": cell.fov_x,
        "samples": samples,
        "mode": mode,
    }
    return json.dumps(document)


def pose_from_json(document: Any, path: Path) -> PoseFile:
    """Check what was read from a pose file, or from the clipboard."""
    if not isinstance(document, dict) or "transform_matrix" not in document:
        raise ValueError(f"a pose file must have a 'transform_matrix', {path} has none")
    try:
        return PoseFile(
            path,
            matrix_from_json(document["transform_matrix"]),
            fov_x=_angle(document.get("camera_angle_x")),
            size=_size(document.get("size")),
            samples=_count(document.get("samples")),
            mode=RenderMode(document["mode"]) if document.get("mode") is not None else None,
            precision=_precision(document.get("precision")),
            placement=_placement(document.get("placement")),
            passes=_count(document.get("passes")) or 1,
            look=_look(document),
            adaptive=_flag("adaptive", document.get("adaptive")),
        )
    except ValueError as error:
        raise ValueError(f"{error}, in {path}") from None


def _angle(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or not 0 < value < math.pi:
        raise ValueError(f"'camera_angle_x' must lie in (0, pi) radians, got {value!r}")
    return float(value)


def _size(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    match value:
        case [int(width), int(height)] if 1 <= width <= MAX_EDGE and 1 <= height <= MAX_EDGE:
            return width, height
    raise ValueError(f"'size' must be [width, height], each 1 ... {MAX_EDGE} pixels, got {value!r}")


def _count(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or not 1 <= value <= MAX_SAMPLES:
        raise ValueError(
            f"'samples' and 'passes' must be whole numbers, 1 ... {MAX_SAMPLES}, got {value!r}"
        )
    return value


def _precision(value: object) -> str | None:
    known = get_args(Precision)
    if value is not None and value not in known:
        raise ValueError(f"'precision' must be one of {', '.join(known)}, got {value!r}")
    return str(value) if value is not None else None


def _placement(value: object) -> Placement:
    match value:
        case None:
            return "oracle"
        case "oracle":
            return "oracle"
        case "uniform":
            return "uniform"
    raise ValueError(f"'placement' must be oracle or uniform, got {value!r}")


def _flag(name: str, value: object) -> bool:
    if value not in (None, False, True):
        raise ValueError(f"'{name}' must be true or false, got {value!r}")
    return bool(value)


def _look(document: dict[str, object]) -> Look:
    values: dict[str, float | None] = {}
    for field in fields(Look):
        value = document.get(field.name, field.default)
        is_number = isinstance(value, int | float) and math.isfinite(value)
        if not (is_number or (value is None and field.default is None)):
            raise ValueError(f"'{field.name}' must be a number, got {value!r}")
        values[field.name] = value  # type: ignore[assignment]  # checked just now
    return Look(**values)  # type: ignore[arg-type]


def free_path(folder: Path, name: str, ending: str) -> Path:
    """The next name in the folder that is not taken: NAME-0001.png, NAME-0002.png, ..."""
    name = re.sub(r"[^\w.-]+", "_", name)
    number = 1
    while (path := folder / f"{name}-{number:04d}{ending}").exists():
        number += 1
    return path
