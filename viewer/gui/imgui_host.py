"""Dear ImGui on our window and context: its life, its frames, and whose input it is."""

from __future__ import annotations

from pathlib import Path

import imgui_bundle
import moderngl
from imgui_bundle import imgui, implot

FONT_PIXELS = 15.0
# A tooltip comes late and a hover fades: after input the window is drawn for so long.
LIVELY_SECONDS = 0.7


class ImguiHost:
    """Belongs to the thread of the GL context. One at a time."""

    def __init__(self, window: int | None, scale: float = 1.0) -> None:
        """Set up ImGui for the current GL context.

        window:  address of the glfw window whose input it gets, which needs its own callbacks
                 installed by now; None: input and size are given to ImGui by hand
        scale:   of text and widgets, as the screen asks for
        """
        imgui.create_context()
        implot.create_context()
        self._window = window
        self._lively_until = 0.0
        self._time: float | None = None
        io = imgui.get_io()
        # Where windows lie is no business of the folder that the viewer was started in.
        io.set_ini_filename("")
        io.set_log_filename("")
        io.config_windows_move_from_title_bar_only = True
        _load_font()
        _set_style(scale)
        if window is not None:
            imgui.backends.glfw_init_for_opengl(window, True)
        imgui.backends.opengl3_init("#version 330")

    def begin(self, size: tuple[int, int], now: float) -> None:
        """Start a frame; `owns_pointer` and `owns_keys` are up to date after it.

        size:  of the framebuffer in pixels; a glfw window tells it by itself
        """
        imgui.backends.opengl3_new_frame()
        io = imgui.get_io()
        if self._window is not None:
            imgui.backends.glfw_new_frame()
        else:
            io.display_size = imgui.ImVec2(*size)
            io.delta_time = max(now - self._time, 1e-4) if self._time is not None else 1 / 60
        self._time = now
        imgui.new_frame()

    def end(self) -> None:
        """Finish the frame; `draw` shows it."""
        imgui.render()

    def draw(self, target: moderngl.Framebuffer) -> None:
        """Lay the finished frame over what is in the target."""
        target.use()
        imgui.backends.opengl3_render_draw_data(imgui.get_draw_data())

    def stir(self, now: float) -> None:
        """There was input: draw for a while, so that tooltips and hovers get their time."""
        self._lively_until = now + LIVELY_SECONDS

    def is_lively(self, now: float) -> bool:
        """Whether frames should follow each other although nothing happens."""
        return now < self._lively_until

    @property
    def owns_pointer(self) -> bool:
        """Whether the pointer is over a window of ours, or drags something of it."""
        return imgui.get_io().want_capture_mouse

    @property
    def owns_keys(self) -> bool:
        """Whether something is being typed in."""
        return imgui.get_io().want_text_input

    def from_pixels(self, place: tuple[float, float]) -> tuple[float, float]:
        """Framebuffer pixels in ImGui's own units."""
        scale = imgui.get_io().display_framebuffer_scale
        return place[0] / max(scale.x, 1e-3), place[1] / max(scale.y, 1e-3)

    def close(self) -> None:
        """Give everything back, while the GL context still lives."""
        imgui.backends.opengl3_shutdown()
        if self._window is not None:
            imgui.backends.glfw_shutdown()
        implot.destroy_context()
        imgui.destroy_context()


def _load_font() -> None:
    """The font that comes with ImGui's package: readable at every size, with the signs we need."""
    path = Path(imgui_bundle.__file__).parent / "assets" / "fonts" / "Roboto" / "Roboto-Regular.ttf"
    fonts = imgui.get_io().fonts
    if path.is_file():
        fonts.add_font_from_file_ttf(str(path), FONT_PIXELS)
    else:
        fonts.add_font_default_vector()


def _set_style(scale: float) -> None:
    imgui.style_colors_dark()
    style = imgui.get_style()
    style.window_rounding = style.frame_rounding = style.grab_rounding = 4.0
    style.window_border_size = 0.0
    style.item_spacing = imgui.ImVec2(8, 5)
    style.window_padding = imgui.ImVec2(10, 8)
    style.set_color_(imgui.Col_.window_bg, imgui.ImVec4(0.07, 0.07, 0.09, 0.86))
    style.set_color_(imgui.Col_.header, imgui.ImVec4(0.20, 0.24, 0.34, 0.80))
    style.set_color_(imgui.Col_.frame_bg, imgui.ImVec4(0.20, 0.21, 0.26, 0.75))
    style.scale_all_sizes(scale)
    style.font_scale_dpi = scale
