"""The quality benchmark: what it trains, what it takes over, what it refuses, and its report."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from donerf.cli import run
from donerf.config import Config, load_config
from donerf.data.procedural import write_procedural_dataset
from donerf.evaluation.edges import depth_edges
from donerf.evaluation.metrics import compare, psnr
from donerf.evaluation.quality_plots import COSTS, METRICS, fullest_window, pareto_front
from donerf.evaluation.quality_report import comparable, table
from donerf.evaluation.quality_rows import QualityRow, read_rows, write_rows
from donerf.evaluation.sweep import SceneSweep, SweepSettings, run_sweep
from donerf.evaluation.sweep_training import Budget, Trainings, steps_in
from donerf.evaluation.training_curves import mean_rays, read_curves, training_cost
from donerf.evaluation.variants import (
    ABLATIONS,
    METHODS,
    Network,
    choose_variants,
    is_said_already,
    narrowed,
    variant_named,
)
from donerf.model.version import code_version, without_prose

ROOT = Path(__file__).resolve().parent.parent
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke config, on a smaller scene and with fewer steps."""
    folder = tmp_path_factory.mktemp("sweep")
    write_procedural_dataset(folder / "data", size=(24, 18), views=(4, 1, 2), seed=3)
    text = (ROOT / "configs/smoke.toml").read_text(encoding="utf-8")
    text = text.replace("out/smoke_data", (folder / "data").as_posix())
    text = re.sub(r"(?<=\n)steps = \d+", "steps = 4", text)
    (folder / "tiny.toml").write_text(re.sub(r"warmup_steps = \d+", "warmup_steps = 0", text))
    return folder / "tiny.toml"


def settings_for(config: Path, out: Path, *methods: str, **changes) -> SweepSettings:
    return SweepSettings((config,), methods or ("donerf",), (1, 2), out, **changes)


@pytest.fixture(scope="module")
def whole(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished benchmark of all methods, by the command."""
    out = tmp_path_factory.mktemp("out") / "whole"
    run(["benchmark", "quality", str(config_file), "--out", str(out), "--samples", "1,2"])
    return out


def test_the_command_measures_every_method_and_writes_a_report_that_needs_no_network(whole: Path):
    rows = read_rows(whole)

    assert {row.method for row in rows} == {variant.name for variant in METHODS}
    assert all(row.psnr and row.edge_psnr and row.flip and row.ms for row in rows)
    assert {row.samples for row in rows if row.method == "uniform"} == {1, 2}
    assert {row.samples for row in rows if row.method == "nerf"} == {32}
    with (whole / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    for name in ("tiny_curves.png", "tiny_curves.svg", "tiny_pictures.png", "tiny_training.svg"):
        assert (whole / "plots" / name).stat().st_size > 1000
    html = (whole / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=[\"'](?!data:)", html)
    assert html.count("<img") == 3 and "NeRF (log + warp)" in html


def test_methods_without_an_oracle_do_not_pay_for_it(whole: Path):
    cost = {(row.method, row.samples): row for row in read_rows(whole)}
    ours, uniform = cost["donerf", 1].mflop, cost["uniform", 1].mflop
    assert ours is not None and uniform is not None

    assert uniform < ours
    assert cost["true-depth", 1].mflop == uniform
    assert cost["regression", 1].mflop != ours
    made_by = {method: row.backend for (method, _), row in cost.items()}
    assert (made_by["donerf"], made_by["uniform"], made_by["nerf"]) == ("cpu", "eager", "nerf")
    steps = {method: row.train_steps for (method, _), row in cost.items()}
    assert (steps["donerf"], steps["uniform"], steps["nerf"]) == ("4 + 4", "4", "4")


def test_a_second_run_trains_and_measures_nothing(
    config_file: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    def forbidden(*_: object) -> None:
        raise AssertionError("this is done already")

    before = (whole / "results.json").read_bytes()
    monkeypatch.setattr("donerf.evaluation.sweep_training.train", forbidden)
    monkeypatch.setattr("donerf.evaluation.sweep.evaluate", forbidden)
    methods = tuple(variant.name for variant in METHODS)
    run_sweep(settings_for(config_file, whole, *methods), QUIET)

    assert (whole / "results.json").read_bytes() == before


def test_what_is_not_trained_or_unfinished_is_named_and_not_measured(
    config_file: Path, tmp_path: Path
):
    half = settings_for(config_file, tmp_path, budget=Budget(shading_steps=2))
    run_sweep(half, QUIET)
    # The oracle is finished; the shading run becomes one of a longer training that was stopped.
    file = tmp_path / "tiny/donerf/shading/config.toml"
    text, found = re.subn(r"(?s)(\[shading_training\].*?steps = )2\b", r"\g<1>4", file.read_text())
    assert found == 1
    file.write_text(text)
    asked = settings_for(config_file, tmp_path, "donerf", "nerf", may_train=False)
    rows, _ = run_sweep(asked, QUIET)

    notes = {row.method: row.note for row in rows}
    assert notes["donerf"] == "not measured: donerf/shading is trained for 2 of 4 steps"
    assert notes["nerf"] == "not measured: nerf/nerf is trained for nothing"
    assert all(row.psnr is None for row in rows)
    assert "2 of 4 steps" in table(rows)

    rows, _ = run_sweep(replace(asked, may_train=True, methods=("donerf",)), QUIET)
    resumed = [row for row in rows if row.method == "donerf"]
    assert [row.train_steps for row in resumed] == ["4 + 4", "4 + 4"]


def test_a_run_with_other_settings_is_refused(config_file: Path, whole: Path):
    longer = settings_for(config_file, whole, budget=Budget(oracle_steps=5))

    with pytest.raises(ValueError, match="'oracle_training.steps' was 4, is 5"):
        run_sweep(longer, QUIET)


def test_numbers_of_other_networks_are_measured_again(config_file: Path, tmp_path: Path):
    rows, _ = run_sweep(settings_for(config_file, tmp_path), QUIET)
    others = [replace(row, sha256="0" * 64, psnr=99.0) for row in rows]
    write_rows(others, tmp_path)
    console = Console(record=True, width=200, file=io.StringIO())
    again, _ = run_sweep(settings_for(config_file, tmp_path), console)

    assert [row.psnr for row in again] == [row.psnr for row in rows]
    assert "measured with other networks before" in console.export_text()


@pytest.mark.parametrize("field", ["settings", "code", "sha256"])
def test_what_changed_since_a_row_was_measured_is_named(
    field: str, config_file: Path, tmp_path: Path
):
    rows, _ = run_sweep(settings_for(config_file, tmp_path), QUIET)
    old = QualityRow("tiny", "donerf", "ours", 1, psnr=99.0)
    assert {*rows[0].differences(old)} >= {"settings", "networks", "code of the networks"}
    write_rows([replace(row, **{field: "another", "psnr": 99.0}) for row in rows], tmp_path)
    console = Console(record=True, width=200, file=io.StringIO())

    again, _ = run_sweep(settings_for(config_file, tmp_path), console)

    assert [row.psnr for row in again] == [row.psnr for row in rows]
    word = {"settings": "settings", "code": "code of the networks", "sha256": "networks"}[field]
    assert f"was measured with other {word} before" in console.export_text()


def test_rows_that_stay_are_of_the_same_pictures_and_of_named_origin(
    config_file: Path, tmp_path: Path
):
    run_sweep(settings_for(config_file, tmp_path, "donerf", "uniform"), QUIET)
    rows = [
        replace(row, settings="another", code="older") if row.method == "uniform" else row
        for row in read_rows(tmp_path)
    ]
    write_rows(rows, tmp_path)
    ours = settings_for(config_file, tmp_path, "donerf")

    with pytest.raises(ValueError, match="uniform was on 2 views of 24x18, now it is 1 views"):
        run_sweep(replace(ours, views=1), QUIET)
    _, scenes = run_sweep(ours, QUIET)

    (note,) = scenes[0].notes
    assert "uniform, as measured before, with other settings" in note
    assert "by other code of the networks (older)" in note


def test_a_run_that_another_machine_finished_is_measured_here(config_file: Path, tmp_path: Path):
    rows, _ = run_sweep(settings_for(config_file, tmp_path), QUIET)
    for file in tmp_path.glob("tiny/donerf/*/config.toml"):
        text = file.read_text().replace('device = "cpu"', 'device = "cuda"')
        file.write_text(text.replace('precision = "fp32"', 'precision = "bf16"'))
        assert load_config(file).device == "cuda"
    (tmp_path / "results.json").unlink()

    again, _ = run_sweep(settings_for(config_file, tmp_path, may_train=False), QUIET)

    assert [(row.psnr, row.settings) for row in again] == [(row.psnr, row.settings) for row in rows]


def test_the_version_of_the_networks_code_does_not_hang_on_prose():
    source = 'def f(x):\n    """Doc."""\n    return x + 1  # more\n'

    assert without_prose(source) == without_prose("def f(x):\n\n    return x + 1\n")
    assert without_prose(source) != without_prose(source.replace("1", "2"))
    assert without_prose('class A:\n    """Doc."""\n') == "class A:"
    assert without_prose("x = f\"{y['#']}\"  # z") == "x = f\"{y['#']}\""
    assert re.fullmatch("[0-9a-f]{12}", code_version())


def test_results_of_another_version_are_refused(config_file: Path, tmp_path: Path):
    (tmp_path / "results.json").write_text(json.dumps({"version": 0, "rows": []}))

    with pytest.raises(ValueError, match="must have version 1, it has 0"):
        run_sweep(settings_for(config_file, tmp_path), QUIET)
    (tmp_path / "results.json").write_text("[1]")
    with pytest.raises(ValueError, match="cannot be read"):
        read_rows(tmp_path)


def test_unknown_methods_and_impossible_budgets_are_refused():
    with pytest.raises(ValueError, match="a method must be one of donerf, .*, got 'gaussians'"):
        choose_variants(("gaussians",), False)
    with pytest.raises(ValueError, match="in steps or in minutes"):
        Budget(oracle_steps=1, minutes=1)
    with pytest.raises(ValueError, match="more than 0 minutes"):
        Budget(minutes=0)
    with pytest.raises(ValueError, match="1 step or more"):
        Budget(nerf_steps=0)


def test_ours_comes_along_where_others_stand_on_it():
    assert [variant.name for variant in choose_variants(("uniform",), False)] == [
        "donerf",
        "uniform",
    ]
    assert [variant.name for variant in choose_variants(("nerf",), False)] == ["nerf"]
    assert choose_variants(("nerf",), True)[0].name == "donerf"


def test_each_ablation_changes_one_setting_or_none(config_file: Path):
    config = load_config(config_file)

    for variant in ABLATIONS:
        tree, changed = config.model_dump(), variant.config(config).model_dump()
        differences = [
            (section, key)
            for section, values in tree.items()
            if isinstance(values, dict)
            for key in values
            if values[key] != changed[section][key]
        ]
        # Another optimizer or decay brings the learning rates that suit it.
        brings_more = {("shading_training", key) for key in ("optimizer", "decay")}
        # A grid takes the place of the sines.
        brings_more |= {("shading", "encoding")}
        assert len(differences) <= 1 or brings_more & {*differences}, variant.name


@pytest.mark.parametrize("variant", ABLATIONS, ids=lambda variant: variant.name)
def test_each_ablation_trains_and_keeps_its_switch_in_the_file(
    config_file: Path, tmp_path: Path, variant
):
    config = load_config(config_file)
    trainings = Trainings(
        config, tmp_path, Budget(oracle_steps=1, shading_steps=1, joint_steps=1), True, QUIET
    )
    scene = trainings.scene_of(variant)

    cell, networks = scene.cells[0].cell, scene.cells[0].networks
    wanted = variant.config(config)
    assert cell.ray_space == wanted.cell.rays
    assert cell.warp == wanted.cell.warp
    assert (cell.log_scale is None) == (wanted.cell.depth == "linear")
    assert networks.oracle.settings == wanted.oracle
    assert networks.shading is not None and networks.shading.settings == wanted.shading


def test_uniform_samples_are_trained_as_one_chain(config_file: Path, tmp_path: Path):
    uniform = next(variant for variant in METHODS if variant.name == "uniform")
    budget = Budget(oracle_steps=1, shading_steps=1)
    trainings = Trainings(load_config(config_file), tmp_path, budget, True, QUIET)

    networks = trainings.scene_of(uniform).cells[0].networks

    begun = load_config(tmp_path / "uniform/shading/config.toml")
    assert max(begun.shading_training.samples) == 128
    assert [networks.combs_of(count) for count in (64, 128, 256)] == [1, 1, 2]


def test_a_taught_variant_trains_its_teacher_and_pays_for_it(config_file: Path, tmp_path: Path):
    settings = settings_for(config_file, tmp_path, budget=Budget(oracle_steps=1, shading_steps=1))
    sweep = SceneSweep("tiny", load_config(config_file), settings, QUIET)
    taught, grid = variant_named("taught"), variant_named("hash-grid")

    student, teacher = sweep.trainings.scene_of(taught), sweep.trainings.scene_of(grid)
    assert student.metadata.provenance["teacher"]["sha256"] == teacher.metadata.sha256
    assert student.cells[0].networks.shading is not None
    assert student.cells[0].networks.shading.settings.encoding == "frequencies"

    own: dict[Network, Path] = {"shading": tmp_path / "tiny/hash-grid/shading"}
    alone, teachers = training_cost(sweep.runs(taught), student), training_cost(own, teacher)
    seconds, tflop = sweep.training_cost(taught, student)
    assert tflop == pytest.approx(alone + teachers)
    assert seconds == pytest.approx(
        sum(student.metadata.provenance[part]["seconds"] for part in ("oracle", "shading"))
        + teacher.metadata.provenance["shading"]["seconds"]
    )
    assert (row := sweep.rows_of(taught, [])[0]).train_tflop == tflop and row.psnr is not None


def test_other_sections_of_a_config_do_not_end_a_run(config_file: Path):
    config = load_config(config_file)
    other = config.model_copy(update={"nerf": config.nerf.model_copy(update={"width": 7})})

    assert narrowed(config, "shading") == narrowed(other, "shading")
    assert narrowed(config, "nerf") != narrowed(other, "nerf")


def test_minutes_become_steps_that_grow_with_them(config_file: Path):
    config = narrowed(load_config(config_file), "oracle")

    assert steps_in(1e-9, "oracle", config, {}) == 1
    assert steps_in(1.0, "oracle", config, {}) > 100


def test_edges_are_the_pixels_on_both_sides_of_a_jump_in_depth():
    distance = torch.full((5, 6), 2.0)
    distance[:, 3:] = 3.0
    distance[0, 0] = torch.inf
    edges = depth_edges(distance)

    expected = np.zeros((5, 6), bool)
    expected[:, 2:4] = expected[:2, :2] = True
    assert (edges == expected).all()
    assert not depth_edges(torch.full((3, 3), torch.inf)).any()


def test_edge_metrics_see_edges_alone(rng: np.random.Generator):
    truth = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    picture, edges = truth.copy(), np.zeros((24, 24), bool)
    edges[:, 12:14] = True
    picture[:, 12] = 255 - picture[:, 12]
    scores = compare(picture, truth, edges)

    assert scores.edge_psnr == pytest.approx(psnr(picture[:, 12:14], truth[:, 12:14]))
    assert scores.edge_psnr is not None
    assert scores.edge_psnr < scores.psnr - 10
    assert scores.edge_ssim is not None and scores.ssim is not None
    assert scores.edge_ssim < scores.ssim
    assert scores.edge_flip is not None and scores.flip is not None
    assert scores.edge_flip > scores.flip
    assert compare(picture, truth, ~edges & False).edge_psnr is None


def test_the_pareto_front_holds_what_nothing_cheaper_beats():
    psnr_of = {1: 20.0, 2: 25.0, 4: 24.0, 8: 26.0}
    rows = [QualityRow("a", "m", "M", samples, psnr=p) for samples, p in psnr_of.items()]
    rows.append(QualityRow("a", "n", "N", 8, psnr=27.0))
    front = pareto_front(rows, COSTS[0], METRICS[0])

    assert [(row.samples, row.psnr) for row in front] == [(1, 20.0), (2, 25.0), (8, 27.0)]
    flips = [QualityRow("a", "m", "M", s, flip=f) for s, f in ((1, 0.3), (2, 0.1), (4, 0.2))]
    assert [row.samples for row in pareto_front(flips, COSTS[0], METRICS[3])] == [1, 2]


def test_the_crop_is_the_window_with_most_edges():
    edges = np.zeros((40, 80), bool)
    edges[15:20, 50:60] = True
    rows, columns = fullest_window(edges)

    assert (rows.stop - rows.start, columns.stop - columns.start) == (10, 20)
    assert rows.start <= 15 and rows.stop >= 20
    assert columns.start <= 50 and columns.stop >= 60


def test_the_recipe_sees_as_many_rays_as_ours(whole: Path):
    runs = {method: whole / "tiny" / method for method in ("donerf", "recipe")}

    for network in ("oracle", "shading"):
        configs = {
            method: load_config(folder / network / "config.toml") for method, folder in runs.items()
        }
        seen = {
            method: getattr(config, f"{network}_training").steps * mean_rays(config, network)
            for method, config in configs.items()
        }
        # As near as whole steps allow.
        a_step = mean_rays(configs["recipe"], network)
        assert abs(seen["recipe"] - seen["donerf"]) <= a_step
    assert {row.samples for row in read_rows(whole) if row.method == "recipe"} == {4}


def test_the_curves_of_methods_that_are_not_asked_for_stay(config_file: Path, tmp_path: Path):
    run_sweep(settings_for(config_file, tmp_path, "donerf", "uniform"), QUIET)
    run_sweep(settings_for(config_file, tmp_path, "donerf"), QUIET)

    assert {curve.method for curve in read_curves(tmp_path)} == {"donerf", "uniform"}


def test_a_run_that_was_killed_while_it_began_is_begun_again(config_file: Path, tmp_path: Path):
    begun = tmp_path / "tiny" / "donerf" / "oracle"
    begun.mkdir(parents=True)
    (begun / "config.toml").write_text("", encoding="utf-8")

    rows, _ = run_sweep(settings_for(config_file, tmp_path, "donerf"), QUIET)

    assert all(row.is_measured for row in rows)


def test_no_views_are_refused_before_anything_is_trained(config_file: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="1 view or more, got 0"):
        run_sweep(settings_for(config_file, tmp_path, views=0), QUIET)

    assert not any(tmp_path.iterdir())


def test_milliseconds_of_several_renderers_are_not_drawn():
    row = QualityRow("a", "donerf", "ours", 4, psnr=30.0, ms=5.0, machine="m", backend="cpu")

    assert comparable([row, row])[0].ms == 5.0
    assert all(one.ms is None for one in comparable([row, replace(row, backend="eager")]))


@pytest.mark.parametrize("name", ["courtyard_grid", "courtyard_small_grid", "living_room_grid"])
def test_the_small_grid_is_the_shape_of_the_scenes_that_come_along(name: str):
    assert is_said_already(variant_named("small-grid"), load_config(ROOT / f"configs/{name}.toml"))
    assert not is_said_already(variant_named("small-grid"), Config())
