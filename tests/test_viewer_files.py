"""What the window opens, remembers and watches: drops, bookmarks, errands, a running training."""

import json
import os
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from numpy.testing import assert_allclose
from viewer_scene import CELL, make_scene, write_oracle, write_scene

from donerf import Scene
from donerf.scene_file import save_scene, with_metadata
from viewer.bookmarks import MOST_BOOKMARKS, Bookmarks, bookmark_file
from viewer.capture import PoseFile
from viewer.errands import Errands
from viewer.fly_camera import FlyFrame, FlyPose
from viewer.opener import DatasetFound, RunFound, open_anything
from viewer.path_file import PathFile
from viewer.watch import News, RunWatcher, describe_run, newest_checkpoint

SECONDS = 20.0
FRAME = FlyFrame(CELL)
EYE = np.eye(4).tolist()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_each_kind_of_file_is_known(tmp_path: Path):
    path = write(tmp_path / "cam_path.json", json.dumps({"frames": [{"transform_matrix": EYE}]}))
    pose = write(tmp_path / "pose.json", json.dumps({"transform_matrix": EYE}))
    write(tmp_path / "data/dataset_info.json", "{}")
    write(tmp_path / "run/oracle/config.toml", "")
    with zipfile.ZipFile(tmp_path / "pack.donerfdata", "w") as archive:
        archive.writestr("dataset_info.json", "{}")

    assert isinstance(open_anything(write_scene(tmp_path)), Scene)
    assert isinstance(open_anything(path), PathFile)
    assert isinstance(open_anything(pose), PoseFile)
    assert isinstance(open_anything(tmp_path / "data"), DatasetFound)
    assert isinstance(open_anything(tmp_path / "pack.donerfdata"), DatasetFound)
    assert isinstance(open_anything(tmp_path / "run"), RunFound)
    assert isinstance(open_anything(tmp_path / "run/oracle"), RunFound)


def newer_scene(folder: Path) -> Path:
    """A scene file as a later version of the program would write it."""
    path = write_scene(folder)
    with safetensors.safe_open(path, framework="pt") as file:
        document = json.loads(file.metadata()["donerf"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    document["format"] = 2
    later = folder / "later.donerf"
    later.write_bytes(safetensors.torch.save(tensors, {"donerf": json.dumps(document)}))
    return later


def nan_path(folder: Path) -> Path:
    document = {"frames": [{"transform_matrix": [[float("nan")] * 4] * 4}]}
    return write(folder / "nan.json", json.dumps(document))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: write(folder / "notes.txt", "hello"), "notes.txt is nothing that can be"),
        (lambda folder: write(folder / "a.json", "{"), "must be JSON.*a.json"),
        (lambda folder: write(folder / "a.json", "[]"), "a.json is neither a camera path"),
        (nan_path, "finite numbers.*nan.json"),
        (lambda folder: write(folder / "x/y.txt", "").parent, "folder x is neither a data set"),
        (lambda folder: folder / "nowhere", "nothing at .*nowhere"),
        (newer_scene, "later.donerf has format 2.*update the program"),
        (lambda folder: write(folder / "text.donerf", "hello"), "text.donerf is not a whole"),
        (lambda folder: write_bytes(folder / "b.json", b"\xff\xfe\x00"), "must be JSON.*b.json"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence_that_names_it(
    tmp_path: Path, make: Callable[[Path], Path], sentence: str
):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as error:
        open_anything(make(tmp_path))
    assert "\n" not in str(error.value)


class Desk:
    """Errands, and a way to wait for them."""

    def __init__(self) -> None:
        self.announced = threading.Semaphore(0)
        self.errands = Errands(self.announced.release)
        self.heard: list[object] = []

    def run(self, work: Callable[[], object]) -> None:
        self.errands.run(work, self.heard.append, self.heard.append)

    def deliver(self) -> list[object]:
        assert self.announced.acquire(timeout=SECONDS)
        self.errands.deliver()
        return self.heard


def test_errands_run_elsewhere_and_are_handed_over_here():
    desk = Desk()
    threads: list[threading.Thread] = []
    desk.errands.run(
        lambda: threads.append(threading.current_thread()),
        lambda _: threads.append(threading.current_thread()),
        pytest.fail,
    )
    desk.deliver()
    desk.errands.close()

    assert threads[0] is not threading.current_thread()
    assert threads[1] is threading.current_thread()


def test_an_errand_that_fails_says_why_in_one_line_and_the_next_one_runs():
    def fail() -> None:
        raise OSError("no\nspace")

    desk = Desk()
    desk.run(fail)
    desk.deliver()
    desk.run(lambda: "done")
    assert desk.deliver() == ["no space", "done"]
    desk.errands.close()


def test_errands_are_finished_before_the_end():
    desk = Desk()
    written: list[int] = []
    for number in range(5):
        desk.run(lambda number=number: written.append(number))
    desk.errands.close()

    assert written == [0, 1, 2, 3, 4]


def test_bookmarks_are_remembered_and_visited_round_and_round(tmp_path: Path):
    path = tmp_path / "deep/bookmarks.json"
    poses = [FlyPose(np.array(CELL.center), yaw, 0.1) for yaw in (-0.2, 0.0, 0.3)]
    marks = Bookmarks(path)
    assert marks.next() is None
    for pose in poses:
        marks.add(FRAME, pose)

    again = Bookmarks(path)
    visited = [again.next() for _ in range(4)]
    for matrix, pose in zip(visited, [*poses, poses[0]], strict=True):
        assert matrix is not None
        assert_allclose(matrix, FRAME.matrix(pose), atol=1e-12)
    back = Bookmarks(path).next(-1)
    assert back is not None
    assert_allclose(back, FRAME.matrix(poses[-1]), atol=1e-12)


def test_a_bookmark_can_be_removed(tmp_path: Path):
    marks = Bookmarks(tmp_path / "marks.json")
    for yaw in (0.0, 0.1):
        marks.add(FRAME, FlyPose(np.array(CELL.center), yaw, 0.0))
    marks.remove(0)

    assert len(Bookmarks(tmp_path / "marks.json")) == 1


def test_there_is_an_end_to_bookmarks():
    marks = Bookmarks(None)
    for _ in range(MOST_BOOKMARKS + 5):
        marks.add(FRAME, FRAME.home())

    assert len(marks) == MOST_BOOKMARKS


def test_bookmarks_belong_to_a_scene_and_its_cell_and_outlive_another_training(tmp_path: Path):
    one, again = make_scene(), make_scene()
    other = with_metadata(make_scene(), name="other")

    assert bookmark_file(one, tmp_path) == bookmark_file(again, tmp_path)
    assert bookmark_file(one, tmp_path) != bookmark_file(other, tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"bookmarks": 3}', '{"bookmarks": [[1]]}'])
def test_damaged_bookmarks_are_told_by_name(tmp_path: Path, text: str):
    with pytest.raises(ValueError, match=r"marks.json cannot be read .*remove the file"):
        Bookmarks(write(tmp_path / "marks.json", text))


def begin_run(folder: Path) -> Path:
    write(folder / "config.toml", "")
    return folder


def save_checkpoint(run: Path, step: int) -> None:
    save_scene(make_scene(), run / f"{step:06d}.donerf")


def later(path: Path, seconds: int) -> None:
    """Written so many seconds later than it was: file systems may not tell moments apart."""
    stamp = path.stat().st_mtime_ns + seconds * 10**9
    os.utime(path, ns=(stamp, stamp))


def test_the_newest_checkpoint_of_all_trainings_is_found(tmp_path: Path):
    oracle, shading = begin_run(tmp_path / "oracle"), begin_run(tmp_path / "shading")
    assert newest_checkpoint(tmp_path) is None
    save_checkpoint(oracle, 2000)
    later(oracle / "002000.donerf", -10)
    save_checkpoint(shading, 1000)
    write(shading / "final.donerf", "not a checkpoint, since its name is no step")

    for folder in (tmp_path, shading):
        newest = newest_checkpoint(folder)
        assert newest is not None
        assert newest.path == shading / "001000.donerf"


def test_progress_is_read_from_the_end_of_the_log(tmp_path: Path):
    assert describe_run(tmp_path) == "training"
    lines = [{"step": 100 * i, "loss": 0.5 / i, "rays": i} for i in range(1, 900)]
    lines.insert(-1, {"step": 89_800, "validation_psnr": {"1": 20.0, "4": 25.25, "16": 26.0}})
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 99'
    write(tmp_path / "log.jsonl", text)

    assert describe_run(tmp_path) == "training step 89900, loss 0.0005562, 25.25 dB at S = 4"
    write(tmp_path / "log.jsonl", '{"step": 5, "validation": {"loss": 1, "hit": 0.75}}\n')
    assert describe_run(tmp_path) == "training step 5, hits 75.0%"


class Watched:
    """A watcher, and a way to wait for its news."""

    def __init__(self, folder: Path) -> None:
        self.announced = threading.Semaphore(0)
        self.watcher = RunWatcher(folder, self.announced.release, seconds=0.005)

    def wait_for(self, what: Callable[[News], bool]) -> News:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if self.announced.acquire(timeout=0.1):
                for news in self.watcher.news():
                    if what(news):
                        return news
        pytest.fail("waited in vain for news")


def test_new_checkpoints_of_a_running_training_arrive(tmp_path: Path):
    run = begin_run(tmp_path / "run")
    watched = Watched(run)
    save_checkpoint(run, 1000)
    first = watched.wait_for(lambda news: news.scene is not None)
    write(run / "log.jsonl", '{"step": 2000, "loss": 0.25}\n')
    save_checkpoint(run, 2000)
    later(run / "002000.donerf", 5)
    (run / "001000.donerf").unlink()
    second = watched.wait_for(lambda news: news.scene is not None)
    watched.watcher.close()

    assert first.scene is not None and second.scene is not None
    assert second.scene.path == run / "002000.donerf"
    assert second.text == "training step 2000, loss 0.25"


def test_nothing_new_is_no_news(tmp_path: Path):
    run = begin_run(tmp_path / "run")
    save_checkpoint(run, 1000)
    watched = Watched(run)
    watched.wait_for(lambda news: news.scene is not None)
    time.sleep(0.05)
    watched.watcher.close()

    assert watched.watcher.news() == []


def test_an_oracle_without_shading_is_shown_too(tmp_path: Path):
    run = begin_run(tmp_path / "run")
    write_oracle(tmp_path).rename(run / "000500.donerf")
    watched = Watched(run)
    news = watched.wait_for(lambda news: news.scene is not None)
    watched.watcher.close()

    assert news.scene is not None
    assert news.scene.cells[0].networks.shading is None


def test_a_damaged_checkpoint_is_told_once_and_the_next_one_is_shown(tmp_path: Path):
    run = begin_run(tmp_path / "run")
    write(run / "000500.donerf", "broken")
    watched = Watched(run)
    broken = watched.wait_for(lambda news: news.error is not None)
    save_checkpoint(run, 1000)
    later(run / "001000.donerf", 5)
    whole = watched.wait_for(lambda news: news.scene is not None)
    watched.watcher.close()

    assert broken.error is not None and "000500.donerf" in broken.error
    assert whole.error is None
