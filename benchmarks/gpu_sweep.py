"""The whole quality benchmark, for a GPU, in sittings that go on where the last one stopped.

    python benchmarks/gpu_sweep.py --out out/gpu_sweep               a sitting of nine minutes
    python benchmarks/gpu_sweep.py --out out/gpu_sweep --minutes 60  a longer one
    python benchmarks/gpu_sweep.py --out out/sweep --smoke           tiny, to see that it works

Both scenes at 400x400. `reference` trains every method with networks of the published size and NeRF
at its full size, `compact` ours and its alternatives with those of the configs, `ablations` changes
one setting at a time. Ends between two steps with everything saved; the same command goes on, and
what is left is printed. OUT/<stage> is the --out folder of a `donerf benchmark quality` and holds
its results at any time; its report.html says that the stage is done and not looked at again.
"""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from donerf.config import Config, load_config
from donerf.data.procedural import write_procedural_dataset
from donerf.evaluation.quality_report import write_html
from donerf.evaluation.sweep import SweepSettings, run_sweep
from donerf.evaluation.sweep_training import Budget, Trainings
from donerf.evaluation.variants import METHODS, Variant, choose_variants, is_said_already
from donerf.files import write_text
from donerf.training.run import to_toml

ROOT = Path(__file__).resolve().parent.parent
SCENES = ("courtyard", "living_room")
Changes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Stage:
    """One benchmark of the sweep; `changes` are to the scenes' configs, by section."""

    name: str
    methods: tuple[str, ...]
    samples: tuple[int, ...]
    changes: Changes
    ablations: bool = False


ALL = tuple(variant.name for variant in METHODS)
OURS = tuple(variant.name for variant in METHODS if not variant.is_nerf)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)


def _trained(steps: int, checkpoint_every: int) -> dict[str, dict[str, int]]:
    loop = {"steps": steps, "checkpoint_every": checkpoint_every}
    return {"oracle_training": loop, "shading_training": loop}


_PUBLISHED_SIZE = {"layers": 8, "width": 256}
STAGES = (
    Stage(
        "reference",
        ALL,
        COUNTS,
        {
            **_trained(100_000, 5000),
            "nerf_training": {"steps": 200_000, "checkpoint_every": 5000},
            "oracle": _PUBLISHED_SIZE,
            "shading": _PUBLISHED_SIZE,
            "nerf": _PUBLISHED_SIZE | {"coarse_samples": 64, "fine_samples": 128},
        },
    ),
    Stage("compact", OURS, COUNTS, _trained(100_000, 5000)),
    Stage("ablations", ("donerf",), (2, 4, 8), _trained(20_000, 2000), ablations=True),
)
SMOKE: Changes = {
    "oracle": {"layers": 3, "width": 16},
    "shading": {"layers": 3, "width": 16},
    "nerf": {"layers": 4, "width": 16, "coarse_samples": 4, "fine_samples": 4},
    "oracle_training": {"steps": 4, "rays_per_step": 64, "warmup_steps": 0},
    "shading_training": {"steps": 4, "rays_per_step": 64, "warmup_steps": 0},
    "joint_training": {"steps": 4, "rays_per_step": 64, "warmup_steps": 0},
    "nerf_training": {"steps": 4, "rays_per_step": 32, "warmup_steps": 0},
}


def main(given: Sequence[str] | None = None) -> None:
    """One sitting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "gpu_sweep")
    parser.add_argument("--minutes", type=float, default=9, help="after which it stops; 9")
    parser.add_argument("--smoke", action="store_true", help="tiny networks, scenes and trainings")
    asked = parser.parse_args(given)
    console = Console(width=120)
    try:
        with stopped_after(asked.minutes):
            for stage in STAGES:
                settings = prepare(stage, asked.out, asked.smoke)
                if not (settings.out / "report.html").exists():
                    rows, scenes = run_sweep(settings, console)
                    write_html(rows, scenes, settings.out)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on")
    for stage in STAGES:
        print("\n".join(what_is_left(stage, prepare(stage, asked.out, asked.smoke))))


@contextmanager
def stopped_after(minutes: float) -> Iterator[None]:
    """Press Ctrl-C after some minutes: a training saves itself between two steps then."""
    timer = threading.Timer(60 * minutes, signal.raise_signal, [signal.SIGINT])
    timer.daemon = True
    # A shell starts what runs in its background with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


def prepare(stage: Stage, out: Path, is_smoke: bool) -> SweepSettings:
    """A stage's benchmark; its configs are written into its folder."""
    folder = out / stage.name
    files = tuple(folder / f"{name}.toml" for name in SCENES)
    for seed, file in enumerate(files):
        config = changed(load_config(ROOT / "configs" / file.name), stage.changes)
        if is_smoke:
            data = out / "data" / file.stem
            if not (data / "dataset_info.json").exists():
                write_procedural_dataset(data, size=(24, 18), views=(4, 1, 2), seed=seed)
            config = changed(config, {**SMOKE, "scene": {"folder": data}})
            config = config.model_copy(update={"precision": "fp32"})
        write_text(file, to_toml(config))
    samples = stage.samples[:3] if is_smoke else stage.samples
    return SweepSettings(files, stage.methods, samples, folder, stage.ablations)


def changed(config: Config, changes: Changes) -> Config:
    """A config with other values in some of its sections."""
    return Variant("gpu_sweep", "", changes).config(config)


def what_is_left(stage: Stage, settings: SweepSettings) -> list[str]:
    """Lines that say how far a stage has come: what is begun, and the sum."""
    lines, taken, asked = [], 0, 0
    for file in settings.configs:
        config = load_config(file)
        folder = settings.out / file.stem
        trainings = Trainings(config, folder, Budget(), False, Console())
        runs: dict[Path, tuple[int, int]] = {}
        for variant in choose_variants(settings.methods, settings.ablations):
            if not is_said_already(variant, config):
                runs |= trainings.progress(variant)
        for run, (done, steps) in runs.items():
            taken, asked = taken + min(done, steps), asked + steps
            if 0 < done < steps:
                lines.append(f"  {run.relative_to(settings.out)}: {done} of {steps} steps")
    if (settings.out / "report.html").exists():
        return [f"{stage.name}: done, see {settings.out / 'report.html'}"]
    return [f"{stage.name}: {asked - taken} of {asked} steps are left", *lines]


if __name__ == "__main__":
    main()
