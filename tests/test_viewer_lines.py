"""Lines over the picture lie where the camera sees what they stand for."""

import math
from dataclasses import replace

import moderngl
import numpy as np
import pytest
from numpy.testing import assert_allclose
from viewer_scene import CELL

from donerf import Camera, Intrinsics
from viewer.cell_lines import CellLines, box_edges, cone_limits
from viewer.fly_camera import FlyFrame, FlyPose, make_camera
from viewer.matrices import clip_from_world
from viewer.offscreen import OffscreenWindow

FRAME = FlyFrame(CELL)


def looking(yaw: float = 0.3, pitch: float = -0.2) -> np.ndarray:
    return FRAME.matrix(FlyPose(np.array(CELL.center), yaw, pitch))


def pixel_of(camera: Camera, place: np.ndarray) -> np.ndarray:
    """(column, row) of a place (4,) in pixels, as GL would draw it."""
    clip = clip_from_world(camera) @ place
    k = camera.intrinsics
    x, y = clip[:2] / clip[3]
    return np.array([(x + 1) / 2 * k.width, (1 - y) / 2 * k.height])


@pytest.mark.parametrize("center", [(40.0, 30.0), (31.0, 44.0)])
def test_a_place_is_drawn_where_its_ray_goes(rng, center: tuple[float, float]):
    camera = Camera(looking(), Intrinsics(80, 60, 70.0, *center))
    rays = camera.rays()
    for index in rng.integers(0, 80 * 60, 30):
        t = float(rng.uniform(0.1, 20))
        place = rays.origins[index].double() + t * rays.directions[index].double()
        drawn = pixel_of(camera, np.append(place.numpy(), 1.0))

        assert_allclose(drawn, [index % 80 + 0.5, index // 80 + 0.5], atol=1e-3)


def test_a_direction_is_drawn_where_it_is_infinitely_far_and_not_cut_off():
    camera = make_camera(looking(), 80, 60, 1.0)
    direction = np.append(camera.forward, 0.0)
    clip = clip_from_world(camera) @ direction

    assert_allclose(pixel_of(camera, direction), [40, 30], atol=1e-9)
    assert abs(clip[2]) < clip[3]


def test_what_lies_behind_the_camera_is_cut_off():
    camera = make_camera(looking(), 80, 60, 1.0)
    behind = np.append(camera.position - camera.forward, 1.0)

    assert (clip_from_world(camera) @ behind)[3] < 0


def test_the_box_has_twelve_edges_along_the_axes():
    edges = box_edges(FRAME).reshape(12, 2, 4)
    lengths = np.abs(edges[:, 1] - edges[:, 0])

    assert np.all(np.count_nonzero(lengths, axis=1) == 1)
    assert_allclose(np.sort(lengths.sum(axis=1)), np.repeat(np.sort(CELL.size), 4))
    corners = {tuple(corner) for corner in edges.reshape(-1, 4)[:, :3].round(6)}
    assert len(corners) == 8


def test_the_cone_is_drawn_where_the_view_turns_back():
    for x, y, z, w in cone_limits(FRAME):
        direction = np.array([x, y, z])
        yaw = math.atan2(direction @ FRAME.left, direction @ FRAME.ahead)
        pitch = math.asin(direction @ FRAME.up)
        pose = FlyPose(np.array(CELL.center), yaw, pitch)
        beyond = FRAME.turned(pose, 1e-3 * np.sign(yaw), 1e-3 * np.sign(pitch - FRAME.base_pitch))

        assert w == 0
        assert FRAME.is_in_cone(pose) or abs(yaw) <= FRAME.cone[0] + 1e-6
        assert not FRAME.is_in_cone(beyond)


def test_where_every_direction_is_trained_there_is_no_cone():
    everywhere = FlyFrame(replace(CELL, view_rotation_deg=(360.0, 180.0)))

    assert len(cone_limits(everywhere)) == 0


def test_lines_are_seen_in_the_window():
    try:
        window = OffscreenWindow(80, 60)
    except Exception as error:
        pytest.skip(f"no OpenGL through EGL here ({error})")
    lines = CellLines(window.context)
    lines.enter(FRAME)
    camera = make_camera(FRAME.matrix(FRAME.home()), 80, 60, CELL.fov_x)
    seen = []
    for has_box, has_cone in ((False, False), (True, False), (False, True)):

        def draw(target: moderngl.Framebuffer, box: bool = has_box, cone: bool = has_cone) -> None:
            target.clear()
            lines.draw(target, (0, 0, 80, 60), camera, box, cone)

        window.present(draw)
        seen.append(window.pixels())
    nothing, box, cone = seen
    # The far face: its left lower corner, as seen from the middle of the cell.
    corner = pixel_of(camera, np.array([CELL.lower[0], CELL.upper[1], CELL.lower[2], 1.0]))
    column, row = np.clip(corner.astype(int), 0, (79, 59))

    assert nothing.max() == 0
    assert box[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].max() > 80
    assert cone.max() > 100
    assert window.context.error == "GL_NO_ERROR"
    window.destroy()
