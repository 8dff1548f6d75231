"""Hash grids in compiled loops against the model's: the same features, the same pictures."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from cpu_cases import CELL, EXACT, camera, psnr
from torch.testing import assert_close

from donerf import Output, RenderOptions, make_renderer
from donerf.backends.cpu.grid import GridColumns
from donerf.backends.cpu.renderer import CpuRenderer
from donerf.backends.cpu.tile import memory_of
from donerf.backends.eager import EagerRenderer
from donerf.config import OracleSettings, ShadingSettings
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.scene_file import Scene, SceneCell

MIXED = ShadingSettings(
    width=32,
    encoding="hash-grid",
    position_frequencies=0,
    grid_levels=4,
    grid_log2_rows=10,
    grid_coarsest=4,
    grid_finest=100,
)
"""Two of its grids fit their tables, two do not."""


def network(**settings: int) -> ShadingNetwork:
    """One whose features are far from zero and from each other."""
    shading = ShadingNetwork(MIXED.model_copy(update=settings))
    assert shading.grid is not None
    for table in shading.grid.tables:
        table.data = torch.randn_like(table)
    return shading


def scene(**settings: int) -> Scene:
    networks = Networks(DepthOracle(OracleSettings(width=32)), network(**settings))
    return Scene([SceneCell(CELL, networks)])


def places() -> torch.Tensor:
    """(3, N): the cube's corners, edges and faces, its middle, and all around it."""
    surface = torch.tensor(list(itertools.product((-1.0, 0.3, 1.0), repeat=3))).T
    return torch.cat((surface, torch.rand(3, 700) * 2.6 - 1.3), dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("frequencies", [0, 4])
@pytest.mark.parametrize("features", [1, 2, 3, 8])
def test_columns_hold_the_networks_inputs(features: int, frequencies: int, dtype: torch.dtype):
    shading = network(grid_features=features, position_frequencies=frequencies)
    assert shading.grid is not None
    columns = GridColumns.of(shading.grid, frequencies, dtype)
    points, first = places(), 7
    rows = torch.full((points.shape[1] + 9, len(columns)), 9.0, dtype=dtype)

    columns.encode(points.numpy(), first, memory_of(rows))

    encoded = shading._encode_points(points.T.contiguous(), torch.float32)[first:]
    padded = torch.cat((encoded, torch.zeros(len(encoded), 1)), dim=1)
    expected = padded[:, torch.from_numpy(columns.places)]
    # Features are below 8, where bf16 rounds by up to 1/64: in the tables, and in the rows.
    atol = 1 / 32 if dtype is torch.bfloat16 else 2e-6
    assert_close(rows[: len(encoded)].float(), expected, atol=atol, rtol=0)
    assert (rows[len(encoded) :] == 9).all()
    # Each input has a column, and one only.
    assert sorted(columns.places[columns.places >= 0]) == list(range(encoded.shape[1]))


@pytest.mark.parametrize(
    "grid",
    [
        {"grid_levels": 1, "grid_coarsest": 1, "grid_finest": 1},
        {"grid_levels": 32, "grid_log2_rows": 4, "grid_coarsest": 1},
        {"grid_levels": 2, "grid_log2_rows": 19, "grid_coarsest": 79, "grid_finest": 4096},
        {"grid_levels": 3, "grid_log2_rows": 12, "grid_coarsest": 15, "grid_finest": 17},
    ],
    ids=["one cell", "most levels", "largest", "at powers of 2"],
)
def test_all_grids_are_looked_up_as_the_model_does(grid: dict[str, int]):
    shading = network(**grid)
    assert shading.grid is not None
    columns = GridColumns.of(shading.grid, 0, torch.float32)
    points = places()
    rows = np.empty((points.shape[1], len(columns)), np.float32)

    columns.encode(points.numpy(), 0, rows)

    expected = shading.grid(points.T.contiguous())
    # In 4096 cells a place between two corners has four digits fewer.
    atol = 1e-6 * max(shading.grid.cells)
    features = columns.places >= 3
    assert_close(rows[:, features], expected.detach().numpy(), atol=atol, rtol=0)


def test_a_layer_of_columns_is_the_layer_of_the_networks_inputs():
    shading, weight = network(grid_features=3), torch.randn(5, 3 + 4 * 3)
    assert shading.grid is not None
    columns = GridColumns.of(shading.grid, 0, torch.float32)
    points = places()
    rows = torch.empty(points.shape[1], len(columns))
    columns.encode(points.numpy(), 0, rows.numpy())

    encoded = shading._encode_points(points.T.contiguous(), torch.float32)

    assert_close(rows @ columns.weights(weight).T, encoded @ weight.T, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(37, 23), (1, 1), (130, 41)])
@pytest.mark.parametrize("frequencies", [0, 5])
def test_pictures_are_those_of_the_eager_renderer(frequencies: int, size: tuple[int, int]):
    of = scene(position_frequencies=frequencies, grid_finest=16)
    options = dataclasses.replace(EXACT, outputs=frozenset({Output.COLOR, Output.DEPTH}))

    fast = CpuRenderer(of, "fp32").render(camera(*size), options)
    plain = EagerRenderer(of, "cpu", "fp32").render(camera(*size), options)

    assert fast is not None and plain is not None
    assert fast.color is not None and plain.color is not None
    assert fast.depth is not None and plain.depth is not None
    # The random features are rough: where a sample moves by 1e-6, a color moves by up to 1e-3.
    assert_close(fast.color.float(), plain.color.float(), atol=4e-3, rtol=0)
    assert psnr(fast.image, plain.image) > 60
    assert_close(fast.depth, plain.depth, atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize("options", [RenderOptions(), RenderOptions(adaptive=True), EXACT])
def test_bf16_pictures_are_near_those_in_fp32(options: RenderOptions):
    of = scene(grid_finest=16)

    rough = CpuRenderer(of, "bf16").render(camera(90, 70), options)
    exact = CpuRenderer(of, "fp32").render(camera(90, 70), options)
    eager = EagerRenderer(of, "cpu", "bf16").render(camera(90, 70), options)

    assert rough is not None and exact is not None and eager is not None
    assert psnr(rough.image, exact.image) > 30
    # Between corners it goes on in fp32, where the plain path rounds each share.
    if not options.adaptive and not options.shared_oracle:
        assert psnr(rough.image, exact.image) > psnr(eager.image, exact.image)


def test_newer_tables_are_shown():
    renderer = make_renderer(scene(), "cpu", "fp32")
    newer = scene(grid_features=3)

    renderer.load(newer)
    shown = renderer.render(camera(), EXACT)
    plain = EagerRenderer(newer, "cpu", "fp32").render(camera(), EXACT)

    assert renderer.info.backend == "cpu"
    assert shown is not None and plain is not None
    assert psnr(shown.image, plain.image) > 60


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_points_that_are_no_numbers_disturb_no_others(dtype: torch.dtype):
    """Networks that went astray place them; a row outside a table would end the process."""
    grid = network().grid
    assert grid is not None
    columns = GridColumns.of(grid, 0, dtype)
    points = np.random.default_rng(0).uniform(-1, 1, (3, 64)).astype(np.float32)
    whole, astray = (torch.zeros(64, len(columns), dtype=dtype) for _ in range(2))
    columns.encode(points, 0, memory_of(whole))

    points[:, 5], points[0, 9], points[1, 11], points[2, 20] = np.nan, np.inf, -np.inf, np.nan
    columns.encode(points, 0, memory_of(astray))

    others = [i for i in range(64) if i not in (5, 9, 11, 20)]
    assert torch.equal(astray[others], whole[others])


def test_a_scene_whose_oracle_went_astray_is_rendered_without_a_crash():
    astray = scene()
    with torch.no_grad():
        for weights in astray.cells[0].networks.oracle.parameters():
            weights *= 1e15

    frame = CpuRenderer(astray, "fp32").render(camera(), RenderOptions())

    assert frame is not None
    assert frame.image.shape == (23, 37, 4)
