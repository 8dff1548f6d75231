"""The tools of the window on a real session with a real renderer; only the window is missing."""

import gc
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from viewer_scene import CELL, make_nerf, make_scene, write_data, write_scene

from donerf import Scene, load_scene, make_renderer
from donerf.scene_file import save_scene, with_metadata
from viewer.app import main
from viewer.capture import save_capture
from viewer.comparison import Kind
from viewer.controls import Action
from viewer.film_desk import FilmChoice
from viewer.fly_camera import FlyFrame, FlyPose
from viewer.gamepad import PadState
from viewer.path_file import write_path
from viewer.render_modes import RenderMode
from viewer.session import Session, session_settings
from viewer.workbench import BenchOptions, Workbench
from viewer.worker import RenderWorker

SECONDS = 60.0
WINDOW = (64, 48)


class FakeDesktop:
    """A window's clipboard and gamepad, without a window."""

    def __init__(self) -> None:
        self.text = ""
        self.pad: PadState | None = None
        self.woken = threading.Event()

    def copied_text(self) -> str:
        return self.text

    def copy_text(self, text: str) -> None:
        self.text = text

    def wake(self) -> None:
        self.woken.set()

    def read_gamepad(self) -> PadState | None:
        return self.pad


class Rig:
    """A window's loop without the window."""

    def __init__(self, scene: Scene, folder: Path, film: FilmChoice | None = None) -> None:
        self.folder = folder
        self.desktop = FakeDesktop()
        self.renderer = make_renderer(scene, device="cpu", precision="fp32")
        info = self.renderer.info
        settings = session_settings(info, scene, has_truth=False)
        self.now = 0.0
        self.session = Session(scene.cells[0].cell, settings, WINDOW, self.now)
        self.worker = RenderWorker(
            self.renderer,
            scene,
            self.desktop.wake,
            lambda picture, scene: save_capture(picture, folder, scene, info),
        )
        choice = film or FilmChoice((16, 12), samples=1, fps=2)
        self.options = BenchOptions(
            folder, choice, lambda scene, precision: make_renderer(scene, "cpu", precision)
        )
        self.bench = Workbench(self.session, self.worker, (scene, info), self.desktop, self.options)

    def press(self, *actions: Action) -> None:
        for action in actions:
            if not self.bench.press(action, self.now):
                self.session.press(action, self.now)

    def step(self) -> None:
        self.now += 0.05
        for action in self.bench.step(self.now):
            self.press(action)
        for result in self.worker.results():
            if self.session.take_result(result, self.now) and self.session.shown is not None:
                self.bench.picture_shown(self.session.shown)
        for end in self.worker.task_ends():
            self.bench.take(end)
        request = None if self.bench.film.is_busy else self.session.next_request(self.now)
        if request is not None:
            self.worker.submit(request)

    def wait_for(self, what: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not what():
            assert time.monotonic() < end, f"waited in vain; it says: {self.session.message}"
            self.step()
            self.desktop.woken.wait(0.02)
            self.desktop.woken.clear()

    def wait_settled(self) -> None:
        self.step()
        self.wait_for(lambda: self.session.state == "settled")

    def wait_said(self, part: str) -> None:
        self.wait_for(lambda: part in self.session.message)

    def close(self) -> None:
        self.worker.close()
        self.bench.close()
        self.renderer.close()


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(load_scene(write_scene(tmp_path)), tmp_path)
    yield rig
    rig.close()


def pose_of(rig: Rig) -> list[float]:
    pose = rig.session.pilot.pose
    return [*pose.position, pose.yaw, pose.pitch]


def look(rig: Rig, left: float) -> None:
    rig.session.pilot.look(left, 0.0, rig.now)


def test_key_frames_are_set_flown_and_saved(rig: Rig):
    rig.press(Action.KEY_FRAME)
    start = pose_of(rig)
    look(rig, 0.2)
    rig.press(Action.KEY_FRAME)
    path = rig.bench.paths.timeline.path
    assert len(path.keys) == 2

    rig.press(Action.FLIGHT)
    assert_allclose(pose_of(rig), start, atol=1e-9)
    assert rig.bench.paths.playhead == path.start
    rig.wait_for(lambda: not rig.session.pilot.is_on_flight)
    assert_allclose(pose_of(rig), [*path.keys[1].position, path.keys[1].yaw, path.keys[1].pitch])

    rig.press(Action.SAVE_PATH)
    rig.wait_said("saved")
    assert json.loads((rig.folder / "noise-path-0001.json").read_text())["frames"][1]["time"] == 2.0


def test_a_key_frame_in_the_midst_of_a_flight_lands_at_its_time(rig: Rig):
    rig.press(Action.KEY_FRAME)
    look(rig, 0.2)
    rig.press(Action.KEY_FRAME, Action.FLIGHT)
    rig.wait_for(lambda: (rig.bench.paths.playhead or 0.0) > 0.5)
    rig.press(Action.KEY_FRAME)

    times = [key.time for key in rig.bench.paths.timeline.path.keys]
    assert len(times) == 3
    assert 0.5 < times[1] < 2.0


def test_changes_of_the_path_are_undone_by_keys(rig: Rig):
    rig.press(Action.KEY_FRAME)
    look(rig, 0.2)
    rig.press(Action.KEY_FRAME, Action.REMOVE_KEY_FRAME, Action.UNDO)
    assert len(rig.bench.paths.timeline.path.keys) == 2
    rig.press(Action.UNDO, Action.UNDO)
    assert not rig.bench.paths.timeline.path.keys
    rig.press(Action.REDO)
    assert len(rig.bench.paths.timeline.path.keys) == 1


def test_without_a_path_space_flies_the_default_flight(rig: Rig):
    rig.press(Action.FLIGHT)

    assert rig.session.pilot.is_on_flight
    assert rig.bench.paths.playhead is None


def test_a_film_of_the_path_is_made_while_it_is_watched(tmp_path: Path):
    rig = Rig(load_scene(write_scene(tmp_path)), tmp_path)
    rig.press(Action.KEY_FRAME)
    look(rig, 0.2)
    rig.press(Action.KEY_FRAME, Action.FILM)
    assert rig.bench.film.is_busy
    rig.wait_for(lambda: rig.bench.film.progress is not None)
    assert "left (Esc stops)" in rig.bench.film.text
    rig.wait_said("filmed 5 pictures to")
    assert not rig.bench.film.is_busy
    assert (tmp_path / "noise-film-0001.mp4").stat().st_size > 0
    rig.wait_settled()
    rig.close()


def test_a_film_is_as_large_and_as_fine_as_was_asked_for(tmp_path: Path):
    choice = FilmChoice((20, 14), samples=2, fps=1, kind="")
    rig = Rig(load_scene(write_scene(tmp_path)), tmp_path, choice)
    rig.press(Action.FILM)
    rig.wait_said("filmed 20 pictures to")
    rig.close()

    pictures = sorted((tmp_path / "noise-film-0001").iterdir())
    assert len(pictures) == 20, "the default flight, since there is no path"
    with Image.open(pictures[0]) as picture:
        assert picture.size == (20, 14)


@pytest.mark.parametrize("stop", [Action.RELEASE, Action.FILM])
def test_a_film_that_is_stopped_leaves_no_file(tmp_path: Path, stop: Action):
    rig = Rig(load_scene(write_scene(tmp_path)), tmp_path, FilmChoice((64, 48), 4, 240))
    rig.press(Action.FILM)
    rig.wait_for(lambda: rig.bench.film.progress is not None)
    rig.press(stop)
    rig.wait_said("the film was stopped")
    rig.close()

    assert not list(tmp_path.glob("*film*")) and not list(tmp_path.glob(".*film*"))


def test_closing_the_window_stops_a_film_without_a_trace(tmp_path: Path):
    rig = Rig(load_scene(write_scene(tmp_path)), tmp_path, FilmChoice((64, 48), 4, 240))
    rig.press(Action.FILM)
    rig.wait_for(lambda: rig.bench.film.progress is not None)
    rig.close()

    assert not list(tmp_path.glob("*film*")) and not list(tmp_path.glob(".*film*"))


def test_a_film_that_cannot_be_encoded_is_told_and_the_last_picture_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    rig = Rig(load_scene(write_scene(tmp_path)), tmp_path)
    rig.wait_settled()
    shown = rig.session.shown
    rig.press(Action.FILM)
    rig.wait_said("the film was not made: there is no encoder for mp4 films")
    rig.close()

    assert rig.session.shown is shown


def test_a_split_shows_another_sample_count_of_the_same_view(rig: Rig):
    rig.press(Action.COMPARE)
    rig.wait_settled()
    shown = rig.session.shown

    assert shown is not None and shown.rival is not None
    assert rig.bench.comparison.kind is Kind.SAMPLES
    assert shown.request.samples == 4
    assert shown.rival.request.samples == 16
    assert shown.rival.request.camera == shown.request.camera
    assert not np.array_equal(shown.pixels, shown.rival.pixels)
    assert shown.ms > shown.rival.ms, "the time of both counts"
    assert rig.bench.comparison.labels(shown) == ("S = 4", "S = 16")


def test_keys_go_through_what_can_be_compared_and_back_to_one_picture(rig: Rig):
    kinds = []
    for _ in range(3):
        rig.press(Action.COMPARE)
        kinds.append(rig.bench.comparison.kind)
        rig.wait_settled()

    assert kinds == [Kind.SAMPLES, Kind.PRECISION, None]
    assert rig.session.shown is not None
    assert rig.session.shown.rival is None


def test_a_split_shows_the_other_precision(rig: Rig):
    rig.bench.comparison.with_precision(rig.bench.scene, rig.bench.info)
    rig.wait_for(lambda: rig.bench.comparison.is_on)
    rig.wait_settled()
    shown = rig.session.shown

    assert shown is not None and shown.rival is not None
    assert rig.bench.comparison.labels(shown) == ("fp32", "bf16")
    difference = np.abs(shown.pixels.astype(int) - shown.rival.pixels).max()
    assert 0 < difference < 60, "nearly the same"


def test_a_scene_dropped_right_of_the_divider_is_compared_with(rig: Rig, tmp_path: Path):
    other = tmp_path / "other.donerf"
    save_scene(make_scene(), other)
    rig.press(Action.COMPARE)
    rig.bench.open([other], x=0.9)
    rig.wait_for(lambda: rig.bench.comparison.kind is Kind.FILE and rig.bench.comparison.is_on)
    rig.wait_settled()

    assert rig.bench.scene.name == "noise"
    assert rig.session.rival is not None and rig.session.rival.label == "other.donerf"
    rig.bench.open([other], x=0.1)
    rig.wait_for(lambda: rig.bench.scene.path == other)


def test_scenes_of_different_cells_are_not_compared(rig: Rig, tmp_path: Path):
    elsewhere = replace(CELL, center=(50.0, 0.0, 0.0))
    (tmp_path / "far").mkdir()
    rig.bench.compare_with_file(write_scene(tmp_path / "far", elsewhere))
    rig.wait_said("was not trained for this place")
    rig.wait_settled()

    assert rig.session.shown is not None and rig.session.shown.rival is None


def test_the_divider_is_taken_near_it_and_stays_in_sight(rig: Rig):
    comparison = rig.bench.comparison
    assert not comparison.grabs(0.5), "nothing is split yet"
    rig.press(Action.COMPARE)

    assert comparison.grabs(0.505)
    assert not comparison.grabs(0.6)
    for x in (-3.0, 0.3, 7.0):
        comparison.drag_to(x)
        assert 0 < comparison.divider < 1
    comparison.drag_to(0.3)
    assert comparison.grabs(0.3)


@pytest.fixture
def data_rig(tmp_path: Path) -> Iterator[tuple[Rig, Path]]:
    data, scene = write_data(tmp_path)
    rig = Rig(load_scene(scene), tmp_path)
    yield rig, data
    rig.close()


def test_a_data_set_that_is_dropped_can_be_stood_in_and_measured(data_rig):
    rig, data = data_rig
    rig.bench.open([data])
    rig.wait_said("3 views of data")
    rig.press(Action.NEXT_VIEW)
    assert rig.session.view_index == 0
    rig.press(Action.PREVIOUS_VIEW)
    assert rig.session.view_index == 2, "round and round"
    rig.wait_settled()

    assert rig.session.shown is not None
    assert rig.session.shown.psnr is not None


def test_a_split_against_the_truth_shows_the_data_sets_own_picture(data_rig):
    rig, data = data_rig
    rig.bench.open_data(data)
    rig.wait_for(lambda: rig.session.truth is not None)
    rig.bench.comparison.with_truth()
    rig.wait_settled()
    shown, index = rig.session.shown, rig.session.view_index

    assert index is not None, "it goes to the nearest view"
    assert shown is not None and shown.rival is not None and rig.session.truth is not None
    assert np.array_equal(shown.rival.pixels[..., :3], rig.session.truth.picture(index))
    left, right = rig.bench.comparison.labels(shown)
    assert left.startswith("rendered, S = 4, ") and left.endswith(" dB")
    assert right == "ground truth"

    look(rig, 0.1)
    rig.wait_settled()
    assert rig.session.shown is not None and rig.session.shown.rival is None
    assert "[ ]" in rig.bench.comparison.labels(rig.session.shown)[1]


def test_without_a_data_set_the_views_that_the_scene_knows_are_visited(tmp_path: Path):
    frame = FlyFrame(CELL)
    poses = [frame.matrix(FlyPose(np.array(CELL.center), yaw, -0.1)) for yaw in (0.1, 0.2)]
    scene = with_metadata(make_scene(), test_poses=[pose.tolist() for pose in poses])
    rig = Rig(scene, tmp_path)
    for pose in (*poses, poses[0]):
        rig.press(Action.NEXT_VIEW)
        assert_allclose(frame.matrix(rig.session.pilot.pose), pose, atol=1e-9)
    rig.press(Action.PREVIOUS_VIEW)
    assert_allclose(frame.matrix(rig.session.pilot.pose), poses[1], atol=1e-9)
    rig.close()


def test_where_there_is_nothing_to_go_to_it_says_so(rig: Rig):
    rig.press(Action.NEXT_VIEW)
    assert "drop a data set" in rig.session.message
    rig.press(Action.NEXT_BOOKMARK)
    assert "no bookmarks" in rig.session.message
    rig.press(Action.SAVE_PATH)
    assert "no path to save" in rig.session.message


def test_bookmarks_are_found_again_by_the_next_window(tmp_path: Path):
    scene = load_scene(write_scene(tmp_path))
    rig = Rig(scene, tmp_path)
    look(rig, 0.1)
    there = pose_of(rig)
    rig.press(Action.BOOKMARK)
    rig.close()

    again = Rig(scene, tmp_path)
    again.press(Action.NEXT_BOOKMARK)
    assert_allclose(pose_of(again), there, atol=1e-9)
    again.close()


def test_a_pose_travels_through_the_clipboard(rig: Rig):
    look(rig, 0.15)
    there = pose_of(rig)
    rig.press(Action.COPY_POSE, Action.HOME, Action.PASTE_POSE)

    assert_allclose(pose_of(rig), there, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "must hold a pose as JSON"),
        ("", "must hold a pose as JSON"),
        ("{}", "must have a 'transform_matrix', the clipboard has none"),
        (json.dumps({"transform_matrix": np.eye(4).tolist()}), "lies outside the view cell"),
    ],
)
def test_what_cannot_be_pasted_is_told_and_nothing_moves(rig: Rig, text: str, said: str):
    before = pose_of(rig)
    rig.desktop.text = text
    rig.press(Action.PASTE_POSE)

    assert said in rig.session.message
    assert pose_of(rig) == before


def test_outside_the_cell_is_for_the_free(rig: Rig):
    rig.desktop.text = json.dumps({"transform_matrix": np.eye(4).tolist()})
    rig.press(Action.FREE, Action.PASTE_POSE)

    assert_allclose(rig.session.pilot.pose.position, 0, atol=1e-12)

    rig.press(Action.BOOKMARK, Action.FREE)
    inside = rig.session.pilot.pose
    rig.press(Action.NEXT_BOOKMARK)
    assert "outside the view cell" in rig.session.message
    assert rig.session.pilot.pose is inside


def test_a_dropped_scene_takes_the_place_of_the_old_one(rig: Rig, tmp_path: Path):
    rig.wait_settled()
    elsewhere = replace(CELL, center=(7.0, 0.0, 1.0))
    (tmp_path / "far").mkdir()
    path = write_scene(tmp_path / "far", elsewhere)
    rig.bench.open([path])
    rig.wait_for(lambda: rig.bench.scene.path == path)
    rig.wait_settled()

    assert_allclose(rig.session.pilot.pose.position, elsewhere.center)
    assert rig.session.shown is not None
    assert_allclose(rig.session.shown.request.camera.position, elsewhere.center)


def test_a_nerf_is_flown_through_and_left_again(rig: Rig, tmp_path: Path):
    nerf = make_nerf()
    save_scene(nerf, tmp_path / "peer.donerf")
    rig.bench.open([tmp_path / "peer.donerf"])
    rig.wait_for(lambda: rig.bench.scene.name == "peer")
    rig.wait_settled()
    shown = rig.session.shown
    assert shown is not None
    counts = rig.bench.info.sample_counts
    assert rig.bench.info.backend == "nerf" and counts is not None
    assert (shown.request.samples, shown.mean_samples) == (counts[0], counts[0])

    rig.press(Action.ORACLE)
    assert "no oracle" in rig.session.message
    rig.press(Action.SHOW_ENTROPY)
    assert rig.session.mode is RenderMode.COLOR
    rig.press(Action.COMPARE)
    assert rig.bench.comparison.kind is Kind.PRECISION, "there is one number of samples alone"
    rig.bench.comparison.stop()

    rig.bench.open([write_scene(tmp_path)])
    rig.wait_for(lambda: rig.bench.scene.name == "noise")
    rig.wait_settled()
    assert rig.bench.info.backend != "nerf"
    assert rig.session.samples == 4, "as before"
    rig.press(Action.SHOW_ENTROPY)
    assert rig.session.mode is RenderMode.ENTROPY


def test_a_dropped_path_is_taken_and_can_be_taken_back(rig: Rig, tmp_path: Path):
    rig.press(Action.KEY_FRAME)
    look(rig, 0.1)
    rig.press(Action.KEY_FRAME)
    path = rig.bench.paths.timeline.path
    write_path(tmp_path / "cam_path.json", path, CELL)
    rig.bench.paths.timeline.clear()
    rig.bench.open([tmp_path / "cam_path.json"])
    rig.wait_said("cam_path.json: 2 key frames, 2.0 s")
    rig.press(Action.UNDO)

    assert not rig.bench.paths.timeline.path.keys


def test_a_dropped_pose_is_gone_to(rig: Rig, tmp_path: Path):
    pose = FlyPose(np.array(CELL.center) + 0.1, 0.2, -0.1)
    document = {"transform_matrix": FlyFrame(CELL).matrix(pose).tolist()}
    (tmp_path / "pose.json").write_text(json.dumps(document))
    rig.bench.open([tmp_path / "pose.json"])
    rig.wait_for(lambda: rig.session.pilot.pose.yaw != 0)

    assert_allclose(pose_of(rig), [*pose.position, pose.yaw, pose.pitch], atol=1e-9)


NAN = {"frames": [{"transform_matrix": [[float("nan")] * 4] * 4}]}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.txt", "hello", "notes.txt is nothing that can be opened"),
        ("nan.json", json.dumps(NAN), "finite numbers"),
        ("broken.donerf", "hello", "broken.donerf is not a whole .donerf file"),
        ("folder", None, "folder is neither a data set"),
        ("gone.donerf", "", "not a whole .donerf file"),
    ],
)
def test_what_cannot_be_opened_is_told_and_the_last_good_picture_stays(
    rig: Rig, tmp_path: Path, name: str, content: str | None, said: str
):
    rig.wait_settled()
    shown, scene = rig.session.shown, rig.bench.scene
    path = tmp_path / name
    path.mkdir() if content is None else path.write_text(content)
    rig.bench.open([path])
    rig.wait_said(said)
    rig.step()

    assert rig.session.shown is shown
    assert rig.bench.scene is scene
    assert "\n" not in rig.session.message
    rig.press(Action.MORE_SAMPLES)
    rig.wait_settled()
    assert rig.session.shown is not None and rig.session.shown.request.samples >= 8


def test_a_data_set_of_another_place_is_refused(rig: Rig, tmp_path: Path):
    (tmp_path / "other").mkdir()
    data, _ = write_data(tmp_path / "other")
    rig.bench.open([data])
    rig.wait_said("must lie in the scene's view cell")

    assert rig.session.truth is None


def test_newer_weights_replace_the_picture_in_full_quality_and_the_camera_stays(
    tmp_path: Path,
):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text("")
    scene = make_scene()
    save_scene(scene, run / "000100.donerf")
    rig = Rig(load_scene(run / "000100.donerf"), tmp_path)
    look(rig, 0.1)
    there = pose_of(rig)
    rig.bench.watch(run)
    rig.wait_settled()
    first = rig.session.shown
    assert first is not None
    before = first.pixels

    sizes = []
    (run / "log.jsonl").write_text('{"step": 200, "loss": 0.125}\n')
    save_scene(make_scene(), run / "000200.donerf")
    rig.wait_for(lambda: rig.bench.scene.path == run / "000200.donerf")

    def is_new() -> bool:
        shown = rig.session.shown
        assert shown is not None
        sizes.append(shown.size)
        return not np.array_equal(shown.pixels, before)

    rig.wait_for(is_new)
    rig.wait_settled()

    assert set(sizes) == {first.size}, "no coarse picture comes between"
    assert pose_of(rig) == there
    assert rig.bench.training == "training step 200, loss 0.125"
    rig.close()


def test_the_newer_weights_are_those_that_are_rendered(tmp_path: Path):
    newer = make_scene()
    rig = Rig(make_scene(), tmp_path)
    rig.wait_settled()
    rig.bench.show(newer)
    rig.wait_for(lambda: rig.bench.scene is newer)
    rig.wait_settled()
    other = Rig(newer, tmp_path)
    other.wait_settled()

    assert rig.session.shown is not None and other.session.shown is not None
    assert np.array_equal(rig.session.shown.pixels, other.session.shown.pixels)
    rig.close()
    other.close()


def test_with_newer_weights_the_other_precision_gets_them_too_and_the_picture_stays_split(rig: Rig):
    rig.bench.comparison.with_precision(rig.bench.scene, rig.bench.info)
    rig.wait_for(lambda: rig.bench.comparison.is_on)
    rig.wait_settled()
    old = rig.session.rival
    assert old is not None
    rig.bench.show(make_scene())
    seen = []

    def is_new() -> bool:
        shown, rival = rig.session.shown, rig.session.rival
        assert shown is not None
        seen.append((shown.size, shown.rival is not None))
        return rival is not None and rival.renderer is not old.renderer

    rig.wait_for(is_new)
    rig.wait_settled()
    shown = rig.session.shown
    assert shown is not None and shown.rival is not None

    assert set(seen) == {(WINDOW, True)}, "it stays split, and in full size"
    difference = np.abs(shown.pixels.astype(int) - shown.rival.pixels).max()
    assert difference < 60, "the same scene"


def test_a_broken_checkpoint_is_told_and_the_last_good_one_stays(tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text("")
    save_scene(make_scene(), run / "000100.donerf")
    rig = Rig(load_scene(run / "000100.donerf"), tmp_path)
    rig.bench.watch(run)
    rig.wait_settled()
    (run / "000200.donerf").write_text("broken")
    rig.wait_said("000200.donerf is not a whole")

    assert rig.session.state == "settled"
    rig.close()


def test_a_picture_of_any_size_is_saved_with_its_distances_and_made_again(rig: Rig, tmp_path: Path):
    rig.bench.capture_size, rig.bench.wants_depth = (37, 53), True
    look(rig, 0.1)
    rig.press(Action.SCREENSHOT)
    rig.wait_said("saved")
    shot = tmp_path / "noise-0001.png"
    with np.load(tmp_path / "noise-0001_depth.npz") as file:
        depth = file["depth"]
    pose = str(shot.with_suffix(".json"))
    scene = str(rig.bench.scene.path)
    out = tmp_path / "again.png"
    options = ("--headless", "--device", "cpu", "--pose", pose, "--raw-depth", "--out", str(out))
    main([scene, *options])

    with Image.open(shot) as one, Image.open(out) as two:
        assert one.size == (37, 53)
        assert np.array_equal(np.asarray(one), np.asarray(two))
    assert depth.shape == (53, 37)
    assert np.all(depth > 0)
    with np.load(tmp_path / "again_depth.npz") as file:
        assert np.array_equal(file["depth"], depth)


def test_a_gamepad_flies_looks_and_presses(rig: Rig):
    rest = (0.0, 0.0, 0.0, 0.0, -1.0, -1.0)
    no_button = (False,) * 15
    start = pose_of(rig)
    assert rig.bench.seconds_to_wait() is None, "no pad, no polling"

    rig.desktop.pad = PadState(no_button, (0.0, -1.0, 0.5, 0.0, -1.0, -1.0))
    for _ in range(5):
        rig.step()
    assert rig.session.pilot.pose.position[1] > start[1]
    assert rig.session.pilot.pose.yaw < 0, "to the right"
    assert rig.bench.seconds_to_wait() == pytest.approx(1 / 60)

    rig.desktop.pad = PadState((True, *no_button[1:]), rest)
    rig.step()
    assert len(rig.bench.paths.timeline.path.keys) == 1
    assert rig.bench.seconds_to_wait() == pytest.approx(1 / 10)

    rig.desktop.pad = None
    rig.step()
    assert not rig.session.pilot.is_moving
    assert rig.bench.seconds_to_wait() is None


def test_scenes_that_were_swapped_out_are_freed(rig: Rig):
    rig.wait_settled()
    seen = []
    for _ in range(10):
        scene = make_scene()
        seen.append(weakref.ref(scene.cells[0].networks.oracle))
        rig.bench.show(scene)
        rig.wait_for(lambda scene=scene: rig.bench.scene is scene)
        del scene
    rig.wait_settled()
    gc.collect()

    assert [ref() is not None for ref in seen] == [False] * 9 + [True]
