"""The fast CPU path against the plain one: the same pictures, tile by tile, thread by thread."""

import dataclasses
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from cpu_cases import CELL, EXACT, camera, psnr
from torch.testing import assert_close

from donerf import Output, RenderOptions, make_renderer
from donerf.backends.cpu import arithmetic
from donerf.backends.cpu import renderer as cpu_renderer
from donerf.backends.cpu.arithmetic import compiled, exp2, loaded, log2, sigmoid, sine, stored
from donerf.backends.cpu.encoding import EncodedColumns
from donerf.backends.cpu.renderer import CpuRenderer, tiles_of
from donerf.backends.cpu.sampling import (
    Blocks,
    Placed,
    SampleCounts,
    Slabs,
    place,
    share_by_blocks,
)
from donerf.backends.cpu.tile import memory_of
from donerf.backends.eager import EagerRenderer
from donerf.backends.sample_counts import RING
from donerf.config import CompositingRule, OracleSettings, ShadingSettings
from donerf.model.compositing import combs_of
from donerf.model.encoding import encode
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.placement import place_samples, quantiles
from donerf.model.shading import ShadingNetwork
from donerf.scene_file import Scene, SceneCell


def scene(
    oracle_input: Literal["points", "encoded"] = "encoded",
    rule: CompositingRule = "last-opaque",
    shape: Literal["reference", "nerf"] = "reference",
    **oracle: Any,
) -> Scene:
    networks = Networks(
        DepthOracle(OracleSettings(input=oracle_input, width=32, **oracle)),
        ShadingNetwork(ShadingSettings(width=32, shape=shape)),
        rule,
    )
    assert networks.shading is not None
    with torch.no_grad():
        for parameter in (*networks.oracle.parameters(), *networks.shading.parameters()):
            parameter.mul_(2)  # far enough from gray that mistakes show
    return Scene([SceneCell(CELL, networks)])


@pytest.mark.parametrize("rule", ["last-opaque", "published"])
@pytest.mark.parametrize("oracle_input", ["encoded", "points"])
@pytest.mark.parametrize("samples", [1, 3, 13, 16])
def test_pictures_are_those_of_the_eager_renderer(oracle_input, rule, samples: int):
    of = scene(oracle_input, rule)
    options = dataclasses.replace(
        EXACT,
        samples=samples,
        outputs=frozenset({Output.COLOR, Output.DEPTH}),
        subpixel_offset=(0.25, -0.5),
    )

    fast = CpuRenderer(of, "fp32").render(camera(), options)
    plain = EagerRenderer(of, "cpu", "fp32").render(camera(), options)

    assert fast is not None and plain is not None
    assert fast.color is not None and plain.color is not None
    assert fast.depth is not None and plain.depth is not None
    # The random networks are rough: where a sample moves by 1e-6, a color moves by up to 1e-3.
    assert_close(fast.color.float(), plain.color.float(), atol=4e-3, rtol=0)
    assert psnr(fast.image, plain.image) > 60
    assert_close(fast.depth, plain.depth, atol=1e-2, rtol=1e-3)
    assert fast.mean_samples == samples


def test_bf16_pictures_are_near_those_in_fp32():
    of = scene()
    options = EXACT

    rough = CpuRenderer(of, "bf16").render(camera(), options)
    exact = CpuRenderer(of, "fp32").render(camera(), options)

    assert rough is not None and exact is not None
    assert psnr(rough.image, exact.image) > 30


@pytest.mark.parametrize("samples", [1, 4, 256])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (97, 3), (130, 101), (1001, 700)])
def test_pictures_of_any_size_are_covered_once(width: int, height: int, samples: int):
    seen = np.zeros((height, width), int)
    for left, top, w, h in tiles_of(height, width, threads=2, samples=samples):
        assert w * h * samples <= 1 << 17
        seen[top : top + h, left : left + w] += 1
        assert left % 2 == 0 and top % 2 == 0

    assert (seen == 1).all()


def test_more_threads_make_the_same_picture(monkeypatch: pytest.MonkeyPatch):
    of = scene()
    one = CpuRenderer(of, "fp32")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    three = CpuRenderer(of, "fp32")
    a, b = (r.render(camera(200, 150), EXACT) for r in (one, three))

    assert a is not None and b is not None
    assert psnr(a.image, b.image) > 70  # products of other sizes are summed in another order


def test_the_calling_thread_keeps_its_number_of_threads():
    before = torch.get_num_threads()

    CpuRenderer(scene(), "fp32").render(camera(), RenderOptions())

    assert torch.get_num_threads() == before


def test_products_of_a_thread_stay_on_its_core():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        renderer = CpuRenderer(scene(), "fp32")
        assert renderer.render(camera(), RenderOptions()) is not None
        pool = renderer._tile_pool()
        assert list(pool.map(lambda _: torch.get_num_threads(), range(12))) == [1] * 12
        assert torch.get_num_threads() == 3
        renderer.close()
    finally:
        torch.set_num_threads(before)


def test_a_cancelled_frame_is_none_and_the_next_one_whole():
    renderer = CpuRenderer(scene(), "fp32")

    assert renderer.render(camera(), RenderOptions(), cancelled=lambda: True) is None
    assert renderer.render(camera(), RenderOptions()) is not None


def test_a_failure_in_a_thread_reaches_the_caller(monkeypatch: pytest.MonkeyPatch):
    renderer = CpuRenderer(scene(), "fp32")

    def fails(*arguments: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(cpu_renderer, "render_tile", fails)
    with pytest.raises(MemoryError, match="no room"):
        renderer.render(camera(), RenderOptions())


def test_what_the_compiled_path_lacks_goes_the_eager_way():
    of = scene()
    options = RenderOptions(outputs=frozenset(Output))

    fast = CpuRenderer(of, "fp32").render(camera(), options)
    plain = EagerRenderer(of, "cpu", "fp32").render(camera(), options)

    assert fast is not None and plain is not None
    assert fast.entropy is not None and plain.entropy is not None
    assert_close(fast.entropy, plain.entropy)


@pytest.mark.parametrize("other", ["nerf", "bins", "oracle only"])
def test_networks_without_a_compiled_path_can_be_loaded_later(other: str):
    renderer = CpuRenderer(scene(), "fp32")
    unserved = scene(shape="nerf") if other == "nerf" else scene(bins=100)
    if other == "oracle only":
        only = Networks(unserved.cells[0].networks.oracle)
        unserved = Scene([SceneCell(CELL, only)])

    for of in (unserved, scene()):
        renderer.load(of)
        shown = renderer.render(camera(), EXACT)
        plain = EagerRenderer(of, "cpu", "fp32").render(camera(), EXACT)

        assert shown is not None and plain is not None
        assert psnr(shown.image, plain.image) > 60


def test_one_renderer_makes_pictures_of_changing_sizes_and_counts():
    of = scene()
    kept = CpuRenderer(of, "fp32")
    for size, samples in (((90, 70), 4), ((7, 5), 1), ((37, 23), 16), ((90, 70), 40)):
        options = dataclasses.replace(EXACT, samples=samples)
        shown = kept.render(camera(*size), options)
        fresh = EagerRenderer(of, "cpu", "fp32").render(camera(*size), options)

        assert shown is not None and fresh is not None
        assert psnr(shown.image, fresh.image) > 60


def test_loading_newer_weights_shows_them():
    renderer = CpuRenderer(scene(), "fp32")
    newer = scene()

    renderer.load(newer)
    shown = renderer.render(camera(), EXACT)
    plain = EagerRenderer(newer, "cpu", "fp32").render(camera(), RenderOptions())

    assert shown is not None and plain is not None
    assert psnr(shown.image, plain.image) > 60


@pytest.mark.parametrize("other", [{"shape": "nerf"}, {"bins": 100}])
def test_networks_without_a_compiled_path_are_rendered_eagerly(other):
    assert make_renderer(scene(**other), "cpu", "fp32").info.backend == "eager"
    assert make_renderer(scene(), "cpu", "fp32").info.backend == "cpu"


@pytest.mark.parametrize("samples", [1, 4, 13, 16])
def test_samples_lie_where_the_model_places_them(samples: int):
    logits = 6 * torch.randn(50, 128)
    logits[0] = -30  # expects nothing at all
    logits[1] = -30
    logits[1, 127] = 30  # only sky
    combs = combs_of(samples, "last-opaque")

    placed = place(logits.numpy(), SampleCounts.exactly(samples, "last-opaque"))
    u = quantiles(50, samples, torch.device("cpu"), combs)
    expected = place_samples(logits.sigmoid(), u, CELL).s

    for comb in range(combs):
        there = torch.from_numpy(placed.s[: placed.count[comb, 0], comb])
        assert_close(there.T, expected[:, comb::combs], atol=2e-5, rtol=0)


def test_adaptive_counts_follow_the_oracles_doubt():
    logits = torch.full((3, 128), -20.0)
    logits[0, 126:] = 20  # sky
    logits[1, 60:65] = torch.tensor([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]).logit(1e-6)  # a surface
    logits[2, 20:100] = 20  # anywhere

    placed = place(logits.numpy(), SampleCounts.adaptive(4, "last-opaque", 128))

    assert placed.count.tolist() == [[1, 2, 6]]


def test_adaptive_frames_report_what_they_shaded():
    of = scene()
    with torch.no_grad():
        of.cells[0].networks.oracle.output_layers()[0].weight.mul_(100)
        of.cells[0].networks.oracle.output_layers()[0].bias.fill_(-60)  # few bins, if any
    renderer = CpuRenderer(of, "fp32")
    options = RenderOptions(adaptive=True, outputs=frozenset({Output.SAMPLE_COUNT}))

    frame = renderer.render(camera(), options)

    assert frame is not None and frame.sample_count is not None
    assert frame.mean_samples == pytest.approx(frame.sample_count.float().mean().item())
    assert frame.sample_count.unique().numel() > 1


def test_slabs_hold_each_sample_once_and_give_pixels_back_in_order():
    count = np.array([[2, 4, 1, 4]])
    s = np.arange(16, dtype=np.float32).reshape(4, 1, 4)
    slabs = Slabs.of(Placed(s, count, np.zeros((2, 4), np.float32)))

    assert slabs.order is not None and slabs.order.tolist() == [1, 3, 0, 2]
    assert slabs.starts.tolist() == [0, 4, 7, 9, 11]
    assert slabs.s.tolist() == [1, 3, 0, 2, 5, 7, 4, 9, 11, 13, 15]

    in_order = np.tile(slabs.order.astype(np.float32), (5, 1))
    assert slabs.mean_of_combs(in_order, 4)[0].tolist() == [0, 1, 2, 3]


def blocks_at(depth: np.ndarray) -> Blocks:
    """Blocks whose two samples lie an eighth of a bin before and behind a depth, 128 bins."""
    s = np.stack((depth - 0.125, depth + 0.125))[:, None] / 128
    s = s.astype(np.float32)
    return Blocks(s, np.full((1, *depth.shape), 2), s[:, 0].copy())


def test_pixels_beside_another_surface_ask_for_themselves():
    depth = np.full((8, 9), 40.0)
    depth[:, 5:] = 60.0  # another surface, from the second half of the pixels on

    _, alone = share_by_blocks(blocks_at(depth), (10, 8), bins=128)

    is_alone = np.zeros((8, 10), bool)
    is_alone.reshape(-1)[alone] = True
    # Those that lie between the centers of two blocks that see different surfaces, no others.
    expected = np.zeros((8, 10), bool)
    expected[:, 5:7] = True
    assert (is_alone == expected).all()


def test_pixels_of_a_slanted_surface_share_and_lie_between_their_blocks():
    row, column = np.mgrid[0:8, 0:9]
    depth = 50 + 3.0 * row - 2.0 * column

    placed, alone = share_by_blocks(blocks_at(depth), (10, 8), bins=128)

    assert alone.size == 0
    y, x = np.mgrid[0:8, 0:10]
    # A pixel's center in blocks, counted from the center of the first.
    expected = 50 + 3 * (y / 2 - 0.25 + RING) - 2 * (x / 2 - 0.25 + RING)
    places = placed.s[:, 0].reshape(2, 8, 10) * 128
    assert_close(places[0], (expected - 0.125).astype(np.float32), atol=1e-4, rtol=0)
    assert_close(places[1], (expected + 0.125).astype(np.float32), atol=1e-4, rtol=0)


def test_pixels_on_either_side_of_a_crease_share_and_those_across_it_ask():
    def asking(crease: float) -> list[int]:
        depth = np.tile(50 + 2 * np.abs(np.arange(12.0) - crease), (8, 1))
        _, alone = share_by_blocks(blocks_at(depth), (16, 8), bins=128)
        return sorted(set((alone % 16).tolist()))

    assert asking(crease=6) == []  # on a block's center
    assert asking(crease=6.5) == [2 * (6 - RING) + 1, 2 * (7 - RING)]


def test_two_halves_of_a_picture_share_as_the_whole():
    """Tiles look at blocks around them, so that no tile's border is seen."""
    depth = 40 + 20 * np.random.default_rng(1).random((8, 14)).round()

    def alone_in(part: np.ndarray) -> np.ndarray:
        size = (2 * (part.shape[1] - 2 * RING), 8)
        is_alone = np.zeros((size[1], size[0]), bool)
        is_alone.reshape(-1)[share_by_blocks(blocks_at(part), size, 128)[1]] = True
        return is_alone

    whole = alone_in(depth)
    halves = np.concatenate((alone_in(depth[:, :9]), alone_in(depth[:, 5:])), axis=1)
    assert 0 < whole.sum() < whole.size
    assert (whole == halves).all()


def test_sharing_the_oracle_leaves_smooth_pictures_as_they_are():
    smooth = scene(direction_frequencies=0, origin_frequencies=0)
    renderer = CpuRenderer(smooth, "fp32")
    shared, exact = (
        renderer.render(camera(160, 120), RenderOptions(shared_oracle=is_shared))
        for is_shared in (True, False)
    )

    assert shared is not None and exact is not None
    assert psnr(shared.image, exact.image) > 45
    # A question for four pixels, and for those around the picture.
    assert 0.25 < shared.oracle_share < 0.5
    assert exact.oracle_share == 1


@pytest.mark.parametrize("frequencies", [(10,), (6, 6), (4, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_columns_hold_the_encodings_numbers(frequencies: tuple[int, ...], dtype: torch.dtype):
    vectors = torch.rand(3 * len(frequencies), 37) * 2 - 1
    columns = EncodedColumns.of(*frequencies)
    rows = torch.full((30, len(columns)), 9.0, dtype=dtype)

    columns.encode(vectors.numpy(), 7, memory_of(rows))

    parts = [encode(part.T, k) for part, k in zip(vectors.split(3), frequencies, strict=True)]
    expected = torch.cat((*parts, torch.zeros(37, 1)), dim=1)[7:, torch.from_numpy(columns.places)]
    # The model's sines are doubled four times, which multiplies their error.
    assert_close(rows, expected.to(dtype), atol=2e-5, rtol=1e-2 if dtype.itemsize == 2 else 0)


def test_a_layer_of_columns_is_the_layer_of_the_encoding():
    columns, weight = EncodedColumns.of(3, 2), torch.randn(5, 36)
    vectors = torch.rand(6, 11)
    rows = torch.empty(11, len(columns))
    columns.encode(vectors.numpy(), 0, rows.numpy())

    encoded = torch.cat((encode(vectors[:3].T, 3), encode(vectors[3:].T, 2)), dim=1)

    assert_close(rows @ columns.weights(weight).T, encoded @ weight.T, atol=1e-4, rtol=0)


@compiled
def _each(x, sines, cosines, powers, logs, sigmoids):
    for i in range(len(x)):
        sines[i] = sine(x[i], np.float32(0))
        cosines[i] = sine(x[i], np.float32(0.5))
        powers[i] = exp2(x[i])
        logs[i] = log2(exp2(x[i]))
        sigmoids[i] = sigmoid(x[i])


def test_functions_are_exact_to_a_millionth():
    x = np.linspace(-100, 100, 40_001, dtype=np.float32)
    sines, cosines, powers, logs, sigmoids = (np.empty_like(x) for _ in range(5))

    _each(x, sines, cosines, powers, logs, sigmoids)

    wide = x.astype(np.float64)
    np.testing.assert_allclose(sines, np.sin(wide), atol=1e-6)
    np.testing.assert_allclose(cosines, np.cos(wide), atol=1e-6)
    np.testing.assert_allclose(powers, 2**wide, rtol=1e-6)
    np.testing.assert_allclose(logs, wide, rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(sigmoids, 1 / (1 + np.exp(-wide)), rtol=2e-5, atol=1e-7)


@compiled
def _there_and_back(values, halves, back):
    for i in range(len(values)):
        halves[i] = stored(values[i], halves)
        back[i] = loaded(halves[i])


def test_bf16_is_rounded_as_torch_rounds_it():
    values = torch.randn(10_000) * 100
    halves, back = torch.empty(10_000, dtype=torch.bfloat16), torch.empty(10_000)

    _there_and_back(values.numpy(), memory_of(halves), back.numpy())

    assert torch.equal(halves, values.bfloat16())
    assert torch.equal(back, values.bfloat16().float())


def test_machine_code_is_kept_apart_by_the_sources_it_was_made_of(tmp_path: Path):
    package = tmp_path / "loops"
    package.mkdir()
    source = Path(arithmetic.__file__).read_text(encoding="utf-8")
    (tmp_path / "sample_counts.py").touch()
    (package / "__init__.py").touch()
    (package / "caller.py").write_text(
        "from loops.arithmetic import compiled, sigmoid\n"
        "@compiled\ndef half(x):\n    return sigmoid(x)\n"
    )
    command = [sys.executable, "-c", "import numpy as np, loops.caller as c; "
               "print(float(c.half(np.float32(0))))"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "c")}
    said = []
    for text in (
        source,
        source.replace("return _ONE / (_ONE + exp2", "return f32(7) * (_ONE + exp2"),
    ):
        (package / "arithmetic.py").write_text(text, encoding="utf-8")
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        said.append(float(run.stdout))

    assert said == [0.5, 14.0]


def test_loops_are_compiled_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch):
    real = arithmetic.numba.njit

    def without_cache(function, cache=False, **settings):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(function, **settings)

    monkeypatch.setattr(arithmetic.numba, "njit", without_cache)

    assert compiled(lambda x: x + 1)(1) == 2


def test_frames_do_not_add_threads():
    renderer = CpuRenderer(scene(), "fp32")
    renderer.render(camera(), RenderOptions())
    before = threading.active_count()

    for _ in range(20):
        renderer.render(camera(), RenderOptions())
    assert threading.active_count() == before

    renderer.close()
    assert threading.active_count() < before


def test_a_closed_renderer_says_so():
    renderer = CpuRenderer(scene(), "fp32")
    renderer.close()

    with pytest.raises(AssertionError, match="this renderer is closed"):
        renderer.render(camera(), RenderOptions())


FORKED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_cpu_backend import CpuRenderer, EXACT, camera, scene
renderer = CpuRenderer(scene(), "fp32")
before = renderer.render(camera(), EXACT).image
child = os.fork()
after = renderer.render(camera(), EXACT).image
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or not before.equal(after))
os._exit(not before.equal(after))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_renders_with_threads_of_its_own():
    command = [sys.executable, "-c", FORKED, str(Path(__file__).parent)]

    assert subprocess.run(command, timeout=60, check=False).returncode == 0
