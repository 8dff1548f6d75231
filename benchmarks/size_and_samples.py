"""Measure what smaller pictures and fewer samples cost in quality, and write the dial's table.

python benchmarks/size_and_samples.py --scenes courtyard_grid living_room_grid --data-folder data

Every validation view is rendered at each size and count, stretched to its full size as the window
does, and compared with its picture. Writes benchmarks/results/size_and_samples.json with all of it,
and assets/size_and_samples.json, from which the viewer's budget dial reads its front.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from measure import SCENES
from PIL import Image
from rich.progress import track

from donerf import Renderer, RenderOptions, Scene, load_scene, make_renderer
from donerf.data.dataset import Dataset, load_dataset
from donerf.evaluation.metrics import psnr
from donerf.evaluation.quality import count_mflop_per_ray, machine
from donerf.files import write_text

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = (1, 2, 4, 8, 16)
SCALES = (0.125, 0.177, 0.25, 0.354, 0.5, 0.707, 1.0)


def main() -> None:
    """Measure the scenes; those that are not named keep their earlier results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--data-folder", type=Path, default=ROOT / "data")
    options = parser.parse_args()
    results = ROOT / "benchmarks" / "results" / "size_and_samples.json"
    report: dict[str, Any] = {"split": "val", "scales": SCALES, "scenes": {}}
    if results.exists():
        report = json.loads(results.read_text())
    for name in options.scenes:
        scene = load_scene(ROOT / "assets" / f"{name}.donerf")
        views = load_dataset(options.data_folder / SCENES[name], "val")
        report["scenes"][name] = measure(scene, views)
    report["machine"] = machine()
    write_text(results, json.dumps(report, indent=1) + "\n")
    table = {
        "split": "val",
        "scales": SCALES,
        "scenes": {part["sha256"]: part["psnr"] for part in report["scenes"].values()},
    }
    write_text(ROOT / "assets" / "size_and_samples.json", json.dumps(table) + "\n")


def measure(scene: Scene, dataset: Dataset) -> dict[str, Any]:
    """PSNR of one scene by samples and scale, and the cost of a pixel by samples."""
    renderer = make_renderer(scene)
    points = [(samples, scale) for samples in SAMPLES for scale in SCALES]
    decibels = {
        (samples, scale): round(mean_psnr(renderer, dataset, samples, scale), 3)
        for samples, scale in track(points, scene.name)
    }
    return {
        "sha256": scene.metadata.sha256,
        "views": len(dataset.cameras),
        "precision": renderer.info.precision,
        "psnr": {str(s): [decibels[s, scale] for scale in SCALES] for s in SAMPLES},
        "mflop_per_pixel": {
            str(s): count_mflop_per_ray(scene, dataset.cameras[0], s) for s in SAMPLES
        },
    }


def mean_psnr(renderer: Renderer, dataset: Dataset, samples: int, scale: float) -> float:
    """Over the views, in dB."""
    values = []
    for camera, truth in zip(dataset.cameras, dataset.colors.numpy(), strict=True):
        height, width = truth.shape[:2]
        small = camera.resized(round(width * scale), round(height * scale))
        frame = renderer.render(small, RenderOptions(samples=samples))
        assert frame is not None, "nobody cancels a measurement"
        picture = Image.fromarray(frame.image[..., :3].cpu().numpy())
        stretched = picture.resize((width, height), Image.Resampling.BILINEAR)
        values.append(psnr(np.asarray(stretched), truth))
    return float(np.mean(values))


if __name__ == "__main__":
    main()
