"""What a speed run found: one line a row, written as JSON and shown as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from donerf.evaluation.bare import BareSpeed
from donerf.renderer import StageTimes

SAME_DB = 100.0
"""Stands for the infinite PSNR of equal pictures, which JSON cannot hold."""


@dataclass(frozen=True)
class SpeedRow:
    """One contender at one size and sample count; None was not or cannot be measured.

    ms, ms_p5, ms_p95:  median and range of a frame's time
    stages:             median milliseconds of each stage, as the backend states them
    mflop_per_pixel:    counted from the networks and the samples that were shaded
    tflops:             mflop_per_pixel of all pixels over ms
    product_share:      what the bare matrix products take by themselves, over ms; not of fp8
    memory_share:       what the layers' rows take to be copied, over ms; of unfused backends
    memory_mb:          at most, from before the renderer is made to the end of its second frame
    psnr_reference:     dB against the reference's picture; 100 where they are equal
    psnr_truth:         dB against the data set's pictures, mean over the views
    """

    name: str
    backend: str
    precision: str
    switches: tuple[str, ...]
    size: tuple[int, int]
    samples: int
    frames: int
    ms: float
    ms_p5: float
    ms_p95: float
    fps: float
    stages: StageTimes | None
    mflop_per_pixel: float
    tflops: float
    product_share: float | None
    memory_share: float | None
    memory_mb: float | None
    mean_samples: float
    oracle_share: float
    psnr_reference: float | None
    psnr_truth: float | None


@dataclass(frozen=True)
class Skipped:
    """A row that could not be measured."""

    name: str
    size: tuple[int, int]
    samples: int
    reason: str


@dataclass(frozen=True)
class LineFit:
    """A contender's time as a + b x: against samples at one size, or against pixels.

    largest_residual:  of the measured time, as a share of it
    """

    name: str
    against: Literal["samples", "pixels"]
    at: str
    a_ms: float
    b_ms: float
    largest_residual: float


@dataclass(frozen=True)
class Truth:
    """The pictures that psnr_truth compares with."""

    data: str
    split: str
    views: int
    size: tuple[int, int]


@dataclass(frozen=True)
class SpeedReport:
    """A whole run.

    reference:  the row whose pictures the others' are compared with
    load:       mean number of busy processes on the machine in the minute before
    """

    file: str
    sha256: str
    device: str
    machine: dict[str, Any]
    load: float | None
    reference: str
    poses: int
    truth: Truth | None
    bare: BareSpeed
    rows: list[SpeedRow]
    skipped: list[Skipped]
    fits: list[LineFit] = field(default_factory=list)


def line_fits(rows: Sequence[SpeedRow]) -> list[LineFit]:
    """Lines through the times of every contender that has at least three of them."""
    fits = []
    for name in dict.fromkeys(row.name for row in rows):
        mine = [row for row in rows if row.name == name]
        for size in dict.fromkeys(row.size for row in mine):
            some = [row for row in mine if row.size == size]
            points = [(row.samples, row.ms) for row in some]
            fits += _fit(points, name, "samples", f"{size[0]}x{size[1]}")
        for samples in dict.fromkeys(row.samples for row in mine):
            some = [row for row in mine if row.samples == samples]
            points = [(row.size[0] * row.size[1], row.ms) for row in some]
            fits += _fit(points, name, "pixels", f"{samples} samples")
    return fits


def _fit(
    points: list[tuple[int, float]], name: str, against: Literal["samples", "pixels"], at: str
) -> list[LineFit]:
    """The line whose squared relative residuals are least; nothing for fewer than three points."""
    if len(points) < 3:
        return []
    x, ms = np.array(points, dtype=np.float64).T
    columns = np.stack([np.ones_like(x), x], axis=1) / ms[:, None]
    (a, b), *_ = np.linalg.lstsq(columns, np.ones_like(x), rcond=None)
    residual = np.abs((a + b * x) / ms - 1).max()
    return [LineFit(name, against, at, float(a), float(b), float(residual))]


def print_speed(report: SpeedReport, console: Console) -> None:
    """The report as two tables, times first; each has a section a size and sample count."""
    title = f"{report.file}, {report.device}, {report.machine['threads']} threads"
    console.print(_table(f"{title}: times", _TIMES, report.rows))
    console.print(_table("work and quality", _WORK, report.rows))
    for reason, names in _by_reason(report.skipped).items():
        _say(console, f"not measured: {', '.join(names)}: {reason}")
    for line in _notes(report):
        _say(console, line)


_Columns = dict[str, Callable[[SpeedRow], str]]

_TIMES: _Columns = {
    "fps": lambda row: f"{row.fps:.3g}",
    "ms": lambda row: _ms(row.ms),
    "5-95 %": lambda row: f"{_ms(row.ms_p5)}-{_ms(row.ms_p95)}",
    "oracle": lambda row: _ms(row.stages and row.stages.oracle_ms),
    "place": lambda row: _ms(row.stages and row.stages.placement_ms),
    "shade": lambda row: _ms(row.stages and row.stages.shading_ms),
    "blend": lambda row: _ms(row.stages and row.stages.composite_ms),
    "MB": lambda row: _text(row.memory_mb, ".0f"),
}
_WORK: _Columns = {
    "MFLOP": lambda row: f"{row.mflop_per_pixel:.3f}",
    "TFLOP/s": lambda row: f"{row.tflops:.3g}",
    "product": lambda row: _text(row.product_share, ".0%"),
    "memory": lambda row: _text(row.memory_share, ".0%"),
    "samples": lambda row: f"{row.mean_samples:.2f}",
    "dB ref": lambda row: _decibel(row.psnr_reference),
    "dB true": lambda row: _decibel(row.psnr_truth),
}


def _table(title: str, columns: _Columns, rows: list[SpeedRow]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    # Where it is narrow a name breaks before an option; numbers do not.
    table.add_column("", min_width=16)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for place in dict.fromkeys((row.size, row.samples) for row in rows):
        size, samples = place
        table.add_section()
        table.add_row(f"{size[0]}x{size[1]}, S = {samples}", style="bold")
        for row in rows:
            if (row.size, row.samples) == place:
                table.add_row(row.name, *(cell(row) for cell in columns.values()))
    return table


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _ms(value: float | None) -> str:
    return _text(value, ".0f" if value is not None and value >= 100 else ".3g")


def _decibel(value: float | None) -> str:
    return "same" if value == SAME_DB else _text(value, ".2f")


def _notes(report: SpeedReport) -> list[str]:
    """What the columns were compared with."""
    rates: dict[str, float] = {}
    for product in report.bare.products:
        rates[product.precision] = max(rates.get(product.precision, 0), product.tflops)
    fastest = ", ".join(f"{name} {rate:.3g} TFLOP/s" for name, rate in rates.items())
    notes = [
        f"MB: at most, beyond what was in use before; dB ref: to the picture of {report.reference}",
        "MFLOP: a pixel's matrix products; product: what these would take by themselves "
        f"(fastest layer: {fastest})",
        "memory: what copying every layer's rows would take "
        f"({report.bare.copy_gb_per_second:.3g} GB/s), where a backend moves them",
    ]
    if any(row.backend == "onnxruntime" for row in report.rows):
        notes.append("onnxruntime: the two networks alone, without what makes a picture of them")
    if report.truth is not None:
        t = report.truth
        notes.append(f"dB true: to {t.views} {t.split} views of {t.data}, {t.size[0]}x{t.size[1]}")
    if report.load is not None and report.load > 0.3:
        busy = f"load {report.load:.1f}"
        notes.append(f"the machine was busy before the run ({busy}): take the times as hints")
    return notes


def _by_reason(skipped: list[Skipped]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for one in skipped:
        names = reasons.setdefault(one.reason, [])
        if one.name not in names:
            names.append(one.name)
    return reasons


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
