"""Cameras, rays, the view cell, log depth and the warp: by hand, round trips, invariances."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from donerf.geometry.camera import Camera, Intrinsics
from donerf.geometry.depth import distance_from_planar, planar_from_distance, s_from_t, t_from_s
from donerf.geometry.rays import Rays
from donerf.geometry.view_cell import ViewCell
from donerf.geometry.warp import warp

CELL = ViewCell(
    center=(1.0, -2.0, 0.5),
    size=(2.0, 1.0, 0.5),
    radius=0.5 * math.sqrt(4 + 1 + 0.25),
    depth_range=(0.5, 20.0),
    unified_range=(-0.3, 19.0),
)


def random_rays(count: int) -> Rays:
    lower, upper = torch.tensor(CELL.lower).float(), torch.tensor(CELL.upper).float()
    origins = lower + torch.rand(count, 3) * (upper - lower)
    return Rays(origins, torch.nn.functional.normalize(torch.randn(count, 3), dim=-1))


def camera(width: int = 5, height: int = 3, pose: np.ndarray | None = None) -> Camera:
    world_from_camera = np.eye(4) if pose is None else pose
    return Camera(world_from_camera, Intrinsics.from_fov(width, height, math.radians(90)))


def test_the_middle_pixel_looks_along_minus_z_and_row_0_looks_up():
    directions = camera().rays().directions.view(3, 5, 3)

    assert_close(directions[1, 2], torch.tensor([0.0, 0.0, -1.0]))
    assert directions[0, 2, 1] > 0
    assert directions[1, 4, 0] > 0


def test_the_edges_of_the_picture_span_the_field_of_view():
    k = Intrinsics.from_fov(400, 100, math.radians(70))
    left, right = k.directions(rows=range(50, 51), subpixel_offset=(-0.5, -0.5))[[0, -1]]

    assert math.degrees(math.atan2(-left[0], -left[2])) == pytest.approx(35, abs=1e-3)
    assert math.degrees(math.atan2(right[0], -right[2])) == pytest.approx(35, abs=0.2)
    assert k.fov_x == pytest.approx(math.radians(70))


def test_rays_of_some_rows_are_those_rows_of_all_rays():
    view = camera(7, 5)

    assert_close(view.rays(rows=range(2, 4)).directions, view.rays().directions[14:28])
    assert_close(view.pixel_ray(3, 4).directions[0], view.rays().directions[4 * 7 + 3])


def test_resized_and_downscaled_pictures_see_the_same():
    k = Intrinsics(6, 4, focal=5.0, center_x=2.5, center_y=2.25)

    corners = k.directions(subpixel_offset=(0.5, 0.5)).view(4, 6, 3)[1, 1]
    assert_close(k.resized(12, 8).directions().view(8, 12, 3)[3, 3, 0].sign(), corners[0].sign())
    assert k.resized(12, 8).fov_x == pytest.approx(k.fov_x)
    assert_close(
        k.downscaled(2).directions().view(2, 3, 3)[0, 0],
        k.directions(subpixel_offset=(0.5, 0.5)).view(4, 6, 3)[0, 0],
    )


@pytest.mark.parametrize("pose", [np.full((4, 4), np.nan), np.diag([2.0, 2, 2, 1]), np.eye(3)])
def test_a_pose_that_is_no_rigid_motion_is_refused(pose: np.ndarray):
    with pytest.raises(ValueError, match="camera pose"):
        camera(pose=pose)


def test_planar_depth_and_distance_are_inverse_and_agree_in_the_middle():
    k = Intrinsics.from_fov(5, 3, 1.2)
    planar = torch.rand(3, 5) + 1

    distance = distance_from_planar(planar, k)

    assert_close(planar_from_distance(distance, k), planar)
    assert_close(distance[1, 2], planar[1, 2])
    assert (distance[0] > planar[0]).all()


def test_log_depth_round_trip_and_ends():
    t = torch.linspace(-0.3, 19.0, 50)

    s = s_from_t(t, CELL.unified_range, 1.0)

    assert_close(t_from_s(s, CELL.unified_range, 1.0), t, atol=1e-4, rtol=1e-5)
    assert_close(s[[0, -1]], torch.tensor([0.0, 1.0]))
    assert (s.diff() > 0).all()


def test_log_depth_is_the_published_formula_at_scale_1():
    t, (near, far) = 7.0, CELL.unified_range
    expected = math.log(t - near + 1) / math.log(far - near + 1)

    assert float(s_from_t(torch.tensor(t), (near, far), 1.0)) == pytest.approx(expected, rel=1e-6)


def test_log_depth_outside_its_range_is_clamped_not_nan():
    s = s_from_t(torch.tensor([-100.0, 1e10, math.inf]), CELL.unified_range, 1.0)

    assert s.tolist() == pytest.approx([0.0, 1.0, 1.0])


def test_rays_on_one_line_share_their_unified_origin():
    rays = random_rays(64)
    moved = Rays(rays.origins + 0.01 * rays.directions, rays.directions)

    assert_close(CELL.unify(moved).origins, CELL.unify(rays).origins, atol=1e-5, rtol=1e-5)


def test_unified_origins_lie_on_the_sphere_ahead_of_the_camera():
    rays = random_rays(64)

    unified = CELL.unify(rays)

    radius = (unified.origins - torch.tensor(CELL.center)).norm(dim=-1)
    assert_close(radius, torch.full_like(radius, CELL.radius))
    assert (CELL.exit_distance(rays) > 0).all()


def test_a_ray_that_misses_the_sphere_still_has_a_finite_origin():
    rays = Rays(torch.tensor([[50.0, 0, 0]]), torch.tensor([[0.0, 1, 0]]))

    assert torch.isfinite(CELL.unify(rays).origins).all()


def test_clamping_slides_along_the_face():
    outside = np.array([9.0, -1.9, 0.6])

    assert CELL.clamp(outside).tolist() == pytest.approx([2.0, -1.9, 0.6])
    assert not CELL.contains(outside)
    assert CELL.contains(CELL.clamp(outside))


@pytest.mark.parametrize(
    "change",
    [
        {"size": (1.0, 0.0, 1.0)},
        {"center": (math.nan, 0.0, 0.0)},
        {"depth_range": (3.0, 2.0)},
        {"log_scale": 0.0},
    ],
)
def test_an_impossible_cell_is_refused(change: dict):
    fields = {name: getattr(CELL, name) for name in CELL.__dataclass_fields__}

    with pytest.raises(ValueError, match="got"):
        ViewCell(**(fields | change))


def test_warp_keeps_directions_and_takes_the_root_of_the_radius():
    q = torch.tensor([[3.0, 0, 4.0], [0.0, 20.0, 0.0]])

    warped = warp(q + torch.tensor(CELL.center), CELL)

    assert_close(warped.norm(dim=-1), torch.tensor([math.sqrt(5 / 20), 1.0]))
    assert_close(torch.nn.functional.normalize(warped), torch.nn.functional.normalize(q))


def test_warp_and_its_gradient_are_finite_at_the_center():
    points = torch.tensor([CELL.center], requires_grad=True)

    warped = warp(points, CELL)
    warped.sum().backward()

    assert_close(warped, torch.zeros(1, 3))
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()
