"""Part of group Camera and path: the timeline of key frames, and films of it."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import imgui

from viewer.controls import Action
from viewer.film_desk import FilmDesk
from viewer.gui.widgets import Widgets
from viewer.path_desk import PathDesk

_KINDS = ((".mp4", "mp4"), (".gif", "gif"), ("", "folder of PNGs"))
_SIZES = ((400, 300), (640, 480), (800, 600), (1280, 720), (1920, 1080), (3840, 2160))
_KEY = (0.95, 0.75, 0.30, 1.0)
_SELECTED = (1.0, 1.0, 1.0, 1.0)
_HEAD = (0.45, 0.95, 0.55, 1.0)


def draw_path(ui: Widgets, paths: PathDesk) -> list[Action]:
    """The timeline, and what can be done with its key frames."""
    asked = []
    for label, action, tip in (
        ("add", Action.KEY_FRAME, "Key K: a key frame where the camera is."),
        ("remove", Action.REMOVE_KEY_FRAME, "Key Delete: the selected key frame."),
        ("undo", Action.UNDO, "Ctrl+Z: take the last change of the path back."),
        ("redo", Action.REDO, "Ctrl+Y: do it again after all."),
        ("save", Action.SAVE_PATH, "Ctrl+S: the path as JSON; drop such a file to load it."),
    ):
        if asked or label != "add":
            ui.same_line()
        if ui.button(label, tip):
            asked.append(action)
    timeline = paths.timeline
    path = timeline.path
    if not path.keys:
        ui.muted("no key frames yet")
        return asked
    _draw_timeline(ui, paths)
    if path.is_flyable:
        seconds = ui.slider(
            "seconds", path.seconds, (0.5, 120), "That the whole path takes.", "%.1f s", True
        )
        if seconds is not None:
            timeline.set_seconds(seconds, drag="seconds")
        elif not imgui.is_any_item_active():
            timeline.end_drag()
    is_smooth = ui.checkbox(
        "smooth", path.is_smooth, "Pass near the key frames instead of through them."
    )
    if is_smooth is not None:
        timeline.set_smooth(is_smooth)
    return asked


def draw_film(ui: Widgets, film: FilmDesk) -> list[Action]:
    """What a film is to be like, and how far the present one is."""
    if film.is_busy:
        progress = film.progress
        share = progress.frames / progress.total if progress is not None else 0.0
        ui.progress(share, film.text)
        return [Action.FILM] if ui.button("stop film", "It leaves no file. Also Esc.") else []
    choice = film.choice
    sizes = list(_SIZES) if choice.size in _SIZES else [choice.size, *_SIZES]
    names = [f"{width}x{height}" for width, height in sizes]
    index = ui.choice("film size", names, sizes.index(choice.size), "Pixels of each picture.")
    if index is not None:
        choice = replace(choice, size=sizes[index])
    kinds = [kind for kind, _ in _KINDS]
    names = [name for _, name in _KINDS]
    index = ui.choice("film kind", names, kinds.index(choice.kind), "What is written.")
    if index is not None:
        choice = replace(choice, kind=kinds[index])
    fps = ui.whole("film fps", choice.fps, (1, 120), "Pictures a second when it is played.")
    if fps is not None:
        choice = replace(choice, fps=fps)
    passes = ui.whole("film passes", choice.passes, (1, 32), "Averaged, for smooth edges.")
    if passes is not None:
        choice = replace(choice, passes=passes)
    film.choice = choice
    tip = "Ctrl+E: the path, or the default flight where there is none."
    return [Action.FILM] if ui.button("film", tip) else []


def _draw_timeline(ui: Widgets, paths: PathDesk) -> None:
    """A bar with the key frames and the playhead; a click or a drag goes there."""
    timeline, path = paths.timeline, paths.timeline.path
    em = imgui.get_font_size()
    corner = imgui.get_cursor_screen_pos()
    width = imgui.get_content_region_avail().x
    imgui.invisible_button("##timeline", imgui.ImVec2(width, 1.4 * em))
    ui.record("timeline", "The key frames of the path. Click or drag to stand there.")
    span = max(path.seconds, 1e-6)
    inner = width - em
    if imgui.is_item_active():
        share = (imgui.get_mouse_pos().x - corner.x - em / 2) / inner
        time = path.start + min(max(share, 0.0), 1.0) * span
        timeline.select_nearest(time)
        paths.seek(time)
    paper = imgui.get_window_draw_list()
    middle = corner.y + 0.7 * em

    def x_of(time: float) -> float:
        return corner.x + em / 2 + (time - path.start) / span * inner

    paper.add_line((corner.x, middle), (corner.x + width, middle), _u32((0.5, 0.5, 0.55, 1.0)))
    for i, key in enumerate(path.keys):
        color = _u32(_SELECTED if i == timeline.selected else _KEY)
        paper.add_circle_filled((x_of(key.time), middle), 0.3 * em, color)
    if paths.playhead is not None:
        x = x_of(paths.playhead)
        paper.add_line((x, corner.y), (x, corner.y + 1.4 * em), _u32(_HEAD), 2.0)


def _u32(color: tuple[float, ...]) -> int:
    return imgui.get_color_u32(imgui.ImVec4(*color))
