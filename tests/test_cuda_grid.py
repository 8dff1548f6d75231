"""Points by a hash grid in the second kernel; interpreted where there is no GPU."""
# pyright: reportArgumentType=false
# A kernel's sizes are typed for Triton's own compiler.

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import HAS_TRITON
from cuda_cases import CELL, SMALL, Case, assert_colors, lively, make_case, with_8_bits
from torch.testing import assert_close

from donerf import Camera, Intrinsics, RenderOptions, make_renderer
from donerf.backends.cuda.grid_tables import GridShape
from donerf.backends.cuda.half import choose_half
from donerf.backends.cuda.launch import Depths, Rule, launch_shade
from donerf.backends.cuda.packing import overwrite, pack_shading, why_not
from donerf.backends.cuda.renderer import CudaRenderer
from donerf.config import CompositingRule, OracleSettings, ShadingSettings
from donerf.model.hash_grid import HashGrid
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.scene_file import Scene, SceneCell

if HAS_TRITON:
    import triton
    import triton.language as tl

    from donerf.backends.cuda.grid import grid_features

    @triton.jit
    def features_kernel(
        points, tables, levels, out, count,
        WORDS: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr,
    ):  # fmt: skip
        """The features of (3, count) points, as (count, SIZE)."""
        row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
        x = tl.load(points + row, mask=row < count)
        y = tl.load(points + count + row, mask=row < count)
        z = tl.load(points + 2 * count + row, mask=row < count)
        dtype: tl.constexpr = out.dtype.element_ty
        features = grid_features(x, y, z, tables, levels, WORDS, SIZE, ROWS, dtype)
        place = out + row[:, None] * SIZE + tl.arange(0, SIZE)[None, :]
        tl.store(place, features, mask=(row < count)[:, None])


SMALL_GRID = {"grid_levels": 3, "grid_log2_rows": 8, "grid_coarsest": 4, "grid_finest": 64}


def grid_settings(**settings) -> ShadingSettings:
    """A grid in place of the sines, on a small network, other than said."""
    usual = {"width": 64, "layers": 3, "position_frequencies": 0, **SMALL_GRID}
    return ShadingSettings(encoding="hash-grid", **{**usual, **settings})


def grid_of(settings: ShadingSettings, dtype: torch.dtype = torch.float16) -> HashGrid:
    """With numbers that the precision holds, far from zero and from each other."""
    grid = HashGrid(settings)
    for table in grid.tables:
        table.data = torch.randn_like(table).to(dtype).float()
    return grid


def grid_scene(**settings) -> Scene:
    """Of one cell, with a grid of random features; other than settings say, a small one."""
    oracle = DepthOracle(OracleSettings(width=32, layers=3))
    shading = ShadingNetwork(grid_settings(**settings))
    networks = lively(Networks(oracle, shading))
    for parameter in (*oracle.parameters(), *shading.parameters()):
        parameter.requires_grad_(False)
    return Scene([SceneCell(CELL, networks)])


def features_by_kernel(
    grid: HashGrid, points: torch.Tensor, dtype: torch.dtype = torch.float16
) -> torch.Tensor:
    """(N, levels, features) with padding between the levels and behind them taken away."""
    shape = GridShape.of(grid)
    tables, levels = shape.packed(grid.tables, dtype), shape.levels()
    out = torch.full((len(points), shape.columns), torch.nan, dtype=dtype, device=points.device)
    features_kernel[(-(-len(points) // 128),)](
        points.T.contiguous(),
        tables.to(points.device),
        levels.to(points.device),
        out,
        len(points),
        WORDS=shape.words,
        SIZE=shape.columns,
        ROWS=128,
    )
    levels_of = out[:, : 2 * shape.words * len(shape.cells)].unflatten(1, (len(shape.cells), -1))
    return levels_of[..., : shape.features].flatten(1).float()


GRIDS = {
    "dense": {"grid_levels": 1, "grid_coarsest": 5, "grid_finest": 5, "grid_log2_rows": 10},
    "hashed": {"grid_levels": 1, "grid_coarsest": 5, "grid_finest": 5, "grid_log2_rows": 4},
    "one cell": {"grid_levels": 1, "grid_coarsest": 1, "grid_finest": 1},
    "mixed": {},
    "odd features": {"grid_features": 3, "grid_levels": 5},
    "one feature": {"grid_features": 1, "grid_levels": 7},
    "many columns": {"grid_features": 8, "grid_levels": 12, "grid_finest": 32},
    "as by default": {
        "grid_levels": 8, "grid_log2_rows": 15, "grid_coarsest": 16, "grid_finest": 512
    },
    "largest": {"grid_levels": 2, "grid_log2_rows": 19, "grid_coarsest": 16, "grid_finest": 4096},
}  # fmt: skip


@pytest.mark.parametrize("name", GRIDS)
def test_features_are_the_grids(kernel_device, name: str):
    grid = grid_of(grid_settings(**GRIDS[name]))
    points = torch.rand(150, 3) * 2.2 - 1.1

    features = features_by_kernel(grid.to(kernel_device), points.to(kernel_device))

    # Once rounded to 16 bits at the end; the finest grid has 4096 cells, in which a point of 24
    # bits stands so exactly.
    assert_close(features, grid(points.to(kernel_device)), atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["dense", "hashed"])
def test_the_cubes_faces_corners_and_what_lies_beyond(kernel_device, name: str):
    grid = grid_of(grid_settings(**GRIDS[name])).to(kernel_device)
    lines = torch.tensor([-7.0, -1.0, -1 / 3, 0.0, 0.2, 1.0, 1.0001, 1e6])
    points = torch.cartesian_prod(lines, lines, lines).to(kernel_device)

    features = features_by_kernel(grid, points)

    assert_close(features, grid(points), atol=1e-3, rtol=1e-3)
    assert_close(features, features_by_kernel(grid, points.clamp(-1, 1)), atol=0, rtol=0)


@pytest.mark.gpu
def test_features_of_bfloat16(kernel_device):
    grid = grid_of(grid_settings(), torch.bfloat16).to(kernel_device)
    points = (torch.rand(999, 3) * 2.2 - 1.1).to(kernel_device)

    features = features_by_kernel(grid, points, torch.bfloat16)

    assert_close(features, grid(points), atol=1e-2, rtol=1e-2)


def test_steps_to_the_neighbors_are_those_of_the_grid():
    shape = GridShape(cells=(4, 4), rows=(125, 64), features=3)

    levels = shape.levels()

    # Two words a level; each table begins behind the one before.
    assert levels[:, :4].tolist() == [
        [4, 4, 4, 4],
        [5, 5, 2_654_435_761 % 64, 2_654_435_761 % 64],
        [25, 25, 805_459_861 % 64, 805_459_861 % 64],
        [-1, -1, 63, 63],
        [0, 1, 250, 251],
    ]
    assert not levels[:, 4:].any()


def grid_case(device: torch.device, samples: int, rule: CompositingRule, **settings) -> Case:
    return make_case(device, samples, shading=grid_settings(**settings), rule=rule, size=(13, 3))


@pytest.mark.parametrize(
    ("width", "layers", "samples", "rule", "frequencies", "grid"),
    [
        (64, 2, 9, "last-opaque", 0, "mixed"),
        (64, 3, 3, "published", 10, "odd features"),
        (128, 4, 3, "last-opaque", 0, "as by default"),
        (128, 3, 1, "last-opaque", 0, "dense"),
        (256, 3, 2, "last-opaque", 14, "many columns"),
        (256, 4, 2, "published", 0, "one feature"),
        (20, 3, 3, "published", 6, "hashed"),
    ],
)
def test_colors_are_the_pipelines(
    kernel_device, width: int, layers: int, samples: int, rule, frequencies: int, grid: str
):
    kind = {"width": width, "layers": layers, "position_frequencies": frequencies}

    case = grid_case(kernel_device, samples, rule, **kind, **GRIDS[grid])

    assert case.expected.composite.color.std(0).min() > 0.01
    assert_colors(case, case.shade())


def test_without_its_features_the_picture_is_another_one(kernel_device):
    case = grid_case(kernel_device, 3, "last-opaque")
    blank = replace(case.shading, tables=torch.zeros_like(case.shading.tables))

    color = replace(case, shading=blank).shade().color

    assert color is not None
    assert (color - case.expected.composite.color).abs().max() > 0.1


@pytest.mark.parametrize("width", [64, 256])
def test_hidden_layers_of_8_bits_are_their_twins(kernel_device, width: int):
    case = grid_case(kernel_device, 3, "last-opaque", width=width, layers=4)

    in_8_bits = with_8_bits(case)

    assert in_8_bits.shading.hidden.dtype is torch.float8_e4m3fn
    picture = in_8_bits.shade()
    assert picture.color is not None
    color, exact = in_8_bits.expected.composite.color, case.expected.composite.color
    # As without a grid, the twin tells more of the kernel's picture than the exact pipeline does.
    error = (picture.color.float() - color).square().mean().sqrt()
    assert error < 0.7 * (color - exact).square().mean().sqrt()


def test_rays_in_another_order_and_answers_of_others_give_the_same_colors(kernel_device):
    case = grid_case(kernel_device, 3, "last-opaque")
    rays = len(case.rays)
    column = torch.randperm(rays, dtype=torch.int32)  # whose depths are a ray's
    order = torch.randperm(rays, dtype=torch.int32)
    depths = replace(
        Depths.of(Rule(3, 1, *torch.zeros(2, 1)), rays, case.view.device),
        sources=column.to(case.view.device),
        moves=torch.zeros(4, rays, device=case.view.device),
        order=order.to(case.view.device),
    )
    depths.s[:, column] = case.s
    depths.counts.fill_(3)
    picture = case.empty_picture()

    launch_shade(case.shading, case.view, case.rays, depths, picture, SMALL)

    assert_colors(case, picture)


@pytest.mark.parametrize("frequencies", [0, 4])
def test_the_renderer_serves_a_grid(kernel_device, frequencies: int):
    scene = grid_scene(position_frequencies=frequencies)
    pose = np.eye(4)
    pose[:3, 3] = CELL.center
    seen = Camera(pose, Intrinsics.from_fov(21, 5, 1.2))
    options = RenderOptions(samples=2, shared_oracle=False)
    fused = CudaRenderer(scene, str(kernel_device))

    frame = fused.render(seen, options)

    expected = make_renderer(scene, "cpu", "fp32", "eager").render(seen, options)
    assert frame is not None and expected is not None
    assert fused.info.backend == "cuda", "it fell back"
    # The products have 11 bits, a byte has 8: it may fall to the neighboring value.
    assert (frame.image.cpu().int() - expected.image.int()).abs().max() <= 2
    of_pixels = expected.image[..., :3].float().flatten(0, 1)
    assert of_pixels.std(0).min() > 5, "a gray picture would hide mistakes"


def test_shared_answers_and_adaptive_counts_go_with_a_grid(kernel_device):
    """Features that no layer looks at must not show, whatever path the rays take."""
    scene = grid_scene(position_frequencies=4)
    network = scene.cells[0].networks
    assert network.shading is not None
    plain = ShadingNetwork(ShadingSettings(width=64, layers=3, position_frequencies=4))
    weights, sines = network.shading.state_dict(), 3 + 6 * 4
    weights["trunk.0.weight"][:, sines:] = 0
    alike = {name: weights[name] for name in plain.state_dict()}
    plain.load_state_dict(alike | {"trunk.0.weight": weights["trunk.0.weight"][:, :sines]})
    pose = np.eye(4)
    pose[:3, 3] = CELL.center
    seen = Camera(pose, Intrinsics.from_fov(9, 7, 0.8))
    options = RenderOptions(samples=4, adaptive=True, shared_oracle=True)
    frames = []

    for networks in (network, replace(network, shading=plain)):
        fused = CudaRenderer(Scene([SceneCell(CELL, networks)]), str(kernel_device))
        frames.append(fused.render(seen, options))
        assert fused.info.backend == "cuda", "it fell back"

    with_grid, without = frames
    assert with_grid is not None and without is not None
    assert_close(with_grid.image, without.image, atol=1, rtol=0)
    assert with_grid.mean_samples == without.mean_samples != 4
    assert with_grid.oracle_share == without.oracle_share != 1


def test_numbers_of_another_grid_go_where_the_old_ones_lie_if_its_tables_are_alike():
    old, new, larger = (
        pack_shading(ShadingNetwork(grid_settings(grid_log2_rows=rows)), "published", torch.half)
        for rows in (8, 8, 9)
    )

    assert overwrite(old, new)
    assert (old.tables == new.tables).all()
    assert not overwrite(old, larger)


def test_a_grid_of_more_columns_is_not_served_and_that_is_said():
    settings = grid_settings(grid_levels=17, grid_features=8, grid_log2_rows=4)

    said = why_not(DepthOracle(OracleSettings()), ShadingNetwork(settings))

    assert said == "its hash grid's features fill 256 columns, 128 is the most"


def test_features_too_large_for_float16_take_bfloat16():
    scene = grid_scene()
    networks = scene.cells[0].networks
    assert networks.shading is not None and networks.shading.grid is not None
    assert choose_half(CELL, networks) is torch.float16

    networks.shading.grid.tables[0][0] = 5e4
    networks.shading.state_dict()["trunk.0.weight"].mul_(1e-5)  # Its outputs stay small.

    assert choose_half(CELL, networks) is torch.bfloat16
