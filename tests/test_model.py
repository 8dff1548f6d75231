"""Encoding, networks, placement, compositing, targets: by hand and against the definition."""

import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from donerf.config import OracleSettings, ShadingSettings, TargetSettings
from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.model.compositing import DENSITY_UNITS, combs_of, composite
from donerf.model.encoding import encode
from donerf.model.layers import linear_relu
from donerf.model.oracle import DepthOracle, oracle_input
from donerf.model.pipeline import Networks, render_rays
from donerf.model.placement import (
    Samples,
    jittered_quantiles,
    place_samples,
    quantiles,
    spread_along_ray,
    true_bin_probs,
    uniform_probs,
)
from donerf.model.shading import ShadingNetwork
from donerf.training.losses import color_error, depth_error
from donerf.training.targets import bin_targets, screen_weights

CELL = ViewCell(
    center=(0.0, 0.0, 0.0),
    size=(1.0, 1.0, 1.0),
    radius=math.sqrt(3) / 2,
    depth_range=(0.5, 20.0),
    unified_range=(0.1, 19.0),
)
CPU = torch.device("cpu")


def some_rays(count: int) -> Rays:
    directions = torch.nn.functional.normalize(torch.randn(count, 3), dim=-1)
    return Rays(torch.rand(count, 3) - 0.5, directions)


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_networks_have_the_published_sizes():
    wide: dict[str, Any] = {"layers": 8, "width": 256}

    assert parameters(DepthOracle(OracleSettings(input="points", **wide))) == 527_744
    assert parameters(ShadingNetwork(ShadingSettings(shape="reference", **wide))) == 412_272
    assert parameters(ShadingNetwork(ShadingSettings(shape="nerf", **wide))) == 595_844


def test_encoding_is_the_vector_then_sines_then_cosines():
    encoded = encode(torch.tensor([[0.5, -0.25]]), 2)

    v = [0.5, -0.25]
    angles = [0.5, -0.25, 1.0, -0.5]
    expected = [*v, *map(math.sin, angles), *map(math.cos, angles)]
    assert_close(encoded, torch.tensor([expected]))


def test_encoding_keeps_its_digits_at_many_frequencies():
    v = torch.rand(50, 3) * 2 - 1
    octaves = 2.0 ** torch.arange(14, dtype=torch.float64)
    angles = (v.double()[:, None, :] * octaves[:, None]).flatten(1)

    encoded = encode(v, 14)

    assert_close(encoded[:, 3:45].double(), angles.sin(), atol=2e-4, rtol=0)
    assert_close(encoded[:, 45:].double(), angles.cos(), atol=2e-4, rtol=0)


@pytest.mark.parametrize(("kind", "size"), [("points", 390), ("encoded", 90)])
def test_oracle_input_sizes(kind: str, size: int):
    settings = OracleSettings(input=kind, origin_frequencies=10, direction_frequencies=4)  # type: ignore[arg-type]

    assert oracle_input(CELL.unify(some_rays(3)), CELL, settings).shape == (3, size)


def test_the_raw_oracle_input_is_affine_in_the_ray():
    settings = OracleSettings(input="points")
    a, b = some_rays(4), some_rays(4)
    middle = Rays((a.origins + b.origins) / 2, (a.directions + b.directions) / 2)

    mean = (oracle_input(a, CELL, settings) + oracle_input(b, CELL, settings)) / 2

    assert_close(oracle_input(middle, CELL, settings), mean, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", ["reference", "nerf"])
def test_shading_joins_the_direction_as_one_concatenated_product_would(shape: str):
    network = ShadingNetwork(ShadingSettings(shape=shape, width=16, layers=3))  # type: ignore[arg-type]
    points, directions = torch.randn(5, 4, 3), some_rays(5).directions

    rgb, density = network(points, directions)

    one_sample, one_density = network(points[:, 2:3], directions)
    assert_close(rgb[:, 2:3], one_sample)
    assert_close(density[:, 2:3], one_density)
    layer = network.output if shape == "reference" else network.branch
    x = torch.randn(20, 16)
    direction = torch.randn(5, layer.in_features - 16)
    from donerf.model.shading import _with_direction

    joined = torch.cat((x, direction.repeat_interleave(4, dim=0)), dim=-1)
    assert_close(_with_direction(layer, x, direction, 4), layer(joined), atol=1e-5, rtol=1e-5)


def test_one_certain_bin_gets_all_samples():
    probs = torch.zeros(1, 128)
    probs[0, 37] = 1

    samples = place_samples(probs, quantiles(1, 4, CPU), CELL)

    assert (samples.s * 128 > 36.9).all()
    assert (samples.s * 128 < 38.1).all()
    # A certain bin is uniform inside, so that its quantiles are fifths of it.
    assert_close(samples.s[0] * 128, 37 + torch.tensor([0.2, 0.4, 0.6, 0.8]), atol=2e-3, rtol=0)


def test_samples_of_an_unsure_oracle_are_spread_evenly_in_log_depth():
    samples = place_samples(uniform_probs(2, 64, CPU), quantiles(2, 3, CPU), CELL)

    assert_close(samples.s, torch.tensor([[0.25, 0.5, 0.75]]).expand(2, -1))


def test_samples_ascend_whatever_the_bins_say():
    u = jittered_quantiles(100, 16, 1.0, torch.Generator().manual_seed(1))
    for probs in (torch.rand(100, 128), torch.zeros(100, 128), torch.rand(100, 128) ** 30):
        samples = place_samples(probs, u, CELL)

        assert torch.isfinite(samples.t).all()
        assert (samples.t.diff() >= 0).all()


def test_the_median_of_a_true_depth_is_that_depth_finer_than_a_bin():
    s = torch.tensor([0.1, 0.25, 0.5, 0.513, 0.77])

    samples = place_samples(true_bin_probs(s, 128), quantiles(5, 1, CPU), CELL)

    assert ((samples.s[:, 0] - s).abs() * 128 < 0.15).all()


def test_three_samples_by_hand():
    s = torch.tensor([[0.1, 0.1 + 1 / DENSITY_UNITS, 0.1 + 3 / DENSITY_UNITS]])
    density = torch.tensor([[math.log(2), math.log(4) / 2, 5.0]])  # alphas 1/2, 3/4, 1
    density = density.expm1().log()  # the inverse of softplus
    rgb = torch.tensor([[[20.0, -20, -20], [-20, 20, -20], [-20, -20, 20]]])

    result = composite(rgb, density, Samples(torch.tensor([[1.0, 2.0, 4.0]]), s))

    assert_close(result.weights, torch.tensor([[1 / 2, 3 / 8, 1 / 8]]))
    assert_close(result.color, torch.tensor([[1 / 2, 3 / 8, 1 / 8]]))
    assert_close(result.opacity, torch.tensor([1.0]))
    assert_close(result.depth, torch.tensor([1 / 2 + 6 / 8 + 4 / 8]))


def test_ten_samples_are_two_combs_or_one_chain():
    even = torch.arange(10.0)[None] / DENSITY_UNITS  # one unit apart
    rgb = torch.zeros(1, 10, 3)
    half = torch.full((1, 10), math.log(2)).expm1().log()  # density log 2: alpha 1/2 a unit
    samples = Samples(even, even)

    combs = composite(rgb, half, samples).weights
    chain = composite(rgb, half, samples, longest_comb=16).weights

    # Every second sample, two units apart: alpha 3/4, the last one 1; two combs of five.
    five = torch.tensor([3 / 4, 3 / 16, 3 / 64, 3 / 256, 1 / 256]) / 2
    assert_close(combs, five.repeat_interleave(2)[None])
    # One after another: alpha 1/2, the last one 1.
    assert_close(chain, torch.tensor([[*(0.5**k for k in range(1, 10)), 0.5**9]]))


def test_a_longer_comb_is_placed_as_one():
    oracle = DepthOracle(OracleSettings(width=16))
    networks = Networks(oracle, longest_comb=128)

    assert [networks.combs_of(count) for count in (1, 8, 128, 129)] == [1, 1, 1, 2]
    assert [Networks(oracle).combs_of(count) for count in (8, 9, 128)] == [1, 2, 16]
    assert networks.copied_to(CPU, torch.bfloat16).longest_comb == 128
    assert combs_of(128, "published", 8) == 1


def test_three_samples_by_hand_as_published():
    t = torch.tensor([[1.0, 2.0, 4.0]])
    density = torch.tensor([[math.log(2), math.log(4) / 2, 0.01]])  # alphas 1/2, 3/4, 1
    rgb = torch.tensor([[[20.0, -20, -20], [-20, 20, -20], [-20, -20, 20]]])

    result = composite(rgb, density, Samples(t, t / 20), "published")

    assert_close(result.weights, torch.tensor([[1 / 2, 3 / 8, 1 / 8]]))
    assert_close(result.color, torch.tensor([[1 / 2, 3 / 8, 1 / 8]]))


def test_a_published_ray_whose_densities_are_negative_ends_nowhere():
    t = torch.tensor([[1.0, 2.0]])

    result = composite(
        torch.zeros(1, 2, 3), torch.tensor([[-1.0, -2.0]]), Samples(t, t), "published"
    )

    assert result.opacity == 0
    assert color_error(result, result.color).tolist() == [10]


def test_the_error_in_depth_by_hand():
    s = torch.tensor([[0.2, 0.4, 0.6]]).repeat(3, 1)
    samples = Samples(s * 20, s)
    transparent_then_half = torch.tensor([[-30.0, 0.0, 0.0]]).repeat(3, 1)
    half = math.log(2) / (0.2 * DENSITY_UNITS)  # The density that makes the second one so.
    transparent_then_half[:, 1] = math.log(math.expm1(half))
    result = composite(torch.zeros(3, 3, 3), transparent_then_half, samples)
    assert_close(result.weights[0], torch.tensor([0.0, 0.5, 0.5]))

    # Depths that are composited, that lie before all samples, and behind all: the background.
    error = depth_error(result, samples, torch.tensor([0.5, 0.1, 1.0]))
    assert_close(error, torch.tensor([0.0, 0.3**2, 0.1**2]))


def test_one_sample_has_no_depth_to_learn():
    samples = Samples(torch.tensor([[8.0]]), torch.tensor([[0.4]]))
    result = composite(torch.zeros(1, 1, 3), torch.zeros(1, 1), samples)

    assert depth_error(result, samples, torch.tensor([0.7])).tolist() == [0]


def test_the_background_is_seen_through_transparent_samples():
    s = torch.tensor([[0.2, 0.5, 0.99]])
    rgb = torch.tensor([[[9.0, 9, 9], [9, 9, 9], [-20, 0, 20]]])

    result = composite(rgb, torch.full((1, 3), -30.0), Samples(s * 20, s))

    assert_close(result.color, torch.tensor([[0.0, 0.5, 1.0]]))


def test_one_sample_is_the_color():
    result = composite(torch.zeros(2, 1, 3), torch.zeros(2, 1), Samples(*2 * [torch.ones(2, 1)]))

    assert_close(result.color, torch.full((2, 3), 0.5))


def test_compositing_has_finite_gradients_behind_an_opaque_sample():
    density = torch.tensor([[1e6, 3.0, 2.0]], requires_grad=True)
    s = torch.tensor([[0.2, 0.5, 0.9]])

    composite(torch.randn(1, 3, 3), density, Samples(s, s)).color.sum().backward()

    assert density.grad is not None
    assert torch.isfinite(density.grad).all()


def test_a_depth_in_a_bins_middle_spreads_as_published():
    own = TargetSettings(screen_filter=1, sub_bin=False)

    targets = bin_targets(torch.tensor([[10.5 / 32]]), 32, own)

    assert_close(targets[0, 8:13], torch.tensor([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]))
    assert targets.sum() == pytest.approx(3.0)
    assert_close(
        bin_targets(torch.tensor([[10.5 / 32]]), 32, TargetSettings(screen_filter=1)), targets
    )


def test_the_background_goes_to_the_last_bin():
    targets = bin_targets(torch.ones(1, 1), 32, TargetSettings(screen_filter=1))

    assert_close(targets[0, -3:], torch.tensor([1 / 3, 2 / 3, 1.0]))
    assert targets[0, :-3].sum() == 0


@pytest.mark.parametrize("sub_bin", [False, True])
def test_neighbors_count_by_distance_and_never_add_up(sub_bin: bool):
    neighborhood = torch.full((1, 25), 20.5 / 32)
    neighborhood[0, 12] = 10.5 / 32
    settings = TargetSettings(screen_filter=5, depth_filter=0, sub_bin=sub_bin)

    targets = bin_targets(neighborhood, 32, settings)

    assert targets[0, 10] == 1
    assert targets[0, 20] == pytest.approx(1 - 1 / (3 * math.sqrt(2)))


def test_screen_weights_are_the_published_ones():
    weights = screen_weights(5).view(5, 5)

    assert weights[2, 2] == 1
    assert weights[0, 0] == pytest.approx(1 - 2 * math.sqrt(2) / (3 * math.sqrt(2)))


def test_spreading_is_a_clamped_convolution():
    targets = torch.rand(6, 20) * 0.4
    kernel = torch.tensor([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])
    expected = torch.nn.functional.conv1d(targets[:, None], kernel[None, None], padding=2)

    assert_close(spread_along_ray(targets, 2), expected[:, 0].clamp_max(1))
    assert_close(spread_along_ray(targets, 0), targets)


def test_the_pipeline_names_what_it_finished_in_order_and_renders_in_range():
    networks = Networks(
        DepthOracle(OracleSettings(width=16)), ShadingNetwork(ShadingSettings(width=16))
    )
    stages: list[str] = []

    rendered = render_rays(
        some_rays(9), CELL, networks, quantiles(9, 4, CPU), finished=stages.append
    )

    assert stages == ["oracle", "placement", "shading", "composite"]
    assert rendered.composite.color.shape == (9, 3)
    assert ((rendered.composite.color >= 0) & (rendered.composite.color <= 1)).all()
    assert_close(rendered.composite.opacity, torch.ones(9))


def test_the_fused_layer_is_the_plain_one():
    layer = torch.nn.Linear(24, 40).to(torch.bfloat16)
    x = torch.randn(33, 24).to(torch.bfloat16)

    with torch.inference_mode():
        fused = linear_relu(layer, x)

    # Both round to 8 bits of mantissa, the fused one only once.
    assert_close(fused.float(), torch.relu(layer.float()(x.float())), atol=0.02, rtol=0.02)
