"""What a training cost, by hand, and the curve that its log holds."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from donerf.config import Config, NerfSettings, parse_config
from donerf.data.dataset import load_dataset
from donerf.data.procedural import write_procedural_dataset
from donerf.evaluation.cost import product_mflop
from donerf.evaluation.quality_plots import draw_training
from donerf.evaluation.training_curves import (
    TrainingCurve,
    TrainingPoint,
    mean_rays,
    read_curves,
    step_tflop,
    training_cost,
    training_points,
    write_curves,
)
from donerf.evaluation.variants import Network
from donerf.model.nerf import NerfNetworks
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.scene_file import Metadata, Scene, SceneCell, save_scene
from donerf.training.run import to_toml


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("data")
    write_procedural_dataset(folder, size=(16, 12), views=(2, 1, 1), seed=1)
    return load_dataset(folder, "train").info.view_cell()


@pytest.fixture
def scene(cell) -> Scene:
    config = Config()
    networks = Networks(DepthOracle(config.oracle), ShadingNetwork(config.shading))
    trained = {"oracle": {"steps": 5, "seconds": 7.0}, "shading": {"steps": 4, "seconds": 2.0}}
    return Scene([SceneCell(cell, networks)], Metadata(provenance=trained))


def config_of(**shading: object) -> Config:
    return parse_config({"shading_training": shading}, "a test")


def write_run(folder: Path, config: Config, *lines: dict) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(to_toml(config))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "log.jsonl").write_text(text + '{"step": 9')  # and a line that was cut off
    return folder


def test_a_step_costs_three_passes_of_what_learns_and_one_of_what_is_asked(scene: Scene):
    networks = scene.cells[0].networks
    assert networks.shading is not None
    oracle, shading = product_mflop(networks.oracle), product_mflop(networks.shading)
    both = config_of(samples=[2, 8], rays_per_step=100, samples_per_step=400)

    assert step_tflop(Config(), "oracle", scene) == pytest.approx(8192 * 3 * oracle * 1e-6)
    # 2 samples: 100 rays; 8 samples: 50 rays.
    by_hand = (100 * (oracle + 6 * shading) + 50 * (oracle + 24 * shading)) / 2 * 1e-6
    assert step_tflop(both, "shading", scene) == pytest.approx(by_hand)


def test_an_oracle_that_is_not_asked_costs_nothing(scene: Scene):
    asked, even = (
        step_tflop(config_of(samples=[4], placement=placement), "shading", scene)
        for placement in ("oracle", "uniform")
    )

    oracle = product_mflop(scene.cells[0].networks.oracle)
    assert asked - even == pytest.approx(8192 * oracle * 1e-6)


def test_a_teacher_is_paid_for_by_the_ray(scene: Scene, tmp_path: Path):
    save_scene(scene, tmp_path / "teacher.donerf")
    lesson = {"teacher": tmp_path / "teacher.donerf", "teacher_share": 0.25, "teacher_samples": 6}
    taught, alone = (
        step_tflop(config_of(samples=[4], **given), "shading", scene) for given in (lesson, {})
    )

    networks = scene.cells[0].networks
    assert networks.shading is not None
    per_ray = product_mflop(networks.oracle) + 6 * product_mflop(networks.shading)
    assert taught - alone == pytest.approx(8192 * 0.25 * per_ray * 1e-6)


def test_a_nerf_pays_for_its_coarse_samples_twice(cell):
    networks = NerfNetworks(NerfSettings(layers=2, width=16, coarse_samples=4, fine_samples=8))
    config = parse_config({"nerf_training": {"rays_per_step": 10}}, "a test")

    one = product_mflop(networks.fine)
    assert step_tflop(config, "nerf", Scene([SceneCell(cell, networks)])) == pytest.approx(
        10 * 3 * (4 + 12) * one * 1e-6
    )


def test_a_curve_begins_where_the_training_before_it_ended(scene: Scene, tmp_path: Path):
    oracle = write_run(tmp_path / "oracle", Config(), {"step": 5, "seconds": 7.0, "loss": 1.0})
    shading = write_run(
        tmp_path / "shading",
        Config(),
        {"step": 2, "seconds": 1.0, "validation_psnr": {"4": 20.0, "8": 21.0}},
        {"step": 4, "seconds": 2.0, "validation_psnr": {"4": 22.0}},
    )
    runs: dict[Network, Path] = {"oracle": oracle, "shading": shading}

    points = training_points(runs, scene, 4)

    assert [(point.seconds, point.psnr) for point in points] == [(8.0, 20.0), (9.0, 22.0)]
    per_step = step_tflop(Config(), "oracle", scene), step_tflop(Config(), "shading", scene)
    assert points[-1].tflop == pytest.approx(5 * per_step[0] + 4 * per_step[1])
    assert points[-1].tflop == pytest.approx(training_cost(runs, scene))
    assert [point.psnr for point in training_points(runs, scene, 8)] == [21.0]


def test_curves_come_back_from_their_file(tmp_path: Path):
    curve = TrainingCurve("a", "donerf", "ours", 4, [TrainingPoint(1.0, 2.0, 30.0)])

    assert read_curves(tmp_path) == []
    write_curves([curve], tmp_path)
    assert read_curves(tmp_path) == [curve]


def test_batches_of_other_sizes_see_as_many_rays():
    config = config_of(samples=[2, 8], rays_per_step=100, samples_per_step=400)

    assert mean_rays(config, "shading") == (100 + 50) / 2
    assert mean_rays(config, "oracle") == config.oracle_training.rays_per_step


def test_core_seconds_are_shown_where_every_run_counted_them(scene: Scene, tmp_path: Path):
    trained = scene.metadata.provenance
    counted = {network: part | {"cpu_seconds": 3.0} for network, part in trained.items()}
    scene = replace(scene, metadata=Metadata(provenance=counted))
    look = {"step": 4, "seconds": 2.0, "cpu_seconds": 1.5, "validation_psnr": {"4": 20.0}}
    old = write_run(tmp_path / "old", Config(), {"step": 5, "seconds": 7.0, "loss": 1.0})
    new = write_run(
        tmp_path / "new", Config(), {"step": 5, "seconds": 7.0, "cpu_seconds": 3.0, "loss": 1.0}
    )
    shading = write_run(tmp_path / "shading", Config(), look)

    points = training_points({"oracle": new, "shading": shading}, scene, 4)
    mixed = training_points({"oracle": old, "shading": shading}, scene, 4)

    assert [(point.seconds, point.cpu_seconds) for point in points] == [(9.0, 4.5)]
    assert [point.cpu_seconds for point in mixed] == [None], "a part of a time is none"
    known, unknown = (TrainingCurve("a", "b", "c", 4, found) for found in (points, mixed))
    assert known.has_core_seconds
    assert not unknown.has_core_seconds
    assert not TrainingCurve("a", "b", "c", 4, points, device="cuda").has_core_seconds
    for curves, label in (([known], "one core"), ([known, unknown], "wall clock")):
        figure = draw_training(curves, "a scene")
        assert label in figure.axes[0].get_xlabel()
