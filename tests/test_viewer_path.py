"""Camera paths: curves, key frames, the timeline with its history, and their files."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from viewer_scene import CELL

from viewer.fly_camera import FlyFrame, FlyPose
from viewer.key_frames import SHORTEST_SECONDS, CameraPath, KeyFrame
from viewer.path_file import read_path, write_path
from viewer.spline import b_spline, catmull_rom
from viewer.timeline import USUAL_GAP_SECONDS, Timeline

FRAME = FlyFrame(CELL)
CURVES = [catmull_rom, b_spline]


def random_pose(rng: np.random.Generator) -> FlyPose:
    """Somewhere in the cell, looking in a trained direction."""
    position = rng.uniform(CELL.lower, CELL.upper)
    yaw = rng.uniform(-FRAME.cone[0], FRAME.cone[0])
    pitch = FRAME.base_pitch + rng.uniform(-FRAME.cone[1], FRAME.cone[1])
    return FlyPose(position, float(yaw), float(pitch))


def random_path(rng: np.random.Generator, count: int, is_smooth: bool = False) -> CameraPath:
    times = np.cumsum(rng.uniform(0.2, 3.0, count)).tolist()
    keys = tuple(KeyFrame.at(t, random_pose(rng)) for t in times)
    return CameraPath(keys, is_smooth)


def numbers(pose: FlyPose) -> list[float]:
    return [*pose.position, pose.yaw, pose.pitch]


def test_catmull_rom_passes_through_its_points(rng):
    times, points = np.cumsum(rng.uniform(0.1, 2, 6)), rng.normal(size=(6, 3))

    assert_allclose(catmull_rom(times, points, times), points, atol=1e-12)


def test_catmull_rom_by_hand():
    # Points 0, 1, 1, 0 at times 0 ... 3: at the inner points it moves by 1/2 and -1/2 a second.
    points = np.array([[0.0], [1.0], [1.0], [0.0]])
    middle = catmull_rom(np.arange(4.0), points, np.array([1.5]))

    # A cubic's middle is the mean of its ends plus an eighth of the difference of velocities.
    assert_allclose(middle, [[1 + (0.5 - -0.5) / 8]])


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_curve_begins_and_ends_in_its_end_points_and_rests_beyond(rng, curve, count: int):
    times, points = np.cumsum(rng.uniform(0.1, 2, count)), rng.normal(size=(count, 4))
    found = curve(times, points, np.array([-9.0, times[0], times[-1], 99.0]))

    assert_allclose(found, points[[0, 0, -1, -1]], atol=1e-12)


@pytest.mark.parametrize("curve", CURVES)
def test_a_straight_line_stays_one(curve):
    times = np.array([0.0, 1.0, 2.5, 3.0])
    points = np.outer(times, [1.0, -2.0])
    found = curve(times, points, np.linspace(0, 3, 50))

    assert_allclose(found[:, 1], -2 * found[:, 0], atol=1e-12)
    assert np.all(np.diff(found[:, 0]) >= -1e-12), "and is not flown backward"


@pytest.mark.parametrize("curve", CURVES)
def test_speed_has_no_jumps_with_unevenly_spaced_times(rng, curve):
    times, points = np.array([0.0, 0.3, 2.0, 2.2, 5.0]), rng.normal(size=(5, 3))
    step = 1e-4
    t = np.arange(0.1, 4.9, step)
    velocity = np.diff(curve(times, points, t), axis=0) / step

    assert np.abs(np.diff(velocity, axis=0)).max() < 0.05


def test_a_smooth_curve_never_leaves_the_hull_of_its_points(rng):
    for _ in range(20):
        points = rng.uniform(0, 1, (6, 3))
        times = np.cumsum(rng.uniform(0.05, 2, 6))
        found = b_spline(times, points, np.linspace(times[0], times[-1], 300))
        assert np.all(found >= points.min(0) - 1e-12)
        assert np.all(found <= points.max(0) + 1e-12)


@pytest.mark.parametrize("is_smooth", [False, True])
def test_a_path_stays_in_the_cell_and_in_the_cone(rng, is_smooth: bool):
    for _ in range(10):
        path = random_path(rng, 6, is_smooth)
        times = np.linspace(path.start, path.end, 200).tolist()
        for pose in path.poses(FRAME, times, is_free=False):
            assert CELL.contains(pose.position)
            assert FRAME.is_in_cone(pose)


def test_a_path_passes_through_its_key_frames(rng):
    path = random_path(rng, 5)
    poses = path.poses(FRAME, [key.time for key in path.keys], is_free=False)

    for key, pose in zip(path.keys, poses, strict=True):
        assert_allclose(numbers(pose), numbers(key.pose), atol=1e-9)


def test_a_curve_that_would_overshoot_is_held_at_the_face():
    edge = CELL.upper[0]
    keys = [KeyFrame(t, (x, 2.0, 1.5), 0.0, 0.0) for t, x in enumerate((edge - 1, edge, edge, -1))]
    path = CameraPath(tuple(keys))
    free = path.pose_at(FRAME, 1.5, is_free=True)

    assert free.position[0] > edge
    assert path.pose_at(FRAME, 1.5, is_free=False).position[0] == edge


def test_the_camera_turns_the_short_way_round():
    keys = (
        KeyFrame(0.0, CELL.center, math.radians(170), 0.0),
        KeyFrame(1.0, CELL.center, math.radians(-170), 0.0),
    )
    middle = CameraPath(keys).pose_at(FRAME, 0.5, is_free=True)

    assert abs(middle.yaw) == pytest.approx(math.pi)


def test_a_film_of_a_path_has_both_ends(rng):
    path = random_path(rng, 3).lasting(2.0)
    matrices = path.matrices(FRAME, path.frame_count(24), is_free=False)

    assert len(matrices) == 49
    assert_allclose(matrices[0], FRAME.matrix(path.keys[0].pose), atol=1e-9)
    assert_allclose(matrices[-1], FRAME.matrix(path.keys[-1].pose), atol=1e-9)


def test_an_empty_path_cannot_be_followed():
    with pytest.raises(ValueError, match="at least 1 key frame"):
        CameraPath().pose_at(FRAME, 0.0, is_free=False)


def test_a_path_keeps_its_shape_when_it_lasts_longer(rng):
    path = random_path(rng, 4)
    slow = path.lasting(2 * path.seconds)

    assert slow.seconds == pytest.approx(2 * path.seconds)
    for share in (0.2, 0.5, 0.9):
        one = path.pose_at(FRAME, path.start + share * path.seconds, is_free=True)
        two = slow.pose_at(FRAME, slow.start + share * slow.seconds, is_free=True)
        assert_allclose(numbers(one), numbers(two), atol=1e-9)
    assert path.lasting(0.0).seconds >= SHORTEST_SECONDS, "key frames never fall on one time"


def test_key_frames_are_added_one_after_the_other(rng):
    timeline = Timeline()
    for _ in range(3):
        timeline.add(random_pose(rng))

    assert [key.time for key in timeline.path.keys] == [0.0, USUAL_GAP_SECONDS, 4.0]
    assert timeline.selected == 2


def test_a_key_frame_can_be_put_between_two_and_replaces_one_at_its_time(rng):
    timeline = Timeline()
    timeline.add(random_pose(rng))
    timeline.add(random_pose(rng))
    between = timeline.add(random_pose(rng), time=1.0)
    assert timeline.path.keys[1] == between
    assert timeline.selected == 1

    again = timeline.add(random_pose(rng), time=1.0)
    assert timeline.path.keys[1] == again
    assert len(timeline.path.keys) == 3


def test_every_change_can_be_undone_and_done_again(rng):
    timeline = Timeline()
    states = [timeline.path]

    def note() -> None:
        assert timeline.path != states[-1]
        states.append(timeline.path)

    for _ in range(3):
        timeline.add(random_pose(rng))
        note()
    timeline.selected = 1
    for change in (
        lambda: timeline.move_selected(2.5),
        lambda: timeline.replace_selected(random_pose(rng)),
        lambda: timeline.set_seconds(9.0),
        lambda: timeline.set_smooth(True),
        timeline.remove_selected,
        lambda: timeline.load(random_path(rng, 4)),
        timeline.clear,
    ):
        change()
        note()

    for state in reversed(states[:-1]):
        assert timeline.undo()
        assert timeline.path == state
    assert not timeline.undo()
    for state in states[1:]:
        assert timeline.redo()
        assert timeline.path == state
    assert not timeline.redo()


def test_a_change_after_an_undo_drops_what_was_undone(rng):
    timeline = Timeline()
    timeline.add(random_pose(rng))
    timeline.add(random_pose(rng))
    timeline.undo()
    timeline.add(random_pose(rng))

    assert not timeline.can_redo


def test_a_drag_is_one_change(rng):
    timeline = Timeline()
    timeline.add(random_pose(rng))
    timeline.add(random_pose(rng))
    for seconds in (3.0, 4.0, 5.0):
        timeline.set_seconds(seconds, drag="seconds")
    timeline.end_drag()
    timeline.set_seconds(6.0, drag="seconds")

    timeline.undo()
    assert timeline.path.seconds == 5.0
    timeline.undo()
    assert timeline.path.seconds == USUAL_GAP_SECONDS


def test_a_key_frame_cannot_be_moved_past_its_neighbors(rng):
    timeline = Timeline()
    for _ in range(3):
        timeline.add(random_pose(rng))
    timeline.selected = 1
    timeline.move_selected(99.0)
    assert timeline.path.keys[1].time == pytest.approx(4.0 - SHORTEST_SECONDS)
    timeline.move_selected(-1.0)
    assert timeline.path.keys[1].time == pytest.approx(SHORTEST_SECONDS)


def test_the_selection_always_points_at_a_key_frame(rng):
    timeline = Timeline()
    for _ in range(300):
        match rng.integers(6):
            case 0 | 1:
                timeline.add(random_pose(rng), float(rng.uniform(0, 20)))
            case 2:
                timeline.remove_selected()
            case 3:
                timeline.undo()
            case 4:
                timeline.redo()
            case 5:
                timeline.select_nearest(float(rng.uniform(0, 20)))
        count = len(timeline.path.keys)
        assert timeline.selected is None or 0 <= timeline.selected < count


def test_a_path_survives_its_file(rng, tmp_path: Path):
    path = random_path(rng, 5, is_smooth=True)
    write_path(tmp_path / "path.json", path, CELL)
    back = read_path(tmp_path / "path.json").camera_path(FRAME)

    assert back.is_smooth
    for one, two in zip(path.keys, back.keys, strict=True):
        assert one.time == pytest.approx(two.time, abs=1e-4)
        assert_allclose(numbers(one.pose), numbers(two.pose), atol=1e-9)


def test_a_data_sets_path_is_read_as_one_picture_a_frame(rng, tmp_path: Path):
    poses = [random_pose(rng) for _ in range(7)]
    frames = [{"transform_matrix": FRAME.matrix(pose).tolist()} for pose in poses]
    file = tmp_path / "cam_path_pan.json"
    file.write_text(json.dumps({"frames": frames}))
    path = read_path(file).camera_path(FRAME)

    assert [key.time for key in path.keys] == pytest.approx([i / 24 for i in range(7)])
    assert_allclose(numbers(path.keys[3].pose), numbers(poses[3]), atol=1e-9)


EYE = np.eye(4).tolist()
NAN = [[float("nan")] * 4] * 4


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([1, 2], "must have 'frames'"),
        ({}, "must have 'frames'"),
        ({"frames": []}, "must have 'frames'"),
        ({"frames": [3]}, "4x4 finite numbers"),
        ({"frames": [{"transform_matrix": NAN}]}, "4x4 finite numbers"),
        ({"frames": [{"transform_matrix": [["a"]]}]}, "must be 4x4 numbers"),
        ({"frames": [{"transform_matrix": [[{}]]}]}, "must be 4x4 numbers"),
        ({"frames": [{"transform_matrix": EYE, "time": "now"}]}, "'time' must be seconds"),
        ({"frames": [{"transform_matrix": EYE, "time": -1}]}, "'time' must be seconds"),
        ({"frames": [{"transform_matrix": EYE, "time": 1}] * 2}, "'time' must grow"),
        (
            {"frames": [{"transform_matrix": EYE, "time": 1}, {"transform_matrix": EYE}]},
            "'time' must be",
        ),
        ({"frames": [{"transform_matrix": EYE}], "fps": 0}, "'fps' must be a positive"),
        ({"frames": [{"transform_matrix": EYE}], "is_smooth": 1}, "'is_smooth' must be true"),
    ],
)
def test_a_wrong_path_file_is_one_sentence_that_names_it(tmp_path: Path, document, sentence: str):
    file = tmp_path / "path.json"
    file.write_text(json.dumps(document))

    with pytest.raises(ValueError, match=sentence) as error:
        read_path(file)
    assert "path.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_path_file_that_is_no_json_or_not_there_is_told_by_name(tmp_path: Path):
    (tmp_path / "path.json").write_text("{")
    with pytest.raises(ValueError, match="must be JSON.*path.json"):
        read_path(tmp_path / "path.json")
    with pytest.raises(FileNotFoundError, match="no path file .*nowhere.json"):
        read_path(tmp_path / "nowhere.json")
