"""Samples per ray against quality: render the held-out views and compare."""

from __future__ import annotations

import copy
import json
import math
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from donerf.assets import install_line
from donerf.data.dataset import Dataset, load_dataset
from donerf.evaluation.edges import depth_edges
from donerf.evaluation.metrics import Scores, compare, has_flip, has_ssim
from donerf.files import write_atomically, write_text
from donerf.geometry.camera import Camera
from donerf.model.nerf import NerfNetworks, render_nerf_rays
from donerf.model.pipeline import Networks, render_rays
from donerf.model.placement import quantiles, uniform_probs
from donerf.renderer import Placement, Renderer, RenderOptions, make_renderer
from donerf.scene_file import Scene, load_scene

DEFAULT_SAMPLES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Quality:
    """How good pictures are at one sample count, mean over the views; None was not measured.

    edge_*:  on the pixels beside a jump in depth alone, where there are depth maps
    """

    psnr: float
    ssim: float | None
    flip: float | None
    ms_per_frame: float
    mflop_per_pixel: float
    mean_samples: float
    psnr_per_view: list[float]
    edge_psnr: float | None = None
    edge_ssim: float | None = None
    edge_flip: float | None = None


def evaluate(
    renderer: Renderer,
    scene: Scene,
    dataset: Dataset,
    samples: int,
    placement: Placement = "oracle",
    save: Path | None = None,
    progress: Progress | None = None,
) -> Quality:
    """Render every view of a data set and compare it with its picture.

    save:  a folder that gets picture, ground truth and difference side by side, one file a view
    """
    scores: list[Scores] = []
    times: list[float] = []
    mean_samples: list[float] = []
    task = progress.add_task(f"S = {samples}", total=len(dataset.cameras)) if progress else None
    for index, camera in enumerate(dataset.cameras):
        frame = renderer.render(camera, options_for(dataset, index, samples, placement))
        assert frame is not None, "nobody cancels an evaluation"
        picture, truth = frame.image[..., :3].cpu().numpy(), dataset.colors[index].numpy()
        depth = None if dataset.distances is None else dataset.distances[index]
        edges = None if depth is None else depth_edges(depth)
        scores.append(compare(picture, truth, edges))
        times.append(frame.times.total_ms)
        mean_samples.append(frame.mean_samples)
        if save is not None:
            _save_comparison(picture, truth, save / f"{dataset.split}_{index:05d}_S{samples}.png")
        if progress is not None and task is not None:
            progress.advance(task)
    with_edges = [score for score in scores if score.edge_psnr is not None]
    return Quality(
        psnr=statistics.fmean(score.psnr for score in scores),
        ssim=_mean_or_none([score.ssim for score in scores]),
        flip=_mean_or_none([score.flip for score in scores]),
        # The first frame also pays for the warm-up of every library.
        ms_per_frame=statistics.median(times[1:] or times),
        mflop_per_pixel=count_mflop_per_ray(scene, dataset.cameras[0], samples, placement),
        mean_samples=statistics.fmean(mean_samples),
        psnr_per_view=[round(score.psnr, 3) for score in scores],
        edge_psnr=_mean_or_none([score.edge_psnr for score in with_edges]),
        edge_ssim=_mean_or_none([score.edge_ssim for score in with_edges]),
        edge_flip=_mean_or_none([score.edge_flip for score in with_edges]),
    )


def options_for(
    dataset: Dataset, index: int, samples: int, placement: Placement = "oracle"
) -> RenderOptions:
    """How to render a view of a data set; ValueError where it lacks the depth that is asked for."""
    if placement != "true-depth":
        return RenderOptions(samples=samples, placement=placement)
    if dataset.distances is None:
        raise ValueError(
            "placement 'true-depth' needs depth maps, this data set has none; use "
            "--placement oracle"
        )
    return RenderOptions(
        samples=samples, placement=placement, true_distance=dataset.distances[index]
    )


def count_mflop_per_ray(
    scene: Scene, camera: Camera, samples: int, placement: Placement = "oracle"
) -> float:
    """Matrix products of one ray, counted while they run; a multiply-add is 2 FLOP.

    placement:  without the oracle its work is not done
    """
    from torch.utils.flop_counter import FlopCounterMode

    cell, model = scene.cells[0].cell, scene.cells[0].model
    rays = camera.resized(8, 8).rays()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        if isinstance(model, NerfNetworks):
            render_nerf_rays(rays, cell, copy.deepcopy(model).to("cpu", torch.float32))
        else:
            networks = model.copied_to(torch.device("cpu"), torch.float32)
            u = quantiles(len(rays), samples, torch.device("cpu"))
            render_rays(rays, cell, networks, u, given_probs(placement, networks, len(rays)))
    return counter.get_total_flops() / len(rays) / 1e6


def given_probs(placement: Placement, networks: Networks, rays: int) -> torch.Tensor | None:
    """Any distribution, where the oracle is not asked: what it says costs no product."""
    bins = networks.oracle.settings.bins
    return None if placement == "oracle" else uniform_probs(rays, bins, torch.device("cpu"))


def evaluate_file(
    file: Path,
    data: Path,
    samples: tuple[int, ...] = DEFAULT_SAMPLES,
    split: str = "test",
    placement: Placement = "oracle",
    downscale: int = 1,
    device: str = "auto",
    precision: str = "auto",
    save: Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Evaluate a scene file on a split of a data set; returns what `--json` writes."""
    if not samples or min(samples) < 1:
        raise ValueError(f"sample counts must be 1 or more, got {list(samples)}")
    console = console or Console(stderr=True)
    scene = load_scene(file)
    model = scene.cells[0].model
    if isinstance(model, Networks) and model.shading is None:
        raise ValueError(
            f"an evaluation compares colors, {file} has an oracle but no shading network yet; run "
            "`donerf train shader` first"
        )
    dataset = load_dataset(data, split, downscale, need_depth=placement == "true-depth")
    check_same_place(scene, dataset, file, data)
    renderer = make_renderer(scene, device, precision)
    info = renderer.info
    if info.sample_counts is not None and not {*samples} <= {*info.sample_counts}:
        served = ", ".join(map(str, info.sample_counts))
        raise ValueError(
            f"{file} is rendered with {served} samples per ray, got {list(samples)}; ask for them "
            f"with --samples {served}"
        )
    with Progress(console=console, transient=True) as progress:
        results = {
            count: evaluate(renderer, scene, dataset, count, placement, save, progress)
            for count in samples
        }
    height, width = dataset.colors.shape[1:3]
    return {
        "file": str(file),
        "data": str(data),
        "split": split,
        "views": len(dataset.cameras),
        "placement": placement,
        "device": info.device,
        "backend": info.backend,
        "precision": info.precision,
        "machine": machine(),
        "size": [width, height],
        "samples": {str(count): asdict(quality) for count, quality in results.items()},
    }


def check_same_place(scene: Scene, dataset: Dataset, file: Path, data: Path) -> None:
    """A data set of another scene would give numbers that mean nothing."""
    cell = scene.cells[0].cell
    for name, camera in zip(dataset.names, dataset.cameras, strict=True):
        if not cell.contains(camera.position, tolerance=0.01):
            raise ValueError(
                f"the views must lie in the scene's view cell, '{name}' of {data} lies outside "
                f"that of {file}; name the data set that the scene was trained on"
            )


def print_table(report: dict[str, Any], console: Console) -> None:
    """Show a report of `evaluate_file` as a table."""
    width, height = report["size"]
    # The compiled backend of a CPU has its name.
    renderer = dict.fromkeys((report["backend"], report["device"], report["precision"]))
    table = Table(
        title=f"{report['file']} on {report['views']} {report['split']} views, {width}x{height}, "
        f"{' '.join(renderer)}, placement {report['placement']}"
    )
    for column in ("samples", "PSNR dB", "SSIM", "FLIP", "ms/frame", "MFLOP/pixel"):
        table.add_column(column, justify="right")
    for count, quality in report["samples"].items():
        table.add_row(
            count,
            f"{quality['psnr']:.2f}",
            _or_dash(quality["ssim"], ".4f"),
            _or_dash(quality["flip"], ".4f"),
            f"{quality['ms_per_frame']:.0f}",
            f"{quality['mflop_per_pixel']:.3f}",
        )
    console.print(table)
    if not (has_ssim() and has_flip()):
        # Without markup: rich would take the brackets of the line for its own.
        line = f"SSIM and FLIP need the 'bench' extra: {install_line('bench')}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def write_report(report: dict[str, Any], path: Path) -> None:
    """Write a report as JSON; numbers that JSON lacks (an infinite PSNR) become null."""
    write_text(path, json.dumps(_finite(report), indent=1) + "\n")


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    is_cuda = torch.cuda.is_available()
    return {
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if is_cuda else None,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _save_comparison(picture: np.ndarray, truth: np.ndarray, path: Path) -> None:
    """Picture, ground truth and their difference (4 times enlarged in value), side by side."""
    difference = np.abs(picture.astype(int) - truth) * 4
    row = np.concatenate([picture, truth, difference.clip(0, 255).astype(np.uint8)], axis=1)
    write_atomically(path, lambda beside: iio.imwrite(beside, row))


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
