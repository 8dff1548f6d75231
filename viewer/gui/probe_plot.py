"""The plot of a probed ray: what the oracle expects along it, and what its samples found."""

from __future__ import annotations

import numpy as np
from imgui_bundle import imgui, implot

from viewer.gui.overlays import BARE, place_next
from viewer.ray_probe import ProbedRay, interesting_range

_SIZE_EMS = (36.0, 13.0)
_MARKER = 4.5
_ORACLE = imgui.ImVec4(0.45, 0.62, 1.0, 1.0)
_DENSITY = imgui.ImVec4(0.75, 0.75, 0.75, 0.8)
_LEGEND = (
    "steps: what is expected in each bin; stems: the samples, in their colors, as high as they "
    "count; crosses: their density, of the largest"
)


def draw_probe(ray: ProbedRay, at: tuple[float, float]) -> None:
    """Mark the ray and plot it.

    at:  where it is on the screen, in ImGui's coordinates
    """
    ink = imgui.get_color_u32(imgui.ImVec4(1, 1, 1, 0.9))
    imgui.get_foreground_draw_list().add_circle(imgui.ImVec2(*at), 7.0, ink, 0, 1.5)
    em, display = imgui.get_font_size(), imgui.get_io().display_size
    width = min(_SIZE_EMS[0] * em, max(display.x - 4 * em, 1))
    # Never over the place itself.
    place_next(0.5, 1.0 if at[1] < display.y / 2 else 0.0)
    imgui.begin("ray", None, BARE)
    imgui.color_button("color", _opaque(ray.color), imgui.ColorEditFlags_.no_tooltip.value)
    imgui.same_line()
    imgui.text_unformatted(
        f"distance {ray.depth:.3g}, opacity {ray.opacity:.2f}, {len(ray.t)} samples"
    )
    flags = implot.Flags_.canvas_only.value | implot.Flags_.no_inputs.value
    if implot.begin_plot("##ray", imgui.ImVec2(width, _SIZE_EMS[1] * em), flags):
        _plot(ray)
        implot.end_plot()
    imgui.push_text_wrap_pos(width)
    imgui.text_unformatted(_LEGEND)
    imgui.pop_text_wrap_pos()
    imgui.end()


def _plot(ray: ProbedRay) -> None:
    implot.setup_axes("distance", "", 0, implot.AxisFlags_.no_label.value)
    low, high = interesting_range(ray)
    implot.setup_axes_limits(low, high, 0.0, 1.05, implot.Cond_.always.value)
    steps = implot.Spec()
    steps.line_color = steps.fill_color = _ORACLE
    steps.fill_alpha = 0.35
    probs = np.append(ray.bin_probs, ray.bin_probs[-1])
    implot.plot_stairs("oracle", _f64(ray.bin_edges), _f64(probs), steps)
    _plot_densities(ray)
    for t, weight, rgb in zip(ray.t, ray.weights, ray.rgb, strict=True):
        stem = implot.Spec()
        stem.line_color = stem.marker_fill_color = stem.marker_line_color = _opaque(rgb)
        stem.marker, stem.marker_size = implot.Marker_.circle.value, _MARKER
        stem.line_weight = 2.0
        implot.plot_stems("##sample", _f64([t]), _f64([weight]), 0, stem)


def _plot_densities(ray: ProbedRay) -> None:
    largest = float(ray.density.max())
    if largest > 0:
        crosses = implot.Spec()
        crosses.marker, crosses.marker_size = implot.Marker_.cross.value, _MARKER
        crosses.marker_line_color = crosses.line_color = _DENSITY
        implot.plot_scatter("##density", _f64(ray.t), _f64(ray.density / largest), crosses)


def _opaque(rgb: np.ndarray) -> imgui.ImVec4:
    red, green, blue = rgb.tolist()
    return imgui.ImVec4(red, green, blue, 1.0)


def _f64(values: object) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float64)
