"""Measure the scenes in assets/ and write what README and docs state: quality, speed, start-up.

    python benchmarks/measure.py --data data --out benchmarks/results

Needs the full data sets in data/<scene> and a machine that does nothing else. Takes about ten
minutes on two cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from donerf.data.dataset import Dataset, load_dataset
from donerf.evaluation.cost import center_camera
from donerf.evaluation.metrics import psnr
from donerf.evaluation.quality import evaluate, machine, write_report
from donerf.renderer import Placement, RenderOptions, make_renderer
from donerf.scene_file import load_scene

ROOT = Path(__file__).resolve().parent.parent
SCENES = {
    "courtyard": "courtyard",
    "living_room": "living_room",
    "courtyard_grid": "courtyard",
    "living_room_grid": "living_room",
}
"""The files in assets/ and the data sets that they were trained on."""
SAMPLES: dict[Placement, tuple[int, ...]] = {
    "oracle": (1, 2, 4, 8, 16),
    "true-depth": (1, 4, 16),
}
VIEWS = {"train": 10, "val": 10, "test": 20}
"""Of each split; the training views are taken evenly."""
FLIGHTS = ("400x300 4", "400x300 4 --adaptive", "400x300 1", "240x180 2")
"""Size, samples per ray and options of the default flight."""
AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CACHE_DIR": str(Path(tempfile.gettempdir()) / "donerf-avx2-loops"),
}
"""What makes this processor an older one to oneDNN, torch and numba."""
STARTS = 5
FRAMES_OF_GROWTH = 10_000


def main() -> None:
    """Measure everything and write one JSON a topic."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--only", choices=("quality", "speed"))
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=list(SCENES))
    arguments = parser.parse_args()
    for scene in arguments.scenes:
        data = arguments.data / SCENES[scene]
        if arguments.only != "speed":
            report = measure_quality(scene, data)
            write_report(report, arguments.out / f"{scene}_quality.json")
        if arguments.only != "quality":
            report = measure_speed(scene, data)
            write_report(report, arguments.out / f"{scene}_speed.json")


def measure_quality(scene_name: str, data: Path) -> dict[str, Any]:
    """PSNR, SSIM and FLIP on all splits, with the oracle's placement and with a perfect one."""
    file = Path("assets") / f"{scene_name}.donerf"
    scene = load_scene(ROOT / file)
    renderer = make_renderer(scene)
    console = Console(stderr=True)
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for split, count in VIEWS.items():
        views = some_views(load_dataset(data, split, need_depth=True), count)
        for placement, sample_counts in SAMPLES.items():
            results = {
                str(samples): dataclasses.asdict(
                    evaluate(renderer, scene, views, samples, placement)
                )
                for samples in sample_counts
            }
            rows.setdefault(split, {})[placement] = results
            line = ", ".join(f"S={s} {q['psnr']:.2f}" for s, q in results.items())
            console.print(f"{scene_name} {split} {placement}: {line}", highlight=False)
    return {
        "file": str(file),
        "sha256": scene.metadata.sha256,
        "data": data.name,
        "views": VIEWS,
        "backend": renderer.info.backend,
        "precision": renderer.info.precision,
        "machine": machine(),
        "splits": rows,
    }


def some_views(dataset: Dataset, count: int) -> Dataset:
    """At most so many of a split's views, evenly taken."""
    last = len(dataset.cameras) - 1
    keep = sorted({round(i * last / (count - 1)) for i in range(count)})
    assert dataset.distances is not None
    return dataclasses.replace(
        dataset,
        names=[dataset.names[i] for i in keep],
        cameras=[dataset.cameras[i] for i in keep],
        colors=dataset.colors[keep],
        distances=dataset.distances[keep],
    )


def measure_speed(scene_name: str, data: Path) -> dict[str, Any]:
    """The default flight at several sizes, and the time from process start to the first picture.

    Written as PNG files: an encoder of films would run beside the renderer and take its cores.
    """
    file = Path("assets") / f"{scene_name}.donerf"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        flights = [fly(file, flight, out / "frames") for flight in FLIGHTS]
        older = [fly(file, flight, out / "frames", AVX2) for flight in ("240x180 2", "400x300 4")]
        starts = [time_start(file, out, {}) for _ in range(STARTS)]
        loops = {"NUMBA_CACHE_DIR": str(out / "loops")}
        first_ever = time_start(file, out, loops)
    return {
        "file": str(file),
        "sha256": load_scene(ROOT / file).metadata.sha256,
        "machine": machine(),
        "flights": flights,
        "flights_limited_to_avx2": older,
        "first_picture_seconds": {
            "median": statistics.median(starts),
            "all": [round(seconds, 2) for seconds in starts],
            "with_loops_compiled_anew": round(first_ever, 2),
            "note": "whole process: start, imports, one 400x300 picture, file written, exit",
        },
        "memory": measure_growth(file),
        "adaptive": measure_adaptive(file, data),
    }


def fly(
    file: Path, flight: str, out: Path, variables: dict[str, str] | None = None, frames: int = 30
) -> dict[str, Any]:
    """Run the program as a user would and read the JSON line it ends with."""
    size, samples, *options = flight.split()
    command = [sys.executable, str(ROOT / "view.py"), str(ROOT / file), "--headless",
               "--frames", str(frames), "--size", size, "--samples", samples, *options,
               "--out", str(out)]  # fmt: skip
    environment = os.environ | (variables or {})
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    summary = json.loads(result.stdout.strip().splitlines()[-1])
    summary.pop("out", None)  # A temporary folder says nothing about speed.
    return {"flight": flight} | summary


def time_start(file: Path, out: Path, variables: dict[str, str]) -> float:
    """Seconds of a whole process that renders one picture."""
    began = time.perf_counter()
    fly(file, "400x300 4", out / "first.png", variables, frames=1)
    return time.perf_counter() - began


def measure_growth(file: Path) -> dict[str, Any]:
    """Memory of this process over many small frames, in MB."""
    scene = load_scene(ROOT / file)
    renderer = make_renderer(scene, "cpu")
    camera = center_camera(scene.cells[0].cell, 64, 48)
    before = 0.0
    for frame in range(FRAMES_OF_GROWTH):
        renderer.render(camera, RenderOptions(adaptive=frame % 2 == 0))
        if frame == 100:
            before = resident_mb()
    return {"frames": FRAMES_OF_GROWTH, "after_100": before, "at_the_end": resident_mb()}


def measure_adaptive(file: Path, data: Path) -> dict[str, Any]:
    """PSNR on all test views with exactly as many samples as asked for, and by the oracle's doubt.

    All else as in the flights.
    """
    views = load_dataset(data, "test")
    renderer = make_renderer(load_scene(ROOT / file))
    rows: dict[str, Any] = {"samples": RenderOptions().samples, "views": len(views.cameras)}
    for name, is_adaptive in (("exactly", False), ("adaptive", True)):
        scores: list[float] = []
        shaded: list[float] = []
        for camera, truth in zip(views.cameras, views.colors, strict=True):
            frame = renderer.render(camera, RenderOptions(adaptive=is_adaptive))
            assert frame is not None, "nobody cancels"
            scores.append(psnr(frame.image[..., :3].numpy(), truth.numpy()))
            shaded.append(frame.mean_samples)
        rows[name] = {
            "psnr": round(statistics.fmean(scores), 3),
            "mean_samples": round(statistics.fmean(shaded), 3),
        }
    renderer.close()
    return rows


def resident_mb() -> float:
    """Memory that this process holds now, MB; Linux."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


if __name__ == "__main__":
    main()
