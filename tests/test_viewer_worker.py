import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from viewer_scene import make_scene

from donerf import Camera, Frame, Renderer, RenderOptions, Scene
from donerf.renderer import RayProbe, RendererInfo, StageTimes
from viewer.app import tell_lost_captures
from viewer.fly_camera import make_camera
from viewer.render_modes import RenderMode
from viewer.worker import (
    Cancelled,
    Failure,
    Picture,
    RenderRequest,
    RenderWorker,
    Result,
    Saved,
    Task,
    TaskEnd,
)

SECONDS = 20.0


class GatedRenderer:
    """Renders a tile each time the test opens the gate."""

    def __init__(self, tiles: int, error: Exception | None = None) -> None:
        self.gate = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.tiles = tiles
        self.error = error
        self.loaded: list[Scene] = []

    @property
    def info(self) -> RendererInfo:
        thread: Literal["worker", "gl"] = "worker"
        return RendererInfo("test", "cpu", "test", "fp32", frozenset(), None, (), thread)

    def render(
        self,
        camera: Camera,
        options: RenderOptions,
        cancelled: Callable[[], bool] | None = None,
    ) -> Frame | None:
        self.begun.release()
        for _ in range(self.tiles):
            assert self.gate.acquire(timeout=SECONDS)
            if cancelled is not None and cancelled():
                return None
        if self.error is not None:
            raise self.error
        shape = (camera.intrinsics.height, camera.intrinsics.width, 4)
        image = torch.full(shape, options.samples, dtype=torch.uint8)
        return Frame(image, StageTimes(), mean_samples=float(options.samples))

    def probe(
        self, camera: Camera, pixel: tuple[int, int], options: RenderOptions
    ) -> RayProbe | None:
        return None

    def load(self, scene: Scene) -> None:
        self.loaded.append(scene)

    def close(self) -> None:
        pass


class Bench:
    """A worker, its renderer, and a way to wait for results."""

    def __init__(self, renderer: GatedRenderer) -> None:
        self.renderer = renderer
        self.announced = threading.Semaphore(0)
        self.worker = RenderWorker(
            renderer, make_scene(), self.announced.release, lambda picture, scene: Path("a.png")
        )

    def submit(self, samples: int, is_moving: bool = True, is_capture: bool = False) -> None:
        camera = make_camera(np.eye(4), 4, 3, 1.0)
        self.worker.submit(
            RenderRequest(
                camera, samples, RenderMode.COLOR, is_moving=is_moving, is_capture=is_capture
            )
        )

    def wait_begun(self) -> None:
        assert self.renderer.begun.acquire(timeout=SECONDS)

    def open_gate(self, tiles: int = 100) -> None:
        self.renderer.gate.release(tiles)

    def wait_results(self, count: int) -> list[Result]:
        for _ in range(count):
            assert self.announced.acquire(timeout=SECONDS)
        return self.worker.results()

    def wait_task(self) -> TaskEnd:
        assert self.announced.acquire(timeout=SECONDS)
        (end,) = self.worker.task_ends()
        return end


@contextmanager
def bench(tiles: int = 2, error: Exception | None = None) -> Iterator[Bench]:
    with_worker = Bench(GatedRenderer(tiles, error))
    try:
        yield with_worker
    finally:
        with_worker.open_gate()
        with_worker.worker.close()


def samples_of(results: list[Result]) -> list[int]:
    return [result.request.samples for result in results]


def test_a_request_becomes_a_picture():
    with bench() as b:
        b.submit(samples=7)
        b.open_gate()
        (picture,) = b.wait_results(1)

    assert isinstance(picture, Picture)
    assert picture.pixels.shape == (3, 4, 4)
    assert np.all(picture.pixels == 7)
    assert picture.ms > 0


def test_the_newest_request_wins():
    with bench() as b:
        b.submit(samples=1)
        b.wait_begun()
        for samples in (2, 3, 4):
            b.submit(samples)
        b.open_gate()

        assert samples_of(b.wait_results(2)) == [1, 4]


def test_a_still_picture_gives_way_between_two_tiles():
    with bench(tiles=2) as b:
        b.submit(samples=1, is_moving=False)
        b.wait_begun()
        b.submit(samples=2)
        b.open_gate()
        results = b.wait_results(2)

    assert isinstance(results[0], Cancelled)
    assert isinstance(results[1], Picture)


def test_a_moving_picture_is_always_finished():
    with bench() as b:
        b.submit(samples=1)
        b.wait_begun()
        b.submit(samples=2)
        b.open_gate()

        assert all(isinstance(result, Picture) for result in b.wait_results(2))


def test_captures_are_neither_dropped_nor_interrupted():
    with bench() as b:
        b.submit(samples=1, is_moving=False, is_capture=True)
        b.wait_begun()
        b.submit(samples=2, is_capture=True)
        b.submit(samples=3)
        b.open_gate()
        results = b.wait_results(3)

    assert samples_of(results) == [1, 2, 3]
    assert [type(result) for result in results] == [Saved, Saved, Picture]


@pytest.mark.parametrize("message", ["out of memory", ""])
def test_an_exception_is_reported_and_the_worker_goes_on(message: str):
    with bench(error=RuntimeError(message)) as b:
        b.open_gate()
        b.submit(samples=1)
        (failure,) = b.wait_results(1)
        b.renderer.error = None
        b.submit(samples=2)
        (picture,) = b.wait_results(1)

    assert isinstance(failure, Failure)
    assert failure.message == (message or "RuntimeError")
    assert isinstance(picture, Picture)


def test_closing_ends_even_a_moving_picture():
    with bench(tiles=100_000) as b:
        b.submit(samples=1)
        b.wait_begun()
        closing = threading.Thread(target=b.worker.close)
        closing.start()
        while closing.is_alive():
            b.open_gate(1)
            closing.join(0.01)

        assert isinstance(b.worker.results()[0], Cancelled)


def test_captures_asked_for_just_before_closing_are_saved():
    with bench(tiles=2) as b:
        b.submit(samples=1, is_capture=True)
        b.wait_begun()
        b.submit(samples=2, is_capture=True)
        closing = threading.Thread(target=b.worker.close)
        closing.start()
        b.open_gate()
        closing.join(SECONDS)
        results = b.worker.results()

    assert samples_of(results) == [1, 2]
    assert all(isinstance(result, Saved) for result in results)


def test_closing_waits_for_captures_only_so_long(capsys: pytest.CaptureFixture[str]):
    with bench(tiles=100_000) as b:
        b.submit(samples=1, is_capture=True)
        b.wait_begun()
        b.submit(samples=2, is_capture=True)
        closing = threading.Thread(target=b.worker.close, args=(0.1,))
        closing.start()
        while closing.is_alive():
            b.open_gate(1)
            closing.join(0.01)
        results = b.worker.results()

    assert [type(result) for result in results] == [Cancelled, Cancelled]
    tell_lost_captures(results)
    assert capsys.readouterr().err == "a picture was not saved: it took too long\n" * 2


def waiting_task(begun: threading.Event, gives_way: bool = False) -> Task:
    """A task that goes on until it is told to stop, and says then that it did."""

    def run(_: Renderer, is_to_stop: Callable[[], bool]) -> str:
        begun.set()
        while not is_to_stop():
            threading.Event().wait(0.001)
        return "stopped"

    return Task("wait", run, gives_way)


def test_a_task_runs_on_the_render_thread_and_tells_its_result():
    with bench() as b:
        names: list[str] = []
        b.worker.submit_task(
            Task("name", lambda *_: names.append(threading.current_thread().name) or 42)
        )
        end = b.wait_task()

    assert names == ["render"]
    assert end.value == 42 and end.message is None


def test_a_task_that_fails_is_told_in_one_line_and_the_worker_goes_on():
    def fail(*_: object) -> None:
        raise ValueError("two\nlines")

    with bench() as b:
        b.worker.submit_task(Task("fail", fail))
        assert b.wait_task().message == "two lines"
        b.submit(samples=3)
        b.open_gate()
        assert samples_of(b.wait_results(1)) == [3]


def test_a_task_can_be_stopped():
    begun = threading.Event()
    with bench() as b:
        task = waiting_task(begun)
        b.worker.submit_task(task)
        assert begun.wait(SECONDS)
        task.stop.set()
        assert b.wait_task().value == "stopped"


def test_a_task_of_no_hurry_gives_way_to_a_picture():
    begun = threading.Event()
    with bench() as b:
        b.worker.submit_task(waiting_task(begun, gives_way=True))
        assert begun.wait(SECONDS)
        b.submit(samples=5)
        assert b.wait_task().value == "stopped"
        b.open_gate()
        assert samples_of(b.wait_results(1)) == [5]


def test_closing_stops_the_tasks():
    begun = threading.Event()
    with bench() as b:
        b.worker.submit_task(waiting_task(begun))
        b.worker.submit_task(waiting_task(threading.Event()))
        assert begun.wait(SECONDS)
        b.worker.close()

        assert [end.value for end in b.worker.task_ends()] == ["stopped", "stopped"]


def test_another_scene_is_loaded_on_the_render_thread():
    with bench() as b:
        scene = make_scene()
        task = b.worker.load(scene)
        end = b.wait_task()

    assert end.task is task
    assert end.value is scene
    assert b.renderer.loaded == [scene]
