"""`donerf render-scene` and `setup-blender`: without Blender always, with it where it is set up."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image

from donerf.cli import run
from donerf.config import load_config
from donerf.data import blender as blender_module
from donerf.data import blender_script
from donerf.data.blender import Blender, cache_folder, environment_python, find_blender, is_set_up
from donerf.data.dataset import View, load_dataset
from donerf.data.info import DatasetInfo
from donerf.data.render_scene import _failure, data_folders
from donerf.data.scene_list import ListedCell, read_scene_list
from donerf.data.view_data import inspect, read_all_views

TINY = ["--size", "32", "24", "--samples", "4", "--train", "4", "--val", "1", "--test", "1"]
COMMAND = [sys.executable, "-c", "from donerf.cli import main; main()"]


# Without Blender


@pytest.fixture
def no_blender(tmp_path, monkeypatch) -> Path:
    """An empty PATH and an empty cache; returns the folder that is the PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(blender_module.sys, "platform", "linux")
    return folder


def program(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_without_blender_setup_blender_is_offered(no_blender, tmp_path):
    scene = tmp_path / "room.blend"
    scene.touch()

    with pytest.raises(
        FileNotFoundError, match="there is none on the PATH; `donerf setup-blender`"
    ):
        run(["render-scene", str(scene), "--out", str(tmp_path / "out")])


def test_an_old_blender_on_the_path_is_passed_over(no_blender):
    program(no_blender / "blender", "Blender 4.2.3 LTS")

    with pytest.raises(FileNotFoundError, match="5.0 or newer, the one on the PATH is 4.2"):
        find_blender(None)


def test_a_new_blender_on_the_path_is_taken(no_blender):
    new = program(no_blender / "blender", "Blender 5.1.0")

    assert find_blender(None) == Blender(new, is_module=False)


def test_the_named_blender_must_be_one(tmp_path):
    old = program(tmp_path / "old", "Blender 3.4.1")
    with pytest.raises(ValueError, match="must be 5.0 or newer, .*old is 3.4"):
        find_blender(old)
    other = program(tmp_path / "other", "hello")
    with pytest.raises(ValueError, match="must be Blender, or a Python with the module bpy"):
        find_blender(other)
    with pytest.raises(FileNotFoundError, match="a program that can be run, got nowhere"):
        find_blender(Path("nowhere"))


def test_blender_gets_our_words_after_two_dashes():
    script, words = Path("script.py"), ["room.blend", "--out", "x"]

    installed = Blender(Path("/opt/blender"), is_module=False).command(script, words)
    assert installed[0] == "/opt/blender" and "--background" in installed
    assert installed[-5:] == ["script.py", "--", *words]
    assert Blender(Path("python"), is_module=True).command(script, words) == [
        "python", "script.py", *words
    ]  # fmt: skip


def test_the_cache_is_where_the_user_wants_it(monkeypatch, tmp_path):
    monkeypatch.setattr(blender_module.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert cache_folder() == tmp_path / "donerf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "donerf"


def test_an_environment_that_was_only_begun_does_not_count(no_blender):
    environment_python().parent.mkdir(parents=True)
    environment_python().touch()

    assert not is_set_up()


def test_setup_needs_the_python_that_bpy_is_made_for(no_blender, monkeypatch):
    monkeypatch.setattr(blender_module, "BPY_PYTHON", (3, 2))

    with pytest.raises(FileNotFoundError, match="needs Python 3.2, this is 3.* no python3.2 on"):
        run(["setup-blender"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.blend", "--out", "x"], "there is no scene file nowhere.blend"),
        (["--out", "x"], "either a scene file or --example"),
        (["a.blend", "--example", "gallery", "--out", "x"], "either a scene file or --example"),
        (["a.blend"], "required: --out"),
        (["a.blend", "--out", "x", "--size", "0", "5"], "--size must be at least 1 1"),
    ],
)
def test_bad_input_is_refused_before_blender_is_looked_for(words: list[str], told: str):
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        run(["render-scene", *words])


def test_a_crash_is_told_with_what_is_known():
    assert _failure(2, ["Blender noise", "error: a sentence", "more noise"]) == "a sentence"
    assert "by signal 9; is there enough memory" in _failure(-9, ["rendering"])
    assert "by signal 11; its last line is 'boom'" in _failure(-11, ["noise", "boom"])


def test_a_scene_list_knows_its_folders_from_its_own(tmp_path):
    cells = [{"name": "view_cell", "folder": "view_cell"}]
    file = tmp_path / "scene.json"
    file.write_text(json.dumps({"format": 1, "cells": cells}))

    assert read_scene_list(file) == [ListedCell("view_cell", tmp_path / "view_cell")]
    assert data_folders(tmp_path) == [tmp_path / "view_cell"]


@pytest.mark.parametrize(
    "text", ['{"format": 2, "cells": [{}]}', '{"format": 1, "cells": []}', "[]", "x",
             '{"format": 1, "cells": [{"name": "a"}]}']
)  # fmt: skip
def test_a_scene_list_that_is_none_is_named(tmp_path, text):
    file = tmp_path / "scene.json"
    file.write_text(text)

    with pytest.raises(ValueError, match="scene.json"):
        read_scene_list(file)


# With Blender


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """A folder of small scenes, made by the Blender that `donerf setup-blender` has fetched."""
    if not is_set_up():
        why = os.environ.get("SETUP_BLENDER_FAILED", "`donerf setup-blender` was not run")
        pytest.skip(f"needs Blender's module bpy: {why}")
    folder = tmp_path_factory.mktemp("scenes")
    builder = Path(__file__).with_name("blender_scenes.py")
    subprocess.run([environment_python(), builder, folder], check=True, capture_output=True)
    return folder


def render(*words: object) -> None:
    run(["render-scene", *map(str, words), "--blender", str(environment_python())])


@pytest.fixture(scope="session")
def room(scenes, tmp_path_factory) -> Path:
    """The room, rendered."""
    out = tmp_path_factory.mktemp("rendered") / "room"
    render(scenes / "room.blend", "--out", out, *TINY)
    return out


def hashes(folder: Path) -> dict[str, int]:
    found = [path for path in sorted(folder.rglob("*")) if path.suffix in (".png", ".npz", ".json")]
    return {str(path.relative_to(folder)): hash(path.read_bytes()) for path in found}


def test_a_rendered_scene_is_a_prepared_data_set_whose_depths_agree(room):
    info, views = read_all_views(room)

    assert {split: len(found) for split, found in views.items()} == {
        "train": 4,
        "val": 1,
        "test": 1,
    }
    assert info.depth_range is not None and info.depth_ignore is None  # a closed room
    assert info.camera_angle_x == pytest.approx(np.radians(70))
    assert_allclose(info.view_cell_center, (0, -1, 1.5), atol=1e-6)
    assert_allclose(info.view_cell_size, (1, 0.8, 0.5), atol=1e-6)
    share = inspect(info, views).agreement.share
    assert share is not None and share > 0.95
    assert load_config(room / "room.toml").scene.folder == room


def test_depth_is_exact_at_the_middle_of_a_pixel(room):
    views = load_dataset(room, "train", need_depth=True)
    assert views.distances is not None
    for camera, distances in zip(views.cameras, views.distances, strict=True):
        rays = camera.rays()
        to_walls = torch_min_positive(rays.origins, rays.directions)
        is_wall = np.abs(distances.numpy().ravel() / to_walls - 1) < 1e-4
        assert is_wall.mean() > 0.5
        # Furniture stands before the walls, nothing is behind them.
        assert (distances.numpy().ravel() < to_walls * (1 + 1e-4)).all()


def torch_min_positive(origins, directions) -> np.ndarray:
    """Distance to the walls of the test room from inside, in closed form."""
    upper, lower = np.array([2, 2, 3]), np.array([-2, -2, 0])
    o, d = origins.double().numpy(), directions.double().numpy()
    with np.errstate(divide="ignore"):
        return np.where(d > 0, (upper - o) / d, (lower - o) / d).min(axis=1)


def test_the_same_seed_gives_the_same_files(scenes, room, tmp_path):
    render(scenes / "room.blend", "--out", tmp_path / "room", *TINY, "--threads", 1)

    assert hashes(tmp_path / "room") == hashes(room)


def test_given_poses_are_rendered_as_they_were(scenes, room, tmp_path):
    out = tmp_path / "again"
    size = TINY[:5]
    render(scenes / "room.blend", "--out", out, "--poses", room / "transforms_test.json", *size)

    first, again = load_dataset(room, "test"), load_dataset(out_with_ranges(out, room), "test")
    assert first.names == again.names
    assert first.distances is not None and again.distances is not None
    assert_allclose(again.distances.numpy(), first.distances.numpy(), rtol=1e-4)
    assert (first.colors.int() - again.colors.int()).abs().max() == 0


def out_with_ranges(out: Path, prepared: Path) -> Path:
    shutil.copy(prepared / "dataset_info.json", out / "dataset_info.json")
    return out


def started(words: Sequence[object]) -> subprocess.Popen:
    arguments = ["render-scene", *map(str, words), "--blender", str(environment_python())]
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def pictures(folder: Path) -> dict[str, int]:
    """The finished views and the inodes of their pictures: a new one is another file."""
    done = [file for file in folder.glob("*/*.png") if not file.name.startswith(".")]
    done = [file for file in done if file.with_name(f"{file.stem}_depth.npz").exists()]
    return {str(file.relative_to(folder)): file.stat().st_ino for file in done}


def test_after_kill_9_the_same_command_finishes_and_renders_nothing_twice(scenes, tmp_path):
    out = tmp_path / "room"
    words = [scenes / "room.blend", "--out", out, "--size", 100, 80, "--samples", 16]
    words += ["--train", 8, "--val", 0, "--test", 1]
    with started(words) as process:
        deadline = time.monotonic() + 60
        while len(pictures(out)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    time.sleep(0.5)  # Blender ends by itself once its pipe is closed.
    before = pictures(out)
    assert 2 <= len(before) < 9

    run(["render-scene", *map(str, words), "--blender", str(environment_python())])

    after = pictures(out)
    assert len(after) == 9 and before.items() <= after.items()
    assert not list(out.rglob(".*"))
    assert len(load_dataset(out, "train", need_depth=True).names) == 8


def test_other_settings_do_not_mix_with_what_is_there(scenes, room):
    before = hashes(room)
    with pytest.raises(ValueError, match="'samples' was 4 and is 5; repeat the old ones"):
        render(scenes / "room.blend", "--out", room, *TINY, "--samples", 5)

    assert hashes(room) == before


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("column", "of 65 cameras in 'view_cell' stand inside something, one at .* in 'column'"),
        ("walled_in", "65 of 65 cameras .* in 'block'; move the cell, or make it smaller$"),
        ("stone_in_a_wall", "65 of 65 cameras"),
        ("flat_cell", "must have a positive size, 'view_cell' has 1 0 0.5"),
        ("turned_cell", "must not be turned, 'view_cell' is"),
        ("no_camera", "must have a camera"),
    ],
)
def test_a_cell_that_cannot_be_rendered_is_refused(scenes, tmp_path, name, told):
    words = ["--size", 8, 6, "--train", 2, "--val", 0, "--test", 1]
    with pytest.raises(ValueError, match=told):
        render(scenes / f"{name}.blend", "--out", tmp_path / "out", *words)
    assert not list(tmp_path.rglob("*.png"))


def test_cameras_inside_something_are_drawn_again_on_request(scenes, tmp_path):
    out = tmp_path / "out"
    words = ["--size", 8, 6, "--samples", 1, "--train", 24, "--val", 0, "--test", 0]
    render(scenes / "column.blend", "--avoid", "--out", out, *words)

    places = np.stack([c.position for c in load_dataset(out, "train").cameras])
    is_in_column = (np.abs(places[:, :2] - (0.25, -1)) < (0.15, 0.3)).all(axis=1)
    assert not is_in_column.any()


def test_a_room_with_its_faces_outward_is_no_wall(scenes, tmp_path):
    words = ["--size", 8, 6, "--samples", 1, "--train", 1, "--val", 0, "--test", 0]
    render(scenes / "faces_outward.blend", "--out", tmp_path / "out", *words)

    assert len(load_dataset(tmp_path / "out", "train").names) == 1


def rendered_model(scene: Path, out: Path, size: int = 32) -> tuple[DatasetInfo, list[View]]:
    words = ["--size", size, size, "--samples", 4, "--train", 6, "--val", 0, "--test", 0]
    render(scene, "--out", out, *words)
    info, views = read_all_views(out)
    return info, views["train"]


def mean_color(views: list[View]) -> float:
    return float(np.mean([view.colors for view in views]))


def test_a_model_without_camera_cell_and_light_gets_them(scenes, tmp_path, capsys):
    info, views = rendered_model(scenes / "room.glb", tmp_path / "model")

    shown = capsys.readouterr().out
    assert "taken for a room, seen from inside: the cell is --cell-center" in shown
    assert re.search(r"there is no light; added: a sky, a sun, a lamp of \d+ W under the", shown)
    lower = np.array(info.view_cell_center) - np.array(info.view_cell_size) / 2
    upper = np.array(info.view_cell_center) + np.array(info.view_cell_size) / 2
    assert (lower > (-2, -2, 0)).all() and (upper < (2, 2, 3)).all()
    assert 90 < mean_color(views) < 200


def test_a_model_whose_own_light_is_too_dim_gets_a_lamp(scenes, tmp_path, capsys):
    _, views = rendered_model(scenes / "dim_room.glb", tmp_path / "model")

    assert "its own light is too dim; added: a sky, a sun, a lamp of" in capsys.readouterr().out
    assert 90 < mean_color(views) < 200


def test_an_empty_in_a_model_is_as_large_as_blender_makes_it(scenes, tmp_path, capsys):
    """The file knows its scale alone."""
    info, _ = rendered_model(scenes / "marked_room.glb", tmp_path / "model")

    assert_allclose(info.view_cell_size, (2, 1.6, 1), rtol=1e-5)
    assert (
        "how large the empty view_cell is; taken is --cell-center 0 -1 1.5 --cell-size 2 1.6"
        in (capsys.readouterr().out)
    )


def test_a_house_is_looked_at_and_not_the_lawn_around_it(scenes, tmp_path, capsys):
    info, views = rendered_model(scenes / "house_on_a_lawn.glb", tmp_path / "model")

    shown = capsys.readouterr().out
    assert "taken for an object, seen from outside" in shown
    assert "there is no light; added: a sky, a sun\n" in shown
    away = np.linalg.norm(np.subtract(info.view_cell_center, (8, 7.5, 1.5)))
    assert 4 < away < 12
    for view in views:
        points = view.camera.rays().at(torch.from_numpy(view.distances).reshape(-1, 1))[:, 0]
        assert (points[:, 2] > 0.01).float().mean() > 0.02  # of the house
    assert 90 < mean_color(views) < 220


def test_a_model_that_is_lit_keeps_its_light(scenes, tmp_path, capsys):
    rendered_model(scenes / "house_in_the_sun.glb", tmp_path / "model", size=8)

    assert "added" not in capsys.readouterr().out


def test_a_corner_of_a_room_is_looked_into_from_its_open_side(scenes, tmp_path):
    info, _ = rendered_model(scenes / "corner_of_a_room.glb", tmp_path / "model", size=8)

    x, y, _ = info.view_cell_center
    assert x > 2 and y > 2  # The walls are at x = 0 and y = 0.


@pytest.mark.parametrize("name", ["no_cell", "instances"])
def test_a_cell_is_chosen_around_the_camera_where_there_is_none(scenes, tmp_path, capsys, name):
    words = ["--size", 8, 6, "--samples", 1, "--train", 1, "--val", 0, "--test", 0]
    render(scenes / f"{name}.blend", "--out", tmp_path / "out", *words)

    assert "there is no empty named view_cell; the cell is --cell-center 0 -1 1.5" in (
        capsys.readouterr().out
    )


def test_several_cells_become_several_data_sets_and_one_list(scenes, tmp_path, capsys):
    out = tmp_path / "two"
    render(scenes / "two_cells.blend", "--out", out, *TINY)

    assert f"donerf train {out / 'scene.json'}" in capsys.readouterr().out
    cells = read_scene_list(out / "scene.json")
    assert [cell.name for cell in cells] == ["view_cell", "view_cell.001"]
    assert [cell.folder.name for cell in cells] == ["view_cell", "view_cell_001"]
    for cell in cells:
        assert len(load_dataset(cell.folder, "train", need_depth=True).names) == 4


def test_a_preview_leaves_one_picture_and_nothing_else(scenes, tmp_path):
    out = tmp_path / "room"
    render(scenes / "room.blend", "--out", out, "--preview", "--size", 30, 20, "--no-denoise")

    assert [file.name for file in out.iterdir()] == ["preview.png"]
    with Image.open(out / "preview.png") as sheet:
        assert sheet.width == 1280


AS_BLENDER_RUNS_IT = """\
import bpy, runpy, sys
script, scene, *words = sys.argv[1:]
bpy.ops.wm.open_mainfile(filepath=scene)
sys.argv = ["blender", "-b", scene, "-P", script, "--", *words]
runpy.run_path(script, run_name="__main__")
"""


def test_the_script_runs_by_itself_on_the_file_that_blender_has_open(scenes, tmp_path):
    words = ["--size", 8, 6, "--samples", 1, "--train", 1, "--val", 0, "--test", 0]
    command = [environment_python(), "-c", AS_BLENDER_RUNS_IT, blender_script.__file__]
    command += [scenes / "room.blend", "--out", tmp_path / "out", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True)

    assert (tmp_path / "out" / "train" / "00000.png").is_file()
    assert json.loads((tmp_path / "out" / "render.json").read_text())["scene"] == "room.blend"


def test_a_file_that_blender_cannot_open_is_named(scenes, tmp_path):
    broken = tmp_path / "broken.blend"
    broken.write_text("nothing")
    with pytest.raises(ValueError, match="Blender cannot open .*broken.blend"):
        render(broken, "--out", tmp_path / "out")


def test_a_folder_that_cannot_be_made_is_named(scenes, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ValueError, match="Not a directory: .*file/out"):
        render(scenes / "room.blend", "--out", tmp_path / "file" / "out", *TINY)


def test_the_example_has_two_cells_that_share_a_face(scenes, tmp_path):
    out = tmp_path / "gallery"
    words = ["--size", 16, 12, "--samples", 1, "--train", 2, "--val", 0, "--test", 0]
    render("--example", "gallery", "--out", out, *words)

    first, second = (read_all_views(cell.folder)[0] for cell in read_scene_list(out / "scene.json"))
    gap = np.subtract(second.view_cell_center, first.view_cell_center)
    assert_allclose(gap, (first.view_cell_size[0], 0, 0), atol=1e-6)
    assert first.depth_ignore == second.depth_ignore == 1e10  # the sky in the window
