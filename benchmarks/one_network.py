"""Does one shading network serve all sample counts as well as one trained for each alone?

    python benchmarks/one_network.py configs/courtyard.toml --oracle-run runs/courtyard/oracle

Trains four shading networks under the same oracle for the same number of steps: one on the
mixture of the config, and one each for S = 2, 4 and 8 alone; then measures all on the test views.
Trainings that are done are not repeated. Writes benchmarks/results/<config>_one_network.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from donerf.config import Config, load_config
from donerf.data.dataset import load_dataset
from donerf.evaluation.quality import evaluate, machine, write_report
from donerf.renderer import make_renderer
from donerf.scene_file import Scene, load_scene
from donerf.training.run import checkpoints
from donerf.training.shading import train_shading

ALONE = (2, 4, 8)
MIXTURE = "mixture"


def main() -> None:
    """Train what is missing, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--oracle-run", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--runs", type=Path, default=Path("runs/one_network"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    base = load_config(arguments.config)
    test = load_dataset(base.scene.folder, "test", base.scene.downscale)
    psnr: dict[str, dict[str, float]] = {}
    provenance: dict[str, Any] = {}
    for name, counts in [
        (MIXTURE, base.shading_training.samples),
        *((str(s), (s,)) for s in ALONE),
    ]:
        config = with_shading_training(base, steps=arguments.steps, samples=counts)
        scene = trained(config, arguments.runs / arguments.config.stem / name, arguments.oracle_run)
        renderer = make_renderer(scene)
        measured = counts if name == MIXTURE else (int(name),)
        psnr[name] = {str(s): evaluate(renderer, scene, test, s).psnr for s in measured}
        provenance[name] = scene.metadata.provenance.get("shading", {})
        print(name, {s: round(value, 2) for s, value in psnr[name].items()}, flush=True)
    gap = {str(s): psnr[str(s)][str(s)] - psnr[MIXTURE][str(s)] for s in ALONE}
    report = {
        "config": str(arguments.config),
        "steps": arguments.steps,
        "split": "test",
        "machine": machine(),
        "psnr": psnr,
        "alone_minus_mixture_db": gap,
        "training": provenance,
    }
    write_report(report, arguments.out / f"{arguments.config.stem}_one_network.json")


def with_shading_training(config: Config, **changes: Any) -> Config:
    """The same settings with some of the shading training's replaced."""
    training = config.shading_training.model_copy(update=changes)
    return config.model_copy(update={"shading_training": training})


def trained(config: Config, run_folder: Path, oracle_run: Path) -> Scene:
    """The scene of a finished run; trains it, or goes on with it, first if need be."""
    done = checkpoints(run_folder)
    if done and int(done[-1].stem) == config.shading_training.steps:
        return load_scene(done[-1])
    return train_shading(config, run_folder, oracle_run, resume=bool(done), console=Console())


if __name__ == "__main__":
    main()
