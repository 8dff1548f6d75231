"""Hash grid: features between corners by hand, their gradients, the files and who renders them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.testing import assert_close

from donerf.backends.cuda.packing import why_not
from donerf.config import OracleSettings, ShadingSettings, ShadingTrainingSettings, load_config
from donerf.describe import describe
from donerf.evaluation.cost import parameter_mflop, product_mflop
from donerf.geometry.camera import Camera, Intrinsics
from donerf.geometry.view_cell import ViewCell
from donerf.model.hash_grid import HashGrid, cells_per_edge, corners
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.renderer import RenderOptions, make_renderer
from donerf.scene_file import Scene, SceneCell, load_scene, save_scene
from donerf.training.run import Trainer, optimizers_for

CELL = ViewCell((0.0, 1.0, 2.0), (1.0, 1.0, 1.0), 0.9, (0.5, 20.0), (-0.1, 19.0))
DENSE = ShadingSettings(encoding="hash-grid", grid_levels=1, grid_coarsest=4, grid_finest=4)
HASHED = DENSE.model_copy(update={"grid_log2_rows": 6})
MIXED = ShadingSettings(
    layers=3,
    width=16,
    encoding="hash-grid",
    grid_levels=3,
    grid_features=3,
    grid_log2_rows=8,
    grid_coarsest=4,
    grid_finest=64,
)


def filled(settings: ShadingSettings) -> HashGrid:
    """A grid whose features are far from zero and from each other."""
    grid = HashGrid(settings)
    for table in grid.tables:
        table.data = torch.randn_like(table)
    return grid


def lattice(cells: int) -> Tensor:
    """All corners of a grid over the cube as integers, (N, 3)."""
    return torch.tensor(list(itertools.product(range(cells + 1), repeat=3)))


def scene() -> Scene:
    shading = ShadingNetwork(MIXED)
    assert shading.grid is not None
    for table in shading.grid.tables:
        table.data = torch.randn_like(table)
    return Scene([SceneCell(CELL, Networks(DepthOracle(OracleSettings(width=16)), shading))])


def test_each_corner_of_a_grid_that_fits_has_features_of_its_own():
    grid = filled(DENSE)
    corner = lattice(4)
    row = corner[:, 0] + 5 * (corner[:, 1] + 5 * corner[:, 2])

    assert len(grid.tables[0]) == 125
    assert_close(grid(corner / 2.0 - 1), grid.tables[0][row])


def test_features_run_straight_between_two_corners_and_stop_at_the_cube():
    grid = filled(DENSE)
    ends = torch.tensor([[-0.5, 0.0, 0.5], [0.0, 0.0, 0.5]])
    a, b = grid(ends)
    outside, surface = grid(torch.tensor([[0.5, -7.0, 1.3], [0.5, -1.0, 1.0]]))

    for share in (0.25, 0.5, 0.9):
        assert_close(grid(ends[:1].lerp(ends[1:], share))[0], a.lerp(b, share))
    assert_close(outside, surface)


@pytest.mark.parametrize("settings", [DENSE, HASHED], ids=["dense", "hashed"])
def test_eight_corners_are_in_the_table_and_their_weights_are_shares(settings: ShadingSettings):
    rows = len(HashGrid(settings).tables[0])

    index, weights = corners(torch.rand(3, 500), 4, rows)

    assert index.shape == weights.shape == (8, 500)
    assert int(index.min()) >= 0 and int(index.max()) < rows
    assert float(weights.min()) >= 0
    assert_close(weights.sum(0), torch.ones(500))


def test_the_largest_grid_and_table_hash_into_range_and_use_it():
    """Products of indices and primes must not run over 32 bits."""
    index, _ = corners(torch.rand(3, 20_000), 4096, 1 << 19)

    assert int(index.min()) >= 0 and int(index.max()) < 1 << 19
    # So many draws from so many rows leave this many different ones where all are as likely.
    expected = (1 << 19) * (1 - np.exp(-160_000 / (1 << 19)))
    assert len(index.unique()) > 0.97 * expected


def test_a_hashed_corner_has_the_same_row_from_all_cells_around_it():
    inside = torch.tensor([0.5, 0.5, 0.5])[:, None]
    steps = torch.tensor(list(itertools.product((-1e-4, 1e-4), repeat=3))).T

    index, weights = corners(inside + steps, 4, 64)

    assert len({int(index[k, n]) for n, k in enumerate(weights.argmax(0))}) == 1


@pytest.mark.parametrize("settings", [DENSE, HASHED, MIXED], ids=["dense", "hashed", "mixed"])
def test_the_tables_gradient_is_that_of_finite_differences(settings: ShadingSettings):
    grid = filled(settings).double()
    points, upstream = torch.rand(40, 3) * 2 - 1, torch.randn(40, grid.features).double()

    def value() -> Tensor:
        return (grid(points) * upstream).sum()

    value().backward()
    for table in grid.tables:
        assert table.grad is not None
        for place in table.grad.abs().flatten().topk(3).indices.tolist():
            flat, step = table.data.view(-1), 1e-3
            flat[place] += step
            above = value()
            flat[place] -= 2 * step
            below = value()
            flat[place] += step
            assert_close(table.grad.view(-1)[place], (above - below).detach() / (2 * step))


def test_levels_grow_by_one_factor():
    settings = ShadingSettings(grid_levels=4, grid_coarsest=8, grid_finest=512)

    assert cells_per_edge(settings) == [8, 32, 128, 512]


def test_tables_learn_by_adam_at_their_own_rate_and_matrices_by_muon():
    network = ShadingNetwork(MIXED)
    settings = ShadingTrainingSettings(learning_rate=4e-3, grid_learning_rate=2e-2, warmup_steps=0)
    muon, _, tables = optimizers_for(network, settings)
    assert network.grid is not None
    held = {id(p) for group in tables.param_groups for p in group["params"]}

    assert held == {id(table) for table in network.grid.parameters()}
    assert not held & {id(p) for group in muon.param_groups for p in group["params"]}

    trainer = Trainer(network, settings, torch.device("cpu"))
    rgb, density = network(torch.rand(50, 2, 3) - 0.5, torch.randn(50, 3))
    trainer.update(rgb.square().mean() + density.square().mean())
    rates = [group["lr"] for o in trainer.optimizers for group in o.param_groups]
    assert rates == pytest.approx([4e-3, 4e-3, 2e-2])


def test_a_training_taken_up_again_goes_the_way_it_would_have_gone():
    points, directions = torch.rand(50, 2, 3) - 0.5, torch.randn(50, 3)

    def step(trainer: Trainer) -> None:
        rgb, density = trainer.network(points, directions)
        trainer.update(rgb.square().mean() + density.square().mean())

    first, second = (
        Trainer(ShadingNetwork(MIXED), ShadingTrainingSettings(), torch.device("cpu"))
        for _ in range(2)
    )
    step(first)
    second.load_state(first.state())
    step(first)
    step(second)

    for name, values in first.state().items():
        assert torch.equal(values, second.state()[name]), name


def test_a_file_keeps_the_tables_in_half_precision(tmp_path: Path):
    before = scene()

    save_scene(before, tmp_path / "grid.donerf")
    after = load_scene(tmp_path / "grid.donerf")

    a, b = before.cells[0].networks.shading, after.cells[0].networks.shading
    assert a is not None and a.grid is not None and b is not None and b.grid is not None
    assert b.settings == MIXED
    for old, new in zip(a.grid.tables, b.grid.tables, strict=True):
        assert_close(new, old.half().float(), rtol=0, atol=0)
    for old, new in zip(a.trunk.parameters(), b.trunk.parameters(), strict=True):
        assert_close(new, old, rtol=0, atol=0)
    with safe_open(tmp_path / "grid.donerf", framework="pt") as file:
        kinds = {file.get_tensor(f"cells.0.shading.grid.tables.{i}").dtype for i in range(3)}
    assert kinds == {torch.float16}


def test_a_table_of_another_shape_is_refused_in_one_sentence(tmp_path: Path):
    networks = scene().cells[0].networks
    assert networks.shading is not None
    networks.shading.settings = MIXED.model_copy(update={"grid_log2_rows": 6})
    save_scene(Scene([SceneCell(CELL, networks)]), tmp_path / "bad.donerf")

    with pytest.raises(ValueError, match=r"'cells.0.shading.grid.tables.0' must have the shape"):
        load_scene(tmp_path / "bad.donerf")


def test_a_grid_is_rendered_by_the_compiled_path_and_served_by_the_kernels():
    of = scene()
    networks = of.cells[0].networks
    pose = np.eye(4)
    pose[:3, 3] = CELL.center
    camera = Camera(pose, Intrinsics.from_fov(12, 9, 1.0))

    assert why_not(networks.oracle, networks.shading) is None
    renderer = make_renderer(of, "cpu", "fp32")
    assert renderer.info.backend == "cpu"
    frame = renderer.render(camera, RenderOptions())
    assert frame is not None and len(frame.image.flatten(0, 1).unique(dim=0)) > 20


def test_what_is_looked_up_is_told_and_is_no_arithmetic():
    of = scene()
    shading = of.cells[0].networks.shading
    assert shading is not None
    weights = (63 + 9) * 16 + 16 * 16 + (16 + 27) * 4
    assert product_mflop(shading) == pytest.approx(2e-6 * weights)
    each = parameter_mflop(of, 2) - parameter_mflop(of, 1)
    assert each == pytest.approx(2e-6 * (weights + 16 + 16 + 4))

    said = dict(describe(of))["hash grid"]
    assert "3 levels of 4 to 64 cells across, 3 features" in said
    assert "a sample reads 144 bytes" in said


def test_a_grid_that_grows_coarser_is_refused(tmp_path: Path):
    file = tmp_path / "scene.toml"
    file.write_text("[shading]\ngrid_coarsest = 32\ngrid_finest = 16")

    with pytest.raises(ValueError, match="'shading.grid_finest' must be at least grid_coarsest"):
        load_config(file)
