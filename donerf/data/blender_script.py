"""Renders data sets from a Blender scene: color, depth and poses, seen from inside view cells.

It runs inside Blender, or in a Python that has the module bpy, and needs nothing else:

    blender -b room.blend -P blender_script.py -- --out data/room
    python blender_script.py room.glb --out data/room

`donerf render-scene` calls it; docs/own-scenes.md explains it. Lines on stdout that begin with
"donerf:" say what happens, the others are Blender's own. After an interruption the same command
goes on: a view that is there is not rendered again. It is one file on purpose, so that it can be
copied to a machine that has Blender and nothing else. MIT license.
"""

# pyright: reportMissingImports=false, reportOptionalMemberAccess=false, reportOptionalCall=false
from __future__ import annotations

import argparse
import errno
import hashlib
import io
import json
import math
import os
import sys
import threading
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

try:
    import bpy
    from mathutils import Matrix, Vector
except ImportError:  # Without Blender, the parts that need none of it can still be called.
    bpy = Matrix = Vector = None  # type: ignore[assignment]

OLDEST_BLENDER = (5, 0)
SPLITS = ("train", "val", "test")
MODELS = (".glb", ".gltf", ".obj")
CELL_NAME = "view_cell"
_SOLID = ("MESH", "CURVE", "SURFACE", "META", "FONT", "CURVES", "POINTCLOUD", "VOLUME")
PLAN_FILE = "render.json"
SCENE_FILE = "scene.json"

_MISS = 1e9
"""Cycles gives a ray that hits nothing the depth 1e10."""
_DEPTH_BITS = 15
"""Mantissa bits of a stored depth: 3e-5 of it at most are lost, and the file is a third smaller."""
_DIRECTIONS = 96
"""In which one looks around at a place."""
_CHECKED_PLACES = 64
"""At least so many places of a cell are looked at, however few views are rendered."""
_BACKS = 0.6
"""A camera that sees the backs of faces in more than this share of directions may be inside one."""
_DARK = 0.01
"""Of the brightest place in the cell: one that gets less light is shut in."""
_COLUMNS = 40
"""In which one looks down, along x and y, for what rises from the ground."""
_RISES = 0.15
"""What reaches this share of the whole height is not ground."""
_SURROUNDED = 0.8
"""The share of directions that floor and walls must close, to be those of a room."""
_DIM, _BRIGHT = 0.05, 0.25
"""Light from the median surface: a model with less gets some, until a room has so much."""
_SKY_COLOR, _SKY_LIGHT = (0.5, 0.72, 1.0, 1.0), (0.8, 0.9, 1.0, 1.0)
_DEEPER = 0.15
"""Of the distance: so much deeper one looks into another side, to be preferred to the front."""
_FRONT_YAW = math.radians(20)
"""A little from the side; the front of a glTF model shows towards -y here."""
_REDRAWS = 30
_DEFAULT_FOV = math.radians(70)
_ROTATION_DEG = (70.0, 24.0)
_ROTATION_AROUND_AN_OBJECT_DEG = (30.0, 20.0)


Box = tuple[np.ndarray, np.ndarray]
"""Two (3,) vectors: center and full edge lengths of a cell, or lower and upper corner."""


class SceneError(ValueError):
    """What the user can mend, as one sentence."""


@dataclass(frozen=True)
class Cell:
    """A view cell and the cone of its views.

    center, size:  axis-aligned box, full edge lengths, scene units
    yaw, pitch:    the middle of the cone, radians; yaw turns left from +y, pitch up
    rotation_deg:  full widths (yaw, pitch) of the cone, degrees
    fov:           horizontal, radians
    """

    name: str
    center: tuple[float, ...]
    size: tuple[float, ...]
    yaw: float
    pitch: float
    rotation_deg: tuple[float, ...]
    fov: float

    @property
    def folder_name(self) -> str:
        """Of its data set, where there are several: view_cell_001 for 'view_cell.001'."""
        return self.name.replace(".", "_")


@dataclass(frozen=True)
class View:
    """One picture to render: 'train/00000' and its (4, 4) world_from_camera."""

    name: str
    pose: np.ndarray

    @property
    def split(self) -> str:
        return self.name.split("/")[0]

    def files(self, folder: Path) -> tuple[Path, Path]:
        """Depth and picture; when both are there, the view is finished."""
        return folder / f"{self.name}_depth.npz", folder / f"{self.name}.png"


def main(words: Sequence[str]) -> int:
    """Render what the command line asks for; returns the exit code."""
    try:
        options = parse_options(words)
        if options.stop_with_stdin:
            threading.Thread(target=_stop_with_stdin, daemon=True).start()
        render_data_sets(options)
    except SceneError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    except OSError as error:
        what = f"{error.strerror}: {error.filename}" if error.filename else str(error)
        advice = "finished views stay, and the same command goes on when that is mended"
        print(f"error: {what}; {advice}", file=sys.stderr, flush=True)
        return 2
    return 0


def render_data_sets(options: argparse.Namespace) -> None:
    """All view cells of a scene, each as one data set."""
    if bpy is None:
        raise SceneError("this script runs inside Blender, or in a Python that has the module bpy")
    if bpy.app.version[:2] < OLDEST_BLENDER:
        raise SceneError(f"Blender 5.0 or newer is needed, this is {bpy.app.version_string}")
    is_model = open_scene(options.scene)
    cells = find_cells(options, is_model)
    set_up_render(options)
    light_scene(cells, is_model)
    chosen = [cell for cell in cells if options.cell in (None, cell.name)]
    if not chosen:
        names = ", ".join(cell.name for cell in cells)
        raise SceneError(f"--cell must be one of {names}, got '{options.cell}'")
    if options.poses and len(chosen) > 1:
        raise SceneError(f"--poses belong to one view cell, {len(chosen)} are there; add --cell")
    for cell in chosen:
        folder = options.out if len(cells) == 1 else options.out / cell.folder_name
        render_cell(cell, folder, options)
    if len(cells) > 1:
        there = [c for c in cells if (options.out / c.folder_name / "dataset_info.json").exists()]
        listed = [{"name": cell.name, "folder": cell.folder_name} for cell in there]
        write_json(options.out / SCENE_FILE, {"format": 1, "cells": listed})


def render_cell(cell: Cell, folder: Path, options: argparse.Namespace) -> None:
    """One data set: what is missing of its views, then the files that list them."""
    views = read_views(options.poses, cell) if options.poses else draw_views(cell, options)
    begin_folder(folder, settings_of(cell, options))
    for split in {view.split for view in views}:
        (folder / split).mkdir(exist_ok=True)
    missing = [view for view in views if not all(file.exists() for file in view.files(folder))]
    say(f"{folder} has {len(missing)} of {len(views)} views to render")
    fov = place_camera(cell)
    for view in missing:
        started = time.perf_counter()
        render_view(view, folder, options.seed)
        say(f"rendered {view.name} in {time.perf_counter() - started:.2f} s")
    write_listing(folder, views, cell, fov, options.size)


# The command line


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, as everything else does."""

    def error(self, message: str) -> NoReturn:
        raise SceneError(f"{message}; {self.prog} --help explains the options")


def parser(add_help: bool = True) -> Parser:
    """The options; `donerf render-scene` adds its own and its own help."""
    it = Parser(prog="blender_script.py", description=__doc__, add_help=add_help)
    it.formatter_class, it.allow_abbrev = argparse.RawDescriptionHelpFormatter, False
    it.add_argument("scene", type=Path, nargs="?", help="a .blend, .glb, .gltf or .obj file")
    text = "folder of the data set, or of several, where there are several view cells"
    it.add_argument("--out", type=Path, required=True, metavar="DIR", help=text)
    for split, count in zip(SPLITS, (120, 10, 20), strict=True):
        text = f"number of views of the {split} split, default {count}"
        it.add_argument(f"--{split}", type=int, default=count, metavar="N", help=text)
    two, three = ("WIDTH", "HEIGHT"), ("X", "Y", "Z")
    text = "of the pictures in pixels, default 400 400"
    it.add_argument("--size", type=int, nargs=2, default=[400, 400], metavar=two, help=text)
    it.add_argument("--samples", type=int, default=32, metavar="N", help="per pixel, default 32")
    text = "of the cameras' places and the noise: the same one gives the same files"
    it.add_argument("--seed", type=int, default=0, metavar="N", help=text)
    it.add_argument("--cell", metavar="NAME", help="render only this one of several view cells")
    it.add_argument("--cell-center", type=float, nargs=3, metavar=three, help="without a cube")
    it.add_argument("--cell-size", type=float, nargs=3, metavar=three, help="its edge lengths")
    it.add_argument("--yaw", type=float, metavar="DEG", help="base direction, left from +y")
    it.add_argument("--pitch", type=float, metavar="DEG", help="base direction, upwards")
    it.add_argument("--fov", type=float, metavar="DEG", help="horizontal field of view")
    text = "how far views turn, full widths in degrees; default 70 24"
    it.add_argument("--rotation", type=float, nargs=2, metavar=("YAW", "PITCH"), help=text)
    text = "draw cameras that stand inside geometry again, instead of refusing the cell"
    it.add_argument("--avoid", action="store_true", help=text)
    text = "render the views of this transforms_*.json instead of drawing some"
    it.add_argument("--poses", type=Path, metavar="FILE", help=text)
    it.add_argument("--no-denoise", dest="denoise", action="store_false", help="keep the noise")
    it.add_argument("--threads", type=int, metavar="N", help="of the CPU, default all")
    text = "what renders: cpu, gpu (any), cuda, optix, hip, metal or oneapi"
    it.add_argument("--device", default="cpu", metavar="NAME", help=text)
    text = "light to color: Standard (default, plain sRGB), AgX, Filmic, ..."
    it.add_argument("--view-transform", default="Standard", metavar="NAME", help=text)
    it.add_argument("--stop-with-stdin", action="store_true", help=argparse.SUPPRESS)
    return it


def parse_options(words: Sequence[str]) -> argparse.Namespace:
    """The options, checked as far as this goes without the scene."""
    options = parser().parse_args(words)
    check_options(options)
    return options


def check_options(options: argparse.Namespace) -> None:
    """Refuse values that cannot be meant."""
    counts = [options.train, options.val, options.test]
    rules = (
        (min(options.size) >= 1, "--size must be at least 1 1", options.size),
        (min(counts) >= 0 < counts[0], "--train must be at least 1, --val and --test 0", counts),
        (options.samples >= 1, "--samples must be at least 1", options.samples),
        (options.seed >= 0, "--seed must not be negative", options.seed),
        (
            options.threads is None or options.threads >= 1,
            "--threads must be at least 1",
            options.threads,
        ),
        (options.fov is None or 1 <= options.fov <= 170, "--fov must be 1 to 170", options.fov),
        (_is_turn(options.rotation), "--rotation must be 0 to 360, 0 to 180", options.rotation),
        (_is_size(options.cell_size), "--cell-size must be positive", options.cell_size),
        (
            _is_place([options.yaw or 0, options.pitch or 0]),
            "--yaw and --pitch must be finite",
            "nan",
        ),
        (_is_place(options.cell_center), "--cell-center must be finite", options.cell_center),
    )
    for holds, rule, got in rules:
        if not holds:
            shown = " ".join(map(str, got)) if isinstance(got, list | tuple) else got
            raise SceneError(f"{rule}, got {shown}")
    if (options.cell_center is None) != (options.cell_size is None):
        raise SceneError("--cell-center and --cell-size must be given together, got one of them")


def _is_turn(rotation: list[float] | None) -> bool:
    return rotation is None or (0 <= rotation[0] <= 360 and 0 <= rotation[1] <= 180)


def _is_size(size: list[float] | None) -> bool:
    return size is None or (min(size) > 0 and all(map(math.isfinite, size)))


def _is_place(place: list[float] | None) -> bool:
    return place is None or all(map(math.isfinite, place))


def say(text: str) -> None:
    """A line for whoever started this."""
    print(f"donerf: {text}", flush=True)


def _stop_with_stdin() -> None:
    """End when the program that started this does, even by `kill -9`: then its pipe closes."""
    while os.read(0, 1024):
        pass
    os._exit(1)


# The scene and its view cells


def open_scene(path: Path | None) -> bool:
    """Load a file; None: what Blender has open. Returns whether it is a mere model.

    A model (.glb, .gltf, .obj) may lack a camera, light and a cell without being wrong.
    """
    suffix = ".blend" if path is None else path.suffix.lower()
    if path is not None and not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "there is no scene file", str(path))
    if suffix not in (".blend", *MODELS):
        raise SceneError(f"a scene must be a .blend, .glb, .gltf or .obj file, got {path}")
    try:
        if path is not None:
            _load(str(path.resolve()), suffix)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[-1:]
        raise SceneError(f"Blender cannot open {path} ({' '.join(reason)})") from None
    for one in [*bpy.context.scene.objects, *bpy.data.collections]:
        one.hide_viewport = one.hide_render  # Rays meet what is shown, pictures what is rendered.
    bpy.context.view_layer.update()
    if not scene_corners().size:
        raise SceneError(f"a scene must have something to see, {path} has no surface")
    lost = [i.name for i in bpy.data.images if i.source == "FILE" and not _has_pixels(i)]
    if lost:
        say(f"note: {len(lost)} textures are missing and will be pink, the first is {lost[0]}")
    return suffix in MODELS


def _load(path: str, suffix: str) -> None:
    if suffix == ".blend":
        # A file from elsewhere may hold programs; they are not run.
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False)
        return
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if suffix == ".obj":
        bpy.ops.wm.obj_import(filepath=path)
    else:
        bpy.ops.import_scene.gltf(filepath=path)


def _has_pixels(image: Any) -> bool:
    path = bpy.path.abspath(image.filepath, library=image.library)
    return image.users == 0 or bool(image.packed_file) or Path(path).is_file()


def find_cells(options: argparse.Namespace, is_model: bool) -> list[Cell]:
    """The view cells: from the command line, from cubes in the file, or chosen."""
    boxes = marked_boxes(is_model)
    if options.cell_center is not None:
        boxes = {CELL_NAME: (np.array(options.cell_center), np.array(options.cell_size))}
    if boxes:
        return [_cell(name, box, options, is_model) for name, box in sorted(boxes.items())]
    cameras = cameras_of_scene()
    if cameras:
        center = np.array(cameras[0].matrix_world.translation)
        box = (center, free_size(center))
    elif is_model:
        return [choose_cell(options)]
    else:
        raise SceneError(
            f"a scene must say where its cameras stand: add an empty cube named {CELL_NAME} and a "
            "camera, or give --cell-center, --cell-size and --yaw"
        )
    say(f"note: there is no empty named {CELL_NAME}; the cell is {box_text(*box)}")
    return [_cell(CELL_NAME, box, options, is_model)]


def marked_boxes(is_model: bool) -> dict[str, Box]:
    """Center and size of each cube named view_cell, view_cell.001, ..."""
    boxes = {}
    for one in bpy.context.scene.objects:
        is_mark = one.name == CELL_NAME or one.name.startswith(f"{CELL_NAME}.")
        if not is_mark or one.type not in ("EMPTY", "MESH"):
            continue
        if one.type == "EMPTY":
            # A model file knows the scale of an empty and not its size; Blender makes it 1.
            half = 1.0 if is_model else one.empty_display_size
            corners = [Vector((x, y, z)) * half for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
        else:
            corners = [Vector(corner) for corner in one.bound_box]
            one.hide_render = one.hide_viewport = True  # A mark, not a thing to see.
        corners = np.array([one.matrix_world @ corner for corner in corners])
        boxes[one.name] = _box_of_corners(one.name, corners, one.matrix_world)
        if is_model and one.type == "EMPTY":
            text = box_text(*boxes[one.name])
            say(f"note: the file does not say how large the empty {one.name} is; taken is {text}")
    bpy.context.view_layer.update()
    return boxes


def _box_of_corners(name: str, corners: np.ndarray, matrix: Any) -> Box:
    size = np.ptp(corners, axis=0)
    if not size.min() > 0:
        raise SceneError(f"a view cell must have a positive size, '{name}' has {text_of(size)}")
    axes = np.abs(np.array(matrix)[:3, :3])
    if (axes / axes.max(axis=0) > 1e-3).sum() > 3:
        raise SceneError(f"a view cell must not be turned, '{name}' is; clear its rotation (Alt R)")
    return (corners.min(axis=0) + corners.max(axis=0)) / 2, size


def _cell(name: str, box: Box, options: argparse.Namespace, is_model: bool) -> Cell:
    """A cell in a known box; its camera is the one that stands in it, or else the active one."""
    center, size = box
    cameras = cameras_of_scene()
    offsets = [np.abs(np.array(one.matrix_world.translation) - center) for one in cameras]
    inside = [one for one, far in zip(cameras, offsets, strict=True) if np.all(far <= size / 2)]
    yaw, pitch, fov = 0.0, 0.0, _DEFAULT_FOV
    if cameras:
        yaw, pitch, fov = direction_of((inside or cameras)[0])
    elif options.yaw is None and not is_model:
        raise SceneError(
            "a scene must have a camera that looks along the base direction; add one in Blender, "
            "or give --yaw, --pitch and --fov"
        )
    elif options.yaw is None:
        yaw = open_yaw(center)
        say(f"note: there is no camera; the base direction is --yaw {math.degrees(yaw):.0f}")
    return make_cell(name, center, size, (yaw, pitch, fov), _ROTATION_DEG, options)


def cameras_of_scene() -> list[Any]:
    """The active camera first."""
    scene = bpy.context.scene
    cameras = [one for one in scene.objects if one.type == "CAMERA"]
    return sorted(cameras, key=lambda one: one != scene.camera)


def make_cell(
    name: str,
    center: np.ndarray,
    size: np.ndarray,
    view: tuple[float, float, float],
    rotation_deg: tuple[float, float],
    options: argparse.Namespace,
) -> Cell:
    """A cell with what the command line says otherwise; view is (yaw, pitch, fov) in radians."""
    asked = (options.yaw, options.pitch, options.fov)
    pairs = zip(asked, view, strict=True)
    yaw, pitch, fov = (old if new is None else math.radians(new) for new, old in pairs)
    rotation = tuple(options.rotation or rotation_deg)
    center_xyz, size_xyz = (tuple(float(x) for x in vector) for vector in (center, size))
    return Cell(name, center_xyz, size_xyz, yaw, pitch, rotation, fov)


def direction_of(camera: Any) -> tuple[float, float, float]:
    """(yaw, pitch, horizontal field of view) of a camera of the file, radians; roll is left out."""
    if camera.data.type != "PERSP":
        raise SceneError(f"the camera '{camera.name}' must be a perspective one")
    forward = -np.array(camera.matrix_world.to_3x3().normalized())[:, 2]
    frame = np.array(camera.data.view_frame(scene=bpy.context.scene))  # of the file's picture
    fov = 2 * math.atan(np.ptp(frame[:, 0]) / 2 / -frame[0, 2])
    pitch = math.asin(np.clip(forward[2], -1, 1))
    return math.atan2(-forward[0], forward[1]), pitch, fov


# What is chosen where a file says nothing


def choose_cell(options: argparse.Namespace) -> Cell:
    """A cell for a model without one: in the middle of a room, or before an object."""
    lower, upper = scene_box()
    room = room_center(lower, upper)
    if room is not None:
        yaw, pitch, fov = open_yaw(room), 0.0, _DEFAULT_FOV
        rotation, kind = _ROTATION_DEG, "a room, seen from inside"
        center, size = room, free_size(room)
    else:
        lower, upper = standing_box(lower, upper)
        distance = float(np.linalg.norm(upper - lower))
        pitch, fov = math.radians(-12), math.radians(55)
        yaw = open_side((lower + upper) / 2, (upper - lower) / 2, distance, pitch)
        rotation, kind = _ROTATION_AROUND_AN_OBJECT_DEG, "an object, seen from outside"
        center = (lower + upper) / 2 - distance * forward_of(yaw, pitch)
        size = np.array([0.35, 0.35, 0.25]) * distance
    cell = make_cell(CELL_NAME, center, size, (yaw, pitch, fov), rotation, options)
    say(
        f"note: there is no camera and no {CELL_NAME}; the model is taken for {kind}: the cell is "
        f"{box_text(center, size)}, --yaw {math.degrees(cell.yaw):.0f} "
        f"--pitch {math.degrees(cell.pitch):.0f} --fov {math.degrees(cell.fov):.0f}"
    )
    return cell


def scene_box() -> Box:
    """Lower and upper corner of everything that is rendered."""
    corners = scene_corners()
    return corners.min(axis=0), corners.max(axis=0)


def scene_corners() -> np.ndarray:
    """(N, 3) corners of the boxes around all that is rendered, what is instanced included."""
    shown = bpy.context.evaluated_depsgraph_get().object_instances
    solid = [(i.matrix_world.copy(), i.object) for i in shown if i.object.type in _SOLID]
    return np.array([matrix @ Vector(c) for matrix, thing in solid for c in thing.bound_box])


def standing_box(lower: np.ndarray, upper: np.ndarray) -> Box:
    """The part of a box in which something rises: the house, without the lawn around it."""
    share = (np.arange(_COLUMNS) + 0.5) / _COLUMNS
    x, y = np.meshgrid(*(lower[:2, None] + share * (upper - lower)[:2, None]))
    down, high = np.array([[0.0, 0.0, -1.0]]), float(upper[2] + np.ptp((lower, upper)))
    columns = np.stack((x.ravel(), y.ravel(), np.full(x.size, high)), axis=-1)
    heights = high - np.concatenate([look_around(place, down)[0] for place in columns])
    standing = columns[heights > lower[2] + _RISES * (upper - lower)[2], :2]
    if not standing.size:
        return lower, upper
    half = (upper - lower)[:2] / _COLUMNS / 2
    corners = standing.min(axis=0) - half, standing.max(axis=0) + half
    return np.array([*corners[0], lower[2]]), np.array([*corners[1], upper[2]])


def open_side(center: np.ndarray, half: np.ndarray, distance: float, pitch: float) -> float:
    """The yaw from which one looks deepest into an object; its front, if all are much the same."""
    across = np.linspace(-0.9, 0.9, 5)
    aims = np.stack(np.meshgrid(across, across, across), axis=-1).reshape(-1, 3) * half + center
    best, deepest = _FRONT_YAW, 0.0
    for yaw in _FRONT_YAW + np.radians((0, 90, 180, 270)):
        place = center - distance * forward_of(yaw, pitch)
        distances, is_back = look_around(place, aims - place)
        reach = distances / np.linalg.norm(aims - place, axis=-1)
        points = place + reach[:, None] * (aims - place)
        is_object = np.all(np.abs(points - center) <= 1.01 * half, axis=-1)  # Not what is beyond.
        seen = np.where(is_back, 0, distances)[is_object]
        depth = float(seen.mean()) / distance if seen.size else 0.0
        if depth > deepest + _DEEPER:
            best, deepest = float(yaw), depth
    return best


def forward_of(yaw: float, pitch: float) -> np.ndarray:
    """(3,) where a camera looks."""
    return -level_orientation(yaw, pitch)[:3, 2]


def room_center(lower: np.ndarray, upper: np.ndarray) -> np.ndarray | None:
    """The place with most space around it, if floor and walls surround it; else None."""
    best, most = None, 0.04 * float(np.linalg.norm(upper - lower))
    # Models of rooms often have no ceiling, so that one can look into them.
    around = sphere_directions()
    around = around[around[:, 2] < 0.3]
    floor = around[around[:, 2] < -0.3]
    walls = [forward_of(yaw, pitch) for yaw in np.radians(range(0, 360, 15)) for pitch in (0, 0.1)]
    across = np.linspace(0.2, 0.8, 7)
    for share in np.stack(np.meshgrid(across, across, (0.4, 0.55)), axis=-1).reshape(-1, 3):
        place = lower + share * (upper - lower)
        free = float(np.quantile(look_around(place, around)[0], 0.05))
        is_closed = min(_closed(place, floor), _closed(place, np.array(walls))) > _SURROUNDED
        if is_closed and free > most:
            best, most = place, free
    return best


def _closed(place: np.ndarray, directions: np.ndarray) -> float:
    """The share of directions in which something stands that shows its front."""
    distances, is_back = look_around(place, directions)
    return float((np.isfinite(distances) & ~is_back).mean())


def free_size(center: np.ndarray) -> np.ndarray:
    """Edge lengths of an empty box around a place, small against what one sees from there."""
    distances, _ = look_around(center, sphere_directions())
    seen = distances[np.isfinite(distances)]
    far = float(np.median(seen)) if seen.size else float(np.ptp(scene_box(), axis=0).max())
    beside, _ = look_around(center, np.concatenate((np.eye(3), -np.eye(3))))
    half = np.minimum(beside.reshape(2, 3).min(axis=0) / 2, np.array([1, 1, 0.5]) * far / 3)
    corners = np.stack(np.meshgrid((-1, 1), (-1, 1), (-1, 1)), axis=-1).reshape(-1, 3)
    while np.any(look_around(center, corners * half)[0] < np.linalg.norm(half)):
        half = 0.8 * half
    return 2 * half


def open_yaw(center: np.ndarray) -> float:
    """The horizontal direction in which one sees farthest, over a picture's width."""
    yaws = np.radians(np.arange(0, 360, 10))
    level = np.stack((-np.sin(yaws), np.cos(yaws), np.zeros_like(yaws)), axis=-1)
    distances, _ = look_around(center, level)
    reach = np.minimum(distances, np.ptp(scene_box(), axis=0).max())
    width = [np.roll(reach, shift) for shift in range(-3, 4)]
    return float(yaws[np.mean(np.log(width), axis=0).argmax()])


def light_scene(cells: Sequence[Cell], is_model: bool) -> None:
    """Give a model without light some; a .blend file without stays as it is, with a note."""
    is_lit = has_light()
    if not is_model:
        if not is_lit:
            say("note: the file has no light, the pictures will be black")
        return
    centers = [np.array(cell.center) for cell in cells]
    if is_lit and min(map(exposure, centers)) > _DIM:
        return
    add_sky_and_sun(cells[0].yaw)
    indoors = [center for center in centers if math.isfinite(height_above(center))]
    watts = [add_lamp(center) for center in indoors if exposure(center) <= _DIM]
    added = ["a sky", "a sun", *(f"a lamp of {power:g} W under the ceiling" for power in watts)]
    why = "its own light is too dim" if is_lit else "there is no light"
    say(f"note: {why}; added: {', '.join(added)}")


def add_sky_and_sun(yaw: float) -> None:
    """The sun stands at the left behind who looks along the yaw; a sky fills the shadows."""
    scene = bpy.context.scene
    scene.world = bpy.data.worlds.new("sky")
    sample_sky_coarsely(scene.world)
    nodes, links = scene.world.node_tree.nodes, scene.world.node_tree.links
    lights = nodes["Background"]
    lights.inputs["Color"].default_value, lights.inputs["Strength"].default_value = _SKY_LIGHT, 0.5
    # As bright as it is seen, the sky would drown the sun.
    shown, mix = nodes.new("ShaderNodeBackground"), nodes.new("ShaderNodeMixShader")
    shown.inputs["Color"].default_value = _SKY_COLOR
    links.new(nodes.new("ShaderNodeLightPath").outputs["Is Camera Ray"], mix.inputs[0])
    links.new(lights.outputs[0], mix.inputs[1])
    links.new(shown.outputs[0], mix.inputs[2])
    links.new(mix.outputs[0], nodes["World Output"].inputs["Surface"])
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy, sun.angle = 2.5, math.radians(3)
    pose = level_orientation(yaw - math.radians(50), math.radians(-50))
    add_object("sun", sun).matrix_world = Matrix(pose.tolist())


def height_above(place: np.ndarray) -> float:
    """How far the ceiling is; +inf under the sky."""
    return float(look_around(place, np.array([[0.0, 0.0, 1.0]]))[0][0])


def add_lamp(place: np.ndarray) -> float:
    """A lamp under the ceiling, as strong as makes a room's pictures bright; returns its watts."""
    height, before = height_above(place), exposure(place)
    lamp = bpy.data.lights.new("lamp", "AREA")  # Shines downward: nothing above it burns out.
    lamp.shape, lamp.size, lamp.energy = "DISK", 0.5 * height, 40 * height**2
    one = add_object("lamp", lamp)
    one.location, one.visible_camera = (*place[:2], place[2] + 0.9 * height), False
    gained = max(exposure(place) - before, 1e-3)
    # Two digits can be repeated by hand, and on every machine.
    lamp.energy = float(f"{lamp.energy * (_BRIGHT - before) / gained:.2g}")
    return lamp.energy


def has_light() -> bool:
    """Whether a lamp, the world or a material shines."""
    if any(one.type == "LIGHT" and not one.hide_render for one in bpy.context.scene.objects):
        return True
    world = bpy.context.scene.world
    trees = [one.node_tree for one in bpy.data.materials if one.node_tree is not None]
    trees += [world.node_tree] if world is not None and world.node_tree is not None else []
    return any(_shines(node) for tree in trees for node in tree.nodes)


def _shines(node: Any) -> bool:
    """Whether a shader node emits light: a strength that is not 0 and a color that is not black."""
    emits = {
        "EMISSION": ("Strength", "Color"),
        "BACKGROUND": ("Strength", "Color"),
        "BSDF_PRINCIPLED": ("Emission Strength", "Emission Color"),
    }
    if node.type not in emits:
        return False
    strength, color = (node.inputs[name] for name in emits[node.type])
    is_bright = color.is_linked or max(color.default_value[:3]) > 0
    return is_bright and (strength.is_linked or strength.default_value > 0)


def add_object(name: str, data: Any) -> Any:
    """A new object in the scene."""
    one = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(one)
    return one


# Where cameras stand


def draw_views(cell: Cell, options: argparse.Namespace) -> list[View]:
    """Cameras anywhere in the cell that look anywhere in the cone, none inside geometry.

    Each view has random numbers of its own: more views later leave those that are there alone.
    """
    counts: dict[str, int] = {split: getattr(options, split) for split in SPLITS}
    checked = counts | {"train": max(options.train, _CHECKED_PLACES)}
    names = [f"{split}/{index:05d}" for split, count in checked.items() for index in range(count)]
    randoms = {name: _random(options.seed, cell.name, name) for name in names}
    poses = {name: draw_pose(cell, random) for name, random in randoms.items()}
    stuck, brightest = places_inside(poses, 0.0)
    for _ in range(_REDRAWS if options.avoid and len(stuck) < len(poses) else 0):
        poses |= {name: draw_pose(cell, randoms[name]) for name in stuck}
        stuck, brightest = places_inside({name: poses[name] for name in stuck}, brightest)
    if not stuck:
        return [View(name, pose) for name, pose in poses.items() if _is_asked(name, counts)]
    name, thing = next(iter(stuck.items()))
    can_avoid = not options.avoid and len(stuck) < len(poses)
    advice = ", or draw those again with --avoid" if can_avoid else ""
    raise SceneError(
        f"a view cell must be free, {len(stuck)} of {len(poses)} cameras in '{cell.name}' stand "
        f"inside something, one at {text_of(poses[name][:3, 3])} in '{thing}'; move the cell, or "
        f"make it smaller{advice}"
    )


def _random(seed: int, cell: str, view: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(cell.encode()), zlib.crc32(view.encode())])


def _is_asked(name: str, counts: dict[str, int]) -> bool:
    split, index = name.split("/")
    return int(index) < counts[split]


def draw_pose(cell: Cell, random: np.random.Generator) -> np.ndarray:
    """(4, 4) world_from_camera, uniform in the box and the cone."""
    place, turn = random.uniform(-0.5, 0.5, 3), random.uniform(-0.5, 0.5, 2)
    yaw, pitch = np.array([cell.yaw, cell.pitch]) + np.radians(cell.rotation_deg) * turn
    pose = level_orientation(yaw, min(max(pitch, -math.pi / 2), math.pi / 2))
    pose[:3, 3] = np.array(cell.center) + np.array(cell.size) * place
    return pose


def level_orientation(yaw: float, pitch: float) -> np.ndarray:
    """(4, 4) world_from_camera without roll, at the origin; radians."""
    sin_yaw, cos_yaw = math.sin(yaw), math.cos(yaw)
    sin_pitch, cos_pitch = math.sin(pitch), math.cos(pitch)
    pose = np.eye(4)
    pose[:3, 0] = cos_yaw, sin_yaw, 0
    pose[:3, 1] = sin_yaw * sin_pitch, -cos_yaw * sin_pitch, cos_pitch
    pose[:3, 2] = sin_yaw * cos_pitch, -cos_yaw * cos_pitch, -sin_pitch
    return pose


def read_views(path: Path, cell: Cell) -> list[View]:
    """The views of a transforms_*.json."""
    try:
        frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
        poses = [np.array(frame["transform_matrix"], dtype=float) for frame in frames]
        names = [frame["file_path"].removeprefix("./").removesuffix(".png") for frame in frames]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SceneError(
            f"--poses must be a transforms_*.json, {path} is not ({error!r})"
        ) from None
    for name, pose in zip(names, poses, strict=True):
        if name.split("/")[0] not in SPLITS or name.count("/") != 1 or pose.shape != (4, 4):
            raise SceneError(f"a view must be named as 'test/00000' and have a pose, see {path}")
        if np.any(np.abs(pose[:3, 3] - cell.center) > np.array(cell.size) / 2 * 1.001):
            place = text_of(pose[:3, 3])
            raise SceneError(f"'{name}' of {path} stands outside the view cell, at {place}")
    return [View(name, pose) for name, pose in zip(names, poses, strict=True)]


def places_inside(poses: dict[str, np.ndarray], brightest: float) -> tuple[dict[str, str], float]:
    """Which cameras stand inside something, and in what.

    From inside a solid one sees only the backs of its faces, and no light. Either alone is not
    enough: rooms are often modeled with their faces outward, and a dark corner is no wall.

    brightest:  light at the brightest place that is known; the second result is the same, with
                these places known as well
    """
    around, suspects, nearest = sphere_directions(), set(), {}
    for name, pose in poses.items():
        distances, is_back, things = cast_rays(pose[:3, 3], around)
        nearest[name] = things[int(np.argmin(distances))]
        if is_back.mean() > _BACKS:
            suspects.add(name)
    if not suspects:
        return {}, brightest
    light = {name: brightness(pose[:3, 3]) for name, pose in poses.items()}
    brightest = max(brightest, *light.values())
    limits = {name: _DARK * brightest if name in suspects else 0.0 for name in poses}
    stuck = {name: thing for name, thing in nearest.items() if light[name] <= limits[name]}
    return stuck, brightest


def look_around(place: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances (N,), +inf for the sky, along (N, 3) directions; whether backs of faces are hit."""
    return cast_rays(place, directions)[:2]


def cast_rays(
    place: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """As `look_around`, and the names of what is hit."""
    scene, graph = bpy.context.scene, bpy.context.evaluated_depsgraph_get()
    distances, is_back, things = [], [], []
    for direction in directions:
        ray = Vector(direction).normalized()
        hit, point, normal, _, thing, _ = scene.ray_cast(graph, Vector(place), ray)
        distances.append((point - Vector(place)).length if hit else math.inf)
        is_back.append(hit and normal.dot(ray) > 0)
        things.append(thing.name if hit else "the sky")
    return np.array(distances), np.array(is_back), things


def sphere_directions() -> np.ndarray:
    """(N, 3) unit vectors, evenly in all directions: a Fibonacci spiral."""
    index = np.arange(_DIRECTIONS) + 0.5
    z, turn = 1 - 2 * index / _DIRECTIONS, index * math.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - z * z)
    return np.stack((radius * np.cos(turn), radius * np.sin(turn), z), axis=-1)


def text_of(numbers: Iterable[float]) -> str:
    return " ".join(f"{float(x):.4g}" for x in numbers)


def box_text(center: Iterable[float], size: Iterable[float]) -> str:
    """A box in the words of the command line, which knows no exponents after a minus sign."""
    center, size = np.array(center), np.array(size)
    center = np.where(np.abs(center) < 1e-6 * size.max(), 0.0, center)

    def text(numbers: np.ndarray) -> str:
        digits = (np.format_float_positional(x, 4, fractional=False, trim="-") for x in numbers)
        return " ".join(digits)

    return f"--cell-center {text(center)} --cell-size {text(size)}"


# Rendering


def set_up_render(options: argparse.Namespace) -> None:
    """Everything that all views share."""
    scene = bpy.context.scene
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y = options.size
    render.resolution_percentage = 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1
    for name in ("border", "multiview", "motion_blur", "freestyle", "compositing", "sequencer"):
        setattr(render, f"use_{name}", False)
    render.film_transparent = False
    render.use_persistent_data = True  # The scene is taken apart once, not before each view.
    if options.threads is not None:
        render.threads_mode, render.threads = "FIXED", options.threads
    cycles.samples = options.samples
    cycles.use_adaptive_sampling = False
    cycles.use_denoising, cycles.denoiser = options.denoise, "OPENIMAGEDENOISE"
    # Choosing lamps by a tree costs more than it gains in scenes with few of them.
    cycles.use_light_tree = False
    if scene.world is not None:
        sample_sky_coarsely(scene.world)
    for layer in scene.view_layers:
        layer.use = layer == bpy.context.view_layer
    bpy.context.view_layer.use_pass_z = True
    set_view_transform(options.view_transform)
    use_device(options.device)


def sample_sky_coarsely(world: Any) -> None:
    """Else the map of where the sky shines would be made as large as its picture, and slowly."""
    world.cycles.sampling_method = "MANUAL"
    world.cycles.sample_map_resolution = 256


def set_view_transform(name: str) -> None:
    """How light becomes color; what the file had is named."""
    settings = bpy.context.scene.view_settings
    before = settings.view_transform
    try:
        settings.view_transform = name
    except TypeError as error:
        raise SceneError(f"--view-transform is not known to Blender: {error}") from None
    settings.look = "None"
    if before != name and bpy.data.filepath:
        say(f"note: view transform {name}, the file has {before} (--view-transform)")


def use_device(name: str) -> None:
    """Let Cycles render on the CPU, or on all GPUs of a kind."""
    kinds = {"gpu": ("OPTIX", "CUDA", "HIP", "METAL", "ONEAPI")}.get(name, (name.upper(),))
    cycles = bpy.context.scene.cycles
    if kinds == ("CPU",):
        cycles.device = "CPU"
        return
    settings = bpy.context.preferences.addons["cycles"].preferences
    for kind in kinds:
        try:
            settings.compute_device_type = kind
        except TypeError:  # This Blender was built without it.
            continue
        found = [one for one in settings.get_devices_for_type(kind) or [] if one.type == kind]
        for one in found:
            one.use = True
        if found:
            cycles.device, cycles.denoising_use_gpu = "GPU", True
            say(f"note: rendering on {', '.join(one.name for one in found)} ({kind})")
            return
    raise SceneError(f"--device {name} must be something that Cycles can use here; take cpu")


def place_camera(cell: Cell) -> float:
    """Make the camera of a cell's views; returns its field of view, rounded as Blender does."""
    data = bpy.data.cameras.new("donerf")
    data.sensor_fit, data.angle_x = "HORIZONTAL", cell.fov
    before = bpy.context.scene.camera
    data.clip_start = min(math.hypot(*cell.size) / 1000, before.data.clip_start if before else 1)
    data.clip_end = before.data.clip_end if before else 1e6
    bpy.context.scene.camera = add_object("donerf", data)
    return data.angle_x


def render_view(view: View, folder: Path, seed: int) -> None:
    """Render one view: its depth first, then its picture; both appear only when they are whole."""
    scene = bpy.context.scene
    scene.camera.matrix_world = Matrix(view.pose.tolist())
    scene.cycles.seed = (seed + zlib.crc32(view.name.encode())) % 2**31
    depth, picture = view.files(folder)
    raw = picture.with_name(f".{picture.stem}.exr")
    try:
        render_exr(raw)
        write_depth(depth, read_channels(raw, "Depth.")[..., 0])
    finally:
        raw.unlink(missing_ok=True)
    scene.render.image_settings.media_type = "IMAGE"
    beside = picture.with_name(f".{picture.name}")
    save_render(beside, "PNG", "RGB", "8")
    whole = png_without_text(beside.read_bytes(), picture)
    beside.unlink()
    write_bytes(picture, whole)


def png_without_text(data: bytes, path: Path) -> bytes:
    """A PNG file without the times that Blender writes into it, checked to be whole."""
    kept, start, kind = [data[:8]], 8, b""
    while kind != b"IEND":
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        if end > len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            kept.append(data[start:end])
        start = end
    return b"".join(kept)


def render_exr(path: Path) -> None:
    """Render what the camera sees into a file of all passes."""
    if bpy.ops.render.render() != {"FINISHED"}:
        raise SceneError(f"the render of {path} was cancelled")
    bpy.context.scene.render.image_settings.media_type = "MULTI_LAYER_IMAGE"
    bpy.context.scene.render.image_settings.exr_codec = "NONE"
    save_render(path, "OPEN_EXR_MULTILAYER", "RGBA", "32")


def save_render(path: Path, file_format: str, colors: str, bits: str) -> None:
    """Write the last render; `media_type` must fit the format already, or Blender refuses it."""
    settings = bpy.context.scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = file_format, colors, bits
    try:
        bpy.data.images["Render Result"].save_render(str(path), scene=bpy.context.scene)
    except RuntimeError as error:
        raise OSError(f"could not write {path} ({str(error).strip()})") from None


def read_channels(path: Path, layer: str) -> np.ndarray:
    """(H, W, C) float32, row 0 on top, of the part of an EXR file with this pass in its name."""
    file = open_image_io().ImageInput.open(str(path))
    part = 0
    while file is not None and file.seek_subimage(part, 0):
        spec = file.spec()
        if any(layer in name for name in spec.channelnames):
            pixels = file.read_image(part, 0, 0, spec.nchannels, "float")
            file.close()
            if pixels is not None:
                return pixels
            break
        part += 1
    raise OSError(errno.ENOSPC, "could not write a whole file, is the disk full", str(path))


def open_image_io() -> Any:
    """The library of that name, which comes with Blender; the module bpy does not offer it."""
    try:
        import OpenImageIO
    except ImportError:
        packages = Path(bpy.utils.resource_path("LOCAL"), "python").glob("**/OpenImageIO")
        sys.path.extend(str(path.parent) for path in packages)
        import OpenImageIO
    return OpenImageIO


def brightness(place: np.ndarray) -> float:
    """Mean light that arrives at a place from all around."""
    return float(panorama(place)[0].mean())


def exposure(place: np.ndarray) -> float:
    """How bright surfaces look from a place: their median, whatever the lamps do; 0 without any."""
    light, depth = panorama(place)
    return float(np.median(light[depth < _MISS])) if np.any(depth < _MISS) else 0.0


def panorama(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(16, 32) light that arrives at a place from all around, and from how far."""
    scene, data = bpy.context.scene, bpy.data.cameras.new("all around")
    render, cycles = scene.render, scene.cycles
    before = scene.camera, render.resolution_x, render.resolution_y, cycles.samples
    was_denoised, cycles.use_denoising = cycles.use_denoising, False
    data.type, data.panorama_type, data.clip_start = "PANO", "EQUIRECTANGULAR", 1e-4
    scene.camera = add_object("all around", data)
    scene.camera.location = place
    render.resolution_x, render.resolution_y, cycles.samples = 32, 16, 8
    path = Path(bpy.app.tempdir or ".", "all_around.exr")
    try:
        render_exr(path)
        light = read_channels(path, "Combined.")[..., :3].mean(axis=-1)
        return light, read_channels(path, "Depth.")[..., 0]
    finally:
        path.unlink(missing_ok=True)
        bpy.data.objects.remove(scene.camera)
        scene.camera, render.resolution_x, render.resolution_y, cycles.samples = before
        cycles.use_denoising = was_denoised


# The folder


def settings_of(cell: Cell, options: argparse.Namespace) -> dict[str, Any]:
    """All that decides what a view shows; views rendered with other settings do not mix."""
    path = options.scene or Path(bpy.data.filepath)
    kept = ("size", "samples", "seed", "denoise", "view_transform", "avoid")
    settings = {
        "scene": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "poses": options.poses.name if options.poses else None,
        "blender": bpy.app.version_string,
        "cell": asdict(cell),
        **{name: getattr(options, name) for name in kept},
    }
    return json.loads(json.dumps(settings))


def begin_folder(folder: Path, settings: dict[str, Any]) -> None:
    """Write down what the views of a folder are made with, or compare with what was."""
    path = folder / PLAN_FILE
    if not path.exists():
        if any((folder / name).exists() for name in (*SPLITS, "dataset_info.json")):
            raise SceneError(f"{folder} holds a data set of another origin; choose another --out")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)
        return
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        begun = {}
    for key, value in settings.items():
        if begun.get(key) != value:
            raise SceneError(
                f"{folder} was begun with other settings, '{key}' was {begun.get(key)} and is "
                f"{value}; repeat the old ones, or choose another --out"
            )


def write_depth(path: Path, planar: np.ndarray) -> None:
    """Write (H, W) depth along the camera's axis, rounded to what compresses."""
    depth = np.where(planar < _MISS, round_mantissa(planar, _DEPTH_BITS), np.float32(1e10))
    file = io.BytesIO()
    np.savez_compressed(file, depth=depth)
    write_bytes(path, file.getvalue())


def round_mantissa(numbers: np.ndarray, bits: int) -> np.ndarray:
    """float32 rounded to the nearest that has so many mantissa bits, of 23."""
    whole = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
    half, mask = np.uint32(1 << (22 - bits)), np.uint32(0xFFFFFFFF ^ ((1 << (23 - bits)) - 1))
    return ((whole + half) & mask).view(np.float32)


def write_listing(
    folder: Path, views: Sequence[View], cell: Cell, fov: float, size: Sequence[int]
) -> None:
    """The files that make the pictures a data set (docs/data-format.md), but for its ranges."""
    for split in sorted({view.split for view in views}):
        frames = [
            {"file_path": f"./{view.name}", "transform_matrix": view.pose.tolist()}
            for view in views
            if view.split == split
        ]
        write_json(folder / f"transforms_{split}.json", {"frames": frames})
    base = level_orientation(cell.yaw, cell.pitch)
    base[:3, 3] = cell.center
    info = {
        "camera_angle_x": fov,
        "resolution": list(size),
        "view_cell_center": list(cell.center),
        "view_cell_size": list(cell.size),
        "camera_base_orientation": base.tolist(),
        "view_rotation_deg": list(cell.rotation_deg),
        "flip_depth": False,
        "depth_distance_adjustment": True,
    }
    write_json(folder / "dataset_info.json", info)


def write_json(path: Path, values: dict[str, Any]) -> None:
    write_bytes(path, (json.dumps(values, indent=1) + "\n").encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside, then rename: there is never half a file under the name."""
    beside = path.with_name(f".{path.name}")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None


if __name__ == "__main__":
    # Blender has options of its own; those of its scripts stand after two dashes.
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]))
