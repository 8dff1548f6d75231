"""The speed benchmark: its counts by hand, its entrants, and a whole run of a small scene."""

import dataclasses
import io
import json
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from onnx.reference import ReferenceEvaluator
from rich.console import Console
from torch import nn
from torch.testing import assert_close

from donerf.cli import picture_sizes, run
from donerf.config import OracleSettings, ShadingSettings
from donerf.data.dataset import load_dataset
from donerf.data.procedural import write_procedural_dataset
from donerf.evaluation import contenders as contenders_module
from donerf.evaluation import speed as speed_module
from donerf.evaluation.bare import BareSpeed, ProductRate, measure_bare_speed, peak_memory_mb, timed
from donerf.evaluation.contenders import (
    REFERENCE,
    SWITCHES,
    CompiledRenderer,
    Contender,
    combinations,
    contenders,
)
from donerf.evaluation.cost import Work, center_camera, layer_rows, ray_cost, unfused_numbers
from donerf.evaluation.onnx_networks import export_layers
from donerf.evaluation.quality import count_mflop_per_ray, evaluate
from donerf.evaluation.speed import SpeedSettings, measure_speed
from donerf.evaluation.speed_report import SpeedReport, line_fits, print_speed
from donerf.evaluation.timing import Row
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.renderer import RenderOptions, make_renderer
from donerf.scene_file import Scene, SceneCell, save_scene

QUIET = Console(quiet=True)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scene"
    write_procedural_dataset(folder, size=(20, 14), views=(1, 1, 3), seed=1)
    return folder


@pytest.fixture(scope="module")
def scene(data: Path) -> Scene:
    torch.manual_seed(0)
    oracle = DepthOracle(OracleSettings(width=8, layers=3, bins=16, input="points"))
    networks = Networks(oracle, ShadingNetwork(ShadingSettings(width=8, layers=3)))
    return Scene([SceneCell(load_dataset(data, "test").info.view_cell(), networks)])


@pytest.fixture(scope="module")
def file(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "small.donerf"
    save_scene(scene, path)
    return path


@pytest.fixture(scope="module")
def report(file: Path, data: Path) -> SpeedReport:
    settings = SpeedSettings(
        contenders(("eager", "onnxruntime")),
        sizes=((12, 9), (20, 15), (24, 24)),
        samples=(1, 2, 4),
        device="cpu",
        frames=5,
        data=data,
        views=3,
    )
    return measure_speed(file, settings, QUIET)


def test_every_row_is_measured_in_every_place(report: SpeedReport):
    places = {(row.size, row.samples) for row in report.rows if row.name == "eager bf16"}

    assert len(places) == 9
    for row in report.rows:
        assert row.frames == 5
        assert 0 < row.ms_p5 <= row.ms <= row.ms_p95
        assert row.fps == pytest.approx(1000 / row.ms)
        assert row.tflops > 0


def test_the_reference_is_itself_and_bf16_is_near(report: SpeedReport):
    for row in report.rows:
        if row.name == REFERENCE.name:
            assert row.psnr_reference == 100
        elif row.backend == "eager":
            assert row.psnr_reference is not None
            assert 30 < row.psnr_reference < 100


def test_quality_against_the_truth_is_that_of_an_evaluation(
    report: SpeedReport, scene: Scene, data: Path
):
    renderer, views = make_renderer(scene, "cpu", "bf16", "eager"), load_dataset(data, "test")

    assert report.truth is not None
    assert (report.truth.views, report.truth.size) == (3, (20, 14))
    for row in report.rows:
        if row.name == "eager bf16":
            expected = evaluate(renderer, scene, views, row.samples).psnr
            assert row.psnr_truth == pytest.approx(expected)


def test_lines_are_fitted_to_samples_and_to_pixels(report: SpeedReport):
    mine = [fit for fit in report.fits if fit.name == "eager fp32"]

    assert {fit.at for fit in mine if fit.against == "samples"} == {"12x9", "20x15", "24x24"}
    assert {fit.at for fit in mine if fit.against == "pixels"} == {
        "1 samples",
        "2 samples",
        "4 samples",
    }


def test_a_line_is_found_again_with_the_residual_of_what_is_none(report: SpeedReport):
    row = next(row for row in report.rows if row.name == "eager fp32")
    rows = [dataclasses.replace(row, samples=s, ms=3.0 + 2.0 * s) for s in (1, 2, 4, 8)]

    (line,) = line_fits(rows)
    (bent,) = line_fits([*rows[:3], dataclasses.replace(rows[3], ms=2 * rows[3].ms)])

    assert (line.a_ms, line.b_ms) == (pytest.approx(3.0), pytest.approx(2.0))
    assert line.largest_residual == pytest.approx(0, abs=1e-9)
    assert bent.largest_residual > 0.1


@pytest.mark.skipif(find_spec("onnxruntime") is not None, reason="onnxruntime is installed here")
def test_an_engine_that_is_not_installed_is_named_with_the_reason(report: SpeedReport):
    assert {one.name for one in report.skipped} == {"onnxruntime fp32"}
    assert "not installed" in report.skipped[0].reason


def test_the_table_shows_every_row_and_what_is_missing(report: SpeedReport, capsys):
    print_speed(report, Console(width=100))

    shown = capsys.readouterr().out
    assert shown.count("eager bf16") == 2 * 9
    assert "24x24, S = 4" in shown
    assert "dB ref: to the picture of eager fp32" in shown


def test_progress_is_told_in_lines_where_there_is_no_terminal(
    file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(speed_module, "_LINE_SECONDS", 0.0)
    settings = SpeedSettings(
        contenders(("eager",)), sizes=((12, 9),), samples=(2,), device="cpu", frames=5
    )
    said = io.StringIO()

    measure_speed(file, settings, Console(file=said, width=80))

    lines = said.getvalue().splitlines()
    assert lines[:2] == ["warming up eager fp32 1/2", "warming up eager bf16 2/2"]
    assert lines[-1] == "rounds 5/5"


def test_a_gpu_that_is_not_there_is_named_with_the_reason(file: Path):
    settings = SpeedSettings(
        contenders(("cuda",)), sizes=((12, 9),), samples=(2,), device="cpu", frames=5
    )

    skipped = measure_speed(file, settings, QUIET).skipped

    assert {one.name.split()[0] for one in skipped} == {"cuda"}
    assert {one.reason for one in skipped} == {
        "this machine has no NVIDIA GPU, or this run was not to use it"
    }


def test_the_command_writes_what_it_shows(file: Path, tmp_path: Path, capsys):
    out = tmp_path / "speed.json"

    options = "--sizes 12x9 --samples 2 --backends eager --frames 5 --device cpu --json"
    run(["benchmark", "speed", str(file), *options.split(), str(out)])

    written = json.loads(out.read_text())
    assert [row["name"] for row in written["rows"]] == ["eager fp32", "eager bf16"]
    assert {"file", "sha256", "machine", "bare", "rows", "skipped", "fits"} <= written.keys()
    assert written["rows"][0]["stages"]["shading_ms"] > 0
    assert "12x9, S = 2" in capsys.readouterr().out


def test_options_are_timed_each_alone_and_all_together():
    assert combinations(()) == [()]
    assert combinations(("a",)) == [(), ("a",)]
    assert combinations(("a", "b")) == [(), ("a",), ("b",), ("a", "b")]


def test_the_reference_comes_first_and_once():
    assert contenders(("onnxruntime", "eager"))[0] == REFERENCE
    assert contenders(("eager",)).count(REFERENCE) == 1
    assert [c.name for c in contenders(("eager",))] == ["eager fp32", "eager bf16"]


def test_only_the_precisions_asked_for_are_timed_beside_the_reference():
    found = contenders(("eager", "cpu"), ("adaptive",), precisions=("bf16",))

    assert [one.name for one in found] == [
        "eager fp32",
        "eager bf16",
        "cpu bf16",
        "cpu bf16 +adaptive",
    ]
    with pytest.raises(ValueError, match="--precisions must be all, or some of fp32"):
        contenders(("cpu",), precisions=("fp33",))


def test_a_contender_has_its_options_on_and_all_others_off():
    for on in combinations(SWITCHES):
        options = Contender("eager", "fp32", on).options(3)

        assert options.samples == 3
        assert {name for name in SWITCHES if getattr(options, name)} == set(on)


@pytest.mark.parametrize("names", [("eager", "magic"), ()])
def test_unknown_backends_are_named(names: tuple[str, ...]):
    with pytest.raises(ValueError, match="--backends must be all, or some of eager"):
        contenders(names)


def test_the_cost_is_a_line_in_the_samples(scene: Scene):
    cost = ray_cost(scene)
    camera = center_camera(scene.cells[0].cell, 4, 4)

    for samples in (1, 3, 7):
        counted = count_mflop_per_ray(scene, camera, samples)
        assert cost.mflop_per_pixel(Work(1, samples)) == pytest.approx(counted)


def test_folding_and_sharing_save_what_they_leave_out(scene: Scene):
    cost = ray_cost(scene)

    full = cost.mflop_per_pixel(Work(1, 2))
    folded = cost.mflop_per_pixel(Work(1, 2, is_folded=True))
    shared = cost.mflop_per_pixel(Work(1, 2, oracle_share=0.25))

    assert full - folded == pytest.approx(2e-6 * (54 - 6) * 8)  # 54 inputs become 6, 8 outputs.
    assert full - shared == pytest.approx(2e-6 * 0.75 * (54 * 8 + 8 * 8 + 8 * 16))


def test_rows_of_layers_by_hand(scene: Scene):
    rows = layer_rows(scene.cells[0].networks, Work(100, 1.5, 0.5, is_folded=True))

    assert rows == [
        ((6, 8), 50), ((8, 8), 50), ((8, 16), 50), ((63, 8), 150), ((8, 8), 150), ((35, 4), 150),
    ]  # fmt: skip


def test_traffic_is_what_each_layer_reads_and_writes(scene: Scene):
    numbers = unfused_numbers(scene.cells[0].networks, Work(10, 2))

    assert numbers == 10 * (62 + 16 + 24) + 20 * (71 + 16 + 39)


def test_bare_products_by_hand():
    bare = BareSpeed(
        [ProductRate("fp32", 8, 8, 0.5), ProductRate("fp32", 8, 4, 0.25)], copy_gb_per_second=10
    )

    # 2 * 8 * 8 * 1e6 FLOP at 0.5e12 a second, and 2 * 8 * 4 * 1e6 at half of that: 0.256 ms each.
    assert bare.products_ms([((8, 8), 1e6), ((8, 4), 1e6)], "fp32") == pytest.approx(0.512)


def test_a_disturbed_measurement_gives_way_to_a_better_one():
    one = BareSpeed([ProductRate("fp32", 8, 8, 0.5), ProductRate("bf16", 8, 8, 0.1)], 10)
    two = BareSpeed([ProductRate("fp32", 8, 8, 0.2), ProductRate("bf16", 8, 8, 0.9)], 20)

    best = one.or_faster(two)

    assert [product.tflops for product in best.products] == [0.5, 0.9]
    assert best.copy_gb_per_second == 20


def test_bare_speed_is_measured_for_each_shape_and_precision():
    bare = measure_bare_speed({(8, 4), (16, 8)}, ("fp32",), CPU)

    assert [(p.inputs, p.outputs) for p in bare.products] == [(8, 4), (16, 8)]
    assert all(product.tflops > 0 for product in bare.products)
    assert bare.copy_gb_per_second > 0


def test_a_result_comes_with_its_seconds():
    result, seconds = timed(lambda: sum(range(1000)), CPU)

    assert result == 499_500
    assert 0 < seconds < 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for its peak")
def test_memory_that_was_used_for_a_moment_is_seen():
    used = peak_memory_mb(lambda: torch.ones(10_000_000).sum(), CPU)

    assert used is None or 38 < used < 80  # 40 MB of numbers


def test_a_slow_row_has_enough_sooner():
    row = Row(REFERENCE, [], 1, seconds=[3.0] * 4)

    assert not row.has_enough(frames=20, seconds=10)
    row.seconds.append(3.0)
    assert row.has_enough(frames=20, seconds=10)
    assert not row.has_enough(frames=20, seconds=100)


@pytest.mark.parametrize("joined", [0, 5])
def test_exported_layers_answer_as_ours_do(joined: int):
    layers = [nn.Linear(7, 6), nn.Linear(6, 6), nn.Linear(6 + joined, 3)]
    x = torch.randn(11, 7 + joined)

    model = export_layers(layers, joined)

    (answer,) = ReferenceEvaluator(model).run(None, {"input": x.numpy()})
    y = layers[1](layers[0](x[:, :7]).relu()).relu()
    assert_close(torch.from_numpy(answer), layers[2](torch.cat((y, x[:, 7:]), dim=1)))


@pytest.mark.parametrize("samples", [2, 12])
def test_the_compiled_pipeline_is_one_function_and_the_same_picture(
    scene: Scene, samples: int, monkeypatch: pytest.MonkeyPatch
):
    """Traced for real; the compiler of machine code, which takes a minute, is left out."""
    traced = partial(torch.compile, backend="eager")
    monkeypatch.setattr(contenders_module.torch, "compile", traced)
    camera = center_camera(scene.cells[0].cell, 12, 9)
    options = RenderOptions(samples=samples)

    frame = CompiledRenderer(scene, "cpu", "fp32").render(camera, options)

    plain = make_renderer(scene, "cpu", "fp32", "eager").render(camera, options)
    assert frame is not None
    assert plain is not None
    assert (frame.image.int() - plain.image.int()).abs().max() <= 1


def test_sizes_are_edges_with_commas():
    assert picture_sizes("400x300,8x6") == ((400, 300), (8, 6))
    for text in ("400", "400x", "1x2x3", "axb"):
        with pytest.raises(ValueError, match=f"such as 400x400,800x800; got '{text}'"):
            picture_sizes(text)


def test_settings_that_measure_nothing_are_refused():
    with pytest.raises(ValueError, match="1x1 pixels"):
        SpeedSettings([REFERENCE], sizes=((0, 4),))
    with pytest.raises(ValueError, match="1 or more"):
        SpeedSettings([REFERENCE], samples=(0,))
    with pytest.raises(ValueError, match="at least 5 frames"):
        SpeedSettings([REFERENCE], frames=1)
    with pytest.raises(ValueError, match="must be quality or speed, got 'colour'"):
        run(["benchmark", "colour"])


def test_a_scene_without_colors_is_not_timed(scene: Scene, tmp_path: Path):
    cell = scene.cells[0]
    save_scene(Scene([SceneCell(cell.cell, Networks(cell.networks.oracle))]), tmp_path / "a.donerf")

    with pytest.raises(ValueError, match="`donerf train shader`"):
        measure_speed(tmp_path / "a.donerf", SpeedSettings([REFERENCE]), QUIET)
