import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from viewer_scene import CELL

from viewer.camera_path import flight_matrices, flight_pose
from viewer.controls import Action
from viewer.fly_camera import MAX_PITCH, FlyFrame, FlyPose, make_camera
from viewer.pilot import CELL_SECONDS, FLIGHT_SECONDS, Pilot

FRAME = FlyFrame(CELL)
# Looks 85 degrees down.
DOWNWARD = (
    (1.0, 0.0, 0.0),
    (0.0, math.sin(math.radians(85)), math.cos(math.radians(85))),
    (0.0, -math.cos(math.radians(85)), math.sin(math.radians(85))),
)


@pytest.fixture
def pilot() -> Pilot:
    return Pilot(CELL, is_free=False, now=0.0)


def hold(pilot: Pilot, action: Action, start: float, end: float) -> None:
    """Hold a key, with a picture every 20 ms, as in the window."""
    pilot.press(action, start)
    for now in np.arange(start, end, 0.02):
        pilot.advance(now)
    pilot.release(action, end)


def test_home_looks_in_the_base_direction():
    matrix = FRAME.matrix(FRAME.home())

    assert_allclose(matrix[:3, :3], CELL.base_orientation, atol=1e-12)
    assert_allclose(matrix[:3, 3], CELL.center)


def test_a_pose_survives_its_matrix():
    pose = FlyPose(np.array([-0.5, 1.0, 1.4]), yaw=-0.6, pitch=0.3)
    back = FRAME.pose_of(FRAME.matrix(pose))

    assert_allclose([*back.position, back.yaw, back.pitch], [*pose.position, pose.yaw, pose.pitch])


def test_roll_is_locked(rng):
    for yaw, pitch in rng.uniform(-1.5, 1.5, (20, 2)):
        right = FRAME.matrix(FlyPose(np.zeros(3), yaw, pitch))[:3, 0]
        assert abs(right @ np.array(CELL.world_up)) < 1e-12


def test_looking_never_goes_over_the_top():
    pose = FRAME.turned(FRAME.home(), left=0.0, up=10.0)

    assert pose.pitch == MAX_PITCH


def test_a_cell_that_looks_straight_down_still_has_a_front():
    down = type(CELL)(
        CELL.center,
        CELL.size,
        CELL.radius,
        CELL.depth_range,
        CELL.unified_range,
        base_orientation=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    )

    assert_allclose(FlyFrame(down).ahead, (0, 1, 0), atol=1e-12)


def test_flying_against_a_face_slides_along_it(pilot: Pilot):
    pilot.look(left=0.5, up=0.0, now=0.0)  # 35 degrees to the left
    hold(pilot, Action.FORWARD, 0.0, 2.0)
    at_wall = pilot.pose.position
    hold(pilot, Action.FORWARD, 2.0, 2.5)

    assert at_wall[0] == CELL.lower[0]
    assert pilot.pose.position[0] == CELL.lower[0]
    assert pilot.pose.position[1] > at_wall[1] + 0.1
    assert CELL.contains(pilot.pose.position)


def test_a_free_pilot_leaves_the_cell_and_says_so(pilot: Pilot):
    pilot.press(Action.FREE, 0.0)
    hold(pilot, Action.RIGHT, 0.0, 4.0)
    assert not CELL.contains(pilot.pose.position)
    assert pilot.is_extrapolating

    pilot.press(Action.FREE, 4.0)
    assert CELL.contains(pilot.pose.position)


def test_looking_out_of_the_trained_cone_is_extrapolating(pilot: Pilot):
    assert not pilot.is_extrapolating
    pilot.look(left=0.51, up=0.0, now=0.0)
    assert pilot.is_extrapolating


def test_speed_follows_the_clock_and_not_the_frame_rate():
    distances = []
    for step in (0.01, 0.1):
        pilot = Pilot(CELL, is_free=True, now=0.0)
        pilot.press(Action.RIGHT, 0.0)
        for now in np.arange(step, 1 + step / 2, step):
            pilot.advance(now)
        distances.append(np.linalg.norm(pilot.pose.position - np.array(CELL.center)))

    assert_allclose(distances, CELL.diagonal / CELL_SECONDS)


def test_two_directions_are_not_faster_than_one():
    pilot = Pilot(CELL, is_free=True, now=0.0)
    pilot.press(Action.RIGHT, 0.0)
    pilot.press(Action.UP, 0.0)
    pilot.advance(0.2)

    step = np.linalg.norm(pilot.pose.position - np.array(CELL.center))
    assert step == pytest.approx(0.2 * pilot.speed)


def test_shift_alt_and_wheel_change_the_speed(pilot: Pilot):
    usual = pilot.speed_now
    pilot.press(Action.FAST, 0.0)
    assert pilot.speed_now == pytest.approx(4 * usual)
    pilot.release(Action.FAST, 0.0)
    pilot.press(Action.SLOW, 0.0)
    assert pilot.speed_now == pytest.approx(usual / 4)
    pilot.release_all(0.0)
    pilot.press(Action.SPEED_UP, 0.0)
    assert pilot.speed_now == pytest.approx(1.1 * usual)


def test_losing_the_focus_lets_all_keys_go(pilot: Pilot):
    pilot.press(Action.FORWARD, 0.0)
    pilot.release_all(0.1)
    before = pilot.pose.position
    pilot.advance(1.0)

    assert not pilot.is_moving
    assert_allclose(pilot.pose.position, before)


def test_a_key_pressed_after_a_long_rest_does_not_leap(pilot: Pilot):
    pilot.press(Action.FORWARD, 1000.0)

    assert_allclose(pilot.pose.position, CELL.center)


def test_home_undoes_everything(pilot: Pilot):
    pilot.press(Action.SPEED_UP, 0.0)
    pilot.look(0.3, 0.2, 0.0)
    hold(pilot, Action.UP, 0.0, 1.0)
    pilot.press(Action.HOME, 1.0)

    assert_allclose(FRAME.matrix(pilot.pose), FRAME.matrix(FRAME.home()))
    assert pilot.speed == pilot.usual_speed


def test_the_flight_is_closed_and_starts_at_home():
    assert_allclose(FRAME.matrix(flight_pose(FRAME, 0.0)), FRAME.matrix(FRAME.home()), atol=1e-12)
    assert_allclose(FRAME.matrix(flight_pose(FRAME, 1.0)), FRAME.matrix(FRAME.home()), atol=1e-12)


def test_the_flight_stays_in_the_cell_and_in_the_cone():
    poses = [flight_pose(FRAME, k / 500) for k in range(500)]

    assert all(CELL.contains(pose.position) and FRAME.is_in_cone(pose) for pose in poses)


def test_the_flight_sweeps_most_of_the_cell_and_of_the_cone():
    poses = [flight_pose(FRAME, k / 500) for k in range(500)]
    reach = np.ptp([pose.position for pose in poses], axis=0) / np.array(CELL.size)
    angles = np.ptp([(pose.yaw, pose.pitch) for pose in poses], axis=0)

    assert_allclose(reach, 0.8, atol=1e-3)
    assert np.all(angles > 0.9 * 2 * np.array(FRAME.cone))


def test_the_flight_has_no_jumps():
    matrices = np.array(flight_matrices(CELL, 240))
    steps = np.linalg.norm(np.diff(matrices[:, :3, 3], axis=0), axis=1)

    assert steps.max() < CELL.diagonal / 20


def test_the_flight_turns_with_time_until_a_key_flies(pilot: Pilot):
    pilot.press(Action.FLIGHT, 0.0)
    for now in np.arange(0.0, FLIGHT_SECONDS / 4 + 0.01, 0.1):
        pilot.advance(now)
    assert pilot.pose.yaw == pytest.approx(flight_pose(FRAME, 0.25).yaw, abs=1e-3)

    pilot.press(Action.LEFT, 5.0)
    assert not pilot.is_on_flight


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (400, 400), (1000, 10)])
def test_no_shape_of_window_looks_beyond_the_trained_view(size: tuple[int, int]):
    intrinsics = make_camera(np.eye(4), *size, CELL.fov_x).intrinsics
    fov_y = 2 * math.atan(intrinsics.height / 2 / intrinsics.focal)

    assert max(intrinsics.fov_x, fov_y) == pytest.approx(CELL.fov_x)


def test_a_trained_direction_is_kept_to_the_last_bit(rng):
    for yaw, pitch in rng.uniform(-1, 1, (200, 2)):
        pose = FlyPose(np.zeros(3), yaw * FRAME.cone[0], FRAME.base_pitch + pitch * FRAME.cone[1])
        inside = FRAME.into_cone(pose)
        assert (inside.yaw, inside.pitch) == (pose.yaw, pose.pitch)


def test_looking_out_of_the_cone_the_view_softly_comes_back(pilot: Pilot):
    pilot.look(left=0.7, up=-0.6, now=0.0)
    beyond = pilot.pose
    assert pilot.is_moving
    yaws = []
    for now in np.arange(0.02, 3.0, 0.02):
        pilot.advance(now)
        yaws.append(pilot.pose.yaw)

    assert not pilot.is_moving
    assert FRAME.is_in_cone(pilot.pose)
    assert pilot.pose.yaw == FRAME.cone[0], "no further back than it has to"
    assert all(a >= b for a, b in pairwise(yaws))
    assert beyond.yaw - yaws[0] < 0.3 * (beyond.yaw - FRAME.cone[0]), "it does not jump"


def test_who_is_free_looks_anywhere(pilot: Pilot):
    pilot.press(Action.FREE, 0.0)
    pilot.look(left=0.9, up=0.0, now=0.0)
    yaw = pilot.pose.yaw
    pilot.advance(1.0)

    assert pilot.pose.yaw == yaw
    assert not pilot.is_moving


def test_turning_back_does_not_depend_on_the_frame_rate():
    yaws = []
    for step in (0.01, 0.1):
        pilot = Pilot(CELL, is_free=False, now=0.0)
        pilot.look(left=0.9, up=0.0, now=0.0)
        for now in np.arange(step, 0.3 + step / 2, step):
            pilot.advance(now)
        yaws.append(pilot.pose.yaw)

    assert yaws[0] == pytest.approx(yaws[1], rel=1e-6)


def test_a_cone_over_the_top_still_comes_to_rest():
    steep = replace(CELL, view_rotation_deg=(40.0, 20.0), base_orientation=DOWNWARD)
    pilot = Pilot(steep, is_free=False, now=0.0)
    pilot.look(left=0.0, up=0.5, now=0.0)
    for now in np.arange(0.1, 5.0, 0.1):
        pilot.advance(now)

    assert not pilot.is_moving


def test_random_input_never_leaves_the_cell_and_never_makes_nonsense(rng):
    held = [Action.FORWARD, Action.BACKWARD, Action.LEFT, Action.RIGHT, Action.UP, Action.DOWN]
    others = [Action.FAST, Action.SLOW, Action.SPEED_UP, Action.SPEED_DOWN, Action.HOME]
    pilot, now = Pilot(CELL, is_free=False, now=0.0), 0.0
    for _ in range(3000):
        now += float(rng.exponential(0.05))
        action = (held + others + [Action.FLIGHT])[rng.integers(12)]
        if rng.random() < 0.5:
            pilot.press(action, now)
        else:
            pilot.release(action, now)
        if rng.random() < 0.3:
            pilot.look(float(rng.normal(0, 0.3)), float(rng.normal(0, 0.3)), now)
        pilot.advance(now)
        assert CELL.contains(pilot.pose.position)
        assert np.isfinite([*pilot.pose.position, pilot.pose.yaw, pilot.pose.pitch]).all()
