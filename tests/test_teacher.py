"""A teacher: rays from anywhere in its cell, colors as the renderer draws them, who may teach."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.testing import assert_close

from donerf.backends.eager import EagerRenderer
from donerf.config import Config, OracleSettings, ShadingSettings
from donerf.data.dataset import Dataset, load_dataset
from donerf.data.procedural import write_procedural_dataset
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.renderer import Output, RenderOptions
from donerf.scene_file import Scene, SceneCell, load_scene, save_scene
from donerf.training.batches import RayBank
from donerf.training.oracle import train_oracle
from donerf.training.run import checkpoints
from donerf.training.shading import train_shading
from donerf.training.teacher import Teacher

CPU = torch.device("cpu")
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scene"
    write_procedural_dataset(folder, size=(24, 18), views=(4, 1, 1), seed=3)
    return folder


@pytest.fixture(scope="module")
def views(data: Path) -> Dataset:
    return load_dataset(data, "train", need_depth=True)


@pytest.fixture(scope="module")
def scene(views: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A file of random networks, which knows colors that no view has."""
    torch.manual_seed(5)
    oracle, shading = DepthOracle(OracleSettings()), ShadingNetwork(ShadingSettings())
    path = tmp_path_factory.mktemp("teacher") / "teacher.donerf"
    save_scene(Scene([SceneCell(views.info.view_cell(), Networks(oracle, shading))]), path)
    return load_scene(path)


@pytest.fixture(scope="module")
def oracle_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "oracle"
    train_oracle(config_for(data), run, resume=False, console=QUIET)
    return run


def config_for(data: Path, **training: object) -> Config:
    quick = {"steps": 4, "rays_per_step": 256, "warmup_steps": 0}
    return Config.model_validate(
        {
            **{"scene": {"folder": data}, "device": "cpu", "precision": "fp32"},
            **{"oracle": {"width": 16}, "shading": {"width": 32}},
            "oracle_training": quick,
            "shading_training": quick | training,
        }
    )


def test_a_teacher_sees_what_its_file_renders(scene: Scene, views: Dataset):
    camera = views.cameras[0]
    teacher = Teacher(scene, views.info.view_cell(), 4, CPU, "fp32")
    colors, s = teacher.see(camera.rays())

    options = RenderOptions(samples=4, outputs=frozenset({Output.COLOR}))
    frame = EagerRenderer(scene, "cpu", "fp32").render(camera, options)
    assert frame is not None and frame.color is not None
    assert_close(colors, frame.color.float().flatten(0, 1), atol=2e-3, rtol=0)
    assert float(s.min()) >= 0 and float(s.max()) <= 1


def test_taught_rays_start_all_over_the_cell_and_look_where_cameras_do(
    scene: Scene, views: Dataset
):
    cell = views.info.view_cell()
    bank = RayBank(views, cell, CPU)
    batch = Teacher(scene, cell, 2, CPU, "fp32").draw(500, bank, torch.Generator().manual_seed(0))

    origins = batch.rays.origins.numpy()
    assert all(cell.contains(origin, 1e-6) for origin in origins)
    assert ((origins.max(0) - origins.min(0)) > 0.9 * (cell.upper - cell.lower)).all()
    assert_close(batch.rays.directions, bank.batch_of(batch.pixels).rays.directions)
    assert len(batch.colors) == len(batch.s) == 500
    # A target of a loss must not be a tensor that gradients refuse.
    assert not batch.colors.is_inference()


def test_two_batches_become_one(views: Dataset):
    bank = RayBank(views, views.info.view_cell(), CPU)
    a, b = bank.batch_of(torch.arange(3)), bank.batch_of(torch.arange(5, 9))

    both, whole = a.joined(b), bank.batch_of(torch.tensor([0, 1, 2, 5, 6, 7, 8]))

    assert_close(both.rays.origins, whole.rays.origins)
    assert_close(both.rays.directions, whole.rays.directions)
    for name in ("colors", "s", "pixels", "s_moved"):
        assert_close(getattr(both, name), getattr(whole, name))


def test_a_student_learns_its_teachers_colors_in_place_of_the_views(
    data: Path, views: Dataset, scene: Scene, oracle_run: Path, tmp_path: Path
):
    config = config_for(data, teacher=scene.path, teacher_share=1.0, steps=60, samples=[2])
    student = train_shading(config, tmp_path / "run", oracle_run, resume=False, console=QUIET)

    cell = views.info.view_cell()
    bank = RayBank(views, cell, CPU)
    teacher, learned = (Teacher(each, cell, 2, CPU, "fp32") for each in (scene, student))
    batch = teacher.draw(2000, bank, torch.Generator().manual_seed(9))
    to_teacher = (learned.see(batch.rays)[0] - batch.colors).square().mean()
    pixels = bank.batch_of(batch.pixels)
    to_views = (learned.see(pixels.rays)[0] - pixels.colors).square().mean()
    assert float(to_teacher) < 0.1 * float(to_views)
    assert student.metadata.provenance["teacher"]["sha256"] == scene.metadata.sha256
    again = load_scene(checkpoints(tmp_path / "run")[-1])
    assert again.metadata.provenance["teacher"] == student.metadata.provenance["teacher"]


def test_a_run_with_a_teacher_is_resumed_with_it_alone(
    data: Path, scene: Scene, oracle_run: Path, tmp_path: Path
):
    taught = config_for(data, teacher=scene.path)
    train_shading(taught, tmp_path / "run", oracle_run, resume=False, console=QUIET)

    train_shading(taught, tmp_path / "run", oracle_run, resume=True, console=QUIET)
    untaught = config_for(data)
    with pytest.raises(ValueError, match="'shading_training.teacher' was .*teacher.donerf"):
        train_shading(untaught, tmp_path / "run", oracle_run, resume=True, console=QUIET)


def test_a_teacher_of_another_cell_is_refused(scene: Scene, views: Dataset):
    cell = replace(views.info.view_cell(), log_scale=0.5)

    with pytest.raises(ValueError, match="view cell, depth range and log scale.*teacher.donerf"):
        Teacher(scene, cell, 2, CPU, "fp32")


def test_a_teacher_without_colors_is_refused(scene: Scene):
    cell = scene.cells[0]
    blind = Scene([SceneCell(cell.cell, Networks(cell.networks.oracle))], path=scene.path)

    with pytest.raises(ValueError, match="must know colors.*teacher.donerf"):
        Teacher(blind, cell.cell, 2, CPU, "fp32")
