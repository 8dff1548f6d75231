"""The report of a quality benchmark: one HTML file that opens offline, with all its pictures."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from donerf.evaluation.quality_plots import draw_curves, draw_grid, draw_training, save_figure
from donerf.evaluation.quality_rows import QualityRow
from donerf.evaluation.sweep import SceneSweep, grid_pictures
from donerf.files import write_text

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 }
th, td { padding: 2px 10px; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child, td.note { text-align: left }
td.note { color: #777 } img { max-width: 100% }
"""

_COLUMNS: tuple[tuple[str, Callable[[QualityRow], str]], ...] = (
    ("method", lambda row: row.title),
    ("samples", lambda row: str(row.samples)),
    ("PSNR dB", lambda row: _number(row.psnr, ".2f")),
    ("SSIM", lambda row: _number(row.ssim, ".4f")),
    ("FLIP", lambda row: _number(row.flip, ".4f")),
    ("edge PSNR dB", lambda row: _number(row.edge_psnr, ".2f")),
    ("edge SSIM", lambda row: _number(row.edge_ssim, ".4f")),
    ("edge FLIP", lambda row: _number(row.edge_flip, ".4f")),
    ("MFLOP/pixel", lambda row: _number(row.mflop, ".3f")),
    ("by formula", lambda row: _number(row.mflop_formula, ".3f")),
    ("ms/frame", lambda row: _number(row.ms, ".0f")),
    ("rendered by", lambda row: f"{row.backend} {row.precision}"),
    ("training steps", lambda row: row.train_steps),
    ("training s", lambda row: _number(row.train_seconds, ".0f")),
    ("training TFLOP", lambda row: _number(row.train_tflop, ".1f")),
    ("PSNR dB, training views", lambda row: _number(row.train_psnr, ".2f")),
)

_LEGEND = """
<p>Mean over the test views, which no training has seen. PSNR of 8-bit pictures; SSIM with a
Gaussian window of sigma 1.5; LDR-FLIP at 67 pixels per degree (smaller is better). Edges are the
pixels beside a jump in depth. MFLOP are counted from the matrix products while they run, a
multiply-add is two; the formula is 2 (oracle + S shading) of all parameters. Rings mark the Pareto
front; true depth, a bound and no method, is left out of it. Milliseconds compare only among rows
that one renderer made on one machine, and are not drawn where there are several. TFLOP of training
are matrix products: a network that learns is passed three times, a frozen one once.</p>
"""


def write_html(rows: Sequence[QualityRow], scenes: Sequence[SceneSweep], out: Path) -> Path:
    """Draw the plots and write the report; returns its path."""
    parts = [_section(rows, scene, out) for scene in scenes]
    machines = sorted({row.machine for row in rows if row.is_measured})
    timed = "".join(f"<p>Milliseconds were measured on {escape(name)}.</p>" for name in machines)
    if len(machines) > 1:
        timed += "<p>These are several machines, on one of which alone milliseconds compare.</p>"
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>Samples per ray against quality</title><style>{_STYLE}</style>"
        f"<h1>Samples per ray against quality</h1>{_LEGEND}{timed}{''.join(parts)}</html>\n"
    )
    path = out / "report.html"
    write_text(path, text)
    return path


def _section(rows: Sequence[QualityRow], scene: SceneSweep, out: Path) -> str:
    """One scene: curves, tables, pictures."""
    own = [row for row in rows if row.scene == scene.name]
    methods = [row for row in own if not row.is_ablation]
    plot, grid = out / "plots" / f"{scene.name}_curves", out / "plots" / f"{scene.name}_pictures"
    views = next((f"{r.views} test views of {r.size[0]}x{r.size[1]}" for r in own if r.views), "")
    save_figure(draw_curves(comparable(methods), f"{scene.name}, {views}"), plot, ("png", "svg"))
    training = out / "plots" / f"{scene.name}_training"
    save_figure(draw_training(scene.curves, scene.name), training, ("png", "svg"))
    save_figure(draw_grid(grid_pictures(scene, rows), scene.edges(), scene.name), grid, ("png",))
    origins = "".join(f"<p>{escape(note)}.</p>" for note in scene.notes)
    return (
        f"<h2>{escape(scene.name)}</h2><p>{views}</p>{origins}"
        f"{_image(plot.with_suffix('.svg'), 'svg+xml')}{table(methods)}"
        f"{_image(training.with_suffix('.svg'), 'svg+xml')}"
        f"{_image(grid.with_suffix('.png'), 'png')}{_ablations(own)}"
    )


def comparable(rows: Sequence[QualityRow]) -> list[QualityRow]:
    """The rows as they are drawn: without milliseconds where several renderers or machines took
    them."""
    ways = {(row.machine, row.backend, row.precision) for row in rows if row.is_measured}
    return [replace(row, ms=None) for row in rows] if len(ways) > 1 else list(rows)


def _ablations(rows: Sequence[QualityRow]) -> str:
    """What each switch is worth, against ours at the same number of samples."""
    ablated = [row for row in rows if row.is_ablation]
    if not ablated:
        return ""
    ours = {row.samples: row for row in rows if row.method == "donerf" and row.is_measured}
    lines = []
    for row in ablated:
        if not row.is_measured:
            note = f'<td class="note" colspan="5">{escape(row.note)}</td>'
            lines.append(f"<tr><td>{escape(row.title)}</td>{note}</tr>")
            continue
        base = ours.get(row.samples)
        cells = (
            row.title,
            str(row.samples),
            _number(row.psnr, ".2f"),
            _difference(row.psnr, base and base.psnr),
            _difference(row.edge_psnr, base and base.edge_psnr),
            _number(row.mflop, ".3f"),
        )
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    heads = ("switch", "samples", "PSNR dB", "against ours", "edges, against ours", "MFLOP/pixel")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<h3>Ablations</h3><table><tr>{head}</tr>{''.join(lines)}</table>"


def table(rows: Sequence[QualityRow]) -> str:
    """Rows as an HTML table; one that was not measured says why."""
    head = "".join(f"<th>{name}</th>" for name, _ in _COLUMNS)
    lines = []
    for row in rows:
        if row.is_measured:
            cells = "".join(f"<td>{escape(text(row))}</td>" for _, text in _COLUMNS)
        else:
            rest = len(_COLUMNS) - 1
            note = f'<td class="note" colspan="{rest}">{escape(row.note)}</td>'
            cells = f"<td>{escape(row.title)}</td>{note}"
        lines.append(f"<tr>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _image(path: Path, kind: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{escape(path.stem)}" src="data:image/{kind};base64,{data}">'


def _number(found: float | None, form: str) -> str:
    return "–" if found is None else format(found, form)


def _difference(found: float | None, base: float | None) -> str:
    return "–" if found is None or base is None else f"{found - base:+.2f}"
