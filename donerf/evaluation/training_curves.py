"""How good a method was after how much training: what its run folders say, as curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from donerf.config import Config, ShadingTrainingSettings, load_config
from donerf.evaluation.cost import product_mflop
from donerf.evaluation.quality import write_report
from donerf.evaluation.variants import Network
from donerf.model.nerf import NerfNetworks
from donerf.scene_file import Scene, load_scene
from donerf.training.shading import rays_of_step

_PASSES = 3
"""A network that learns: forwards, and backwards to its inputs and to its weights. The first layer
needs no gradient of its inputs; that is not deducted."""


@dataclass(frozen=True)
class TrainingPoint:
    """Quality on the validation views after so much training of all the method's networks.

    seconds:      by the clock on the wall
    cpu_seconds:  of one core; None where a run was begun before they were counted
    """

    seconds: float
    tflop: float
    psnr: float
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class TrainingCurve:
    """One method's way up.

    samples:  per ray, at which it was looked at; evaluations for NeRF
    device:   that its networks were trained on
    """

    scene: str
    method: str
    title: str
    samples: int
    points: list[TrainingPoint]
    device: str = "cpu"

    @property
    def has_core_seconds(self) -> bool:
        """Whether it can be drawn over the work of the cores, which is what a CPU's time means."""
        return self.device == "cpu" and all(p.cpu_seconds is not None for p in self.points)


def write_curves(curves: Sequence[TrainingCurve], folder: Path) -> None:
    """Write training.json."""
    write_report({"curves": [asdict(curve) for curve in curves]}, folder / "training.json")


def read_curves(folder: Path) -> list[TrainingCurve]:
    """Curves of an earlier run, none where there was none or where they cannot be read."""
    try:
        found = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        return [_curve(values) for values in found["curves"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # They are made anew from the run folders of what is asked for.


def _curve(values: dict[str, Any]) -> TrainingCurve:
    parts: dict[str, Any] = dict(values)
    parts["points"] = [TrainingPoint(**point) for point in values["points"]]
    return TrainingCurve(**parts)


def training_points(runs: dict[Network, Path], scene: Scene, samples: int) -> list[TrainingPoint]:
    """The looks at the validation views of the last of some runs; those before it are paid first.

    runs:     in the order of training
    scene:    what came out of them
    samples:  at which the looks of a network that serves several counts are taken
    """
    seconds, cpu_seconds, tflop, points = 0.0, 0.0, 0.0, list[TrainingPoint]()
    logs = {network: _log(folder) for network, folder in runs.items()}
    # A run that was begun before they were counted has a part of them at most.
    are_counted = all("cpu_seconds" in line for log in logs.values() for line in log)
    for network, folder in runs.items():
        per_step = step_tflop(load_config(folder / "config.toml"), network, scene)
        points = [
            TrainingPoint(
                seconds + line["seconds"],
                tflop + line["step"] * per_step,
                psnr,
                cpu_seconds + line["cpu_seconds"] if are_counted else None,
            )
            for line in logs[network]
            if (psnr := _psnr(line, samples)) is not None
        ]
        trained = scene.metadata.provenance[network]
        seconds, tflop = seconds + trained["seconds"], tflop + trained["steps"] * per_step
        cpu_seconds += trained.get("cpu_seconds", 0.0)
    return points


def training_cost(runs: dict[Network, Path], scene: Scene) -> float:
    """TFLOP of matrix products in some runs, from their first step to their last."""
    return sum(
        scene.metadata.provenance[network]["steps"]
        * step_tflop(load_config(folder / "config.toml"), network, scene)
        for network, folder in runs.items()
    )


def step_tflop(config: Config, network: Network, scene: Scene) -> float:
    """TFLOP of matrix products in one step, in the mean over the sample counts it may draw.

    A network that learns is passed three times, a frozen one once: the oracle, and a teacher's.
    """
    model = scene.cells[0].model
    if isinstance(model, NerfNetworks):
        asked = model.settings.coarse_samples
        per_ray = asked * product_mflop(model.coarse)
        per_ray += (model.evaluations - asked) * product_mflop(model.fine)
        return 1e-6 * _PASSES * config.nerf_training.rays_per_step * per_ray
    assert model.shading is not None, "a curve is of what has colors"
    oracle, shading = product_mflop(model.oracle), product_mflop(model.shading)
    if network == "oracle":
        return 1e-6 * _PASSES * config.oracle_training.rays_per_step * oracle
    settings = config.joint_training if network == "joint" else config.shading_training
    asked = oracle if config.shading_training.placement == "oracle" else 0.0
    if network == "joint" and config.joint_training.oracle_rate > 0:
        asked *= _PASSES
    costs = [rays_of_step(settings, s) * (asked + _PASSES * s * shading) for s in settings.samples]
    taught = _teacher_mflop(config.shading_training) if network == "shading" else 0.0
    return 1e-6 * (sum(costs) / len(costs) + mean_rays(config, network) * taught)


def _teacher_mflop(settings: ShadingTrainingSettings) -> float:
    """Of a teacher's matrix products, in the mean over all rays; 0 without one."""
    if settings.teacher is None:
        return 0.0
    networks = load_scene(settings.teacher).cells[0].networks
    assert networks.shading is not None, "it taught colors"
    shading = settings.teacher_samples * product_mflop(networks.shading)
    return settings.teacher_share * (product_mflop(networks.oracle) + shading)


def mean_rays(config: Config, network: Network) -> float:
    """Rays in a step of a network's training, in the mean."""
    if network in ("oracle", "nerf"):
        return getattr(config, f"{network}_training").rays_per_step
    settings = config.joint_training if network == "joint" else config.shading_training
    return sum(rays_of_step(settings, s) for s in settings.samples) / len(settings.samples)


def _log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; one that was cut off is left out."""
    lines = []
    for text in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def _psnr(line: dict[str, Any], samples: int) -> float | None:
    found = line.get("validation_psnr")
    return found.get(str(samples)) if isinstance(found, dict) else found
