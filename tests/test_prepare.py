"""`donerf prepare`: the ranges by brute force, what it says, and the smaller set it can write."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from donerf.data import subset as subset_module
from donerf.data.dataset import downscale_colors, load_dataset, read_info
from donerf.data.prepare import compute_depth_fields, prepare_command, write_depth_fields
from donerf.data.procedural import write_procedural_dataset
from donerf.data.subset import write_subset
from donerf.data.writing import round_mantissa, write_folder_at_once

WIDTH, HEIGHT = 24, 18
VIEWS = (4, 1, 2)
RANGES = ("depth_range", "depth_range_warped_log", "depth_range_warped_lin")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scene"
    write_procedural_dataset(folder, (WIDTH, HEIGHT), VIEWS)
    return folder


@pytest.fixture
def folder(made_once: Path, tmp_path: Path) -> Path:
    """A data set that a test may change."""
    return shutil.copytree(made_once, tmp_path / "scene")


def info_values(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "dataset_info.json").read_text())


def edit_info(folder: Path, **values: Any) -> None:
    (folder / "dataset_info.json").write_text(json.dumps(info_values(folder) | values))


def forget_ranges(folder: Path) -> None:
    values = info_values(folder)
    for key in (*RANGES, "depth_ignore"):
        del values[key]
    (folder / "dataset_info.json").write_text(json.dumps(values))


def fill_depth(folder: Path, value: float) -> None:
    for path in folder.glob("*/*_depth.npz"):
        np.savez(path, depth=np.full((HEIGHT, WIDTH), value))


def test_ranges_are_those_of_all_splits_a_twentieth_wider(made_once: Path):
    distances, unified = [], []
    for split in ("train", "val", "test"):
        views = load_dataset(made_once, split)
        assert views.distances is not None
        for camera, picture in zip(views.cameras, views.distances, strict=True):
            t = picture.flatten().double()
            rays = camera.rays()
            offset = camera.position - np.array(views.info.view_cell_center)
            b = (rays.directions.double().numpy() * offset).sum(-1)
            exits = -b + np.sqrt(b * b - offset @ offset + views.cell.radius**2)
            distances.append(t[t.isfinite()].numpy())
            unified.append((t.numpy() - exits)[t.isfinite().numpy()])
    t, u = np.concatenate(distances), np.concatenate(unified)
    fields = compute_depth_fields(made_once)

    assert_allclose(fields.depth_range, (0.95 * t.min(), 1.05 * t.max()), rtol=1e-6)
    assert_allclose(fields.unified_range, (0.95 * u.min(), 1.05 * u.max()), rtol=1e-5)


def test_a_negative_near_end_moves_outwards(folder: Path):
    # A wall that is nearer than the sphere around the cell.
    fill_depth(folder, 0.05)
    fields = compute_depth_fields(folder)
    exits = [
        read_info(folder).view_cell().exit_distance(camera.rays())
        for split in ("train", "val", "test")
        for camera in load_dataset(folder, split).cameras
    ]
    near = 0.05 - max(float(e.max()) for e in exits)

    assert near < 0
    assert fields.unified_range[0] == pytest.approx(1.05 * near, rel=1e-5)
    assert fields.depth_range[0] < 0.05 < fields.depth_range[1]


def test_what_was_lost_is_found_again(folder: Path):
    before = info_values(folder)
    forget_ranges(folder)
    write_depth_fields(folder, compute_depth_fields(folder))

    assert info_values(folder) == before


def test_preparing_twice_changes_nothing(folder: Path):
    prepare_command(folder)
    before = (folder / "dataset_info.json").read_bytes()
    prepare_command(folder)

    assert (folder / "dataset_info.json").read_bytes() == before


def test_a_room_without_background_ignores_no_depth(folder: Path):
    forget_ranges(folder)
    fill_depth(folder, 3.0)

    assert compute_depth_fields(folder).depth_ignore is None


def test_views_sizes_and_background_are_counted(made_once: Path):
    fields = compute_depth_fields(made_once)
    pictures = [load_dataset(made_once, split).distances for split in ("train", "val", "test")]
    background = sum(int(p.isinf().sum()) for p in pictures if p is not None)

    assert fields.views == dict(zip(("train", "val", "test"), VIEWS, strict=True))
    assert fields.size == (WIDTH, HEIGHT)
    assert fields.background_share == background / (sum(VIEWS) * WIDTH * HEIGHT)
    assert fields.warnings == ()


def test_what_looks_wrong_is_said_and_does_not_stop(folder: Path):
    (folder / "transforms_val.json").unlink()
    np.savez(folder / "train/00001_depth.npz", depth=np.full((HEIGHT, WIDTH), 1e10))
    (folder / "test/00000_depth.npz").unlink()
    warnings = compute_depth_fields(folder).warnings

    assert len(warnings) == 3
    assert "no 'val' views" in warnings[0]
    assert "'test/00000'" in warnings[1]
    assert "nothing but background, the first is 'train/00001'" in warnings[2]


def test_a_farthest_surface_taken_for_the_sky_is_noticed(tmp_path: Path):
    write_procedural_dataset(tmp_path / "scene", (120, 100), (1, 0, 0))
    depth = np.full((100, 120), 3.0, np.float32)
    depth[5, 5] = 12.34
    np.savez(tmp_path / "scene/train/00000_depth.npz", depth=depth)
    edit_info(tmp_path / "scene", depth_ignore=12.34)

    warnings = compute_depth_fields(tmp_path / "scene").warnings
    assert any("'depth_ignore' 12.34 meets a few pixels only" in w for w in warnings)


def test_the_command_says_what_it_found(folder: Path, capsys: pytest.CaptureFixture[str]):
    near, far = info_values(folder)["depth_range"]
    prepare_command(folder, pack=folder.parent / "scene.pack")
    said = capsys.readouterr().out

    assert "4 train, 1 val, 2 test, 24x18" in said
    assert f"{near:.4g} to {far:.4g} scene units" in said
    assert "scene.pack" in said


def test_no_folder_is_an_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="only the folder of a data set can be prepared"):
        compute_depth_fields(tmp_path / "nowhere")


def test_nothing_to_train_on_is_an_error(folder: Path):
    (folder / "transforms_train.json").write_text('{"frames": []}')

    with pytest.raises(ValueError, match="must have views to train on"):
        compute_depth_fields(folder)


def test_depth_of_background_alone_is_an_error(folder: Path):
    fill_depth(folder, 1e10)

    with pytest.raises(ValueError, match="all pixels of all views in .* are background"):
        compute_depth_fields(folder)


def test_no_depth_at_all_is_an_error(folder: Path):
    for path in folder.glob("*/*_depth.npz"):
        path.unlink()

    with pytest.raises(ValueError, match="none of the 7 views in .* has one; export"):
        compute_depth_fields(folder)


def test_an_error_leaves_the_old_info_as_it_was(folder: Path):
    before = (folder / "dataset_info.json").read_bytes()
    fill_depth(folder, 1e10)
    with pytest.raises(ValueError, match="background"):
        prepare_command(folder)

    assert (folder / "dataset_info.json").read_bytes() == before


def test_a_subset_holds_some_of_the_views_half_as_large(folder: Path, tmp_path: Path):
    prepare_command(folder, subset=tmp_path / "small", downscale=2, views=(2, 1, 1))
    whole = load_dataset(folder, "train", downscale=2)
    small = load_dataset(tmp_path / "small", "train", need_depth=True)
    assert whole.distances is not None
    assert small.distances is not None

    assert small.names == ["train/00000", "train/00002"]
    assert_array_equal(small.colors, whole.colors[::2])
    # 12 bits of mantissa are kept: half of the last one is lost at most.
    assert_allclose(small.distances, whole.distances[::2], rtol=2**-13)
    assert_allclose(
        small.cameras[1].rays().directions, whole.cameras[2].rays().directions, atol=1e-6
    )
    assert len(load_dataset(tmp_path / "small", "test").names) == 1
    assert small.cell.depth_range[0] > 0


def test_a_subset_of_odd_sizes_keeps_looking_where_it_looked(folder: Path, tmp_path: Path):
    write_subset(folder, tmp_path / "small", downscale=5)
    whole = load_dataset(folder, "test", downscale=5)
    small = load_dataset(tmp_path / "small", "test")

    assert small.colors.shape == (2, HEIGHT // 5, WIDTH // 5, 3)
    assert_array_equal(
        small.colors[0], downscale_colors(load_dataset(folder, "test").colors[0].numpy(), 5)
    )
    assert_allclose(
        small.cameras[1].rays().directions, whole.cameras[1].rays().directions, atol=1e-6
    )


def test_a_folder_that_holds_something_is_not_overwritten(folder: Path):
    with pytest.raises(ValueError, match="new or an empty folder, .*scene holds something"):
        write_subset(folder, folder, downscale=2)
    with pytest.raises(ValueError, match="new or an empty folder"):
        write_procedural_dataset(folder, (8, 6), (1, 0, 0))


def test_a_subset_cannot_have_more_views_than_there_are(folder: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="must take 0 to 4 'train' views, .*got 5"):
        write_subset(folder, tmp_path / "small", 1, (5, 1, 1))
    with pytest.raises(ValueError, match="at least one view, got none"):
        write_subset(folder, tmp_path / "small", 1, (0, 0, 0))


def test_options_of_a_subset_without_one_are_an_error(folder: Path):
    with pytest.raises(ValueError, match="give --subset DIR"):
        prepare_command(folder, downscale=2)


def test_a_full_disk_leaves_no_half_data_set(folder: Path, tmp_path: Path, monkeypatch):
    def fail(path: Path, *_: object) -> None:
        (path / "dataset_info.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(subset_module, "write_views", fail)
    with pytest.raises(OSError, match="No space left"):
        write_subset(folder, tmp_path / "small", 2)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene"]


def test_an_empty_folder_may_be_filled(tmp_path: Path):
    (tmp_path / "new").mkdir()
    write_folder_at_once(tmp_path / "new", lambda path: (path / "file").touch())

    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


def test_rounding_keeps_so_many_bits_and_no_more():
    numbers = np.geomspace(1e-3, 1e10, 1000, dtype=np.float32)
    rounded = round_mantissa(numbers, 12)

    assert_allclose(rounded, numbers, rtol=2**-13)
    assert not (rounded.view(np.uint32) & 0x7FF).any()
    assert_array_equal(round_mantissa(numbers, 23), numbers)


def test_rounding_up_may_reach_the_next_power_of_two():
    assert round_mantissa(np.array([math.nextafter(2.0, 1.0)], np.float32), 12) == 2.0


def test_a_range_of_one_distance_has_a_width(folder: Path):
    fill_depth(folder, 1.0)
    near, far = compute_depth_fields(folder).depth_range

    assert near < 1 < far
