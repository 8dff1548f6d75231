"""What `donerf view-data` finds, in a data set that is right and in ones that are not."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from donerf.assets import asset
from donerf.cli import run
from donerf.data.agreement import Agreement, compare_views, depth_agreement
from donerf.data.contact_sheet import depth_colors, surface_points
from donerf.data.dataset import View
from donerf.data.procedural import write_procedural_dataset
from donerf.data.view_data import inspect, read_all_views
from donerf.geometry.camera import Camera, Intrinsics
from donerf.geometry.depth import distance_from_planar


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "demo"
    write_procedural_dataset(path, size=(96, 80), views=(12, 2, 2))
    return path


def wall_view(planar: float, x: float = 0.0) -> View:
    """A camera at (x, 0, 0) before a plane across its axis."""
    intrinsics, pose = Intrinsics.from_fov(20, 16, math.radians(60)), np.eye(4)
    pose[0, 3] = x
    distances = distance_from_planar(torch.full((16, 20), planar), intrinsics).numpy()
    return View("wall", Camera(pose, intrinsics), np.zeros((16, 20, 3), np.uint8), distances)


def test_two_views_of_one_wall_agree_wherever_they_overlap():
    found = compare_views(wall_view(4), wall_view(4, x=0.7))

    assert found.agreeing > 150
    assert (found.differing, found.occluded) == (0, 0)


def test_what_is_nearer_hides_and_what_is_farther_contradicts():
    near, far = wall_view(3.9), wall_view(4, x=0.5)

    assert compare_views(far, near).differing == 0 and compare_views(far, near).agreeing == 0
    assert compare_views(far, near).share is None
    assert compare_views(near, far).occluded == 0 and compare_views(near, far).share == 0


def test_a_slope_agrees_between_the_centers_of_pixels():
    intrinsics = Intrinsics.from_fov(40, 30, math.radians(60))
    views = []
    for height in (1.0, 1.13):  # A floor, seen ever flatter towards the horizon.
        pose = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, height], [0, 0, 0, 1.0]])
        camera = Camera(pose, intrinsics)
        down = camera.rays().directions[:, 2].reshape(30, 40)
        t = torch.where(down < -0.02, -height / down, math.inf).numpy()
        views.append(View("floor", camera, np.zeros((30, 40, 3), np.uint8), t))

    assert compare_views(*views).share == 1


def test_a_data_set_of_exact_distances_agrees(folder):
    info, views = read_all_views(folder)
    report = inspect(info, views)

    assert report.counts == {"train": 12, "val": 2, "test": 2}
    assert report.agreement.share is not None and report.agreement.share > 0.98
    assert report.warnings == ("12 views to train on are few, 100 and more are good",)


def test_the_data_sets_that_come_with_the_program_are_no_cause_for_warnings(tmp_path, capsys):
    run(["demo-data", str(tmp_path / "demo"), "--size", "50", "50"])
    for folder in (tmp_path / "demo", asset("assets/data/courtyard_small")):
        run(["view-data", str(folder), "--out", str(tmp_path / "sheet.png")])

    shown = capsys.readouterr().out
    assert shown.count("agree to 1% at") == 2 and "warning" not in shown


def upside_down(view: View) -> View:
    return dataclasses.replace(view, distances=np.ascontiguousarray(view.distances[::-1]))  # type: ignore[index]


def planar_taken_for_distance(view: View) -> View:
    wrong = distance_from_planar(torch.from_numpy(view.distances), view.camera.intrinsics)
    return dataclasses.replace(view, distances=wrong.numpy())


@pytest.mark.parametrize("spoil", [upside_down, planar_taken_for_distance])
def test_depth_that_is_read_wrongly_is_noticed(folder, spoil: Callable[[View], View]):
    info, views = read_all_views(folder)
    report = inspect(info, {split: list(map(spoil, found)) for split, found in views.items()})

    assert report.agreement.share is not None and report.agreement.share < 0.9
    assert any("check 'flip_depth'" in warning for warning in report.warnings)


def test_views_without_depth_and_single_views_say_nothing():
    blind = dataclasses.replace(wall_view(4), distances=None)

    assert depth_agreement([wall_view(4)]) == Agreement(0, 0, 0)
    assert depth_agreement([blind, blind]).share is None


def test_a_camera_outside_the_cell_is_a_warning_that_names_it(folder):
    info, views = read_all_views(folder)
    small = dataclasses.replace(info, view_cell_size=(1.2, 0.3, 0.5))

    warnings = inspect(small, views).warnings

    assert any("cameras stand outside the view cell" in one for one in warnings)


def test_black_pictures_and_a_grazed_surface_are_warnings():
    near = wall_view(0.002)
    info, _ = _info_like(near)

    warnings = inspect(info, {"train": [near, near]}).warnings

    assert any("2 views are black" in one for one in warnings)
    assert any("0.002 scene units from a camera" in one for one in warnings)
    assert any("there are no 'val' views" in one for one in warnings)


def _info_like(view: View):
    from donerf.data.info import DatasetInfo

    base = tuple(tuple(row) for row in view.camera.world_from_camera.tolist())
    info = DatasetInfo(1.0, (0, 0, 0), (1, 1, 1), base, (10, 10))
    return info, view


def test_surface_points_lie_where_the_distances_say():
    points, colors = surface_points([wall_view(4)])

    assert len(points) == len(colors) == 320
    np.testing.assert_allclose(points[:, 2], -4, rtol=1e-5)


def test_nearer_is_lighter_and_the_sky_is_gray():
    colors = depth_colors(np.array([[1.0, 3.0, 9.0, math.inf]]), (1.0, 9.0)).astype(int)

    assert colors[0, 0].sum() > colors[0, 1].sum() > colors[0, 2].sum()
    assert len(set(colors[0, 3].tolist())) == 1


def test_the_command_writes_a_sheet_and_says_what_it_found(folder, capsys):
    run(["view-data", str(folder)])

    shown = capsys.readouterr().out
    assert "12 train, 2 val, 2 test views" in shown and "agree to 1% at" in shown
    with Image.open(folder / "view_data.png") as sheet:
        assert sheet.width == 1280 and sheet.height > 1000
        marks = (np.array(sheet) == (214, 60, 30)).all(axis=-1)
    assert marks.sum() > 500  # the cell's outline and its cameras


def test_a_folder_without_views_is_refused(tmp_path):
    info = {"camera_angle_x": 1, "view_cell_center": [0, 0, 0], "view_cell_size": [1, 1, 1]}
    cone = {"camera_base_orientation": np.eye(4).tolist(), "view_rotation_deg": [1, 1]}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info | cone))

    with pytest.raises(ValueError, match="must have views"):
        run(["view-data", str(tmp_path)])
