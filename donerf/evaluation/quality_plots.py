"""Plots of a quality benchmark, and its picture grids; needs matplotlib from the `bench` extra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from donerf.evaluation.quality_rows import QualityRow
from donerf.evaluation.sweep import GridPicture
from donerf.evaluation.training_curves import TrainingCurve
from donerf.files import write_atomically


@dataclass(frozen=True)
class Measure:
    """A column of the rows that is drawn; better is larger or smaller."""

    field: str
    label: str
    is_larger_better: bool = True


METRICS = (
    Measure("psnr", "PSNR (dB)"),
    Measure("edge_psnr", "PSNR beside depth edges (dB)"),
    Measure("ssim", "SSIM"),
    Measure("flip", "FLIP error", is_larger_better=False),
)
COSTS = (
    Measure("samples", "samples (network evaluations) per ray"),
    Measure("mflop", "MFLOP per pixel"),
    Measure("ms", "ms per frame"),
)
_MARKERS = "osD^vPX*"


def draw_curves(rows: Sequence[QualityRow], title: str) -> Figure:
    """Every metric against every cost; rings mark the Pareto front of what can be rendered.

    rows:  of one scene
    """
    # A cost that no row has, as milliseconds of several renderers, gets no empty column.
    costs = [c for c in COSTS if any(value(row, c) is not None for row in rows)] or COSTS
    figure, axes = plt.subplots(
        len(METRICS),
        len(costs),
        figsize=(5 * len(costs), 15),
        layout="constrained",
        squeeze=False,
    )
    for metric, line in zip(METRICS, axes, strict=True):
        for cost, place in zip(costs, line, strict=True):
            _draw_panel(place, rows, cost, metric)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    figure.suptitle(title)
    return figure


def draw_summary(rows: Sequence[QualityRow], titles: Mapping[str, str]) -> Figure:
    """PSNR against samples and against MFLOP, a line a scene.

    titles:  by scene, in the order in which they are drawn
    """
    costs = COSTS[:2]
    figure, axes = plt.subplots(
        len(titles), len(costs), figsize=(11, 4 * len(titles)), layout="constrained", squeeze=False
    )
    for (scene, title), line in zip(titles.items(), axes, strict=True):
        for cost, place in zip(costs, line, strict=True):
            _draw_panel(place, [row for row in rows if row.scene == scene], cost, METRICS[0])
            place.set_title(title)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _draw_panel(place: Axes, rows: Sequence[QualityRow], cost: Measure, metric: Measure) -> None:
    drawn = [row for row in rows if None not in (value(row, cost), value(row, metric))]
    for i, method in enumerate(dict.fromkeys(row.method for row in drawn)):
        of_method = [row for row in drawn if row.method == method]
        of_method.sort(key=lambda row: value(row, cost) or 0)
        place.plot(
            [value(row, cost) or 0 for row in of_method],
            [value(row, metric) or 0 for row in of_method],
            marker=_MARKERS[i % len(_MARKERS)],
            linestyle="--" if of_method[0].is_bound else "-",
            label=of_method[0].title,
        )
    front = pareto_front([row for row in drawn if not row.is_bound], cost, metric)
    place.scatter(
        [value(row, cost) or 0 for row in front],
        [value(row, metric) or 0 for row in front],
        s=160,
        facecolors="none",
        edgecolors="black",
        linewidths=1.2,
        label="Pareto front",
        zorder=5,
    )
    place.set_xscale("log", base=2 if cost.field == "samples" else 10)
    place.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    place.xaxis.set_minor_formatter(NullFormatter())
    # Costs may span less than one power of ten.
    locator = LogLocator(base=2) if cost.field == "samples" else LogLocator(subs=(1, 2, 5))
    place.xaxis.set_major_locator(locator)
    place.set(xlabel=cost.label, ylabel=metric.label)
    place.grid(alpha=0.3)
    if not drawn:
        place.text(0.5, 0.5, "not measured", ha="center", transform=place.transAxes)


def pareto_front(rows: Sequence[QualityRow], cost: Measure, metric: Measure) -> list[QualityRow]:
    """Rows that none beats: better than everything that costs no more, cheapest first."""
    sign = 1 if metric.is_larger_better else -1
    front: list[QualityRow] = []
    best = -np.inf
    for row in sorted(rows, key=lambda r: (value(r, cost) or 0, -sign * (value(r, metric) or 0))):
        quality = sign * (value(row, metric) or 0)
        if quality > best:
            front.append(row)
            best = quality
    return front


def value(row: QualityRow, measure: Measure) -> float | None:
    """What a row says of a measure."""
    found = getattr(row, measure.field)
    return None if found is None else float(found)


def draw_training(curves: Sequence[TrainingCurve], title: str) -> Figure:
    """Quality on the validation views against the time and the arithmetic of training.

    Time is that of the cores where all was trained on a CPU: a machine that did other work besides
    then looks as fast as one that did not.
    """
    are_core_seconds = all(curve.has_core_seconds for curve in curves)
    figure, (over_time, over_work) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
    for i, curve in enumerate(curves):
        psnr = [point.psnr for point in curve.points]
        marker = _MARKERS[i % len(_MARKERS)]
        label = f"{curve.title}, {curve.samples} samples"
        times = [p.cpu_seconds if are_core_seconds else p.seconds for p in curve.points]
        over_time.plot(times, psnr, marker=marker, label=label)
        over_work.plot([p.tflop for p in curve.points], psnr, marker=marker, label=label)
    clock = "seconds of one core" if are_core_seconds else "seconds on the wall clock"
    over_time.set(xlabel=f"{clock}, training of all networks")
    over_work.set(xlabel="TFLOP of training, all networks")
    for place in (over_time, over_work):
        place.set(xscale="log", ylabel="PSNR on validation rays (dB)")
        place.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        place.xaxis.set_minor_formatter(NullFormatter())
        place.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        place.grid(alpha=0.3)
    if curves:
        over_work.legend(fontsize=8)
    figure.suptitle(title)
    return figure


def draw_grid(pictures: Sequence[GridPicture], edges: np.ndarray, title: str) -> Figure:
    """Whole pictures, a crop, and FLIP maps, a method a column.

    edges:  (H, W) bool; the crop is the window that has most of them
    """
    crop = fullest_window(edges)
    figure, axes = plt.subplots(
        3, len(pictures), figsize=(2.6 * len(pictures), 8), layout="constrained", squeeze=False
    )
    for place in axes.flat:
        place.set_axis_off()
    for column, one in zip(axes.T, pictures, strict=True):
        column[0].imshow(one.picture)
        column[0].set_title(one.title, fontsize=9)
        column[1].imshow(one.picture[crop], interpolation="nearest")
        if one.error is not None:
            column[2].imshow(one.error, cmap="magma", vmin=0, vmax=1)
            column[2].set_title(f"FLIP {one.error.mean():.3f}", fontsize=9)
    figure.suptitle(title)
    return figure


def fullest_window(weights: np.ndarray) -> tuple[slice, slice]:
    """The window of a quarter of the height and width that has the largest sum.

    weights:  (H, W)
    """
    h, w = (max(length // 4, 1) for length in weights.shape)
    sums = np.pad(weights.astype(float), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    windows = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    row, column = np.unravel_index(windows.argmax(), windows.shape)
    return slice(row, row + h), slice(column, column + w)


def save_figure(figure: Figure, path: Path, formats: Sequence[str]) -> None:
    """Write a figure in each format, the suffix added; closes it."""
    for form in formats:
        file = path.with_suffix(f".{form}")
        write_atomically(
            file, lambda beside, form=form: figure.savefig(beside, format=form, dpi=90)
        )
    plt.close(figure)
