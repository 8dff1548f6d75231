"""Draw cost against samples per ray and against pixels from what `donerf benchmark speed` wrote.

    donerf benchmark speed FILE --sizes 200x200,400x400,800x800 --json benchmarks/results/X.json
    python benchmarks/speed_plot.py benchmarks/results/X.json docs/images/X.png

Dots are medians with their 5-95 % range; lines are the fits a + b x, their largest residual beside
their names.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from donerf.files import write_atomically


def main() -> None:
    """Two plots side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--only", help="rows to draw, by name with commas; all with a fit if absent"
    )
    arguments = parser.parse_args()
    report = json.loads(arguments.report.read_text(encoding="utf-8"))
    only = arguments.only.split(",") if arguments.only else None
    fits = [fit for fit in report["fits"] if only is None or fit["name"] in only]
    figure, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    draw(axes[0], report, fits, "samples", "samples per ray")
    draw(axes[1], report, fits, "pixels", "megapixels")
    figure.suptitle(f"{Path(report['file']).name}, {processor(report)}")
    write_atomically(arguments.out, lambda beside: figure.savefig(beside, dpi=110))


def draw(
    axes: Axes, report: dict[str, Any], fits: list[dict[str, Any]], against: str, label: str
) -> None:
    """One plot: every fit against the same quantity, where its group is the largest."""
    scale = 1e-6 if against == "pixels" else 1
    # One line a contender: the largest size, or the most samples.
    chosen = {fit["name"]: fit for fit in fits if fit["against"] == against}
    for index, (name, fit) in enumerate(chosen.items()):
        rows = [
            row
            for row in report["rows"]
            if row["name"] == name and place(row, against) == fit["at"]
        ]
        x = np.array([amount(row, against) for row in rows])
        ms = np.array([row["ms"] for row in rows])
        low, high = np.array([(row["ms_p5"], row["ms_p95"]) for row in rows]).T
        color = f"C{index}"
        axes.errorbar(x * scale, ms, [ms - low, high - ms], fmt="o", color=color, capsize=3)
        line = np.linspace(0, x.max(), 2)
        text = f"{name}, {fit['at']}: residual {fit['largest_residual']:.0%}"
        axes.plot(line * scale, fit["a_ms"] + fit["b_ms"] * line, color=color, label=text)
    axes.set(xlabel=label, ylabel="ms a frame", xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    if chosen:
        axes.legend(fontsize=8)


def amount(row: dict[str, Any], against: str) -> int:
    """What a row's time is drawn against."""
    return row["samples"] if against == "samples" else row["size"][0] * row["size"][1]


def place(row: dict[str, Any], against: str) -> str:
    """What the rows of one line have in common, as the fits name it."""
    width, height = row["size"]
    return f"{width}x{height}" if against == "samples" else f"{row['samples']} samples"


def processor(report: dict[str, Any]) -> str:
    """What rendered."""
    machine = report["machine"]
    if report["device"] == "cuda":
        return machine["gpu"]
    return f"{machine['cpu']} ({machine['cpu_capability']}), {machine['threads']} threads"


if __name__ == "__main__":
    main()
