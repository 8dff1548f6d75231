"""Steps of the method that can be left out: what that means, what keeps it, and who refuses it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from donerf.backends.cpu.packing import why_not_served
from donerf.config import CellSettings, OracleSettings, ShadingSettings, TargetSettings
from donerf.data.dataset import Dataset, load_dataset
from donerf.data.procedural import write_procedural_dataset
from donerf.geometry.depth import s_from_t, t_from_s
from donerf.geometry.warp import warp
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks, expect_depth, render_rays
from donerf.model.placement import place_samples, quantiles
from donerf.model.shading import ShadingNetwork
from donerf.renderer import RenderOptions, make_renderer
from donerf.scene_file import Scene, SceneCell, load_scene, save_scene
from donerf.training.batches import RayBank
from donerf.training.losses import answer_loss

SMALL = OracleSettings(width=16, layers=3)
OFF = {
    "unification": CellSettings(rays="camera"),
    "log depth": CellSettings(depth="linear"),
    "warp": CellSettings(warp="none"),
}


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "scene"
    write_procedural_dataset(folder, size=(24, 18), views=(3, 0, 0), seed=3)
    return load_dataset(folder, "train", need_depth=True)


def networks(answer: str = "bins") -> Networks:
    settings = SMALL.model_copy(update={"answer": answer})
    return Networks(DepthOracle(settings), ShadingNetwork(ShadingSettings(width=16, layers=3)))


def test_linear_depth_is_a_straight_line_and_its_inverse():
    t = torch.tensor([2.0, 4.0, 6.0])

    s = s_from_t(t, (2.0, 6.0), None)
    assert_close(s, torch.tensor([0.0, 0.5, 1.0]))
    assert_close(t_from_s(s, (2.0, 6.0), None), t)


def test_rays_of_the_cameras_own_space_stay_as_they_are(views: Dataset):
    cell = views.info.view_cell(OFF["unification"])
    rays = views.cameras[0].rays()

    assert_close(cell.unify(rays).origins, rays.origins)
    assert cell.unified_range == cell.depth_range
    assert views.info.view_cell().unified_range != cell.depth_range


def test_without_the_warp_space_is_scaled_and_nothing_else(views: Dataset):
    cell = views.info.view_cell(OFF["warp"])
    far = cell.depth_range[1]
    center = torch.tensor(cell.center)
    points = center + torch.tensor([[0.0, 0.0, far], [far / 2, 0.0, 0.0], [0.0, 0.0, 0.0]])

    expected = torch.tensor([[0.0, 0.0, 1.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert_close(warp(points, cell), expected)


@pytest.mark.parametrize("name", OFF)
def test_known_depth_survives_in_every_ray_space(views: Dataset, name: str):
    """What a batch knows of its rays' ends is where their pixels' surfaces are."""
    cell = views.info.view_cell(OFF[name])
    batch = RayBank(views, cell, torch.device("cpu")).batch_of(torch.arange(0, 24 * 18 * 3, 7))
    assert views.distances is not None
    distance = views.distances.flatten()[::7]
    t = t_from_s(batch.s, cell.unified_range, cell.log_scale) + cell.exit_distance(batch.rays)

    surface = distance.isfinite()
    assert bool((batch.s[~surface] == 1).all())
    assert_close(t[surface], distance[surface], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", OFF)
def test_a_file_keeps_what_was_left_out_and_the_compiled_path_refuses_it(
    views: Dataset, tmp_path: Path, name: str
):
    cell = views.info.view_cell(OFF[name])
    scene = Scene([SceneCell(cell, networks())])
    save_scene(scene, tmp_path / "switched.donerf")
    loaded = load_scene(tmp_path / "switched.donerf")

    assert loaded.cells[0].cell == cell
    assert why_not_served(cell, scene.cells[0].networks) is not None
    assert why_not_served(views.info.view_cell(), scene.cells[0].networks) is None
    assert make_renderer(loaded, "cpu", "fp32").info.backend == "eager"


def test_an_oracle_that_answers_with_a_depth_places_samples_around_it(views: Dataset):
    cell, oracle = views.info.view_cell(), networks("depth").oracle
    unified = cell.unify(views.cameras[0].resized(5, 4).rays())
    answer = oracle(unified, cell)
    assert answer.shape == (20, 1)

    bin_probs = expect_depth(unified, cell, oracle).detach()
    middle = place_samples(bin_probs, quantiles(20, 1, torch.device("cpu")), cell)
    assert_close(middle.s[:, 0], answer.sigmoid()[:, 0], atol=1 / 128, rtol=0)
    few = place_samples(bin_probs, quantiles(20, 4, torch.device("cpu")), cell)
    assert float((few.s - middle.s).abs().max()) < 4 / 128
    assert why_not_served(cell, replace(networks(), oracle=oracle)) is not None


def test_a_scene_of_long_combs_is_rendered_as_it_was_trained(views: Dataset, tmp_path: Path):
    cell, camera = views.info.view_cell(), views.cameras[0].resized(12, 9)
    chain = replace(networks(), longest_comb=128)
    save_scene(Scene([SceneCell(cell, chain)]), tmp_path / "chain.donerf")
    pictures = {}
    for name, scene in (
        ("file", load_scene(tmp_path / "chain.donerf")),
        ("combs", Scene([SceneCell(cell, replace(chain, longest_comb=8))])),
    ):
        frame = make_renderer(scene, "cpu", "fp32").render(camera, RenderOptions(samples=16))
        assert frame is not None
        pictures[name] = frame.image[..., :3].flatten(0, 1)
    u = quantiles(12 * 9, 16, torch.device("cpu"))
    with torch.inference_mode():
        color = render_rays(camera.rays(), cell, chain, u).composite.color

    assert_close(pictures["file"], color.mul(255).round().to(torch.uint8))
    assert not torch.equal(pictures["file"], pictures["combs"])
    assert why_not_served(cell, chain) is not None


def test_a_single_depth_is_fitted_by_its_squared_error(views: Dataset):
    bank = RayBank(views, views.info.view_cell(), torch.device("cpu"))
    batch = bank.batch_of(torch.arange(50))
    settings = SMALL.model_copy(update={"answer": "depth"})
    exact = batch.s.clamp(1e-6, 1 - 1e-6).logit()[:, None]

    assert float(answer_loss(exact, batch, bank, settings, TargetSettings()).max()) < 1e-9
    half = answer_loss(torch.zeros(50, 1), batch, bank, settings, TargetSettings())
    assert_close(half, (batch.s - 0.5).square())


def test_who_places_the_training_samples_is_a_setting(views: Dataset):
    bank = RayBank(views, views.info.view_cell(), torch.device("cpu"))
    batch = bank.batch_of(torch.arange(50))
    true_depth, uniform = batch.given_probs("true-depth", 128), batch.given_probs("uniform", 128)
    assert true_depth is not None and uniform is not None

    assert batch.given_probs("oracle", 128) is None
    assert bool((uniform == 1).all())
    near_truth = (true_depth.argmax(-1) + 0.5) / 128 - batch.s
    assert float(near_truth.abs().max()) < 1 / 128
