"""One row of a speed run while it is measured."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor

from donerf.evaluation.bare import BareSpeed, peak_memory_mb, timed
from donerf.evaluation.contenders import REFERENCE, Contender, Entrant, make_entrant
from donerf.evaluation.cost import RayCost, Work, layer_rows, unfused_numbers
from donerf.evaluation.speed_report import SAME_DB, SpeedRow
from donerf.geometry.camera import Camera
from donerf.model.pipeline import Networks
from donerf.precision import DTYPES
from donerf.renderer import Frame, StageTimes
from donerf.scene_file import Scene

FEWEST_FRAMES = 5


@dataclass
class Pictures:
    """The reference's pictures, by size, samples and view."""

    kept: dict[tuple[tuple[int, int], int, int], Tensor] = field(default_factory=dict)

    def squared_error(self, row: Row, view: int, picture: Tensor) -> float:
        """Mean squared difference to the reference's picture, which comes first, in [0, 1]."""
        key = (row.size, row.samples, view)
        if row.contender == REFERENCE:
            self.kept[key] = picture
        return float((picture.double() - self.kept[key].double()).div(255).square().mean())


@dataclass
class Row:
    """One contender at one size and sample count, while it is measured."""

    contender: Contender
    cameras: list[Camera]
    samples: int
    entrant: Entrant | None = None
    memory_mb: float | None = None
    seconds: list[float] = field(default_factory=list)
    stages: list[StageTimes] = field(default_factory=list)
    mean_samples: list[float] = field(default_factory=list)
    oracle_shares: list[float] = field(default_factory=list)
    squared_errors: list[float] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        k = self.cameras[0].intrinsics
        return k.width, k.height

    def frame(self, index: int) -> Frame | None:
        """Make one frame, of one of the views."""
        return self.render(self.cameras[index % len(self.cameras)])

    def render(self, camera: Camera) -> Frame | None:
        """Make a frame of any view."""
        assert self.entrant is not None, "warm_up makes it"
        return self.entrant.render(camera, self.contender.options(self.samples))

    def warm_up(self, scene: Scene, device: torch.device) -> None:
        """Make the renderer; what compiles or allocates on first use does so now.

        Each row has its own renderer, so that its memory is its own too.
        """

        def first_frames() -> None:
            self.entrant = make_entrant(self.contender, scene, device.type)
            self.frame(0)
            self.frame(1)

        self.memory_mb = peak_memory_mb(first_frames, device)

    def close(self) -> None:
        """Free the renderer; what was measured stays."""
        if self.entrant is not None:
            self.entrant.close()
            self.entrant = None

    def measure(self, index: int, pictures: Pictures, device: torch.device) -> None:
        """Time one frame and compare its picture."""
        frame, seconds = timed(lambda: self.frame(index), device)
        self.seconds.append(seconds)
        if frame is None:
            return
        self.stages.append(frame.times)
        self.mean_samples.append(frame.mean_samples)
        self.oracle_shares.append(frame.oracle_share)
        if index < len(self.cameras):
            error = pictures.squared_error(self, index, frame.image[..., :3].cpu())
            self.squared_errors.append(error)

    def has_enough(self, frames: int, seconds: float) -> bool:
        """Whether so many frames are timed, or a slow row took so many seconds."""
        count = len(self.seconds)
        return count >= frames or (count >= FEWEST_FRAMES and sum(self.seconds) >= seconds)

    def result(
        self, networks: Networks, cost: RayCost, bare: BareSpeed, psnr_truth: float | None
    ) -> SpeedRow:
        """What a row's frames say."""
        contender = self.contender
        low, median, high = np.percentile(np.array(self.seconds) * 1000, [5, 50, 95]).tolist()
        work = Work(
            rays=self.size[0] * self.size[1],
            samples=statistics.fmean(self.mean_samples or [self.samples]),
            oracle_share=statistics.fmean(self.oracle_shares or [1.0]),
            is_folded=not contender.is_plain,
        )
        mflop = cost.mflop_per_pixel(work)
        products_ms = copy_ms = None
        if contender.precision in DTYPES:
            products_ms = bare.products_ms(layer_rows(networks, work), contender.precision)
        if contender.is_plain:
            bytes_moved = unfused_numbers(networks, work) * DTYPES[contender.precision].itemsize
            copy_ms = 1e-6 * bytes_moved / bare.copy_gb_per_second
        return SpeedRow(
            name=contender.name,
            backend=contender.backend,
            precision=contender.precision,
            switches=contender.switches,
            size=self.size,
            samples=self.samples,
            frames=len(self.seconds),
            ms=median,
            ms_p5=low,
            ms_p95=high,
            fps=1000 / median,
            stages=_median_stages(self.stages),
            mflop_per_pixel=mflop,
            tflops=1e-3 * mflop * work.rays / median,
            product_share=None if products_ms is None else products_ms / median,
            memory_share=None if copy_ms is None else copy_ms / median,
            memory_mb=self.memory_mb,
            mean_samples=work.samples,
            oracle_share=work.oracle_share,
            psnr_reference=_psnr_from(self.squared_errors),
            psnr_truth=psnr_truth,
        )


def _median_stages(stages: list[StageTimes]) -> StageTimes | None:
    """Each stage's median; None where the backend times none."""
    if not any(s.oracle_ms or s.shading_ms for s in stages):
        return None
    names = [f.name for f in fields(StageTimes)]
    return StageTimes(**{n: statistics.median(getattr(s, n) for s in stages) for n in names})


def _psnr_from(squared_errors: list[float]) -> float | None:
    if not squared_errors:
        return None
    error = statistics.fmean(squared_errors)
    return SAME_DB if error == 0 else min(-10 * math.log10(error), SAME_DB)
