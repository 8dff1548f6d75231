"""A small scene of boxes, balls and a round ground under a sky, with exact distances.

It is traced, not rendered: each ray's distance is the solution of an equation. Tests and newcomers
have a whole data set from it in seconds.
"""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from donerf.data.dataset import View
from donerf.data.info import DatasetInfo, level_orientation
from donerf.data.prepare import compute_depth_fields, write_depth_fields
from donerf.data.writing import RAW_BACKGROUND, write_folder_at_once, write_views
from donerf.files import write_text
from donerf.geometry.camera import Camera, Intrinsics

CELL_CENTER = (0.0, 0.0, 1.5)
CELL_SIZE = (1.2, 1.2, 0.5)
VIEW_ROTATION_DEG = (60.0, 20.0)
FIELD_OF_VIEW = math.radians(65)

_SUN = np.array([-0.55, -0.35, 0.76]) / np.linalg.norm([-0.55, -0.35, 0.76])
_GROUND_RADIUS = 24.0
_AMBIENT = 0.35
_NUDGE = 1e-3
"""A shadow ray starts this far above its surface, so that it does not hit it again."""

_DEMO_CONFIG = """\
# Boxes and balls by `donerf demo-data`: trained in a short time. Run from the folder that it was
# made from, or change the path.
[scene]
folder = {folder}
name = "Demo"
license = "MIT"
credits = "made by donerf demo-data"

[oracle_training]
steps = 1500

[shading_training]
steps = 2000
"""


@dataclass(frozen=True)
class Box:
    """An axis-aligned box; corners and base color in sRGB, 0 to 1."""

    lower: tuple[float, float, float]
    upper: tuple[float, float, float]
    color: tuple[float, float, float]

    def hit(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """(R,) distance at which rays from outside enter, +inf where they do not."""
        with np.errstate(divide="ignore", invalid="ignore"):
            to_lower = (np.array(self.lower) - origins) / directions
            to_upper = (np.array(self.upper) - origins) / directions
        # A ray within a face's plane has 0 / 0 there: fmin and fmax ignore it.
        near_x, near_y, near_z = np.fmin(to_lower, to_upper).T
        far_x, far_y, far_z = np.fmax(to_lower, to_upper).T
        enter = np.fmax(np.fmax(near_x, near_y), near_z)
        leave = np.fmin(np.fmin(far_x, far_y), far_z)
        return np.where((enter <= leave) & (enter > 0), enter, math.inf)

    def normals(self, points: np.ndarray) -> np.ndarray:
        """(R, 3) outward, of the face that each point lies on."""
        lower, upper = np.array(self.lower), np.array(self.upper)
        local = (points - (lower + upper) / 2) / (upper - lower)
        axis = np.abs(local).argmax(axis=-1)
        return np.eye(3)[axis] * np.sign(np.take_along_axis(local, axis[:, None], axis=-1))

    def albedo(self, points: np.ndarray) -> np.ndarray:
        """(R, 3) courses of brick with soft joints."""
        x, y, z = points.T
        joints = _soft_stripes(z, 0.35) * _soft_stripes(x + y + 0.2 * np.floor(z / 0.35), 0.7)
        return np.array(self.color) * (0.6 + 0.4 * joints[:, None])


@dataclass(frozen=True)
class Ball:
    """A sphere; base color in sRGB, 0 to 1."""

    center: tuple[float, float, float]
    radius: float
    color: tuple[float, float, float]

    def hit(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """(R,) distance at which rays from outside enter, +inf where they do not."""
        offset = origins - np.array(self.center)
        b = _dot(offset, directions)
        discriminant = b * b - (_dot(offset, offset) - self.radius**2)
        t = -b - np.sqrt(np.maximum(discriminant, 0))
        return np.where((discriminant > 0) & (t > 0), t, math.inf)

    def normals(self, points: np.ndarray) -> np.ndarray:
        """(R, 3) outward."""
        return (points - np.array(self.center)) / self.radius

    def albedo(self, points: np.ndarray) -> np.ndarray:
        """(R, 3) wide soft bands."""
        bands = _soft_stripes(points[:, 2] - 0.6 * points[:, 0], 0.9 * self.radius)
        return np.array(self.color) * (0.55 + 0.45 * bands[:, None])


@dataclass(frozen=True)
class Ground:
    """A disk at height 0 around the origin; beyond it the sky begins."""

    radius: float

    def hit(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """(R,) distance at which rays come down on it, +inf where they do not."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = -origins[:, 2] / directions[:, 2]
        t = np.where(t > 0, t, math.inf)
        with np.errstate(invalid="ignore"):
            points = origins[:, :2] + t[:, None] * directions[:, :2]
            is_on_disk = _dot(points, points) < self.radius**2
        return np.where(is_on_disk, t, math.inf)

    def normals(self, points: np.ndarray) -> np.ndarray:
        """(R, 3) up."""
        return np.broadcast_to(np.array([0.0, 0.0, 1.0]), points.shape)

    def albedo(self, points: np.ndarray) -> np.ndarray:
        """(R, 3) a soft checkerboard that fades with distance, before it gets too fine."""
        x, y = points[:, 0], points[:, 1]
        board = np.tanh(3 * np.sin(math.pi * x / 0.8) * np.sin(math.pi * y / 0.8))
        board = board * np.exp(-np.hypot(x, y) / 8)
        return np.array([0.52, 0.50, 0.42]) * (1 + 0.35 * board[:, None])


Solid = Box | Ball | Ground


def solids(seed: int) -> list[Solid]:
    """The scene: what stands where, the same for the same seed."""
    random = np.random.default_rng(seed)
    found: list[Solid] = [Ground(_GROUND_RADIUS)]
    for index in range(7):
        bearing = math.radians(-63 + 21 * index + random.uniform(-6, 6))
        distance = random.uniform(3.0, 6.0) * (1.0 if index % 2 else 1.8)
        x, y = distance * math.sin(bearing), distance * math.cos(bearing)
        red, green, blue = random.uniform(0.35, 0.95, 3).tolist()
        color = (red, green, blue)
        size = random.uniform(0.45, 0.9) * (1.0 if index % 2 else 1.5)
        if index % 2:
            found.append(Ball((x, y, size), size, color))
        else:
            height = 2 * size * random.uniform(0.8, 1.6)
            lower, upper = (x - size, y - size, 0.0), (x + size, y + size, height)
            found.append(Box(lower, upper, color))
    return found


def trace(
    scene: list[Solid], origins: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What rays see first.

    origins, directions:  (R, 3) float64; directions have unit length
    returns:              (R,) distances, +inf for the sky; (R, 3) sRGB in [0, 1]
    """
    hits = np.stack([solid.hit(origins, directions) for solid in scene])
    nearest, distances = hits.argmin(axis=0), hits.min(axis=0)
    colors = _sky(directions)
    for index, solid in enumerate(scene):
        mine = (nearest == index) & np.isfinite(distances)
        points = origins[mine] + distances[mine, None] * directions[mine]
        colors[mine] = _shade(scene, solid, points)
    return distances, colors


def _shade(scene: list[Solid], solid: Solid, points: np.ndarray) -> np.ndarray:
    """(R, 3) color of surface points under the sun, with shadows, independent of the view."""
    normals = solid.normals(points)
    light = np.maximum(normals @ _SUN, 0)
    starts = points + _NUDGE * normals
    toward_sun = np.broadcast_to(_SUN, points.shape)
    for other in scene:
        light = np.where(np.isfinite(other.hit(starts, toward_sun)), 0, light)
    brightness = _AMBIENT + (1 - _AMBIENT) * light
    return np.clip(solid.albedo(points) * brightness[:, None], 0, 1)


def _sky(directions: np.ndarray) -> np.ndarray:
    """(R, 3) from pale at the horizon to blue above."""
    height = np.clip(directions[:, 2:], 0, 1) ** 0.6
    return np.array([0.86, 0.90, 0.94]) * (1 - height) + np.array([0.30, 0.52, 0.86]) * height


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(R, 3) and (R, 3) to (R,); much faster than a sum over so short an axis."""
    return np.einsum("ij,ij->i", a, b)


def _soft_stripes(x: np.ndarray, period: float) -> np.ndarray:
    """1 between lines at the multiples of the period, 0 on them."""
    return 1 - np.exp(-(np.sin(math.pi * x / period) ** 2) / 0.02)


def render_view(scene: list[Solid], camera: Camera, name: str, subpixels: int = 2) -> View:
    """One view: the color is the mean over a grid in each pixel, the distance its center's."""
    k = camera.intrinsics
    distances, _ = _trace_pixels(scene, camera, (0.0, 0.0))
    offsets = (np.arange(subpixels) + 0.5) / subpixels - 0.5
    colors = np.zeros((k.height * k.width, 3))
    for x in offsets:
        for y in offsets:
            colors += _trace_pixels(scene, camera, (float(x), float(y)))[1] / subpixels**2
    return View(
        name,
        camera,
        np.round(255 * colors).astype(np.uint8).reshape(k.height, k.width, 3),
        distances.astype(np.float32).reshape(k.height, k.width),
    )


def _trace_pixels(
    scene: list[Solid], camera: Camera, offset: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    directions = _pixel_directions(camera, offset)
    return trace(scene, np.broadcast_to(camera.position, directions.shape), directions)


def _pixel_directions(camera: Camera, offset: tuple[float, float]) -> np.ndarray:
    """(H * W, 3) as `Camera.rays` has them, in float64: what is traced along them is exact."""
    k = camera.intrinsics
    x = (np.arange(k.width) + 0.5 + offset[0] - k.center_x) / k.focal
    y = (np.arange(k.height) + 0.5 + offset[1] - k.center_y) / k.focal
    y, x = np.meshgrid(-y, x, indexing="ij")
    local = np.stack((x, y, -np.ones_like(x)), axis=-1).reshape(-1, 3)
    directions = local @ camera.world_from_camera[:3, :3].T
    return directions / np.sqrt(_dot(directions, directions))[:, None]


def write_procedural_dataset(
    folder: Path,
    size: tuple[int, int] = (100, 100),
    views: tuple[int, int, int] = (40, 4, 8),
    seed: int = 0,
) -> None:
    """Render the procedural scene as a prepared data set; the same arguments give the same files.

    folder:  new or empty
    size:    (width, height) of the pictures
    views:   (train, val, test) numbers of views
    seed:    decides what stands where, and from where it is seen
    """
    if min(size) < 1 or min(views) < 0 or views[0] < 1:
        raise ValueError(
            "a data set must have pictures of at least 1x1 pixels and at least one view to train "
            f"on, got size {size} and views {views}"
        )
    scene, random = solids(seed), np.random.default_rng([seed, 1])
    intrinsics = Intrinsics.from_fov(*size, FIELD_OF_VIEW)
    splits = {
        split: [
            render_view(scene, _random_camera(random, intrinsics), f"{split}/{index:05d}")
            for index in range(count)
        ]
        for split, count in zip(("train", "val", "test"), views, strict=True)
        if count
    }

    def write(path: Path) -> None:
        write_views(path, _info(size), splits)
        write_depth_fields(path, compute_depth_fields(path))

    write_folder_at_once(folder, write)


def _random_camera(random: np.random.Generator, intrinsics: Intrinsics) -> Camera:
    """Anywhere in the cell, looking anywhere in the cone."""
    yaw, pitch = np.radians(VIEW_ROTATION_DEG) * random.uniform(-0.5, 0.5, 2)
    pose = level_orientation(float(yaw), float(pitch))
    pose[:3, 3] = np.array(CELL_CENTER) + np.array(CELL_SIZE) * random.uniform(-0.5, 0.5, 3)
    return Camera(pose, intrinsics)


def _info(size: tuple[int, int]) -> DatasetInfo:
    base = level_orientation(0.0, 0.0)
    base[:3, 3] = CELL_CENTER
    return DatasetInfo(
        camera_angle_x=FIELD_OF_VIEW,
        view_cell_center=CELL_CENTER,
        view_cell_size=CELL_SIZE,
        camera_base_orientation=tuple(tuple(row) for row in base.tolist()),
        view_rotation_deg=VIEW_ROTATION_DEG,
        resolution=size,
        depth_ignore=RAW_BACKGROUND,
    )


def demo_data_command(
    folder: Path,
    size: tuple[int, int] = (100, 100),
    views: tuple[int, int, int] = (40, 4, 8),
    seed: int = 0,
) -> None:
    """Write a small scene to train on and a config for it, and say how to go on."""
    write_procedural_dataset(folder, size, views, seed)
    config = folder / "demo.toml"
    # Every string that JSON can hold is one of TOML, as long as it is not escaped to ASCII.
    place = json.dumps(folder.as_posix(), ensure_ascii=False)
    write_text(config, _DEMO_CONFIG.format(folder=place))
    file = shlex.quote(str(config))
    print(
        f"wrote {sum(views)} views of {size[0]}x{size[1]} to {folder}; train on them with\n"
        f"  donerf train oracle {file}\n"
        f"  donerf train shader {file}\n"
        "  donerf view runs/demo/demo.donerf"
    )
