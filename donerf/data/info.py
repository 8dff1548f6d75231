"""What a data set says about itself: dataset_info.json, checked, and the view cell it describes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

import numpy as np

from donerf.config import CellSettings
from donerf.files import write_text
from donerf.geometry.view_cell import Vector, ViewCell

INFO_FILE = "dataset_info.json"
BACKGROUND_FROM = 1e9
"""A raw depth from here on is background, whatever depth_ignore says."""

Range = tuple[float, float]


@dataclass(frozen=True)
class DatasetInfo:
    """The constants of a data set, named as in its file.

    camera_angle_x:             horizontal field of view, radians
    resolution:                 (width, height) of all pictures; None: as the first one is
    view_cell_center, _size:    the box that the cameras stay in, full edge lengths, scene units
    flip_depth:                 depth rows are stored bottom-up
    depth_distance_adjustment:  depth is stored along the camera's -z, not along the ray
    depth_ignore:               raw depth that means background; None: none beyond 1e9
    depth_range:                near, far distance seen from the cameras; None until prepared
    depth_range_warped_log:     the same from the sphere around the cell; None until prepared
    depth_range_warped_lin:     the same as the line above, where the published files have it twice
    camera_base_orientation:    (4, 4) world_from_camera in the middle of the cone of views
    view_rotation_deg:          full widths (yaw, pitch) of that cone, degrees
    source:                     the file that all this came from, for messages
    """

    camera_angle_x: float
    view_cell_center: Vector
    view_cell_size: Vector
    camera_base_orientation: tuple[tuple[float, ...], ...]
    view_rotation_deg: tuple[float, float]
    resolution: tuple[int, int] | None = None
    flip_depth: bool = False
    depth_distance_adjustment: bool = False
    depth_ignore: float | None = None
    depth_range: Range | None = None
    depth_range_warped_log: Range | None = None
    depth_range_warped_lin: Range | None = None
    source: Path = Path(INFO_FILE)

    @property
    def radius(self) -> float:
        """Of the sphere around the cell's box, scene units."""
        return math.hypot(*self.view_cell_size) / 2

    def view_cell(
        self, settings: CellSettings | None = None, radius: float | None = None
    ) -> ViewCell:
        """The view cell with its depth ranges.

        settings:  of the ray space; None: the defaults
        radius:    of the sphere where unified rays start; None: half the box's diagonal, for
                   which the depth ranges in the file hold
        """
        settings = settings or CellSettings()
        if self.depth_range is None or self.depth_range_warped_log is None:
            raise ValueError(
                f"a data set must know its depth ranges, {self.source} has none; "
                f"`donerf prepare {self.source.parent}` computes them"
            )
        is_unified = settings.rays == "unified"
        rotation = np.array(self.camera_base_orientation)[:3, :3]
        return ViewCell(
            center=self.view_cell_center,
            size=self.view_cell_size,
            radius=self.radius if radius is None else radius,
            depth_range=self.depth_range,
            unified_range=self.depth_range_warped_log if is_unified else self.depth_range,
            log_scale=settings.log_scale if settings.depth == "log" else None,
            ray_space=settings.rays,
            warp=settings.warp,
            base_orientation=tuple(_vector(row) for row in rotation),  # type: ignore[arg-type]
            view_rotation_deg=self.view_rotation_deg,
            fov_x=self.camera_angle_x,
        )


def parse_info(values: dict[str, Any], source: Path) -> DatasetInfo:
    """Check the values of a dataset_info.json; what is absent and has a default takes it.

    values:  as in the file, with camera_angle_x and the cone of views filled in by the reader
    """
    check = _Checker(values, source)
    size = check.numbers("view_cell_size", 3)
    if min(size) <= 0:
        check.fail("view_cell_size", "three positive edge lengths")
    fov = check.number("camera_angle_x")
    if not 0 < fov < math.pi:
        check.fail("camera_angle_x", "a field of view in (0, pi) radians")
    base = check.matrix("camera_base_orientation")
    yaw, pitch = check.numbers("view_rotation_deg", 2)
    if min(yaw, pitch) < 0:
        check.fail("view_rotation_deg", "two widths in degrees, none negative")
    return DatasetInfo(
        camera_angle_x=fov,
        view_cell_center=_vector(check.numbers("view_cell_center", 3)),
        view_cell_size=_vector(size),
        camera_base_orientation=base,
        view_rotation_deg=(yaw, pitch),
        resolution=check.resolution(),
        flip_depth=check.flag("flip_depth"),
        depth_distance_adjustment=check.flag("depth_distance_adjustment"),
        depth_ignore=check.depth_ignore(),
        depth_range=check.range("depth_range"),
        depth_range_warped_log=check.range("depth_range_warped_log"),
        depth_range_warped_lin=check.range("depth_range_warped_lin"),
        source=source,
    )


def write_info(folder: Path, info: DatasetInfo) -> None:
    """Write dataset_info.json, atomically; keys in the old file that are not ours stay."""
    names = [field.name for field in fields(info) if field.name != "source"]
    update_info_file(folder, {name: getattr(info, name) for name in names})


def update_info_file(folder: Path, values: dict[str, Any]) -> None:
    """Set some keys of dataset_info.json, atomically; the others stay as they are."""
    path = Path(folder) / INFO_FILE
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_text(path, json.dumps(old | values, indent=1) + "\n")


def cone_of_poses(poses: Sequence[np.ndarray]) -> tuple[np.ndarray, tuple[float, float]]:
    """The smallest cone in yaw and pitch that holds the view directions of some cameras.

    poses:    (4, 4) world_from_camera each; the world is z-up and the cameras are taken as level
    returns:  (4, 4) orientation in the middle of the cone (at the origin), and its full widths
              (yaw, pitch) in degrees
    """
    forward = -np.stack(poses)[:, :3, 2]
    yaw = np.sort(np.arctan2(-forward[:, 0], forward[:, 1]))  # 0 looks along +y, left is positive
    pitch = np.arcsin(np.clip(forward[:, 2], -1, 1))
    # The arc that holds all angles is what the widest gap between neighbors leaves over.
    gaps = np.diff(yaw, append=yaw[0] + 2 * math.pi)
    widest = int(np.argmax(gaps))
    width = 2 * math.pi - gaps[widest]
    center_yaw = yaw[(widest + 1) % len(yaw)] + width / 2
    center_pitch = (pitch.min() + pitch.max()) / 2
    widths = (math.degrees(width), math.degrees(float(np.ptp(pitch))))
    return level_orientation(center_yaw, center_pitch), widths


def level_orientation(yaw: float, pitch: float) -> np.ndarray:
    """(4, 4) world_from_camera without roll: yaw turns left from +y, pitch up; radians."""
    sin_yaw, cos_yaw = math.sin(yaw), math.cos(yaw)
    sin_pitch, cos_pitch = math.sin(pitch), math.cos(pitch)
    pose = np.eye(4)
    pose[:3, 0] = cos_yaw, sin_yaw, 0
    pose[:3, 1] = sin_yaw * sin_pitch, -cos_yaw * sin_pitch, cos_pitch
    pose[:3, 2] = sin_yaw * cos_pitch, -cos_yaw * cos_pitch, -sin_pitch
    return pose


@dataclass(frozen=True)
class _Checker:
    """Takes values out of a JSON object; each that is wrong becomes one sentence."""

    values: dict[str, Any]
    source: Path

    def fail(self, key: str, expected: str) -> NoReturn:
        got = repr(self.values[key]) if key in self.values else "nothing"
        raise ValueError(
            f"'{key}' must be {expected}, got {got} in {self.source}; "
            "docs/data-format.md says what each key means"
        )

    def number(self, key: str) -> float:
        value = self.values.get(key)
        if not _is_number(value):
            self.fail(key, "a finite number")
        return float(value)

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        values = self.values.get(key)
        if not isinstance(values, list | tuple) or len(values) != count:
            self.fail(key, f"{count} finite numbers")
        if not all(_is_number(x) for x in values):
            self.fail(key, f"{count} finite numbers")
        return tuple(float(x) for x in values)

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            self.fail(key, "true or false")
        return value

    def matrix(self, key: str) -> tuple[tuple[float, ...], ...]:
        try:
            matrix = np.array(self.values.get(key), dtype=np.float64)
        except (TypeError, ValueError):
            matrix = np.empty(0)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            self.fail(key, "a 4x4 matrix of finite numbers")
        rotation = matrix[:3, :3]
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
            self.fail(key, "a rotation without scale")
        return tuple(tuple(float(x) for x in matrix[row]) for row in range(4))

    def resolution(self) -> tuple[int, int] | None:
        if self.values.get("resolution") is None:
            return None
        width, height = self.numbers("resolution", 2)
        if min(width, height) < 1 or width % 1 or height % 1:
            self.fail("resolution", "[width, height] in whole pixels")
        return int(width), int(height)

    def depth_ignore(self) -> float | None:
        value = self.values.get("depth_ignore")
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.fail("depth_ignore", "the raw depth that means background, or null")
        # What is not finite is background without being said.
        return float(value) if math.isfinite(value) else None

    def range(self, key: str) -> Range | None:
        if self.values.get(key) is None:
            return None
        near, far = self.numbers(key, 2)
        if near >= far:
            self.fail(key, "[near, far] with near < far")
        return near, far


def _is_number(x: object) -> TypeGuard[int | float]:
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


def _vector(numbers: Sequence[float]) -> Vector:
    x, y, z = numbers
    return float(x), float(y), float(z)
