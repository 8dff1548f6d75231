"""Write docs/quality-results.md and its plots from what `donerf benchmark quality` measured.

python benchmarks/quality_tables.py                       from the committed results
python benchmarks/quality_tables.py methods OUT ...       take the results of runs over first

The results are benchmarks/results/quality_<name>/{results,training}.json, with name one of methods,
long, nerf, ideas and ablations; the plots go to docs/images/quality_*. Several runs are several
lengths of training.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from tables import RESULTS, ROOT, table

from donerf.evaluation.quality import write_report
from donerf.evaluation.quality_plots import draw_curves, draw_summary, save_figure
from donerf.evaluation.quality_report import comparable
from donerf.evaluation.quality_rows import QualityRow, read_rows
from donerf.evaluation.training_curves import TrainingCurve, read_curves

SCENES = {
    "courtyard": "Courtyard",
    "living_room": "Living room",
    "courtyard_100": "Courtyard",
    "living_room_100": "Living room",
}
PLOTS = ("curves", "pictures")
SWITCHES = ("ablations", "ideas")
"""Parts whose rows are held against ours."""
WITHOUT_PICTURES = (*SWITCHES, "long")


@dataclass(frozen=True)
class Part:
    """One run of the benchmark and how it is introduced."""

    name: str
    title: str
    text: str


PARTS = (
    Part(
        "methods",
        "Methods",
        "Both networks 4x128, trained as long as the table says. The published recipe has the "
        "same networks and sees the same number of rays in smaller batches; one network "
        "serves one count there, and so short a training does not suit its low learning rate "
        "(longer: the next table). Uniform samples are one even chain, however many; more than "
        "eight of an oracle are several combs of eight whose pictures are averaged.",
    ),
    Part(
        "long",
        "Ours and the published recipe, trained for longer",
        "As long as the file in `assets/` that has no hash grid, which is the first method here; "
        "the recipe saw as many rays in its batches of 4096, and its learning rates fall over its "
        "whole training.",
    ),
    Part(
        "nerf",
        "NeRF beside it",
        "All networks 4x128; a NeRF asks its own 256 times a ray, and each of these "
        "evaluations has 2.2 times the arithmetic of ours, because its shape has a skip and a "
        "branch for color. It has log depth and warp as ours, learns from colors alone, with "
        "256 rays a step, and its learning rate is the best of seven that were tried on "
        "validation views (`configs/courtyard_100.toml`). Each length is a training of its own, "
        "whose learning rate has come to its end. In the courtyard the last one is 2.7 times as "
        "long as the one before.",
    ),
    Part(
        "ideas",
        "Beyond the recipe",
        "What might be added to the training or to the networks: dB against ours with the same "
        "budget on test views; all but the first are off by default, what each does stands in "
        "[quality.md](quality.md#ablations), an empty cell was not measured. A file with a hash "
        "grid has 1.27 MB instead of 0.41, with twice the features 2.04; what is looked up in it "
        "is not in the MFLOP. The two that go on take 400 steps more.",
    ),
    Part(
        "ablations",
        "One switch at a time",
        "PSNR against ours with the same budget, in dB, on test views; what stands at 0.00 or "
        "above is no loss. The budget is short: differences below 0.1 dB say little, and what "
        "helps a long training, moved rays and averaged weights, cannot show. Switches of the "
        "cell, the oracle and its targets train both networks anew, the others the shading "
        "network alone.",
    ),
)


def main() -> None:
    """Take results over, if any are named, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_AS_WRITTEN)
    parser.add_argument("name", nargs="?", choices=[part.name for part in PARTS])
    parser.add_argument("out", nargs="*", type=Path, help="the benchmark's --out folders")
    asked = parser.parse_args()
    if asked.name is not None:
        if not asked.out:
            parser.error("name the folder of the run too")
        take_over(asked.name, asked.out)
    write_page()


_AS_WRITTEN = argparse.RawDescriptionHelpFormatter


def take_over(name: str, outs: list[Path]) -> None:
    """Copy the numbers and plots of runs into the repository."""
    folder = RESULTS / f"quality_{name}"
    folder.mkdir(exist_ok=True)
    for file, key in (("results.json", "rows"), ("training.json", "curves")):
        found = [json.loads((out / file).read_text(encoding="utf-8")) for out in outs]
        write_report(found[0] | {key: [one for part in found for one in part[key]]}, folder / file)
    if name in WITHOUT_PICTURES:
        return
    for plot in sorted((outs[-1] / "plots").glob("*_pictures.png")):
        # Photographs: a third of the bytes, and nothing to be seen of it.
        picture = ROOT / "docs" / "images" / f"quality_{name}_{plot.stem}.jpg"
        iio.imwrite(picture, iio.imread(plot)[..., :3], quality=90)


def draw_overview(rows: list[QualityRow]) -> None:
    """The picture of the README: our method and what it is held against, on both scenes."""
    methods = [row for row in rows if not row.is_ablation and row.method != "recipe"]
    titles = {scene: SCENES[scene] for scene in dict.fromkeys(row.scene for row in rows)}
    picture = ROOT / "docs" / "images" / "quality"
    save_figure(draw_summary(methods, titles), picture, ("png",))


def write_page() -> None:
    """Everything that has results."""
    parts = [
        "# What a sample buys: results",
        "Written by `benchmarks/quality_tables.py` from `benchmarks/results/quality_*`; how they "
        "are made and what the columns mean: [quality.md](quality.md). Milliseconds were taken "
        "while the machine did other work, by several renderers, and are left out.",
    ]
    for part in PARTS:
        folder = RESULTS / f"quality_{part.name}"
        if folder.exists():
            rows = read_rows(folder)
            curves = read_curves(folder)
            parts += [f"## {part.title}", part.text, *section(part.name, rows, curves)]
            if part.name == "methods":
                draw_overview(rows)
    (ROOT / "docs" / "quality-results.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def section(name: str, rows: list[QualityRow], curves: list[TrainingCurve]) -> list[str]:
    """Plots and tables of one run, scene by scene."""
    if name in SWITCHES:
        return [budget(rows), ablation_table(rows)]
    if name == "nerf":
        return lengths_section(rows, curves)
    if name == "long":
        return [budget(rows), method_table(rows)]
    parts = [budget(rows)]
    for scene in dict.fromkeys(row.scene for row in rows):
        parts.append(f"### {SCENES[scene]}")
        own = [row for row in rows if row.scene == scene and not row.is_ablation]
        plots, pictures = (f"images/quality_{name}_{scene}_{kind}" for kind in PLOTS)
        figure = draw_curves(comparable(own), SCENES[scene])
        save_figure(figure, ROOT / "docs" / plots, ("png",))
        parts.append(f"![{SCENES[scene]}, curves]({plots}.png)")
        parts.append(f"![{SCENES[scene]}, pictures]({pictures}.jpg)")
        parts.append(method_table(own))
    return parts


def budget(rows: list[QualityRow]) -> str:
    """How large the pictures are and how many views were looked at."""
    one = next(row for row in rows if row.is_measured)
    return f"{one.views} test views of {one.size[0]}x{one.size[1]} pixels."


def method_table(rows: list[QualityRow], minutes: Mapping[int, float | None] | None = None) -> str:
    """A line a method and sample count.

    minutes:  of one core in training, by the id of the row; None leaves the column out
    """
    header = ["method", "samples", "PSNR dB", "beside edges", "SSIM", "FLIP", "MFLOP a pixel"]
    header += ["training steps", "training TFLOP", "PSNR on training views"]
    header += [] if minutes is None else ["minutes of one core"]
    lines = []
    for row in rows:
        if not row.is_measured:
            lines.append([row.title, row.note, *[""] * (len(header) - 2)])
            continue
        lines.append(
            [
                row.title,
                str(row.samples),
                number(row.psnr, ".2f"),
                number(row.edge_psnr, ".2f"),
                number(row.ssim, ".3f"),
                number(row.flip, ".3f"),
                number(row.mflop, ".3f"),
                row.train_steps,
                number(row.train_tflop, ".1f"),
                number(row.train_psnr, ".2f"),
                *([] if minutes is None else [number(minutes[id(row)], ".1f")]),
            ]
        )
    return table(header, lines)


def lengths_section(rows: list[QualityRow], curves: list[TrainingCurve]) -> list[str]:
    """Quality on test views after trainings of several lengths, as a plot and a table a scene."""
    # The last look of a training stands for all of it.
    ends = {(c.scene, c.method, round(c.points[-1].tflop)): c.points[-1] for c in curves}
    minutes: dict[int, float | None] = {}
    for row in rows:
        seconds = ends[row.scene, row.method, round(row.train_tflop or 0)].cpu_seconds
        minutes[id(row)] = None if seconds is None else seconds / 60
    parts = [budget(rows), "![Quality against training](images/quality_nerf_lengths.png)"]
    scenes = list(dict.fromkeys(row.scene for row in rows))
    figure, places = plt.subplots(
        len(scenes), 2, figsize=(12, 4.5 * len(scenes)), layout="constrained", squeeze=False
    )
    for scene, (over_time, over_work) in zip(scenes, places, strict=True):
        own = [row for row in rows if row.scene == scene and row.is_measured]
        own.sort(key=lambda row: (row.method, row.train_tflop or 0, row.samples))
        shown = [row for row in own if row.samples in (4, 8, 256)]
        for method, samples in dict.fromkeys((row.method, row.samples) for row in shown):
            line = [row for row in shown if (row.method, row.samples) == (method, samples)]
            psnr, label = [row.psnr for row in line], f"{line[0].title}, {samples} samples"
            over_time.plot([minutes[id(row)] for row in line], psnr, marker="o", label=label)
            over_work.plot([row.train_tflop for row in line], psnr, marker="o", label=label)
        over_time.set(xlabel="minutes of one core, all networks", ylabel="PSNR on test views (dB)")
        over_work.set(xlabel="TFLOP of training, all networks")
        for place in (over_time, over_work):
            place.set(xscale="log", title=SCENES[scene])
            place.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            place.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            place.xaxis.set_minor_formatter(NullFormatter())
            place.grid(alpha=0.3, which="both")
        over_work.legend(fontsize=8)
        parts.append(f"### {SCENES[scene]}")
        parts.append(f"![{SCENES[scene]}, pictures](images/quality_nerf_{scene}_pictures.jpg)")
        parts.append(method_table(own, minutes))
    save_figure(figure, ROOT / "docs" / "images" / "quality_nerf_lengths", ("png",))
    return parts


def ablation_table(rows: list[QualityRow]) -> str:
    """What each switch is worth on each scene, at a few and at many samples."""
    counts, scenes = (2, 4, 8), list(dict.fromkeys(row.scene for row in rows))
    at = {(row.scene, row.method, row.samples): row for row in rows if row.is_measured}
    steps = next(row.train_steps for row in rows if row.method == "donerf" and row.is_measured)
    header = [f"switch ({steps} steps)"]
    header += [f"{SCENES[scene]}, S = {count}" for scene in scenes for count in counts]
    header += ["MFLOP a pixel, S = 4", "training, times ours"]
    ours = [at.get((scene, "donerf", count)) for scene in scenes for count in counts]
    lines = [
        [
            "ours, PSNR dB",
            *(number(row and row.psnr, ".2f") for row in ours),
            *_cost(at, "donerf", scenes),
        ]
    ]
    for method, title in {row.method: row.title for row in rows if row.is_ablation}.items():
        if not any((scene, method, 4) in at for scene in scenes):
            continue  # What the config says already.
        cells = []
        for scene in scenes:
            for count in counts:
                row, base = at.get((scene, method, count)), at.get((scene, "donerf", count))
                cells.append(difference(row, base))
        lines.append([title, *cells, *_cost(at, method, scenes)])
    return table(header, lines)


def _cost(at: dict[tuple[str, str, int], QualityRow], method: str, scenes: list[str]) -> list[str]:
    """What a picture and the training cost with a switch."""
    for scene in scenes:
        row, ours = at.get((scene, method, 4)), at.get((scene, "donerf", 4))
        if row is not None and ours is not None and row.train_tflop and ours.train_tflop:
            return [number(row.mflop, ".3f"), f"{row.train_tflop / ours.train_tflop:.2f}"]
    return ["", ""]


def difference(row: QualityRow | None, base: QualityRow | None) -> str:
    """In PSNR; empty where one of them was not measured."""
    if row is None or base is None or row.psnr is None or base.psnr is None:
        return ""
    return f"{row.psnr - base.psnr:+.2f}"


def number(found: float | None, form: str) -> str:
    """A number, or nothing."""
    return "" if found is None else format(found, form)


if __name__ == "__main__":
    main()
