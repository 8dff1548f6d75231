"""What the modes show, and that the window's shaders color it as a saved picture is colored."""

from pathlib import Path

import moderngl
import numpy as np
import pytest
import torch
from golden import check_picture
from numpy.testing import assert_allclose
from viewer_scene import CELL, make_scene

from donerf import Camera, Intrinsics, load_scene, make_renderer
from donerf.assets import default_scene
from donerf.renderer import Output, RendererInfo
from viewer.coloring import (
    RAMP,
    UNIT,
    Look,
    RampRange,
    colors_of,
    ends_in_look,
    exposed,
    ramp_ends,
    value_at,
)
from viewer.fly_camera import FlyFrame, FlyPose, make_camera
from viewer.frame_texture import FrameTexture
from viewer.offscreen import OffscreenWindow
from viewer.render_modes import RenderMode, color_normals, color_places, offered_modes, options_for
from viewer.rendering import Picture, RenderRequest, render_picture
from viewer.transfer import in_main_memory

PLAIN_MODES = [mode for mode in RenderMode if mode is not RenderMode.ERROR]


def camera(width: int = 64, height: int = 48) -> Camera:
    pose = FlyPose(np.array([-1.3, 1.0, 1.6]), yaw=0.2, pitch=-0.1)
    return make_camera(FlyFrame(CELL).matrix(pose), width, height, CELL.fov_x)


def picture_of(mode: RenderMode, samples: int = 8) -> Picture:
    renderer = make_renderer(make_scene(gains=(5.0, 1.6)), "cpu", "fp32")
    picture = render_picture(renderer, RenderRequest(camera(), samples, mode), CELL)
    assert picture is not None
    return picture


def renderer_info(outputs: frozenset[Output]) -> RendererInfo:
    return RendererInfo("test", "cpu", "test", "fp32", outputs, None, ("oracle",))


@pytest.mark.parametrize("mode", PLAIN_MODES)
def test_a_mode_looks_as_it_did(mode: RenderMode):
    # Products may be rounded otherwise on another machine; a mistake changes far more.
    check_picture(f"mode-{mode}", picture_of(mode).pixels[..., :3], mean=1.0)


@pytest.mark.parametrize("mode", PLAIN_MODES)
@pytest.mark.parametrize("look", [Look(), Look(exposure_ev=1.3, near=2.0, far=9.0)])
def test_the_shaders_color_as_saved_pictures_are_colored(mode: RenderMode, look: Look):
    picture = picture_of(mode)
    width, height = picture.size
    try:
        window = OffscreenWindow(width, height)
    except Exception as error:
        pytest.skip(f"no OpenGL through EGL here ({error})")
    values = in_main_memory(picture.values)
    texture = FrameTexture(window.context)
    texture.upload(picture.values)

    def draw(target: moderngl.Framebuffer) -> None:
        if mode is RenderMode.COLOR or values.ndim == 2:
            texture.draw(target, (0, 0, width, height), look, picture.ends)
        else:
            texture.draw(target, (0, 0, width, height), ends=picture.ends)

    window.present(draw)
    saved = colors_of(values, mode, look, picture.ends)[..., :3]
    # One step of 256: the two round at different places.
    assert np.abs(window.pixels().astype(int) - saved).max() <= 1
    window.destroy()


def test_without_exposure_a_picture_is_shown_to_the_last_bit():
    picture = picture_of(RenderMode.COLOR)

    values = in_main_memory(picture.values)
    assert colors_of(values, RenderMode.COLOR, Look(), UNIT) is values


def test_a_stop_doubles_the_light_and_none_is_lost_at_black_and_white():
    pixels = np.array([[[0, 188, 255, 255]]], np.uint8)
    brighter = exposed(pixels, 1.0)

    # 188 is half the light of 255.
    assert abs(int(brighter[0, 0, 1]) - 255) <= 1
    assert brighter[0, 0, 0] == 0 and brighter[0, 0, 2] == 255 and brighter[0, 0, 3] == 255


def test_the_ends_of_the_ramp_are_its_first_and_last_color():
    ends = RampRange(2.0, 50.0, is_logarithmic=True)
    values = np.array([[0.1, 2.0, 10.0, 50.0, 1e9]], np.float32)
    colors = colors_of(values, RenderMode.DEPTH, Look(), ends)[0, :, :3] / 255

    assert_allclose(colors[[0, 1]], [RAMP[0]] * 2, atol=0.003)
    assert_allclose(colors[[3, 4]], [RAMP[-1]] * 2, atol=0.003)
    # The geometric middle of 2 and 50.
    assert_allclose(colors[2], RAMP[3], atol=0.003)
    assert value_at(0.5, ends) == pytest.approx(10.0)


def test_only_the_ends_of_distances_can_be_moved():
    look = Look(near=3.0, far=4.0)

    assert ends_in_look(ramp_ends(RenderMode.DEPTH, (0.5, 20.0), 4), look) == RampRange(
        3.0, 4.0, True
    )
    assert ends_in_look(ramp_ends(RenderMode.ENTROPY, (0.5, 20.0), 4), look) == UNIT


def test_a_near_end_beyond_the_far_one_still_gives_a_ramp():
    ends = ends_in_look(RampRange(1.0, 10.0, True), Look(near=30.0))

    assert ends.high > ends.low


def test_errors_are_bright_on_dark():
    ends = ramp_ends(RenderMode.ERROR, (0.5, 20.0), 4)
    colors = colors_of(np.array([[0.0, 0.3]], np.float32), RenderMode.ERROR, Look(), ends)

    assert colors[0, 0, :3].max() < 20
    assert colors[0, 1, :3].min() > 180


@pytest.mark.parametrize("pitch", [-0.6, 0.0])
def test_the_normal_of_a_floor_is_up_however_it_is_seen(pitch: float):
    frame = FlyFrame(CELL)
    pose = FlyPose(np.zeros(3), yaw=0.7, pitch=-0.9)
    view = make_camera(frame.matrix(pose), 80, 60, 1.0)
    down = -view.rays().directions[:, 2]
    depth = torch.where(down > 0.05, 2.0 / down.clamp_min(0.05), 1e3).view(60, 80)
    colors = color_normals(depth, view, far=1e3)
    floor = colors[down.view(60, 80) > 0.2]

    assert_allclose(floor.numpy(), np.broadcast_to([0.5, 0.5, 1.0], floor.shape), atol=2e-3)


def test_what_is_no_surface_has_no_normal():
    view = Camera(np.eye(4), Intrinsics.from_fov(8, 6, 1.0))
    colors = color_normals(torch.full((6, 8), 100.0), view, far=100.0)

    assert float(colors.max()) < 0.1


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (3, 5)])
def test_normals_of_tiny_pictures_are_finite(size: tuple[int, int]):
    view = Camera(np.eye(4), Intrinsics.from_fov(*size, 1.0))
    colors = color_normals(torch.rand(size[1], size[0]) + 1, view, far=100.0)

    assert torch.isfinite(colors).all()
    assert colors.min() >= 0 and colors.max() <= 1


def test_a_normal_does_not_look_across_an_edge():
    view = Camera(np.eye(4), Intrinsics.from_fov(240, 8, 0.4))
    depth = torch.full((8, 240), 5.0) / -view.intrinsics.directions()[:, 2].view(8, 240)
    depth[:, 120:] *= 4
    colors = color_normals(depth, view, far=100.0)

    # Two walls, one behind the other, both facing the camera.
    assert_allclose(colors.numpy(), np.broadcast_to([0.5, 0.5, 1.0], (8, 240, 3)), atol=0.01)


def test_places_are_red_when_near_violet_when_far_and_white_when_apart():
    places = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.9]])
    near, far, apart = color_places(places)

    assert_allclose(near.numpy(), [1, 0, 0], atol=1e-6)
    assert far[2] == 1 and far[1] == 0
    assert_allclose(apart.numpy(), [1, 1, 1], atol=1e-6)


def test_modes_without_data_are_not_offered():
    some = renderer_info(frozenset({Output.DEPTH}))

    assert offered_modes(some, has_truth=False) == (
        RenderMode.COLOR,
        RenderMode.DEPTH,
        RenderMode.NORMALS,
    )
    assert RenderMode.ERROR in offered_modes(some, has_truth=True)
    with pytest.raises(ValueError, match="gives no 'entropy'"):
        options_for(RenderMode.ENTROPY, 4, some)


def test_a_renderer_that_only_counts_samples_shows_how_many():
    counts = renderer_info(frozenset({Output.SAMPLE_COUNT}))

    options = options_for(RenderMode.SAMPLE_PLACES, 4, counts)
    assert options.outputs == {Output.SAMPLE_COUNT}


def test_adaptive_counts_are_shown_as_they_are():
    scene = load_scene(default_scene())
    cell = scene.cells[0].cell
    view = make_camera(FlyFrame(cell).matrix(FlyFrame(cell).home()), 60, 45, cell.fov_x)
    renderer = make_renderer(scene, "cpu", "fp32")
    if not renderer.info.can_adapt:
        pytest.skip("the backend gives every ray as many samples")
    request = RenderRequest(view, 4, RenderMode.SAMPLE_PLACES, adaptive=True)
    picture = render_picture(renderer, request, cell)
    assert picture is not None
    counts = in_main_memory(picture.values)

    assert len(np.unique(counts)) > 2
    assert counts.mean() == pytest.approx(picture.mean_samples)
    assert picture.ends == RampRange(0.0, 8.0)
    assert counts.max() <= picture.ends.high


def test_the_golden_check_writes_what_differs(tmp_path: Path):
    picture = np.zeros((4, 4, 3), np.uint8)
    check_picture("new", picture, mean=1.0, folder=tmp_path, is_new=True)
    with pytest.raises(AssertionError, match="differs"):
        check_picture("new", picture + 50, mean=1.0, folder=tmp_path)

    names = {path.name for path in (tmp_path / "failed").iterdir()}
    assert names == {"new-actual.png", "new-expected.png", "new-difference.png"}
