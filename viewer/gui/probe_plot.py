"""The plot of a probed ray: what the oracle expects along it, and what its samples found."""

from __future__ import annotations

import numpy as np
from imgui_bundle import imgui, implot

from viewer.gui.overlays import BARE, place_next
from viewer.ray_probe import ProbedRay

_SIZE_EMS = (34.0, 12.0)
_MARKER = 6.0


def draw_probe(ray: ProbedRay, at: tuple[float, float]) -> None:
    """Mark the ray and plot it.

    at:  where it is on the screen, in ImGui's coordinates
    """
    ink = imgui.get_color_u32(imgui.ImVec4(1, 1, 1, 0.9))
    imgui.get_foreground_draw_list().add_circle(imgui.ImVec2(*at), 7.0, ink, 0, 1.5)
    place_next(0.5, 1.0)
    imgui.begin("ray", None, BARE)
    imgui.color_button("color", _opaque(ray.color), imgui.ColorEditFlags_.no_tooltip.value)
    imgui.same_line()
    imgui.text_unformatted(
        f"distance {ray.depth:.3g}, {len(ray.t)} samples - steps: what the oracle expects, "
        "stems: the samples, as high as they count"
    )
    em = imgui.get_font_size()
    size = imgui.ImVec2(_SIZE_EMS[0] * em, _SIZE_EMS[1] * em)
    flags = implot.Flags_.canvas_only.value | implot.Flags_.no_inputs.value
    if implot.begin_plot("##ray", size, flags):
        _plot(ray)
        implot.end_plot()
    imgui.end()


def _plot(ray: ProbedRay) -> None:
    edges = np.maximum(ray.bin_edges, 1e-3)
    implot.setup_axes("distance", "", 0, implot.AxisFlags_.no_label.value)
    implot.setup_axis_scale(implot.ImAxis_.x1.value, implot.Scale_.log10.value)
    low = max(float(edges[0]), float(edges[-1]) / 1000)
    implot.setup_axes_limits(low, float(edges[-1]), 0.0, 1.05, implot.Cond_.always.value)
    spec = implot.Spec()
    spec.line_color = imgui.ImVec4(0.45, 0.62, 1.0, 1.0)
    spec.fill_color, spec.fill_alpha = imgui.ImVec4(0.45, 0.62, 1.0, 1.0), 0.35
    probs = np.append(ray.bin_probs, ray.bin_probs[-1])
    implot.plot_stairs("oracle", _f64(edges), _f64(probs), spec)
    for t, weight, rgb in zip(ray.t, ray.weights, ray.rgb, strict=True):
        stem = implot.Spec()
        stem.line_color = stem.marker_fill_color = stem.marker_line_color = _opaque(rgb)
        stem.marker, stem.marker_size = implot.Marker_.circle.value, _MARKER
        stem.line_weight = 2.0
        implot.plot_stems("##sample", _f64([max(t, 1e-3)]), _f64([weight]), 0, stem)


def _opaque(rgb: np.ndarray) -> imgui.ImVec4:
    red, green, blue = rgb.tolist()
    return imgui.ImVec4(red, green, blue, 1.0)


def _f64(values: object) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float64)
