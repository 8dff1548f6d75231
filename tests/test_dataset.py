"""The reader of data sets: what each form of a view means, and one sentence for each wrong one."""

import gc
import json
import math
import pickle
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from donerf.assets import asset
from donerf.config import CellSettings
from donerf.data.dataset import (
    Dataset,
    downscale_colors,
    downscale_depth,
    load_dataset,
    read_info,
    write_info,
)
from donerf.data.info import cone_of_poses, level_orientation
from donerf.data.procedural import render_view, solids, write_procedural_dataset
from donerf.data.source import FolderSource, rgb_over_white
from donerf.data.writing import write_views

WIDTH, HEIGHT = 24, 18
FIRST = "train/00000"


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scene"
    write_procedural_dataset(folder, (WIDTH, HEIGHT), (3, 1, 1))
    return folder


@pytest.fixture
def folder(made_once: Path, tmp_path: Path) -> Path:
    """A data set that a test may damage."""
    return shutil.copytree(made_once, tmp_path / "scene")


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def edit_info(folder: Path, **values: Any) -> None:
    edit_json(folder / "dataset_info.json", lambda info: info.update(values))


def edit_frame(folder: Path, **values: Any) -> None:
    path = folder / "transforms_train.json"
    edit_json(path, lambda transforms: transforms["frames"][0].update(values))


def write_depth(folder: Path, **arrays: Any) -> None:
    np.savez(folder / f"{FIRST}_depth.npz", **arrays)


def read_depth(folder: Path) -> np.ndarray:
    return np.load(folder / f"{FIRST}_depth.npz")["depth"]


def first_distances(folder: Path) -> np.ndarray:
    distances = load_dataset(folder, "train").distances
    assert distances is not None
    return distances[0].numpy()


def test_views_are_read_as_they_were_traced(made_once: Path):
    views = load_dataset(made_once, "train")
    traced = render_view(solids(0), views.cameras[0], FIRST)

    assert views.names == [f"train/0000{i}" for i in range(3)]
    assert views.colors.shape == (3, HEIGHT, WIDTH, 3)
    assert views.colors.dtype == torch.uint8
    assert_array_equal(views.colors[0], traced.colors)
    assert_array_equal(first_distances(made_once), traced.distances)


@pytest.mark.parametrize("is_flipped", [False, True])
@pytest.mark.parametrize("is_planar", [False, True])
def test_each_way_of_storing_depth_gives_the_same_distances(
    made_once: Path, tmp_path: Path, is_planar: bool, is_flipped: bool
):
    info = read_info(made_once)
    scene = solids(0)
    views = [
        render_view(scene, camera, name)
        for name, camera in zip(
            load_dataset(made_once, "train").names,
            load_dataset(made_once, "train").cameras,
            strict=True,
        )
    ]
    info = replace(info, depth_distance_adjustment=is_planar, flip_depth=is_flipped)
    write_views(tmp_path, info, {"train": views})

    assert_allclose(first_distances(tmp_path), first_distances(made_once), rtol=1e-6)


def test_planar_depth_of_a_wall_grows_towards_the_corners(folder: Path):
    edit_info(folder, depth_distance_adjustment=True)
    write_depth(folder, depth=np.full((HEIGHT, WIDTH), 5.0))
    camera = load_dataset(folder, "train").cameras[0]
    k = camera.intrinsics
    x, y = (0.5 - k.center_x) / k.focal, (0.5 - k.center_y) / k.focal

    assert first_distances(folder)[0, 0] == pytest.approx(5 * math.sqrt(1 + x * x + y * y))


@pytest.mark.parametrize("shape", [(HEIGHT * WIDTH,), (1, HEIGHT, WIDTH, 1), (HEIGHT, WIDTH)])
@pytest.mark.parametrize("key", ["depth", "arr_0"])
def test_depth_may_have_any_shape_and_name(folder: Path, shape: tuple[int, ...], key: str):
    expected = first_distances(folder)
    write_depth(folder, **{key: read_depth(folder).reshape(shape).astype(np.float64)})

    assert_array_equal(first_distances(folder), expected)


def test_the_array_named_depth_is_taken_among_several(folder: Path):
    expected = first_distances(folder)
    write_depth(folder, alpha=np.ones((HEIGHT, WIDTH)), depth=read_depth(folder))

    assert_array_equal(first_distances(folder), expected)


def test_background_is_what_is_far_not_finite_or_to_be_ignored(folder: Path):
    depth = np.full((HEIGHT, WIDTH), 2.0)
    depth[0, :6] = 1e9, 1e10, math.inf, math.nan, 1e300, 7.25
    write_depth(folder, depth=depth)
    edit_info(folder, depth_ignore=7.25)

    is_background = np.isinf(first_distances(folder))
    assert is_background[0, :6].all()
    assert is_background.sum() == 6


def test_a_closed_room_keeps_its_farthest_pixel(folder: Path):
    depth = np.full((HEIGHT, WIDTH), 2.0)
    depth[3, 4] = 7.25
    write_depth(folder, depth=depth)
    edit_info(folder, depth_ignore=None)

    assert first_distances(folder)[3, 4] == 7.25


def test_transparent_pictures_are_laid_over_white(folder: Path):
    expected = load_dataset(folder, "train").colors[0].numpy().copy()
    rgba = np.dstack((expected, np.full((HEIGHT, WIDTH), 255, np.uint8)))
    rgba[0, 0] = 100, 0, 255, 0
    rgba[0, 1] = 100, 0, 255, 51  # a fifth of the color, four fifths of white
    Image.fromarray(rgba).save(folder / f"{FIRST}.png")
    expected[0, 0], expected[0, 1] = 255, (224, 204, 255)

    assert_array_equal(load_dataset(folder, "train").colors[0], expected)


def test_gray_pictures_are_colors_too():
    gray = Image.fromarray(np.array([[0, 200]], np.uint8))

    assert_array_equal(rgb_over_white(gray), [[[0, 0, 0], [200, 200, 200]]])


def test_downscaling_takes_the_mean_color_and_rounds_half_up():
    colors = np.array([[[0], [1], [9]], [[1], [0], [9]], [[9], [9], [9]]], np.uint8).repeat(3, -1)

    assert_array_equal(downscale_colors(colors, 2), [[[1, 1, 1]]])


def test_downscaling_takes_the_second_nearest_of_four_depths_and_spreads_background():
    depth = np.array([[4.0, 1.0, 1.0, 1.0], [3.0, 2.0, 1.0, math.inf]])

    assert_array_equal(downscale_depth(depth, 2), [[2.0, math.inf]])


def test_downscaling_by_three_takes_the_third_nearest():
    depth = np.arange(1.0, 10.0)[::-1].reshape(3, 3)

    assert_array_equal(downscale_depth(depth, 3), [[3.0]])


def test_a_block_of_pixels_looks_where_its_middle_looked(made_once: Path):
    # 18 rows are not divided by 4: two are cut off at the bottom, and the view changes with them.
    whole, small = load_dataset(made_once, "train"), load_dataset(made_once, "train", downscale=4)
    assert small.colors.shape == (3, HEIGHT // 4, WIDTH // 4, 3)
    middle = whole.cameras[0].rays(subpixel_offset=(0.5, 0.5)).directions
    middle = middle.reshape(HEIGHT, WIDTH, 3)[1:16:4, 1::4]

    assert_allclose(small.cameras[0].rays().directions, middle.reshape(-1, 3), atol=1e-6)


def test_planar_depth_is_downscaled_before_it_becomes_distance(folder: Path):
    edit_info(folder, depth_distance_adjustment=True)
    write_depth(folder, depth=np.full((HEIGHT, WIDTH), 5.0))
    small = load_dataset(folder, "train", downscale=2)
    assert small.distances is not None
    camera = small.cameras[0]
    forward = camera.rays().directions.numpy() @ camera.forward

    assert_allclose(small.distances[0].flatten().numpy() * forward, 5.0, rtol=1e-6)


def test_a_view_may_have_its_own_intrinsics(folder: Path):
    edit_frame(folder, fl_x=30.0, cx=11.0, cy=8.5)
    first, second, _ = (c.intrinsics for c in load_dataset(folder, "train").cameras)

    assert (first.focal, first.center_x, first.center_y) == (30, 11, 8.5)
    assert (second.center_x, second.center_y) == (WIDTH / 2, HEIGHT / 2)


def test_the_field_of_view_may_stand_with_the_poses(folder: Path):
    edit_info(folder, camera_angle_x=None)
    edit_json(folder / "transforms_train.json", lambda values: values.update(camera_angle_x=1.25))

    assert load_dataset(folder, "train").cameras[0].intrinsics.fov_x == pytest.approx(1.25)


def test_views_with_their_own_focal_length_need_no_common_field_of_view(folder: Path):
    edit_info(folder, camera_angle_x=None)

    def give_focal_lengths(values: dict[str, Any]) -> None:
        for frame, focal in zip(values["frames"], (30.0, 20.0, 25.0), strict=True):
            frame["fl_x"] = focal

    edit_json(folder / "transforms_train.json", give_focal_lengths)

    widest = 2 * math.atan(WIDTH / 2 / 20.0)
    assert read_info(folder).camera_angle_x == pytest.approx(widest)


def test_views_without_depth_are_fine_where_none_is_needed(folder: Path):
    for path in folder.glob("train/*.npz"):
        path.unlink()

    assert load_dataset(folder, "train").distances is None
    with pytest.raises(ValueError, match=r"must have depth, 3 of 3 have none .* 'train/00000'"):
        load_dataset(folder, "train", need_depth=True)


def test_the_resolution_may_be_left_to_the_pictures(folder: Path):
    edit_info(folder, resolution=None)

    assert load_dataset(folder, "test").colors.shape == (1, HEIGHT, WIDTH, 3)


def test_cameras_see_the_same_colors_at_the_same_points(tmp_path: Path):
    write_procedural_dataset(tmp_path / "scene", (96, 72), (2, 0, 0), seed=3)
    views = load_dataset(tmp_path / "scene", "train")
    share, difference = reprojected(views)

    assert share > 0.3
    # What remains is that a pixel is an area: edges of shadows and of textures.
    assert difference < 4


def reprojected(views: Dataset) -> tuple[float, float]:
    """Share of view 0's pixels that view 1 shows, too, and their mean difference in color."""
    assert views.distances is not None
    one, two = views.cameras
    t = views.distances[0].flatten()
    is_surface = t.isfinite()
    points = one.rays().at(t[:, None])[is_surface, 0].double().numpy()
    local = (points - two.position) @ two.world_from_camera[:3, :3]
    k = two.intrinsics
    column = np.floor(k.center_x - local[:, 0] / local[:, 2] * k.focal).astype(int)
    row = np.floor(k.center_y + local[:, 1] / local[:, 2] * k.focal).astype(int)
    is_seen = (local[:, 2] < 0) & (column >= 0) & (column < k.width)
    is_seen &= (row >= 0) & (row < k.height)
    column, row = np.where(is_seen, column, 0), np.where(is_seen, row, 0)
    surface = views.distances[1].numpy()[row, column]
    distance = np.linalg.norm(local, axis=-1)
    is_seen &= np.abs(surface - distance) < 0.02 * distance
    colors = views.colors[0].reshape(-1, 3)[is_surface].numpy().astype(float)
    others = views.colors[1].numpy()[row, column]
    return is_seen.mean(), float(np.abs(colors - others)[is_seen].mean())


def test_the_cone_is_estimated_where_it_is_not_stated(folder: Path):
    edit_info(folder, camera_base_orientation=None, view_rotation_deg=None)
    info = read_info(folder)
    poses = [c.world_from_camera for s in ("train", "val", "test") for c in cameras(folder, s)]
    base, widths = cone_of_poses(poses)

    assert_allclose(info.camera_base_orientation, base)
    assert info.view_rotation_deg == widths
    assert 0 < widths[0] <= 60
    assert 0 < widths[1] <= 20


def cameras(folder: Path, split: str) -> list[Any]:
    return load_dataset(folder, split).cameras


def test_a_cone_across_the_back_is_narrow_not_nearly_a_circle():
    # Yaw 170 and 200 degrees: as angles in (-pi, pi] they are 330 degrees apart.
    poses = [level_orientation(math.radians(yaw), 0.1) for yaw in (170, 200)]
    base, widths = cone_of_poses(poses)

    assert_allclose(base, level_orientation(math.radians(185), 0.1), atol=1e-12)
    assert widths == pytest.approx((30, 0))


def test_a_level_camera_has_a_level_horizon():
    pose = level_orientation(math.radians(90), 0.3)

    assert_allclose(-pose[:3, 2], [-math.cos(0.3), 0, math.sin(0.3)], atol=1e-12)
    assert pose[2, 0] == 0
    assert np.linalg.det(pose) == pytest.approx(1)


def test_the_view_cell_is_the_one_in_the_file(folder: Path):
    info = read_info(folder)
    cell = info.view_cell(CellSettings(log_scale=0.5))

    assert (cell.center, cell.size) == (info.view_cell_center, info.view_cell_size)
    assert cell.radius == pytest.approx(cell.diagonal / 2)
    assert cell.depth_range == info.depth_range
    assert cell.unified_range == info.depth_range_warped_log
    assert cell.log_scale == 0.5
    assert info.view_cell(radius=2.0).radius == 2.0
    assert load_dataset(folder, "train").cell == info.view_cell()


def test_info_is_written_back_with_the_keys_that_are_not_ours(folder: Path):
    edit_info(folder, comment="rendered on a Tuesday")
    info = replace(read_info(folder), depth_range=(1.0, 2.0))
    write_info(folder, info)

    assert read_info(folder) == info
    assert json.loads((folder / "dataset_info.json").read_text())["comment"].endswith("Tuesday")


def test_the_small_courtyard_is_found_from_any_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    views = load_dataset(Path("assets/data/courtyard_small"), "test", need_depth=True)

    assert views.colors.shape == (8, 200, 200, 3)
    assert views.cell.contains(views.cameras[0].position)
    files = asset("assets/data/courtyard_small").rglob("*")
    assert sum(path.stat().st_size for path in files) < 8e6


def cut(path: Path, share: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def picture(folder: Path) -> Path:
    return folder / f"{FIRST}.png"


def depth_file(folder: Path) -> Path:
    return folder / f"{FIRST}_depth.npz"


def use_pickle(folder: Path) -> None:
    depth_file(folder).write_bytes(pickle.dumps(read_depth(folder)))


def remove_depth(folder: Path) -> None:
    depth_file(folder).unlink()


def hide_everything(folder: Path) -> None:
    for path in folder.glob("train/*.npz"):
        np.savez(path, depth=np.full((HEIGHT, WIDTH), 1e10))


def pose_with(value: float, row: int = 0, column: int = 0) -> list[list[float]]:
    pose = level_orientation(0, 0)
    pose[:3, 3] = 0, 0, 1.5
    pose[row, column] = value
    return pose.tolist()


GRAY16 = Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16))
SMALL = Image.new("RGB", (8, 6))

# What is done to a whole data set, and what the error must say about it.
WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, r"no data set at .*scene; .* `donerf demo-data DIR`"),
    "no info": (lambda f: (f / "dataset_info.json").unlink(), "must have a dataset_info.json"),
    "cut info": (lambda f: cut(f / "dataset_info.json"), "dataset_info.json must be valid JSON"),
    "info is a list": (
        lambda f: (f / "dataset_info.json").write_text("[]"),
        "must be a JSON object, got a list",
    ),
    "no cell": (
        lambda f: edit_json(f / "dataset_info.json", lambda i: i.pop("view_cell_size")),
        "'view_cell_size' must be 3 finite numbers, got nothing",
    ),
    "flat cell": (lambda f: edit_info(f, view_cell_size=[1, 0, 1]), "three positive edge lengths"),
    "NaN cell": (
        lambda f: edit_info(f, view_cell_center=[0, math.nan, 1]),
        "'view_cell_center' must be 3 finite numbers",
    ),
    "wide view": (lambda f: edit_info(f, camera_angle_x=3.2), r"in \(0, pi\) radians, got 3.2"),
    "no field of view": (
        lambda f: edit_info(f, camera_angle_x=None),
        "'camera_angle_x' must be a finite number, got None",
    ),
    "base": (
        lambda f: edit_info(f, camera_base_orientation=[[1, 0], [0, 1]]),
        "'camera_base_orientation' must be a 4x4 matrix",
    ),
    "scaled base": (
        lambda f: edit_info(f, camera_base_orientation=(2 * np.eye(4)).tolist()),
        "must be a rotation without scale",
    ),
    "flag": (lambda f: edit_info(f, flip_depth="yes"), "'flip_depth' must be true or false"),
    "range": (lambda f: edit_info(f, depth_range=[3, 2]), "near < far, got"),
    "ignore": (lambda f: edit_info(f, depth_ignore="far"), "'depth_ignore' must be"),
    "half pixels": (lambda f: edit_info(f, resolution=[24.5, 18]), "in whole pixels"),
    "no transforms": (
        lambda f: (f / "transforms_train.json").unlink(),
        "'train' must be listed in .*transforms_train.json",
    ),
    "zero views": (
        lambda f: (f / "transforms_train.json").write_text('{"frames": []}'),
        "at least one view, 'frames' is empty in .*transforms_train.json",
    ),
    "frames": (
        lambda f: (f / "transforms_train.json").write_text('{"frames": 3}'),
        "'frames' must be a list of views, got 3",
    ),
    "no name": (lambda f: edit_frame(f, file_path=None), "must have a 'file_path'"),
    "3x3 pose": (
        lambda f: edit_frame(f, transform_matrix=np.eye(3).tolist()),
        r"'transform_matrix' must be 4x4 numbers, see frame 0 .*train/00000",
    ),
    "ragged pose": (
        lambda f: edit_frame(f, transform_matrix=[[1], [1, 2], "x"]),
        "'transform_matrix' must be 4x4 numbers",
    ),
    "NaN pose": (
        lambda f: edit_frame(f, transform_matrix=pose_with(math.nan)),
        "4x4 finite numbers, got .*nan.* in view 'train/00000'",
    ),
    "scaled pose": (
        lambda f: edit_frame(f, transform_matrix=pose_with(2.0)),
        "no scale, no mirror.* in view 'train/00000'",
    ),
    "outside": (
        lambda f: edit_frame(f, transform_matrix=pose_with(5.0, column=3)),
        r"must stand in the view cell, .* 'train/00000' stands at \[5.0, 0.0, 1.5\]; enlarge",
    ),
    "focal": (lambda f: edit_frame(f, fl_x="long"), "'fl_x' must be a number of pixels"),
    "zero focal": (lambda f: edit_frame(f, fl_x=0), "focal length must be .* 'train/00000'"),
    "no picture": (lambda f: picture(f).unlink(), "must have its picture, there is no .*00000.png"),
    "cut picture": (lambda f: cut(picture(f)), "must be a whole PNG .*00000.png is not"),
    "cut header": (lambda f: cut(picture(f), 0.01), "must be a whole PNG .*00000.png is not"),
    "empty picture": (lambda f: picture(f).write_bytes(b""), "must be a whole PNG"),
    "16-bit gray": (lambda f: GRAY16.save(picture(f)), "8 bits a channel, .*I;16"),
    "wrong size": (
        lambda f: SMALL.save(picture(f)),
        "24x18 stated as 'resolution' .*got 8x6 in view 'train/00000'",
    ),
    "two sizes": (
        lambda f: (
            edit_info(f, resolution=None),
            SMALL.save(picture(f)),
            write_depth(f, d=[[1.0] * 8] * 6),
        ),
        "one size, 'train/00000' is 8x6 and 'train/00001' is 24x18",
    ),
    "no depth": (remove_depth, "1 of 3 have none .* the first is 'train/00000'; export"),
    "cut depth": (lambda f: cut(depth_file(f)), "must be a whole .npz .*00000_depth.npz is not"),
    "cut depth's end": (lambda f: cut(depth_file(f), 0.99), "must be a whole .npz"),
    "empty depth": (lambda f: depth_file(f).write_bytes(b""), "must be a whole .npz"),
    "depth without array": (lambda f: write_depth(f), "it holds no array"),
    "pickled depth": (use_pickle, "must be a whole .npz"),
    "pickled array": (
        lambda f: write_depth(f, depth=np.array([None] * HEIGHT * WIDTH)),
        "must be a whole .npz",
    ),
    "words": (
        lambda f: write_depth(f, depth=np.full((HEIGHT, WIDTH), "near")),
        "must hold numbers",
    ),
    "depth's size": (
        lambda f: write_depth(f, depth=np.ones((HEIGHT, HEIGHT))),
        r"one number a pixel, 24x18 .*got an array of shape \(18, 18\) in .*00000_depth.npz",
    ),
    "zero depth": (
        lambda f: write_depth(f, depth=np.zeros((HEIGHT, WIDTH))),
        "depth must be positive, got 0.0 in .*; if that value means background",
    ),
    "all background": (hide_everything, "must show a surface somewhere, .*'train' views"),
}


@pytest.mark.parametrize(("spoil", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_data_ends_in_one_sentence(folder: Path, spoil: Callable[[Path], object], message):
    spoil(folder)

    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        load_dataset(folder, "train", need_depth=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("downscale", [0, -1, HEIGHT + 1])
def test_an_impossible_downscale_is_an_error(made_once: Path, downscale: int):
    with pytest.raises(ValueError, match=f"'downscale' must .*got {downscale}"):
        load_dataset(made_once, "train", downscale)


def test_an_unprepared_data_set_says_which_command_helps(folder: Path):
    edit_info(folder, depth_range=None)

    with pytest.raises(ValueError, match="must know its depth ranges, .*`donerf prepare .*scene`"):
        load_dataset(folder, "train").info.view_cell()


def test_an_unknown_split_is_an_error(made_once: Path):
    with pytest.raises(FileNotFoundError, match="the splits are train, val, test"):
        load_dataset(made_once, "holdout")


def test_threads_that_read_depth_at_once_do_not_disturb_each_other(folder: Path) -> None:
    """Python 3.11 fails where threads take turns within its parser, which reads numpy's headers.

    They do when the collector runs Python code just then; here it does all the time.
    """
    source = FolderSource(folder)
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()

    def linger(_phase: str, _details: dict[str, int]) -> None:
        sum(range(50))

    gc.callbacks.append(linger)
    gc.set_threshold(60)
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            maps = list(pool.map(lambda _: source.read_raw_depth(FIRST), range(3000)))
    finally:
        gc.callbacks.remove(linger)
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)
    stored = read_depth(folder)
    assert all(depth is not None and np.array_equal(depth, stored) for depth in maps)
