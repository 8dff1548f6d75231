"""Figures in README and docs are those that were measured."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tables import SCENES, document
from donerf import load_scene

ROOT = Path(__file__).resolve().parent.parent
README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
PERFORMANCE = " ".join((ROOT / "docs" / "performance.md").read_text(encoding="utf-8").split())


def results(name: str) -> dict[str, Any]:
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_measured_tables_are_those_of_the_results():
    assert (ROOT / "docs" / "measured.md").read_text(encoding="utf-8") == document()


@pytest.mark.parametrize("scene", SCENES)
def test_readme_states_the_psnr_of_the_test_views(scene: str):
    rows = results(f"{scene}_quality")["splits"]["test"]["oracle"]
    cells = [f"{rows[samples]['psnr']:.2f}" for samples in ("1", "2", "4", "8", "16")]

    title = scene.replace("_grid", ", hash grid").replace("_", " ")
    assert f"| {title} | {' | '.join(cells)} |" in README


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("topic", ["quality", "speed"])
def test_what_is_stated_was_measured_with_the_files_that_come_along(scene: str, topic: str):
    file = ROOT / "assets" / f"{scene}.donerf"

    assert results(f"{scene}_{topic}")["sha256"] == load_scene(file).metadata.sha256


def test_the_dial_knows_the_files_that_come_along():
    known = json.loads((ROOT / "assets" / "size_and_samples.json").read_text(encoding="utf-8"))
    files = (load_scene(ROOT / "assets" / f"{scene}.donerf") for scene in SCENES)

    assert set(known["scenes"]) == {file.metadata.sha256 for file in files}


def test_readme_states_the_speed_of_the_flights():
    report = results("courtyard_grid_speed")
    fps, without = (
        {flight["flight"]: flight["fps"] for flight in results(name)["flights"]}
        for name in ("courtyard_grid_speed", "courtyard_speed")
    )
    older = {flight["flight"]: flight["fps"] for flight in report["flights_limited_to_avx2"]}
    start = report["first_picture_seconds"]

    for claim in (
        f"renders {fps['400x300 4']:.1f} pictures a second at 400x300 with four samples "
        f"({without['400x300 4']:.1f} without a grid)",
        f"{fps['400x300 4 --adaptive']:.1f} where the oracle's doubt decides how many",
        f"{fps['240x180 2']:.0f} at 240x180 with two",
        f"as older processors are, {older['240x180 2']:.0f} of the latter",
        f"has its first picture {start['median']:.1f} s after its start",
        f"takes about {start['with_loops_compiled_anew']:.0f} s, while loops are compiled",
    ):
        assert claim in README


def test_the_docs_state_how_much_faster_the_published_networks_are():
    rows = {row["name"]: row for row in results("pavillon_backends")["rows"]}
    eager, onnx = rows["eager fp32"]["ms"], rows["onnxruntime fp32"]["ms"]

    for name, words in (("cpu bf16", "exact"), ("cpu bf16 +shared_oracle", "default")):
        row = rows[name]
        claim = (
            f"| {words} | {row['ms']:.0f} | {eager / row['ms']:.2f} | {onnx / row['ms']:.2f} | "
            f"{row['product_share']:.0%} | {row['psnr_reference']:.2f} |"
        )
        assert claim in PERFORMANCE


def test_the_docs_state_how_far_cost_is_from_a_line():
    fits = results("courtyard_lines")["fits"]
    worst = max(fit["largest_residual"] for fit in fits if "adaptive" not in fit["name"])

    assert f"The largest residual of these lines is {math.ceil(100 * worst)} %" in PERFORMANCE


@pytest.mark.parametrize(
    ("scene", "title"), [("courtyard", "courtyard, 4x128"), ("pavillon", "published, 8x256")]
)
def test_the_docs_state_what_layers_of_8_bits_cost(scene: str, title: str):
    rows = results(f"eight_bits_{scene}")["rows"]
    db = {(row["samples"], row["in_8_bits"]): row["psnr_reference"] for row in rows}

    lines = [
        f"{samples} | {db[samples, 'shading']:.2f} | {db[samples, 'oracle']:.2f} |"
        for samples in (2, 4)
    ]
    assert f"| {title} | {lines[0]} | | {lines[1]}" in PERFORMANCE
