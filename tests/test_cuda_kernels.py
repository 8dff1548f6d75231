"""The two Triton kernels against the plain pipeline; interpreted where there is no GPU."""

import pytest
import torch
from cuda_cases import (
    CELL,
    SMALL,
    assert_colors,
    assert_places,
    bytes_of,
    make_case,
    with_8_bits,
)
from torch.testing import assert_close

from donerf.backends.cuda.eight_bits import rounded_weights
from donerf.backends.cuda.launch import Depths, Pixels, Tiling, launch_place
from donerf.backends.cuda.packing import Encoding, LayerShape, overwrite, pack_oracle, why_not
from donerf.config import OracleSettings, ShadingSettings
from donerf.model.encoding import encode
from donerf.model.oracle import DepthOracle
from donerf.model.shading import ShadingNetwork


@pytest.mark.parametrize("kind", ["points", "encoded"])
@pytest.mark.parametrize(
    ("width", "layers", "samples"),
    [(64, 2, 16), (64, 2, 19), (128, 4, 3), (128, 3, 1), (256, 4, 1), (256, 2, 3), (20, 3, 3)],
)
def test_placement_is_the_pipelines(kernel_device, kind, width: int, layers: int, samples: int):
    oracle = OracleSettings(input=kind, width=width, layers=layers)

    case = make_case(kernel_device, samples, oracle)

    assert_places(case, case.place())


@pytest.mark.parametrize("bins", [16, 50, 128])
def test_placement_with_any_number_of_bins(kernel_device, bins: int):
    case = make_case(kernel_device, 3, OracleSettings(width=64, bins=bins))

    assert_places(case, case.place())


@pytest.mark.parametrize("rule", ["last-opaque", "published"])
@pytest.mark.parametrize(
    ("width", "layers", "samples"),
    [(64, 2, 16), (64, 2, 19), (128, 4, 3), (128, 3, 1), (256, 4, 1), (256, 2, 3), (20, 3, 3)],
)
def test_colors_are_the_pipelines(kernel_device, rule, width: int, layers: int, samples: int):
    shading = ShadingSettings(width=width, layers=layers)

    case = make_case(kernel_device, samples, shading=shading, rule=rule)

    assert case.expected.composite.color.std() > 0.03
    assert_colors(case, case.shade())


def test_networks_of_the_published_shape(kernel_device):
    oracle = OracleSettings(input="points", width=256, layers=8)
    shading = ShadingSettings(width=256, layers=8)

    case = make_case(kernel_device, 2, oracle, shading, "published", size=(19, 2))

    assert_places(case, case.place())
    assert_colors(case, case.shade())


@pytest.mark.parametrize("frequencies", [0, 3, 14])
def test_encodings_of_any_length(kernel_device, frequencies: int):
    oracle = OracleSettings(
        width=64, layers=2, direction_frequencies=frequencies, origin_frequencies=frequencies
    )
    shading = ShadingSettings(
        width=64, layers=2, position_frequencies=frequencies, direction_frequencies=frequencies
    )

    case = make_case(kernel_device, 2, oracle, shading)

    assert_places(case, case.place())
    assert_colors(case, case.shade())


@pytest.mark.parametrize("size", [(1, 1), (32, 2), (5, 13)])
def test_pictures_of_any_size(kernel_device, size: tuple[int, int]):
    case = make_case(kernel_device, size=size)

    assert_places(case, case.place())
    assert_colors(case, case.shade())


@pytest.mark.parametrize("samples", range(1, 17))
def test_any_number_of_samples(kernel_device, samples: int):
    oracle = OracleSettings(width=20, layers=3)
    shading = ShadingSettings(width=20, layers=3)
    case = make_case(kernel_device, samples, oracle, shading, size=(5, 3))

    assert_places(case, case.place())
    assert_colors(case, case.shade())


@pytest.mark.parametrize("listed", [[], [70], [3, 4, 9], [*range(5, 73, 2)]])
def test_only_listed_pixels_ask_the_oracle(kernel_device, listed: list[int]):
    case = make_case(kernel_device)
    pixels = torch.zeros(1 + len(case.rays), dtype=torch.int32)
    pixels[: 1 + len(listed)] = torch.tensor([len(listed), *listed])
    asking = Pixels(case.rays, case.width, pixels.to(kernel_device))
    depths = Depths.of(case.rule, len(case.rays), kernel_device)
    depths.s.fill_(torch.nan)

    launch_place(case.oracle, case.view, asking, depths, SMALL)

    # Their answers stand side by side; what stands behind is nobody's. Most tiles have no ray.
    assert depths.s[:, len(listed) :].isnan().all()
    assert_close(depths.s[:, : len(listed)], case.s[:, listed], atol=4e-3, rtol=0)


def test_parts_of_a_picture_are_the_picture_and_touch_nothing_else(kernel_device):
    case = make_case(kernel_device, size=(37, 3))
    part = range(41, 90)

    depths, picture = case.place(part), case.shade(part)

    # The interpreter's products round by the number of rows.
    assert_close(depths, case.place()[:, part.start : part.stop], atol=1e-6, rtol=0)
    whole = bytes_of(case.shade())[part.start : part.stop]
    assert_close(bytes_of(picture)[part.start : part.stop], whole, atol=1, rtol=0)
    others = [i for i in case.rays if i not in part]
    assert (picture.image[others] == 0).all()
    assert picture.color is not None
    assert picture.color[others].isnan().all()


@pytest.mark.parametrize("width", [64, 128])
def test_layers_that_stay_in_shared_memory_give_the_same(kernel_device, width: int):
    oracle, shading = OracleSettings(width=width), ShadingSettings(width=width)
    case = make_case(kernel_device, 2, oracle, shading)
    resident, streamed = Tiling(64, 4, 1, resident=True), Tiling(64, 4, 1)

    # On a GPU the bias may be added before the product or after it.
    placed = case.place(tiling=resident), case.place(tiling=streamed)
    assert_close(*placed, atol=1e-3, rtol=0)
    colors = bytes_of(case.shade(tiling=resident)), bytes_of(case.shade(tiling=streamed))
    assert_close(*colors, atol=1, rtol=0)


@pytest.mark.parametrize(
    ("width", "layers", "samples"),
    [(64, 3, 16), (128, 4, 3), (128, 3, 1), (256, 3, 2), (256, 4, 1), (20, 3, 19)],
)
def test_hidden_layers_of_8_bits_are_their_twins(kernel_device, width, layers: int, samples: int):
    shading = ShadingSettings(width=width, layers=layers)
    case = make_case(kernel_device, samples, shading=shading, size=(37, 3))

    in_8_bits = with_8_bits(case)

    # The kernel's first layer is in 16 bits, the twin's in 32: a number between two of 8 bits may
    # fall to the other side, which is a step of a sixteenth, and layers behind it follow. So there
    # is no tolerance for the worst ray: the twin must tell far more of the kernel's picture than
    # the pipeline without rounding does.
    picture = in_8_bits.shade()
    assert picture.color is not None
    color, exact = in_8_bits.expected.composite.color, case.expected.composite.color
    error = (picture.color.float() - color).square().mean().sqrt()
    assert error < 0.7 * (color - exact).square().mean().sqrt()
    assert (bytes_of(picture)[:, :3].float() - picture.color.float() * 255).abs().max() < 0.7
    assert (bytes_of(picture)[:, 3] == 255).all()


def test_layers_of_8_bits_that_stay_in_shared_memory_give_the_same(kernel_device):
    case = with_8_bits(make_case(kernel_device, 2, shading=ShadingSettings(width=128)))

    colors = [
        bytes_of(case.shade(tiling=Tiling(64, 4, 1, resident=is_resident)))
        for is_resident in (True, False)
    ]

    # On a GPU the bias may be added before the product or after it.
    assert_close(*colors, atol=4 if kernel_device.type == "cuda" else 0, rtol=0)


def test_a_network_without_hidden_layers_has_none_of_8_bits(kernel_device):
    case = with_8_bits(make_case(kernel_device, 2, shading=ShadingSettings(layers=2, width=64)))

    assert case.shading.hidden.dtype is torch.float16


def test_every_number_that_8_bits_hold_stays_as_it_is():
    numbers = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    numbers = numbers[numbers.isfinite()]
    weight = torch.stack((numbers, numbers / 1024))  # Each output has a unit of its own.

    rounded, unit = rounded_weights(weight)

    assert_close(rounded.float() * unit[:, None], weight, atol=0, rtol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("width", [64, 128, 256])
def test_real_tiles_of_8_bits_on_the_gpu(kernel_device, width: int):
    shading = ShadingSettings(width=width, layers=4)
    case = make_case(kernel_device, 4, shading=shading, size=(321, 97))
    in_8_bits = with_8_bits(case)

    picture = in_8_bits.shade()

    color, exact = in_8_bits.expected.composite.color, case.expected.composite.color
    difference = bytes_of(picture)[:, :3].float() / 255 - color
    # The GPU adds products of 8-bit numbers with fewer bits than fp32 has.
    assert difference.square().mean().sqrt() < 0.8 * (color - exact).square().mean().sqrt()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["points", "encoded"])
@pytest.mark.parametrize("width", [64, 128, 256])
def test_real_tiles_on_the_gpu(kernel_device, width: int, kind, dtype: torch.dtype):
    oracle = OracleSettings(input=kind, width=width, layers=6)
    shading = ShadingSettings(width=width, layers=6)

    case = make_case(kernel_device, 4, oracle, shading, size=(321, 97), dtype=dtype)

    depths, picture = case.place(), case.shade()
    coarse = 1 if dtype == torch.float16 else 8  # bfloat16 has three bits less
    assert (depths - case.s).abs().mean() < 1e-4 * coarse
    difference = bytes_of(picture)[:, :3].float() - case.expected.composite.color * 255
    assert difference.abs().mean() < 0.4 * coarse


@pytest.mark.parametrize("frequencies", [0, 1, 6, 10, 15])
def test_the_product_that_makes_angles_is_the_encoding(frequencies: int):
    vector = torch.rand(40, 3) * 2 - 1
    encoding = Encoding(frequencies)
    high = vector.half()
    parts = torch.zeros(40, 16)
    parts[:, [0, 8, 4]], parts[:, [2, 10, 6]] = high.float(), (vector - high).half().float()

    angles = parts @ encoding.powers().float()

    sines, count = 6 * frequencies, 6 * frequencies + 3
    turned = angles + torch.arange(encoding.columns) % 2 * (torch.pi / 2)
    features = torch.cat((turned[:, :sines].sin(), angles[:, sines:]), dim=-1)
    weight = torch.randn(7, count)
    # 23 bits of each number survive, and the fastest angle is 16384 of them.
    assert_close(
        features @ encoding.reordered(weight).T,
        encode(vector, frequencies) @ weight.T,
        atol=8e-3,
        rtol=0,
    )


def test_numbers_of_another_scene_go_where_the_old_ones_lie():
    old, new = (DepthOracle(OracleSettings(width=64)) for _ in range(2))
    place, source = (pack_oracle(oracle, CELL, torch.float16) for oracle in (old, new))
    addresses = [tensor.data_ptr() for tensor in place.tensors()]

    assert overwrite(place, source)

    assert [tensor.data_ptr() for tensor in place.tensors()] == addresses
    for old_tensor, new_tensor in zip(place.tensors(), source.tensors(), strict=True):
        assert_close(old_tensor, new_tensor, atol=0, rtol=0)


def test_numbers_of_another_shape_do_not():
    place = pack_oracle(DepthOracle(OracleSettings(width=64)), CELL, torch.float16)
    before = [tensor.clone() for tensor in place.tensors()]

    assert not overwrite(
        place, pack_oracle(DepthOracle(OracleSettings(width=64, layers=3)), CELL, torch.float16)
    )
    assert not overwrite(
        place, pack_oracle(DepthOracle(OracleSettings(width=64)), CELL, torch.bfloat16)
    )

    for old, kept in zip(before, place.tensors(), strict=True):
        assert_close(old, kept, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("oracle", "shading", "reason"),
    [
        ({}, None, "no shading network"),
        ({}, {"shape": "nerf"}, "shape 'nerf'"),
        ({"answer": "depth"}, {}, "answers with one depth"),
        ({"width": 300}, {}, "300 wide"),
        ({"bins": 256}, {}, "256 bins"),
        ({}, {"position_frequencies": 16}, "16 frequencies"),
    ],
)
def test_what_the_kernels_do_not_serve_is_said(oracle: dict, shading: dict | None, reason: str):
    network = None if shading is None else ShadingNetwork(ShadingSettings(**shading))

    said = why_not(DepthOracle(OracleSettings(**oracle)), network)

    assert said is not None
    assert reason in said


def test_raw_points_need_no_frequencies():
    oracle = OracleSettings(input="points", direction_frequencies=20)

    assert why_not(DepthOracle(oracle), ShadingNetwork(ShadingSettings())) is None


def test_a_wide_layer_comes_in_two_halves():
    assert [LayerShape(width, 2).halves for width in (64, 128, 256)] == [1, 1, 2]
