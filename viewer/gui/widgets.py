"""The panel's widgets: each has a name and a tooltip, and tells a new value or None."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imgui_bundle import imgui

_MUTED = imgui.ImVec4(0.65, 0.67, 0.72, 1.0)
_WARNING = imgui.ImVec4(1.0, 0.72, 0.35, 1.0)
_HOVERED = imgui.HoveredFlags_.for_tooltip | imgui.HoveredFlags_.allow_when_disabled


@dataclass(frozen=True)
class Place:
    """Where a widget lies: its corners, in the window's coordinates."""

    left: float
    top: float
    right: float
    bottom: float


class Widgets:
    """Widgets, and where they were drawn last: tests find them by their names.

    places:  by group and label, 'Sampling/samples per ray'
    """

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self._group = ""

    def begin_group(self, title: str, is_open: bool) -> bool:
        """The header of a group; True while it is open."""
        self._group = title
        imgui.set_next_item_open(is_open, imgui.Cond_.once)
        shows = imgui.collapsing_header(title)
        self._record("header")
        if shows:
            imgui.push_id(title)
            imgui.push_item_width(-0.42 * imgui.get_content_region_avail().x)
        return shows

    def end_group(self) -> None:
        """After the widgets of an open group."""
        imgui.pop_item_width()
        imgui.pop_id()
        imgui.spacing()

    def slider(
        self,
        label: str,
        value: float,
        bounds: tuple[float, float],
        tip: str,
        form: str = "%.2f",
        is_logarithmic: bool = False,
    ) -> float | None:
        """A number between bounds; Ctrl and a click to type it."""
        flags = imgui.SliderFlags_.always_clamp.value
        if is_logarithmic:
            flags |= imgui.SliderFlags_.logarithmic.value
        has_changed, new = imgui.slider_float(label, value, *bounds, form, flags)
        self._finish(label, tip)
        return new if has_changed else None

    def whole(self, label: str, value: int, bounds: tuple[int, int], tip: str) -> int | None:
        """A whole number between bounds."""
        flags = imgui.SliderFlags_.always_clamp.value
        has_changed, new = imgui.slider_int(label, value, *bounds, "%d", flags)
        self._finish(label, tip)
        return new if has_changed else None

    def vector(
        self, label: str, values: Sequence[float], step: float, tip: str
    ) -> list[float] | None:
        """Three numbers, to drag or to type."""
        has_changed, new = imgui.drag_float3(label, list(values), step, 0, 0, "%.2f")
        self._finish(label, tip)
        return new if has_changed else None

    def color(self, label: str, value: Sequence[float], tip: str) -> tuple[float, ...] | None:
        """A color, channels in [0, 1]."""
        flags = imgui.ColorEditFlags_.no_inputs.value
        has_changed, new = imgui.color_edit3(label, list(value), flags)
        self._finish(label, tip)
        return tuple(new) if has_changed else None

    def checkbox(self, label: str, value: bool, tip: str) -> bool | None:
        """On or off."""
        has_changed, new = imgui.checkbox(label, value)
        self._finish(label, tip)
        return new if has_changed else None

    def button(self, label: str, tip: str, is_enabled: bool = True) -> bool:
        """True when it was pressed."""
        imgui.begin_disabled(not is_enabled)
        is_pressed = imgui.button(label)
        imgui.end_disabled()
        self._finish(label, tip)
        return is_pressed

    def radio(self, label: str, is_chosen: bool, tip: str, is_enabled: bool = True) -> bool:
        """One of several; True when it was chosen."""
        imgui.begin_disabled(not is_enabled)
        is_pressed = imgui.radio_button(label, is_chosen)
        imgui.end_disabled()
        self._finish(label, tip)
        return is_pressed

    def choice(self, label: str, names: Sequence[str], current: int, tip: str) -> int | None:
        """One of a list that opens: its index."""
        has_changed, new = imgui.combo(label, current, list(names))
        self._finish(label, tip)
        return new if has_changed else None

    def progress(self, share: float, text: str) -> None:
        """How far something is, 0 to 1."""
        imgui.progress_bar(share, imgui.ImVec2(-1, 0), f"{round(100 * share)} %")
        self.muted(text)

    def record(self, label: str, tip: str) -> None:
        """After a widget that is drawn elsewhere: note its place, explain it."""
        self._finish(label, tip)

    def text(self, text: str, tip: str = "") -> None:
        """Something to read."""
        imgui.text_wrapped(text)
        _explain(tip)

    def line(self, text: str) -> None:
        """One line, however much it says."""
        imgui.text_unformatted(text)

    def muted(self, text: str) -> None:
        """Something to read, if one likes."""
        imgui.push_style_color(imgui.Col_.text, _MUTED)
        imgui.text_wrapped(text)
        imgui.pop_style_color()

    def warning(self, text: str) -> None:
        """Something that should be read."""
        imgui.push_style_color(imgui.Col_.text, _WARNING)
        imgui.text_wrapped(text)
        imgui.pop_style_color()

    def separator(self, text: str) -> None:
        """A line between parts of a group."""
        imgui.separator_text(text)

    def same_line(self) -> None:
        """The next widget goes beside the last one."""
        imgui.same_line()

    def same_line_at(self, share: float) -> None:
        """The next widget goes beside the last one, at a share of the width."""
        imgui.same_line(share * imgui.get_content_region_avail().x)

    def _finish(self, label: str, tip: str) -> None:
        self._record(label)
        _explain(tip)

    def _record(self, label: str) -> None:
        low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
        self.places[f"{self._group}/{label}"] = Place(low.x, low.y, high.x, high.y)


def _explain(tip: str) -> None:
    # Asked first: most widgets are not hovered, and text is not free.
    if tip and imgui.is_item_hovered(_HOVERED):
        imgui.begin_tooltip()
        imgui.push_text_wrap_pos(22 * imgui.get_font_size())
        imgui.text_unformatted(tip)
        imgui.pop_text_wrap_pos()
        imgui.end_tooltip()
