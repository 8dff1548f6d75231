"""Speed and quality of every way to render a scene, measured in one run and side by side.

In each round every contender makes one frame, so that what disturbs the machine for a while
disturbs all alike. The first two frames of each are not timed; a frame's time ends when its
picture is there.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from donerf.data.dataset import Dataset, load_dataset
from donerf.evaluation.bare import measure_bare_speed
from donerf.evaluation.contenders import REFERENCE, Contender
from donerf.evaluation.cost import Work, center_camera, layer_rows, ray_cost
from donerf.evaluation.metrics import psnr
from donerf.evaluation.quality import check_same_place, machine
from donerf.evaluation.speed_report import Skipped, SpeedReport, Truth, line_fits
from donerf.evaluation.timing import FEWEST_FRAMES, Pictures, Row
from donerf.geometry.camera import Camera
from donerf.precision import DTYPES, choose_device
from donerf.scene_file import Scene, load_scene

_LINE_SECONDS = 10.0
"""Between two lines of progress where there is no terminal."""
_POSES = 3
"""Views that the rounds take in turn: adaptive work depends on what is seen."""
_SPLIT = "test"


@dataclass(frozen=True)
class SpeedSettings:
    """What is measured.

    sizes:    (width, height) in pixels
    frames:   timed for each row, at most
    seconds:  after which a slow row has enough, though not before its fifth frame
    views:    how many of the data set's test views are compared with the truth
    """

    contenders: list[Contender]
    sizes: tuple[tuple[int, int], ...] = ((400, 400),)
    samples: tuple[int, ...] = (1, 2, 4, 8, 16)
    device: str = "auto"
    frames: int = 20
    seconds: float = 10.0
    data: Path | None = None
    views: int = 5

    def __post_init__(self) -> None:
        if not self.samples or min(self.samples) < 1:
            raise ValueError(f"sample counts must be 1 or more, got {list(self.samples)}")
        if not self.sizes or min(min(size) for size in self.sizes) < 1:
            raise ValueError(f"sizes must be at least 1x1 pixels, got {list(self.sizes)}")
        if self.frames < FEWEST_FRAMES:
            raise ValueError(f"a row needs at least {FEWEST_FRAMES} frames, got {self.frames}")
        if self.views < 1:
            raise ValueError(f"quality is measured on 1 view or more, got {self.views}")


class RunProgress:
    """How far a run is: a bar on a terminal, elsewhere a line from time to time."""

    def __init__(self, console: Console, bar: Progress) -> None:
        self._console, self._bar = console, bar
        self._name = ""
        self._done = self._total = 0
        self._task = bar.add_task("", total=None)
        self._last_line = time.perf_counter()

    def begin(self, name: str, total: int) -> None:
        """A part of the run, in so many steps."""
        self._name, self._done, self._total = name, 0, total
        self._bar.reset(self._task, description=name, total=total)

    def advance(self, what: str = "") -> None:
        """The next step, of something."""
        self._done += 1
        text = f"{self._name} {what}".strip()
        self._bar.update(self._task, description=text, advance=1)
        now = time.perf_counter()
        if not self._console.is_terminal and now - self._last_line >= _LINE_SECONDS:
            self._last_line = now
            self._console.print(f"{text} {self._done}/{self._total}", highlight=False)


def measure_speed(file: Path, settings: SpeedSettings, console: Console) -> SpeedReport:
    """Time all contenders on a scene file."""
    scene = load_scene(file)
    networks = scene.cells[0].networks
    if networks.shading is None:
        raise ValueError(
            f"a benchmark renders colors, {file} has an oracle but no shading network yet; run "
            "`donerf train shader` first"
        )
    truth = None if settings.data is None else _load_truth(settings, settings.data, scene, file)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    device = choose_device(settings.device)
    works = [Work(1, 1), Work(1, 1, is_folded=True)]
    shapes = {shape for work in works for shape, _ in layer_rows(networks, work)}
    precisions = DTYPES.keys() & {contender.precision for contender in settings.contenders}
    bare = measure_bare_speed(shapes, precisions, device)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        progress = RunProgress(console, bar)
        rows, skipped = _warmed_up(scene, settings, device, progress)
        _run_rounds(rows, settings, device, progress)
        bare = bare.or_faster(measure_bare_speed(shapes, precisions, device))
        scores = _compare_with_truth(rows, truth, progress)
    for row in rows:
        row.close()
    cost = ray_cost(scene)
    results = [
        row.result(networks, cost, bare, scores.get((row.contender, row.samples))) for row in rows
    ]
    return SpeedReport(
        file=str(file),
        sha256=scene.metadata.sha256,
        device=device.type,
        machine=machine(),
        load=load,
        reference=REFERENCE.name,
        poses=len(rows[0].cameras),
        truth=None if truth is None else _describe_truth(truth, settings.data),
        bare=bare,
        rows=results,
        skipped=skipped,
        fits=line_fits(results),
    )


def _cameras(scene: Scene, size: tuple[int, int]) -> list[Camera]:
    """Some of the scene's test poses; without any, the view from the middle of the cell."""
    camera = center_camera(scene.cells[0].cell, *size)
    poses = scene.metadata.test_poses
    chosen = [poses[i * len(poses) // _POSES] for i in range(min(_POSES, len(poses)))]
    return [Camera(np.array(pose), camera.intrinsics) for pose in chosen] or [camera]


def _warmed_up(
    scene: Scene, settings: SpeedSettings, device: torch.device, progress: RunProgress
) -> tuple[list[Row], list[Skipped]]:
    """All rows that this machine can measure, each after its first frames, and the others."""
    rows: list[Row] = []
    skipped: list[Skipped] = []
    places = [(size, samples) for size in settings.sizes for samples in settings.samples]
    progress.begin("warming up", len(places) * len(settings.contenders))
    for size, samples in places:
        cameras = _cameras(scene, size)
        for contender in settings.contenders:
            progress.advance(contender.name)
            row = Row(contender, cameras, samples)
            try:
                row.warm_up(scene, device)
            except (ValueError, RuntimeError, ImportError) as error:
                if contender == REFERENCE:
                    raise
                # A compiler's message has many lines; the first names the fault.
                reason = str(error).strip().partition("\n")[0] or type(error).__name__
                skipped.append(Skipped(contender.name, size, samples, reason))
            else:
                rows.append(row)
    return rows, skipped


def _run_rounds(
    rows: list[Row], settings: SpeedSettings, device: torch.device, progress: RunProgress
) -> None:
    """One frame of each row in turn, until each has enough."""
    pictures = Pictures()
    progress.begin("rounds", settings.frames)
    for index in range(settings.frames):
        for row in rows:
            if not row.has_enough(settings.frames, settings.seconds):
                row.measure(index, pictures, device)
        progress.advance()


def _load_truth(settings: SpeedSettings, data: Path, scene: Scene, file: Path) -> Dataset:
    """Some views of the data set's test split, evenly taken."""
    dataset = load_dataset(data, _SPLIT)
    check_same_place(scene, dataset, file, data)
    count = min(settings.views, len(dataset.cameras))
    keep = [i * len(dataset.cameras) // count for i in range(count)]
    return replace(
        dataset,
        names=[dataset.names[i] for i in keep],
        cameras=[dataset.cameras[i] for i in keep],
        colors=dataset.colors[keep],
        distances=None,
    )


def _describe_truth(truth: Dataset, data: Path | None) -> Truth:
    height, width = truth.colors.shape[1:3]
    return Truth(str(data), _SPLIT, len(truth.cameras), (width, height))


def _compare_with_truth(
    rows: list[Row], truth: Dataset | None, progress: RunProgress
) -> dict[tuple[Contender, int], float]:
    """Mean PSNR of each contender and sample count; sizes make no difference."""
    scores: dict[tuple[Contender, int], float] = {}
    if truth is None:
        return scores
    progress.begin("comparing with the truth", len(rows))
    for row in rows:
        progress.advance()
        key = (row.contender, row.samples)
        # Only who made pictures has stages.
        if key in scores or not row.stages:
            continue
        frames = [row.render(camera) for camera in truth.cameras]
        scores[key] = statistics.fmean(
            psnr(frame.image[..., :3].cpu().numpy(), color.numpy())
            for frame, color in zip(frames, truth.colors, strict=True)
            if frame is not None
        )
    return scores
