"""How much worse is a picture from a new place than one from a place that was trained on?

    python benchmarks/gap.py configs/courtyard.toml configs/living_room.toml --runs out/gap

Test views and training views of a data set show other things, and pictures of one scene differ by
several decibels: a difference of their means says as much of the views as of the networks. Here a
quarter of the training views, drawn at random, is left out of the training; what was left out is
then as hard as what was not, up to the error that is stated. Trains ours and
the published recipe on the rest. Runs that are there are taken over. Writes
benchmarks/results/gap.json.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from pathlib import Path
from typing import Any

from rich.console import Console

from donerf.config import load_config
from donerf.data.dataset import load_dataset
from donerf.evaluation.quality import evaluate, machine, write_report
from donerf.evaluation.sweep_training import Budget, Trainings
from donerf.evaluation.variants import variant_named
from donerf.files import write_text
from donerf.renderer import make_renderer

METHODS = ("donerf", "recipe")
SAMPLES = 4
SHARE_LEFT_OUT = 0.25
SEED = 7


def main() -> None:
    """Leave views out, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", type=Path, nargs="+")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--downscale", type=int, default=2)
    parser.add_argument("--oracle-steps", type=int, default=800)
    parser.add_argument("--shading-steps", type=int, default=1200)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    console = Console(stderr=True)
    budget = Budget(arguments.oracle_steps, arguments.shading_steps)
    rows: list[dict[str, Any]] = []
    for file in arguments.configs:
        folder = arguments.runs / file.stem
        config = load_config(file)
        leave_views_out(config.scene.folder, folder / "data")
        scene = config.scene.model_copy(
            update={"folder": folder / "data", "downscale": arguments.downscale}
        )
        config = config.model_copy(update={"scene": scene})
        trainings = Trainings(config, folder, budget, True, console)
        for method in METHODS:
            row = {"scene": file.stem, "method": method} | measure(trainings, method)
            console.print(f"{row}", highlight=False)
            rows.append(row)
    report = {
        "samples": SAMPLES,
        "downscale": arguments.downscale,
        "machine": machine(),
        "rows": rows,
    }
    write_report(report, arguments.out / "gap.json")


def leave_views_out(source: Path, folder: Path) -> None:
    """A data set of the source's training views alone: some of them are its test views now."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        link = folder / entry.name
        if not entry.name.startswith("transforms_") and not link.is_symlink():
            link.symlink_to(entry.resolve())
    document = json.loads((source / "transforms_train.json").read_text(encoding="utf-8"))
    frames = document["frames"]
    order = random.Random(SEED).sample(range(len(frames)), len(frames))
    left_out = sorted(order[: round(SHARE_LEFT_OUT * len(frames))])
    kept = sorted(set(order) - set(left_out))
    for split, indices in {"train": kept, "val": left_out, "test": left_out}.items():
        part = document | {"frames": [frames[i] for i in indices]}
        write_text(folder / f"transforms_{split}.json", json.dumps(part))


def measure(trainings: Trainings, method: str) -> dict[str, Any]:
    """PSNR on all views that were trained on and on all that were left out, and the gap."""
    variant = variant_named(method)
    scene = trainings.scene_of(variant)
    backend = "auto" if variant.placement == "oracle" else "eager"
    renderer = make_renderer(scene, backend=backend)
    config = trainings.config.scene
    psnr: dict[str, list[float]] = {}
    for name, split in {"trained": "train", "left_out": "test"}.items():
        views = load_dataset(config.folder, split, config.downscale, need_depth=True)
        psnr[name] = evaluate(renderer, scene, views, SAMPLES, variant.placement).psnr_per_view
    renderer.close()
    means = {name: statistics.fmean(values) for name, values in psnr.items()}
    variance = sum(statistics.variance(values) / len(values) for values in psnr.values())
    steps = [scene.metadata.provenance[part]["steps"] for part in ("oracle", "shading")]
    return {
        "steps": " + ".join(map(str, steps)),
        "psnr": {name: round(value, 3) for name, value in means.items()},
        "views": {name: len(values) for name, values in psnr.items()},
        "gap": round(means["trained"] - means["left_out"], 3),
        "standard_error": round(math.sqrt(variance), 3),
    }


if __name__ == "__main__":
    main()
