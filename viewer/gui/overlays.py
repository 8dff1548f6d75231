"""What lies over the picture: the numbers, the meaning of its colors, the help, a message."""

from __future__ import annotations

from itertools import pairwise

from imgui_bundle import imgui

from viewer.coloring import RAMP, RampRange, ends_in_look, value_at
from viewer.controls import BINDINGS, KEY_NOTE
from viewer.hud import Facts, hud_lines
from viewer.render_modes import RenderMode
from viewer.session import Session

BARE = (
    imgui.WindowFlags_.no_decoration
    | imgui.WindowFlags_.no_inputs
    | imgui.WindowFlags_.no_saved_settings
    | imgui.WindowFlags_.no_focus_on_appearing
    | imgui.WindowFlags_.no_nav
    | imgui.WindowFlags_.always_auto_resize
).value
MARGIN = 8.0
WARNING = imgui.ImVec4(1.0, 0.72, 0.35, 1.0)
_TICKS = 5
_LEGEND_EMS = 20.0
_HELP_EMS = (61.0, 38.0)

_PICTURES = {
    RenderMode.SAMPLE_PLACES: "samples: red near, green between, violet far; white far apart",
    RenderMode.NORMALS: "surfaces that face x are red, y green, z blue",
}
_VALUES = {
    RenderMode.DEPTH: "distance",
    RenderMode.ORACLE_DEPTH: "distance that the oracle expects",
    RenderMode.ENTROPY: "entropy of the oracle: 0 certain, 1 undecided",
    RenderMode.SAMPLE_PLACES: "samples that a ray got",
    RenderMode.OPACITY: "opacity before the last sample",
    RenderMode.ERROR: "error, mean of the channels",
}


def place_next(right: float, bottom: float, offset: tuple[float, float] = (0.0, 0.0)) -> None:
    """Put the next window at a corner, or between: 0 is left and top, 1 right and bottom.

    offset:  from there, to the right and down
    """
    size = imgui.get_io().display_size
    x = MARGIN + right * (size.x - 2 * MARGIN) + offset[0]
    y = MARGIN + bottom * (size.y - 2 * MARGIN) + offset[1]
    imgui.set_next_window_pos(imgui.ImVec2(x, y), 0, imgui.ImVec2(right, bottom))


def has_room(size: tuple[float, float], taken: tuple[float, float]) -> bool:
    """Whether a window of a size fits beside what is taken: so much from the left, and the top."""
    display, frame = imgui.get_io().display_size, 2 * imgui.get_style().window_padding.x
    room = display.x - taken[0] - 2 * MARGIN - frame, display.y - taken[1] - 2 * MARGIN - frame
    return size[0] <= room[0] and size[1] <= room[1]


def draw_numbers(session: Session, facts: Facts, left: float) -> float:
    """The numbers, top right, where there is room; returns how high they are.

    left:  as much is taken on that side
    """
    text = "\n".join(hud_lines(session, facts))
    width, height = imgui.calc_text_size(text)
    if not has_room((width, height), (left, 0.0)):
        return 0.0
    place_next(1.0, 0.0)
    imgui.begin("numbers", None, BARE)
    imgui.text_unformatted(text)
    if session.pilot.is_extrapolating:
        imgui.text_colored(WARNING, "outside the trained views")
    bottom = imgui.get_window_pos().y + imgui.get_window_height()
    imgui.end()
    return bottom


def draw_message(session: Session, bottom: float) -> None:
    """What has to be said, at the bottom; an error stays as long as it holds.

    bottom:  as much is kept free below it
    """
    text = session.error or session.message
    if not text:
        return
    place_next(0.5, 1.0, (0.0, -bottom))
    width = 0.8 * imgui.get_io().display_size.x
    imgui.set_next_window_size_constraints(imgui.ImVec2(0, 0), imgui.ImVec2(width, 1e4))
    imgui.begin("message", None, BARE)
    imgui.push_text_wrap_pos(width - 3 * MARGIN)
    if session.error:
        imgui.text_colored(WARNING, text)
    else:
        imgui.text_unformatted(text)
    imgui.pop_text_wrap_pos()
    imgui.end()


def draw_legend(session: Session, left: float) -> float:
    """What the picture's colors mean, at the bottom; returns how high it is, 0 if there is none.

    left:  as much is kept free beside it, where the window has room for both
    """
    shown = session.shown
    if shown is None or shown.request.mode is RenderMode.COLOR:
        return 0.0
    mode = shown.request.mode
    is_beside = has_room((_LEGEND_EMS * imgui.get_font_size(), 0.0), (left, 0.0))
    place_next(0.0, 1.0, (left if is_beside else 0.0, 0.0))
    imgui.begin("legend", None, BARE)
    if len(shown.values.shape) == 3:
        imgui.text_unformatted(_PICTURES.get(mode, mode))
    else:
        imgui.text_unformatted(_VALUES.get(mode, mode))
        _draw_ramp(ends_in_look(shown.ends, session.look))
    height = imgui.get_window_height()
    imgui.end()
    return height + MARGIN


def draw_reticle() -> None:
    """The middle of the picture, which has to stay within the trained cone."""
    size, ink = imgui.get_io().display_size, imgui.get_color_u32(WARNING)
    x, y, arm = size.x / 2, size.y / 2, 0.6 * imgui.get_font_size()
    paper = imgui.get_background_draw_list()
    paper.add_line((x - arm, y), (x + arm, y), ink)
    paper.add_line((x, y - arm), (x, y + arm), ink)


def draw_help() -> None:
    """The table of keys, in the middle; in a small window in small letters."""
    em, display = imgui.get_font_size(), imgui.get_io().display_size
    scale = min(1.0, display.x / (_HELP_EMS[0] * em), display.y / (_HELP_EMS[1] * em))
    imgui.push_font(None, imgui.get_style().font_size_base * scale)
    place_next(0.5, 0.5)
    imgui.set_next_window_bg_alpha(0.96)
    imgui.begin("help", None, BARE)
    if imgui.begin_table("keys", 4, imgui.TableFlags_.sizing_fixed_fit.value):
        half = (len(BINDINGS) + 1) // 2
        for left, right in zip(BINDINGS[:half], [*BINDINGS[half:], None], strict=False):
            for binding in (left, right):
                imgui.table_next_column()
                imgui.text_colored(WARNING, binding.label if binding is not None else "")
                imgui.table_next_column()
                imgui.text_unformatted(f"{binding.meaning}  " if binding is not None else "")
        imgui.end_table()
    imgui.separator()
    imgui.text_unformatted(KEY_NOTE)
    imgui.end()
    imgui.pop_font()


def _draw_ramp(ends: RampRange) -> None:
    """The ramp of colors with some of its values below."""
    em = imgui.get_font_size()
    corner, width, height = imgui.get_cursor_screen_pos(), 20 * em, 0.8 * em
    paper = imgui.get_window_draw_list()
    # Bright ends left: an error is dark where there is none, so its ramp runs the other way.
    colors = [imgui.get_color_u32(imgui.ImVec4(*rgb, 1.0)) for rgb in RAMP]
    low, high = (ends.low, ends.high) if ends.low <= ends.high else (ends.high, ends.low)
    if ends.low > ends.high:
        colors.reverse()
    step = width / (len(colors) - 1)
    for i, (left, right) in enumerate(pairwise(colors)):
        upper = imgui.ImVec2(corner.x + i * step, corner.y)
        lower = imgui.ImVec2(corner.x + (i + 1) * step, corner.y + height)
        paper.add_rect_filled_multi_color(upper, lower, left, right, right, left)
    imgui.dummy(imgui.ImVec2(width, height))
    scale = RampRange(low, high, ends.is_logarithmic)
    for i in range(_TICKS):
        share = i / (_TICKS - 1)
        text = f"{value_at(share, scale):.3g}"
        if i:
            imgui.same_line(share * (width - imgui.calc_text_size(text).x) + 10)
        imgui.text_unformatted(text)
