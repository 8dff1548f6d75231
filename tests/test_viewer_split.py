"""The split picture and the preview of a film, drawn by a real GL context without a display."""

from dataclasses import replace
from pathlib import Path

import moderngl
import numpy as np
import pytest
from viewer_scene import CELL, make_scene

from donerf import make_renderer
from donerf.renderer import StageTimes
from viewer.coloring import PLAIN
from viewer.comparison import Comparison
from viewer.film_desk import FilmChoice, FilmDesk
from viewer.film_export import FilmProgress, FilmSettings
from viewer.fly_camera import make_camera
from viewer.frame_texture import FrameTexture
from viewer.render_modes import RenderMode
from viewer.rendering import Picture, RenderRequest, Rival
from viewer.session import Session, session_settings
from viewer.split_view import FilmView, SplitView
from viewer.worker import Task

SIZE = (400, 200)
RED, BLUE = (200, 0, 0, 255), (0, 0, 200, 255)
RIVAL = Rival("S = 16", samples=16)


@pytest.fixture
def comparison() -> Comparison:
    scene = make_scene()
    info = make_renderer(scene, device="cpu", precision="fp32").info
    session = Session(CELL, session_settings(info, scene, False), SIZE, 0.0)
    comparison = Comparison(session, lambda task: None, lambda scene, _: make_renderer(scene))
    comparison.with_samples(16)
    return comparison


def plain(color: tuple[int, ...]) -> np.ndarray:
    return np.full((20, 40, 4), color, np.uint8)


def picture(rival: Rival | None) -> Picture:
    """Red; its rival is blue."""
    camera = make_camera(np.eye(4), 40, 20, 1.0)
    request = RenderRequest(camera, 4, RenderMode.COLOR, rival=rival)
    ours = Picture(request, plain(RED), 1.0, 4.0, StageTimes())
    return replace(ours, rival=replace(ours, values=plain(BLUE))) if rival is not None else ours


def draw(context: moderngl.Context, shown: Picture, comparison: Comparison) -> np.ndarray:
    """(H, W, 3), row 0 on top."""
    target = context.simple_framebuffer(SIZE)
    ours, split = FrameTexture(context), SplitView(context)
    ours.upload(shown.values)
    split.update(shown, comparison)
    area = (0, 0, *SIZE)
    ours.draw(target, area)
    split.draw(target, SIZE, area, PLAIN)
    pixels = np.frombuffer(target.read(components=3), np.uint8).reshape(SIZE[1], SIZE[0], 3)
    assert context.error == "GL_NO_ERROR"
    return pixels[::-1]


def test_our_picture_is_on_the_left_the_rival_on_the_right_and_a_line_between(context, comparison):
    for share in (0.5, 0.25, 0.9):
        comparison.drag_to(share)
        row = draw(context, picture(RIVAL), comparison)[-1]
        x = round(share * SIZE[0])
        assert np.all(row[: x - 2] == RED[:3])
        assert np.all(row[x + 2 :] == BLUE[:3])
        assert np.all(row[x] == 255)


def test_labels_lie_at_the_top_on_both_sides_of_the_line(context, comparison):
    comparison.drag_to(0.5)
    pixels = draw(context, picture(RIVAL), comparison)
    changed = np.any(pixels[:40] != pixels[-1], axis=(0, 2))

    assert changed[100:198].any(), "left of the line"
    assert changed[202:300].any(), "and right of it"
    assert not changed[:100].any() and not changed[300:].any()


def test_without_a_rival_the_whole_picture_is_ours(context, comparison):
    comparison.stop()
    pixels = draw(context, picture(None), comparison)

    assert np.all(pixels == RED[:3])


def test_the_window_is_drawn_again_only_when_something_has_changed(context, comparison):
    split, shown = SplitView(context), picture(RIVAL)

    assert split.update(shown, comparison)
    assert not split.update(shown, comparison)
    comparison.drag_to(0.3)
    assert split.update(shown, comparison)
    assert split.update(picture(RIVAL), comparison), "a new picture"
    comparison.stop()
    assert split.update(shown, comparison)
    assert not split.update(shown, comparison)


def test_drawing_a_split_leaves_no_limit_behind(context, comparison):
    """What is drawn afterwards, in a larger window, is not cut."""
    target = context.simple_framebuffer((600, 300))
    ours, split = FrameTexture(context), SplitView(context)
    shown = picture(RIVAL)
    ours.upload(shown.values)
    split.update(shown, comparison)
    split.draw(target, SIZE, (0, 0, *SIZE), PLAIN)
    ours.draw(target, (0, 0, 600, 300))
    pixels = np.frombuffer(target.read(components=3), np.uint8)

    assert np.all(pixels.reshape(-1, 3) == RED[:3])


def test_the_latest_picture_of_a_film_is_shown(context):
    tasks: list[Task] = []
    film, view = FilmDesk(tasks.append, lambda: None, FilmChoice((40, 20))), FilmView(context)
    assert not view.update(film)
    assert view.size is None
    film.start(CELL, [], FilmSettings(Path("f.mp4"), (40, 20), 1, RenderMode.COLOR, 24))
    film.report(FilmProgress(1, 9, 1.0, plain(RED)))
    film.report(FilmProgress(2, 9, 2.0, plain(BLUE)))
    assert view.update(film)
    assert not view.update(film)
    assert view.size == (40, 20)

    target = context.simple_framebuffer(SIZE)
    view.draw(target, (0, 0, *SIZE))
    assert set(np.frombuffer(target.read(components=3), np.uint8)[:3]) == {0, 200}
    assert film.text == "filming f.mp4: 2/9, 0:07 left (Esc stops)"
