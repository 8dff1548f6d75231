"""The traced scene: exact distances, the same files each time, a data set as any other."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from donerf.config import TrainingSettings
from donerf.data.dataset import load_dataset
from donerf.data.info import level_orientation
from donerf.data.procedural import (
    CELL_CENTER,
    Ball,
    Box,
    Ground,
    demo_data_command,
    render_view,
    solids,
    trace,
    write_procedural_dataset,
)
from donerf.geometry.camera import Camera, Intrinsics
from donerf.training.arguments import parse_training_arguments

GRAY = (0.5, 0.5, 0.5)
EYE = np.array([0.0, 0.0, 1.0])
AHEAD = np.array([0.0, 1.0, 0.0])


def distance(solid: Box | Ball | Ground, origin: np.ndarray, direction: np.ndarray) -> float:
    return float(solid.hit(origin[None], (direction / np.linalg.norm(direction))[None])[0])


def test_distances_by_hand():
    down = np.array([0.0, 3.0, -1.0])

    assert distance(Ball((0, 5, 1), 2, GRAY), EYE, AHEAD) == pytest.approx(3)
    assert distance(Box((-1, 4, 0), (1, 6, 2), GRAY), EYE, AHEAD) == pytest.approx(4)
    assert distance(Ground(10), EYE, down) == pytest.approx(math.sqrt(10))


def test_what_is_missed_is_infinitely_far():
    up = np.array([0.0, 1.0, 0.5])

    assert distance(Ball((0, 5, 1), 2, GRAY), EYE, -AHEAD) == math.inf
    assert distance(Ball((3, 5, 1), 2, GRAY), EYE, AHEAD) == math.inf
    assert distance(Box((2, 4, 0), (3, 6, 2), GRAY), EYE, AHEAD) == math.inf
    assert distance(Box((-1, 4, 0), (1, 6, 2), GRAY), EYE, -AHEAD) == math.inf
    assert distance(Ground(10), EYE, up) == math.inf
    assert distance(Ground(2), EYE, np.array([0.0, 3.0, -1.0])) == math.inf


def test_a_ray_along_a_face_of_a_box_gives_a_number_or_a_miss():
    on_the_face = np.array([1.0, 0.0, 1.0])

    assert distance(Box((-1, 4, 0), (1, 6, 2), GRAY), on_the_face, AHEAD) in (4, math.inf)


def test_every_hit_lies_on_the_surface_it_belongs_to(rng: np.random.Generator):
    scene = solids(0)
    directions = rng.normal(size=(2000, 3)) * [1, 1, 0.2] + AHEAD
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    origins = np.broadcast_to(np.array(CELL_CENTER), directions.shape)
    t, colors = trace(scene, origins, directions)
    points = (origins + np.where(np.isfinite(t), t, 0)[:, None] * directions)[np.isfinite(t)]
    gap = np.min([surface_gap(solid, points) for solid in scene], axis=0)

    assert 0.1 < np.isfinite(t).mean() < 0.9
    assert gap.max() < 1e-9
    assert colors.min() >= 0
    assert colors.max() <= 1


def surface_gap(solid: Box | Ball | Ground, points: np.ndarray) -> np.ndarray:
    """How far points are from a solid's surface."""
    if isinstance(solid, Ground):
        return np.abs(points[:, 2])
    if isinstance(solid, Ball):
        return np.abs(np.linalg.norm(points - solid.center, axis=-1) - solid.radius)
    lower, upper = np.array(solid.lower), np.array(solid.upper)
    return np.abs(np.maximum(lower - points, points - upper).max(axis=-1))


def test_nothing_stands_in_the_view_cell():
    for seed in range(5):
        origins = np.array(CELL_CENTER) + np.array(
            [[x, y, 0] for x in (-0.6, 0.6) for y in (-0.6, 0.6)]
        )
        for solid in solids(seed):
            for bearing in np.linspace(0, 2 * math.pi, 24):
                outwards = np.array([math.cos(bearing), math.sin(bearing), 0])
                t = solid.hit(origins, np.broadcast_to(outwards, origins.shape))
                assert t.min() > 0.2


def test_pixels_are_traced_along_the_cameras_rays():
    pose = level_orientation(0.3, -0.1)
    pose[:3, 3] = CELL_CENTER
    camera = Camera(pose, Intrinsics(17, 11, 15.0, 8.0, 6.0))
    rays = camera.rays()
    view = render_view(solids(0), camera, "train/00000")
    t, _ = trace(solids(0), rays.origins.double().numpy(), rays.directions.double().numpy())
    assert view.distances is not None
    both = np.isfinite(t) & np.isfinite(view.distances.ravel())

    assert both.sum() > 80
    # The rays of `Camera.rays` are float32: far away, a grazing hit moves by some 1e-5.
    assert_allclose(view.distances.ravel()[both], t[both], rtol=1e-4)


def test_the_same_seed_gives_the_same_files(tmp_path: Path):
    for name in ("one", "two"):
        write_procedural_dataset(tmp_path / name, (16, 12), (2, 1, 1), seed=5)
    write_procedural_dataset(tmp_path / "other", (16, 12), (2, 1, 1), seed=6)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))

    assert len(files) == 1 + 3 + 2 * 4
    for file in files:
        if file.suffix == ".npz":  # holds the time it was written
            ours, theirs = (np.load(tmp_path / name / file)["depth"] for name in ("one", "two"))
            assert_array_equal(ours, theirs)
        else:
            assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert (tmp_path / "one/train/00000.png").read_bytes() != (
        tmp_path / "other/train/00000.png"
    ).read_bytes()


def test_demo_data_can_be_trained_on_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    demo_data_command(tmp_path / "demo", (16, 12), (3, 1, 1))
    views = load_dataset(tmp_path / "demo", "train", need_depth=True)

    assert views.distances is not None
    assert 0.1 < views.distances.isinf().float().mean() < 0.9
    assert views.cell.depth_range[0] > 0
    assert all(views.cell.contains(camera.position) for camera in views.cameras)
    assert f"donerf train oracle {tmp_path / 'demo/demo.toml'}" in capsys.readouterr().out


def test_demo_data_brings_a_config_in_its_own_name(tmp_path: Path):
    folder = tmp_path / 'a "demo" of Zoë'
    demo_data_command(folder, (8, 6), (1, 1, 1))
    asked = parse_training_arguments([str(folder / "demo.toml")], "oracle", "", "train")

    assert asked.config.scene.folder == folder
    assert asked.config.scene.name == "Demo"
    assert asked.config.scene.license == "MIT"
    assert "KayKit" not in asked.config.scene.credits
    assert asked.output == Path("runs/demo/demo.donerf")
    assert asked.config.oracle_training.steps < TrainingSettings().steps


@pytest.mark.parametrize(("size", "views"), [((0, 5), (1, 0, 0)), ((5, 5), (0, 1, 1))])
def test_impossible_demo_data_is_an_error(tmp_path: Path, size, views):
    with pytest.raises(ValueError, match="at least 1x1 pixels and at least one view"):
        write_procedural_dataset(tmp_path / "demo", size, views)
    assert not (tmp_path / "demo").exists()
