"""One picture that shows a data set: views with depth, a plan of the cell, a histogram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from donerf.data.dataset import View
from donerf.data.info import DatasetInfo
from donerf.files import write_atomically

SHOWN_VIEWS = 8
_WIDTH = 1280
_GAP = 8
_PAPER, _INK, _PALE, _MARK = (250, 250, 248), (40, 40, 44), (190, 190, 190), (214, 60, 30)
_SKY = (205, 205, 205)
_PLAN_POINTS = 500_000
_BINS = 80

_NEAR_TO_FAR = np.array(
    [(252, 230, 140), (246, 150, 80), (200, 70, 110), (110, 40, 130), (30, 25, 75)], dtype=float
)
"""Colors of distances, evenly spaced in their logarithm."""


def write_sheet(
    path: Path, title: str, info: DatasetInfo, views: Sequence[View], notes: Sequence[str] = ()
) -> None:
    """Draw the sheet of a data set.

    views:  of which some are shown, and all enter the plan and the histogram
    notes:  lines that are written beneath the histogram
    """
    shown = [views[i * len(views) // SHOWN_VIEWS] for i in range(min(SHOWN_VIEWS, len(views)))]
    limits = distance_limits(views)
    rows = [_row(shown[:4], limits), _row(shown[4:], limits)]
    half = (_WIDTH - _GAP) // 2
    plan = draw_plan(info, views, half)
    chart = draw_histogram(views, limits, (half, 260))
    text = _text_block(notes, (half, half - 260 - _GAP))
    top = 44
    heights = [row.height + _GAP for row in rows if row is not None]
    sheet = Image.new("RGB", (_WIDTH, top + sum(heights) + half), _PAPER)
    ImageDraw.Draw(sheet).text((_GAP, 10), title, _INK, _font(20))
    y = top
    for row in rows:
        if row is not None:
            sheet.paste(row, (0, y))
            y += row.height + _GAP
    sheet.paste(plan, (0, y))
    sheet.paste(chart, (half + _GAP, y))
    sheet.paste(text, (half + _GAP, y + 260 + _GAP))
    write_atomically(path, lambda beside: sheet.save(beside, "PNG"))


def distance_limits(views: Sequence[View]) -> tuple[float, float] | None:
    """Nearest and farthest surface of all views; None where there is none."""
    surfaces = [d[np.isfinite(d)] for v in views if (d := v.distances) is not None]
    surfaces = [d for d in surfaces if d.size]
    if not surfaces:
        return None
    return min(float(d.min()) for d in surfaces), max(float(d.max()) for d in surfaces)


def depth_colors(distances: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """(H, W, 3) uint8 from distances: light is near, dark is far, gray the background."""
    near, far = limits
    with np.errstate(invalid="ignore"):
        share = np.log(np.clip(distances, near, far) / near) / max(math.log(far / near), 1e-9)
    stops = np.linspace(0, 1, len(_NEAR_TO_FAR))
    colors = np.stack([np.interp(share, stops, c) for c in _NEAR_TO_FAR.T], axis=-1)
    return np.where(np.isfinite(distances)[..., None], colors, _SKY).astype(np.uint8)


def _row(views: Sequence[View], limits: tuple[float, float] | None) -> Image.Image | None:
    """Up to four views beside each other, each above its depth."""
    if not views:
        return None
    width = (_WIDTH - 3 * _GAP) // 4
    k = views[0].camera.intrinsics
    height = max(round(width * k.height / k.width), 1)
    row = Image.new("RGB", (_WIDTH, 2 * height + _GAP // 2), _PAPER)
    for index, view in enumerate(views):
        x = index * (width + _GAP)
        row.paste(Image.fromarray(view.colors).resize((width, height)), (x, 0))
        if view.distances is not None and limits is not None:
            depth = Image.fromarray(depth_colors(view.distances, limits))
            depth = depth.resize((width, height), Image.Resampling.NEAREST)
            row.paste(depth, (x, height + _GAP // 2))
        ImageDraw.Draw(row).text(
            (x + 4, 2), view.name, (255, 255, 255), _font(13), stroke_width=2, stroke_fill=(0, 0, 0)
        )
    return row


def draw_plan(info: DatasetInfo, views: Sequence[View], pixels: int) -> Image.Image:
    """The scene from above, as the views see it below the cell's upper face; cell and cameras."""
    points, colors = surface_points(views)
    center, size = np.array(info.view_cell_center), np.array(info.view_cell_size)
    is_low = points[:, 2] < center[2] + size[2] / 2  # Leaves the ceiling out.
    points, colors = points[is_low], colors[is_low]
    corners = np.stack((center - size / 2, center + size / 2))
    middle, scale = _plan_frame(points, corners, pixels)

    def place(xyz: np.ndarray) -> np.ndarray:
        return pixels / 2 + (xyz[..., :2] - middle) * scale * (1, -1)

    canvas = np.full((pixels, pixels, 3), 236, dtype=np.uint8)
    order = np.argsort(points[:, 2], kind="stable")  # What is higher hides what is below.
    x, y = np.floor(place(points[order])).astype(int).T
    is_in = (x >= 0) & (x < pixels - 1) & (y >= 0) & (y < pixels - 1)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        canvas[y[is_in] + down, x[is_in] + right] = colors[order][is_in]
    plan = Image.fromarray(canvas)
    draw = ImageDraw.Draw(plan)
    (left, bottom), (right, top) = place(corners).tolist()
    draw.rectangle((left, top, right, bottom), outline=_MARK, width=3)
    for view in views:
        _draw_camera(draw, place(view.camera.position), view.camera.forward)
    _draw_scale(draw, scale, pixels)
    caption = "from above: what the views see, the cell, its cameras"
    draw.rectangle((0, 0, draw.textlength(caption, _font(14)) + 2 * _GAP, 26), fill=_PAPER)
    draw.text((_GAP, 4), caption, _INK, _font(14))
    return plan


def surface_points(views: Sequence[View]) -> tuple[np.ndarray, np.ndarray]:
    """(P, 3) points in the world and their (P, 3) colors, from some pixels of all views."""
    random = np.random.default_rng(0)
    points, colors = [np.empty((0, 3))], [np.empty((0, 3), dtype=np.uint8)]
    for view in views:
        if view.distances is None:
            continue
        # At random: every n-th pixel would draw stripes.
        chosen = random.permutation(view.distances.size)[: _PLAN_POINTS // len(views) + 1]
        chosen = chosen[np.isfinite(view.distances.reshape(-1)[chosen])]
        rays = view.camera.rays()[torch.from_numpy(chosen)]
        t = torch.from_numpy(view.distances.reshape(-1)[chosen])
        points.append(rays.at(t[:, None])[:, 0].double().numpy())
        colors.append(view.colors.reshape(-1, 3)[chosen])
    return np.concatenate(points), np.concatenate(colors)


def _plan_frame(points: np.ndarray, corners: np.ndarray, pixels: int) -> tuple[np.ndarray, float]:
    """What lies in the middle of the plan, and pixels per scene unit; a few far points fall out."""
    spread = np.quantile(points[:, :2], (0.02, 0.98), axis=0) if len(points) else corners[:, :2]
    everything = np.concatenate((spread, corners[:, :2]))
    lower, upper = everything.min(axis=0), everything.max(axis=0)
    return (lower + upper) / 2, 0.9 * pixels / max(float((upper - lower).max()), 1e-9)


def _draw_camera(draw: ImageDraw.ImageDraw, at: np.ndarray, forward: np.ndarray) -> None:
    (x, y), tip = at.tolist(), (at + 14 * forward[:2] * (1, -1)).tolist()
    draw.line((x, y, *tip), fill=_INK, width=1)
    draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_MARK)


def _draw_scale(draw: ImageDraw.ImageDraw, scale: float, pixels: int) -> None:
    """A bar of a round length: 1, 2 or 5 times a power of ten."""
    longest = 0.3 * pixels / scale
    power = 10.0 ** math.floor(math.log10(longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest)
    y = pixels - 14
    draw.rectangle((10, y - 24, 30 + length * scale, y + 8), fill=_PAPER)
    draw.line((20, y, 20 + length * scale, y), fill=_INK, width=3)
    draw.text((20, y - 20), f"{length:g} scene units", _INK, _font(13))


def draw_histogram(
    views: Sequence[View], limits: tuple[float, float] | None, size: tuple[int, int]
) -> Image.Image:
    """How often each distance occurs along the rays, over its logarithm."""
    chart = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(chart)
    draw.text((_GAP, 4), "distance along the rays, scene units", _INK, _font(14))
    if limits is None:
        draw.text((_GAP, 40), "no view shows a surface", _MARK, _font(14))
        return chart
    near, far = limits[0] * 0.999, limits[1] * 1.001
    edges = np.geomspace(near, far, _BINS + 1)
    surfaces = (d[np.isfinite(d)] for v in views if (d := v.distances) is not None)
    counts = np.sum([np.histogram(d, edges)[0] for d in surfaces], axis=0)
    left, right, base, top = 10, size[0] - 10, size[1] - 30, 30
    step = (right - left) / _BINS
    for index, share in enumerate(counts / counts.max()):
        x = left + index * step
        middle = depth_colors(np.sqrt(edges[index : index + 1] * edges[index + 1]), limits)[0]
        draw.rectangle((x, base - share * (base - top), x + step - 1, base), tuple(middle.tolist()))
    draw.line((left, base, right, base), fill=_INK)
    for share in np.linspace(0, 1, 6):
        x, label = left + share * (right - left), f"{near * (far / near) ** share:.3g}"
        draw.line((x, base, x, base + 5), fill=_INK)
        width = draw.textlength(label, _font(13))
        draw.text((min(max(x - width / 2, 0), size[0] - width), base + 8), label, _INK, _font(13))
    return chart


def _text_block(lines: Sequence[str], size: tuple[int, int]) -> Image.Image:
    """Lines of text, broken to the width."""
    block = Image.new("RGB", size, _PAPER)
    draw, y = ImageDraw.Draw(block), 0
    for line in lines:
        for part in _broken(draw, line, size[0] - 2 * _GAP):
            color = _MARK if line.startswith("warning") else _INK
            draw.text((_GAP, y), part, color, _font(15))
            y += 21
        y += 4
    return block


def _broken(draw: ImageDraw.ImageDraw, line: str, width: int) -> list[str]:
    parts = [""]
    for word in line.split():
        longer = f"{parts[-1]} {word}".strip()
        if draw.textlength(longer, _font(15)) > width and parts[-1]:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
