"""Measure `render-scene` and `view-data`: time and memory, and what they make, against known data.

    python benchmarks/scenes.py --scenes scenes --data data

Needs the .blend files of data sets that are there already, Blender (`donerf setup-blender`), and a
machine that does nothing else; takes about three minutes on two cores. Writes
benchmarks/results/scenes.json and leaves in it what it does not measure.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from donerf.data import blender_script
from donerf.data.blender import find_blender
from donerf.data.dataset import load_dataset
from donerf.data.view_data import inspect, read_all_views
from donerf.evaluation.metrics import psnr
from donerf.evaluation.quality import machine, write_report

ROOT = Path(__file__).resolve().parent.parent
SCENE = "courtyard"
COUNTS = ("--train", "16", "--val", "2", "--test", "2")
SAME_VIEWS = 4
DEPTH_TOLERANCE = 1e-3


def main() -> None:
    """Measure what is asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, default=Path("scenes"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/scenes.json")
    parser.add_argument("--only", choices=("speed", "same_poses", "agreement"))
    arguments = parser.parse_args()
    scene, data = arguments.scenes / f"{SCENE}.blend", arguments.data / SCENE
    small = ROOT / "assets/data/courtyard_small"
    parts = {
        "speed": lambda: speed(scene),
        "same_poses": lambda: same_poses(scene, data),
        "agreement": lambda: agreement([data, arguments.data / "living_room", small]),
    }
    # Measured by hand: three commands and a quarter of an hour.
    report: dict[str, Any] = {"three_commands": None}
    if arguments.out.exists():
        report |= json.loads(arguments.out.read_text(encoding="utf-8"))
    for name, measure in parts.items():
        if arguments.only in (None, name):
            report[name] = measure() | {"machine": machine()}
            print(name, json.dumps(report[name], indent=1))
    write_report(report, arguments.out)


def render(scene: Path, words: Sequence[str]) -> tuple[float, list[float]]:
    """Seconds of the whole run and of each view, as the script that runs in Blender says."""
    script = ROOT / "donerf/data/blender_script.py"
    command = find_blender(None).command(script, [str(scene), *words])
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    views = re.findall(r"^donerf: rendered \S+ in (\S+) s$", done.stdout, re.MULTILINE)
    return seconds, [float(view) for view in views]


def speed(scene: Path) -> dict[str, Any]:
    """Seconds a view and the most memory, with the defaults and at 200x200."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["--out", f"{folder}/data", "--size", "200", "200", *COUNTS]
        seconds, views = render(scene, words)
    return {
        "scene": SCENE,
        "size": [200, 200],
        "samples": blender_script.parse_options(["a.blend", "--out", "b"]).samples,
        "views": len(views),
        "seconds": seconds,
        "seconds_a_view": seconds / len(views),
        "seconds_a_view_median": statistics.median(views),
        "seconds_a_view_max": max(views),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def same_poses(scene: Path, data: Path) -> dict[str, Any]:
    """Some views of a data set, rendered again from its scene and compared."""
    frames = json.loads((data / "transforms_test.json").read_text(encoding="utf-8"))["frames"]
    chosen = frames[:: len(frames) // SAME_VIEWS][:SAME_VIEWS]
    info = json.loads((data / "dataset_info.json").read_text(encoding="utf-8"))
    truth = load_dataset(data, "test", need_depth=True)
    with tempfile.TemporaryDirectory() as folder:
        poses, again = Path(folder, "transforms_test.json"), Path(folder, "again")
        poses.write_text(json.dumps({"frames": chosen}), encoding="utf-8")
        width, height = map(str, info["resolution"])
        words = ["--out", str(again), "--poses", str(poses), "--size", width, height]
        render(scene, words)
        # The ranges of the known set: so few views would give others.
        (again / "dataset_info.json").write_bytes((data / "dataset_info.json").read_bytes())
        rendered = load_dataset(again, "test", need_depth=True)
    assert truth.distances is not None and rendered.distances is not None, "they were asked for"
    decibels, close, total = [], 0, 0
    for index, name in enumerate(rendered.names):
        known = truth.names.index(name)
        colors = rendered.colors[index].numpy(), truth.colors[known].numpy()
        decibels.append(psnr(*colors))
        depths = rendered.distances[index].numpy(), truth.distances[known].numpy()
        is_sky = np.isinf(depths[0]) & np.isinf(depths[1])
        close += int((is_sky | np.isclose(*depths, rtol=DEPTH_TOLERANCE, atol=0)).sum())
        total += depths[0].size
    return {
        "scene": SCENE,
        "size": info["resolution"],
        "views": rendered.names,
        "psnr": statistics.mean(decibels),
        "psnr_worst": min(decibels),
        "depth_tolerance": DEPTH_TOLERANCE,
        "depth_share": close / total,
    }


def agreement(folders: Sequence[Path]) -> dict[str, Any]:
    """What `donerf view-data` finds: points that other views see where they are, to 1 %."""
    found = {}
    for folder in folders:
        report = inspect(*read_all_views(folder))
        found[folder.name] = {
            "share": report.agreement.share,
            "points": report.agreement.agreeing + report.agreement.differing,
            "occluded": report.agreement.occluded,
            "warnings": list(report.warnings),
        }
    return found


if __name__ == "__main__":
    main()
