"""The parts of Blender's script that need no Blender."""

import ast
import io
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, PngImagePlugin

from donerf.data import blender_script as script
from donerf.data.dataset import read_info
from donerf.data.info import level_orientation
from donerf.data.writing import round_mantissa

CELL = script.Cell("view_cell", (1, 2, 3), (2, 1, 0.5), 0.4, -0.1, (60, 20), math.radians(70))


def poses(cell: script.Cell, count: int, seed: int = 0) -> np.ndarray:
    return np.stack(
        [
            script.draw_pose(cell, script._random(seed, cell.name, f"train/{index:05d}"))
            for index in range(count)
        ]
    )


def test_it_imports_nothing_but_blender_and_what_blender_brings():
    source = Path(script.__file__).read_text()
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import)]
    froms = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    names |= {node.module or "" for node in froms}
    allowed = sys.stdlib_module_names | {"bpy", "mathutils", "numpy", "OpenImageIO"}

    assert {name.split(".")[0] for name in names} <= allowed


def test_cameras_fill_the_cell_and_the_cone():
    drawn = poses(CELL, 2000)
    places, forward = drawn[:, :3, 3], -drawn[:, :3, 2]
    share = (places - CELL.center) / CELL.size
    yaw = np.degrees(np.arctan2(-forward[:, 0], forward[:, 1]) - CELL.yaw)
    pitch = np.degrees(np.arcsin(forward[:, 2]) - CELL.pitch)

    for values, half in ((share, 0.5), (yaw, 30), (pitch, 10)):
        assert abs(values).max() <= half * (1 + 1e-9)
        assert values.min() < -0.98 * half and values.max() > 0.98 * half
        assert abs(values.mean()) < 0.05 * half
    assert_allclose(drawn[:, 2, 0], 0, atol=1e-12)  # level: the x axis stays horizontal


def test_more_views_leave_those_alone_that_are_there():
    assert_array_equal(poses(CELL, 9)[:4], poses(CELL, 4))


def test_each_seed_and_each_cell_has_its_own_cameras():
    other = script.Cell(**{**vars(CELL), "name": "view_cell.001"})

    assert not np.allclose(poses(CELL, 3), poses(CELL, 3, seed=1))
    assert not np.allclose(poses(CELL, 3), poses(other, 3))


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (2.5, -0.3), (-1, 1.2)])
def test_orientation_and_rounding_are_those_of_the_rest_of_the_program(yaw, pitch, rng):
    depth = rng.uniform(0.1, 90, (5, 7)).astype(np.float32)

    assert_array_equal(script.level_orientation(yaw, pitch), level_orientation(yaw, pitch))
    assert_array_equal(script.round_mantissa(depth, 15), round_mantissa(depth, 15))


def test_a_stored_depth_is_off_by_less_than_the_bar(tmp_path, rng):
    depth = rng.uniform(0.1, 90, (50, 60)).astype(np.float32)
    depth[0, 0] = 1e10

    script.write_depth(tmp_path / "d.npz", depth)

    with np.load(tmp_path / "d.npz") as file:
        assert_allclose(file["depth"], depth, rtol=2**-16)
        assert file["depth"][0, 0] == 1e10
    assert [file.name for file in tmp_path.iterdir()] == ["d.npz"]


def png(text: str) -> tuple[np.ndarray, bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("RenderTime", text)
    Image.fromarray(pixels).save(file, "PNG", pnginfo=info, dpi=(72, 72))
    return pixels, file.getvalue()


def test_a_picture_keeps_its_pixels_and_loses_its_times():
    pixels, first = png("00:01.25")
    _, second = png("00:07.99")
    clean = script.png_without_text(first, Path("a.png"))

    assert clean == script.png_without_text(second, Path("a.png"))
    with Image.open(io.BytesIO(clean)) as image:
        assert_array_equal(np.array(image), pixels)


@pytest.mark.parametrize("length", [0, 7, 40, -13, -1])
def test_a_picture_that_was_cut_short_is_not_kept(length):
    _, whole = png("00:01.25")

    with pytest.raises(OSError, match="No space left"):
        script.png_without_text(whole[:length], Path("a.png"))


def test_a_folder_takes_views_of_one_kind_only(tmp_path):
    script.begin_folder(tmp_path / "new", {"samples": 4, "size": [8, 6]})
    script.begin_folder(tmp_path / "new", {"samples": 4, "size": [8, 6]})

    with pytest.raises(script.SceneError, match="'samples' was 4 and is 5; repeat the old ones"):
        script.begin_folder(tmp_path / "new", {"samples": 5, "size": [8, 6]})
    (tmp_path / "other" / "train").mkdir(parents=True)
    with pytest.raises(script.SceneError, match="of another origin"):
        script.begin_folder(tmp_path / "other", {"samples": 4})


def test_the_listing_is_a_data_set(tmp_path):
    views = [script.View("test/00000", poses(CELL, 1)[0])]

    script.write_listing(tmp_path, views, CELL, 1.25, [40, 30])

    info = read_info(tmp_path)
    assert info.view_cell_size == CELL.size and info.view_rotation_deg == CELL.rotation_deg
    assert info.camera_angle_x == 1.25 and info.resolution == (40, 30)
    assert info.depth_distance_adjustment and not info.flip_depth
    frame = json.loads((tmp_path / "transforms_test.json").read_text())["frames"][0]
    assert frame["file_path"] == "./test/00000"
    assert_array_equal(frame["transform_matrix"], views[0].pose)


def test_given_poses_are_read_and_must_stand_in_the_cell(tmp_path):
    path, pose = tmp_path / "transforms_test.json", poses(CELL, 1)[0]
    frame = {"file_path": "./test/00007", "transform_matrix": pose.tolist()}
    path.write_text(json.dumps({"frames": [frame]}))

    assert [view.name for view in script.read_views(path, CELL)] == ["test/00007"]
    frame["transform_matrix"][0][3] += 5
    path.write_text(json.dumps({"frames": [frame]}))
    with pytest.raises(script.SceneError, match="stands outside the view cell"):
        script.read_views(path, CELL)
    path.write_text("[]")
    with pytest.raises(script.SceneError, match="must be a transforms_"):
        script.read_views(path, CELL)


def test_a_box_in_words_can_be_given_back_as_options():
    box = np.array([-2e-5, 1234.5678, -4e-9]), np.array([1e-3, 0.02, 7654321.0])
    words = script.box_text(*box).split()
    options = script.parse_options(["room.blend", "--out", "x", *words])

    assert script.box_text((-1.0, 0.5, 2), (2, 1.2, 0.7)) == (
        "--cell-center -1 0.5 2 --cell-size 2 1.2 0.7"
    )
    assert_allclose(options.cell_size, box[1], rtol=1e-3)
    assert_allclose(options.cell_center, (0, 1235, 0), rtol=1e-3)


def test_directions_cover_the_sphere_evenly():
    around = script.sphere_directions()

    assert_allclose(np.linalg.norm(around, axis=1), 1)
    assert_allclose(around.mean(axis=0), 0, atol=0.01)
    assert_allclose(around.T @ around / len(around), np.eye(3) / 3, atol=0.01)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--size 0 10", "--size must be at least 1 1, got 0 10"),
        ("--train 0", "--train must be at least 1"),
        ("--samples 0", "--samples must be at least 1, got 0"),
        ("--fov 200", "--fov must be 1 to 170, got 200"),
        ("--yaw nan", "--yaw and --pitch must be finite"),
        ("--rotation -1 5", "--rotation must be 0 to 360, 0 to 180, got -1.0 5.0"),
        ("--cell-center 0 0 0", "must be given together"),
        ("--cell-center 0 0 0 --cell-size 1 0 1", "--cell-size must be positive, got 1.0 0.0 1.0"),
        ("--threads 0", "--threads must be at least 1, got 0"),
        ("--sample 3", "unrecognized arguments: --sample 3; .* --help explains"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(words, told):
    with pytest.raises(script.SceneError, match=told) as fault:
        script.parse_options(["room.blend", "--out", "x", *words.split()])
    assert "\n" not in str(fault.value)


def test_without_blender_it_says_what_it_needs(capsys):
    if script.bpy is not None:
        pytest.skip("this Python has bpy")

    assert script.main(["room.blend", "--out", "x"]) == 2
    assert capsys.readouterr().err == (
        "error: this script runs inside Blender, or in a Python that has the module bpy\n"
    )
