"""Write docs/measured.md from benchmarks/results/*.json, so that no number is copied by hand.

python benchmarks/tables.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SCENES = {
    "courtyard": "Courtyard",
    "living_room": "Living room",
    "courtyard_grid": "Courtyard, hash grid",
    "living_room_grid": "Living room, hash grid",
}
SAMPLES = ("1", "2", "4", "8", "16")


def main() -> None:
    """Collect all tables that have results."""
    (ROOT / "docs" / "measured.md").write_text(document(), encoding="utf-8")


def document() -> str:
    """The whole page."""
    parts = [
        "# Measured",
        "Written by `benchmarks/tables.py` from the JSON files in `benchmarks/results/`; each of "
        "them names the script's settings and the machine. PSNR is the mean over views of "
        "10 log10(1 / MSE) on 8-bit pictures of 400x400 pixels. The test views were used for "
        "measuring only.",
        *quality_tables(),
        *split_tables(),
        *speed_tables(),
        *viewer_table(),
        *training_tables(),
        *one_network_table(),
        *engine_table(),
        *scenes_tables(),
    ]
    return "\n\n".join(parts) + "\n"


def quality_tables() -> list[str]:
    """Samples per ray against quality on the test views."""
    parts = ["## Samples per ray against quality, test views"]
    for name, title in SCENES.items():
        report = read(f"{name}_quality")
        size = (ROOT / "assets" / f"{name}.donerf").stat().st_size / 1e6
        rows = report["splits"]["test"]["oracle"]
        parts.append(
            f"{title}, `assets/{name}.donerf` ({size:.2f} MB), {report['backend']} backend, "
            f"{report['precision']} products:"
        )
        parts.append(
            table(
                ["samples", "PSNR dB", "SSIM", "FLIP", "MFLOP a pixel"],
                [
                    [
                        s,
                        f"{rows[s]['psnr']:.2f}",
                        f"{rows[s]['ssim']:.3f}",
                        f"{rows[s]['flip']:.3f}",
                        f"{rows[s]['mflop_per_pixel']:.3f}",
                    ]
                    for s in SAMPLES
                ],
            )
        )
    return parts


def split_tables() -> list[str]:
    """The same networks on all splits, and with a perfect oracle."""
    parts = [
        "## Training, validation and test views, and a perfect oracle",
        "PSNR in dB. 'True depth' puts the samples where the depth maps say, instead of asking "
        "the oracle. 10 training, 10 validation and 20 test views.",
    ]
    for name, title in SCENES.items():
        splits = read(f"{name}_quality")["splits"]
        rows = [
            [
                title,
                split,
                placement,
                *(f"{results[s]['psnr']:.2f}" if s in results else "" for s in SAMPLES),
            ]
            for split, placements in splits.items()
            for placement, results in placements.items()
        ]
        header = ["scene", "views", "placement", *(f"S = {s}" for s in SAMPLES)]
        parts.append(table(header, rows))
    return parts


def speed_tables() -> list[str]:
    """The default flight, how soon the first picture is there, and what memory does."""
    rows, older, starts, growths, cpu, frames = [], [], [], [], {}, 0
    for name, title in SCENES.items():
        report = read(f"{name}_speed")
        cpu = report["machine"]
        rows += [flight_row(title, flight) for flight in report["flights"]]
        older += [flight_row(title, flight) for flight in report["flights_limited_to_avx2"]]
        start = report["first_picture_seconds"]
        starts.append(
            f"{title} {start['median']:.1f} s ({start['with_loops_compiled_anew']:.1f} s)"
        )
        memory = report["memory"]
        frames = memory["frames"]
        growth = memory["at_the_end"] - memory["after_100"]
        growths.append(f"{title} {growth:+.1f} MB of {memory['after_100']:.0f}")
    header = ["scene", "flight", "mean samples", "ms a frame", "fps", "precision"]
    return [
        "## Speed on a CPU",
        f"The default flight on {cpu['threads']} threads of an {cpu['cpu']} "
        f"({cpu['cpu_capability']}), torch {cpu['torch']}; median over the frames. A flight is its "
        "size, samples per ray and options.",
        table(header, rows),
        "The same processor limited to AVX2, as older ones have it:",
        table(header, older),
        "From the start of `python view.py --headless` to its end with one 400x300 picture "
        "written, imports included (in brackets: the first time on a machine, when the loops are "
        f"compiled): {', '.join(starts)}.",
        f"Growth of the process from the 100th to the {frames:,}th frame: {', '.join(growths)}.",
        *adaptive_table(),
        *backend_tables(),
    ]


def adaptive_table() -> list[str]:
    """What the oracle's doubt saves, and what it costs."""
    rows = []
    for name, title in SCENES.items():
        report = read(f"{name}_speed")
        flights = {flight["flight"]: flight for flight in report["flights"]}
        quality = report["adaptive"]
        for way, option in (("exactly", ""), ("adaptive", " --adaptive")):
            flight = flights[f"400x300 {quality['samples']}{option}"]
            rows.append(
                [
                    title,
                    str(quality["samples"]),
                    way,
                    f"{flight['fps']:.1f}",
                    f"{quality[way]['mean_samples']:.2f}",
                    f"{quality[way]['psnr']:.2f}",
                ]
            )
    return [
        "### As many samples as asked for, or as the oracle's doubt asks for",
        "Frames a second of the default flight at 400x300; mean samples and PSNR in dB of all test "
        "views, with the same options.",
        table(["scene", "asked for", "samples", "fps", "mean samples", "PSNR dB, test"], rows),
    ]


BACKEND_RUNS = {
    "pavillon_backends": "The published networks (8x256, raw points), two samples",
    "pavillon_backends_avx2": "The same, limited to AVX2 (onnxruntime is not)",
    "courtyard_backends": "Courtyard (4x128)",
    "courtyard_backends_avx2": "Courtyard, limited to AVX2 (onnxruntime is not)",
    "courtyard_backends_avx2_all": "The same, onnxruntime too (`benchmarks/onnxruntime_avx2.py`)",
}


def backend_tables() -> list[str]:
    """Every way to render in one run, at the run's largest size."""
    parts = ["## Backends against each other, on a CPU"]
    for name, title in BACKEND_RUNS.items():
        if not (RESULTS / f"{name}.json").exists():
            continue
        report = read(name)
        largest = max((row["size"] for row in report["rows"]), key=lambda size: size[0] * size[1])
        chosen = [row for row in report["rows"] if row["size"] == largest]
        parts.append(f"{title}, {largest[0]}x{largest[1]}, one run, all ways in turn:")
        parts.append(table(BACKEND_HEADER, [backend_row(row, chosen) for row in chosen]))
        missing = {one["name"]: one["reason"] for one in report["skipped"]}
        reasons = dict.fromkeys(missing.values())
        parts += [
            f"Not measured: {', '.join(n for n, why in missing.items() if why == reason)} "
            f"({reason})."
            for reason in reasons
        ]
    return parts


BACKEND_HEADER = [
    *("S", "way", "ms", "5-95 %", "times eager fp32", "times onnxruntime"),
    *("product", "mean samples", "dB to eager fp32", "dB, test views"),
]


def backend_row(row: dict[str, Any], others: list[dict[str, Any]]) -> list[str]:
    """One way to render, beside the others with as many samples."""
    ms = {other["name"]: other["ms"] for other in others if other["samples"] == row["samples"]}
    onnx = ms.get("onnxruntime fp32")
    return [
        str(row["samples"]),
        row["name"],
        f"{row['ms']:.0f}",
        f"{row['ms_p5']:.0f}-{row['ms_p95']:.0f}",
        f"{ms['eager fp32'] / row['ms']:.2f}",
        "" if onnx is None else f"{onnx / row['ms']:.2f}",
        "" if row["product_share"] is None else f"{row['product_share']:.0%}",
        f"{row['mean_samples']:.2f}",
        decibel(row["psnr_reference"]),
        decibel(row["psnr_truth"]),
    ]


def decibel(value: float | None) -> str:
    """100 stands for equal pictures."""
    return "" if value is None else "same" if value == 100 else f"{value:.2f}"


def flight_row(title: str, flight: dict[str, Any]) -> list[str]:
    """One flight."""
    return [
        title,
        flight["flight"],
        f"{flight['mean_samples']:.2f}",
        f"{flight['ms_median']:.0f}",
        f"{flight['fps']:.1f}",
        flight["precision"],
    ]


def viewer_table() -> list[str]:
    """What the window costs, how soon it answers, and what it leaves behind."""
    report = read("viewer_interface")
    cpu, window, answer = report["machine"], report["window"], report["answer"]
    still, soak = report["stillness"], report["soak"]
    off_screen, on_screen = report["leaks"], report["window_leaks"]
    errors = {part["gl_error"] for part in (off_screen, on_screen, soak)} - {"GL_NO_ERROR"}
    rows = [
        [
            "`python view.py` to the first picture in the window",
            f"{window['seconds_to_first_picture']:.2f} s, of which torch's import "
            f"{window['seconds_of_torch_import']:.2f} s",
        ],
        [
            "interface work a frame, panel open with all groups, without rasterization",
            f"{report['interface']['ms_median']:.2f} ms (99 %: {report['interface']['ms_99']:.2f})",
        ],
        [
            "key press amid a long refinement to the picture that follows it",
            f"{answer['ms_median']:.0f} ms (at most {answer['ms_max']:.0f}; "
            f"{answer['pictures_max']} picture)",
        ],
        [
            f"changes of the resolution in {still['seconds']:.0f} s at rest",
            f"{still['resolution_changes']}",
        ],
        ["load at rest", f"{window['percent_of_a_core_when_settled']:.1f} % of a core"],
        [
            "memory that 1,000 resizes leave behind, after 100",
            f"{on_screen['megabytes_after_1000_resizes']:+.1f} MB",
        ],
        [
            "memory that 200 swaps of the scene leave behind",
            f"{on_screen['megabytes_after_200_swaps']:+.1f} MB",
        ],
        [
            "memory that 50 contexts leave behind, opened and closed",
            f"{off_screen['megabytes_after_50_contexts']:+.1f} MB",
        ],
        ["OpenGL errors in all of this", ", ".join(errors) or "none"],
        [
            f"{soak['minutes']:.0f} minutes of random input ({soak['steps']:,} steps): camera "
            "outside the cell, not a number",
            f"{soak['outside_the_cell']}, {soak['not_finite']}",
        ],
    ]
    return [
        "## The window",
        f"The courtyard without a hash grid; {cpu['threads']} thread, {cpu['cpu']} "
        f"({cpu['cpu_capability']}), OpenGL by {report['interface']['opengl']}; medians.",
        table(["what", "measured"], rows),
    ]


def training_tables() -> list[str]:
    """What a short training from nothing reaches."""
    rows = []
    for path in sorted(RESULTS.glob("*_quick_training.json")):
        report = json.loads(path.read_text())
        rows.append(
            [
                report["config"],
                f"{report['steps']['oracle']} + {report['steps']['shading']}",
                f"{report['minutes']:.1f}",
                f"{report['peak_memory_mb'] / 1000:.1f}",
                f"{report['samples']['4']['psnr']:.2f}",
            ]
        )
    header = ["config", "steps", "minutes", "memory GB", "PSNR dB at S = 4, test"]
    return [
        "## A short training from nothing",
        "Both networks on the same two cores, start-up, loading and validation included.",
        table(header, rows),
    ]


def one_network_table() -> list[str]:
    """One shading network for all counts against one for each."""
    parts = ["## One network for all sample counts"]
    for path in sorted(RESULTS.glob("*_one_network.json")):
        report = json.loads(path.read_text())
        parts.append(
            f"{report['config']}: shading networks trained for {report['steps']} steps each under "
            "the same oracle; PSNR in dB on the test views."
        )
        alone = report["alone_minus_mixture_db"]
        rows = [
            [s, f"{report['psnr']['mixture'][s]:.2f}", f"{report['psnr'][s][s]:.2f}", f"{gap:+.2f}"]
            for s, gap in alone.items()
        ]
        parts.append(table(["samples", "one for all", "one for this count", "difference"], rows))
    return parts


def engine_table() -> list[str]:
    """Engines that could multiply the networks' matrices on a CPU."""
    path = RESULTS / "cpu_engines.json"
    if not path.exists():
        return []
    report = json.loads(path.read_text())
    cpu = report["machine"]
    header = ["networks", "engine", "ms", "5-95 %", "TFLOP/s", "relative error"]
    rows = [
        [
            row["shape"],
            row["engine"],
            f"{row['ms']:.0f}",
            f"{row['ms_p5']:.0f}-{row['ms_p95']:.0f}",
            f"{row['tflops']:.3f}",
            f"{max(row['relative_errors']):.0e}",
        ]
        for row in report["rows"]
    ]
    packages = ", ".join(f"{name} {version}" for name, version in report["packages"].items())
    return [
        "## Engines for the networks on a CPU",
        f"Both networks alone on the rows of one 400x400 frame with {report['samples']} samples a "
        f"ray, each engine in tiles of its best size, {cpu['threads']} threads of an {cpu['cpu']} "
        f"({cpu['cpu_capability']}); median of {report['rounds']} rounds, all engines in turn "
        f"({packages}). The error is the root mean square difference of the outputs to torch's in "
        "fp32, relative to these.",
        table(header, rows),
    ]


def scenes_tables() -> list[str]:
    """What `render-scene` costs, and whether what it renders is right."""
    if not (RESULTS / "scenes.json").exists():
        return []
    report = read("scenes")
    speed, same = report["speed"], report["same_poses"]
    rows = [
        [f"`{name}`", f"{found['share']:.2%}", f"{found['points']:,}", f"{found['occluded']:,}"]
        for name, found in report["agreement"].items()
        if name != "machine"
    ]
    return [
        "## Scenes of one's own",
        f"`donerf render-scene` of the courtyard at {speed['size'][0]}x{speed['size'][1]} with "
        f"{speed['samples']} samples a pixel and denoising, on {speed['machine']['threads']} "
        f"cores: {speed['seconds_a_view']:.2f} s a view, start-up included (mean of "
        f"{speed['views']}), {speed['peak_memory_mb']:.0f} MB at most.",
        f"{len(same['views'])} test views of the courtyard, rendered again at the same poses: "
        f"{same['psnr']:.1f} dB against the first rendering (other noise, {same['psnr_worst']:.1f} "
        f"in the worst view), and the same depth to {same['depth_tolerance']:g} in "
        f"{same['depth_share']:.2%} of the pixels.",
        *three_commands(report["three_commands"]),
        "`donerf view-data`: points of one view that are where another view sees them, to 1 %:",
        table(["data set", "agree", "points", "hidden"], rows),
    ]


def three_commands(found: dict[str, Any] | None) -> list[str]:
    """A scene of the shared ones rendered, trained and measured as a user would."""
    if found is None:
        return []
    (width, height), steps = found["size"], found["steps"]
    minutes = sum(found["seconds"].values()) / 60
    soon = next(line for line in found["validation_psnr_s4_by_seconds"] if line[1] >= 30)
    return [
        f"`{found['scene']}.blend` by the three commands at {width}x{height}, {found['views'][0]} "
        f"training views, {steps['oracle']} + {steps['shading']} steps: "
        f"{found['test_psnr']['4']:.2f} dB on its test views at S = 4. The training took "
        f"{minutes:.1f} minutes on two cores that did other work beside it; on validation views, "
        f"which are harder here, it passed 30 dB after {soon[0] / 60:.1f}.",
    ]


def read(name: str) -> dict[str, Any]:
    """One result file."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
