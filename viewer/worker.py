"""The render thread. Newest request wins; input interrupts the refinement of a still picture.

The window's thread owns GL, this one owns torch. Neither waits for the other. A failure becomes a
message; the last good picture stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from donerf import Renderer, Scene
from donerf.renderer import RendererInfo
from viewer.ground_truth import GroundTruth
from viewer.handover import drain, one_line
from viewer.rendering import Accumulator, Picture, RenderRequest, render_capture, render_comparison
from viewer.transfer import TransferLadder, fetch_plain

# How long a picture that is being saved may keep a closed viewer alive.
CLOSE_SECONDS = 10.0


@dataclass(frozen=True)
class Failure:
    """A request that failed, and why, in one sentence."""

    request: RenderRequest
    message: str


@dataclass(frozen=True)
class Cancelled:
    """A request that gave way to a newer one."""

    request: RenderRequest


@dataclass(frozen=True)
class Saved:
    """A capture, and the file that it became."""

    request: RenderRequest
    path: Path


Result = Picture | Failure | Cancelled | Saved


@dataclass(frozen=True, eq=False)
class Task:
    """Work for the render thread that is no picture for the screen: a film, a measurement.

    run:        called there with the renderer, and with a function that says whether to stop
    gives_way:  to whatever else is asked for; it should then stop, and may be submitted again
    stop:       set it to have the task stopped
    """

    name: str
    run: Callable[[Renderer, Callable[[], bool]], object]
    gives_way: bool = False
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class TaskEnd:
    """A task that has ended.

    value:    what it returned
    message:  why it failed, in one sentence; None when it did not
    """

    task: Task
    value: object = None
    message: str | None = None


class Mailbox:
    """What the render thread is to do: the newest request, every capture and every task."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: RenderRequest | None = None
        self._captures: list[RenderRequest] = []
        self._tasks: list[Task] = []
        self.is_closed = False
        self.is_abandoned = False

    def put(self, request: RenderRequest) -> None:
        """Ask for a picture. One for the screen replaces an older one that was not begun."""
        with self._changed:
            if request.is_capture:
                self._captures.append(request)
            else:
                self._newest = request
            self._changed.notify()

    def put_task(self, task: Task) -> None:
        """Ask for a task; all are done, in the order they came."""
        with self._changed:
            self._tasks.append(task)
            self._changed.notify()

    def close(self) -> None:
        """Wake the thread up for good; only captures are still wanted."""
        with self._changed:
            self.is_closed = True
            self._changed.notify()

    def abandon(self) -> None:
        """Give up even the captures."""
        self.is_abandoned = True

    def take(self) -> RenderRequest | Task | None:
        """Wait for something to do; None when closed and all but the newest request was taken.

        Tasks are taken even then, so that each one is told to stop and ends in order.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.has_request or self._tasks or self.is_closed)
            if self._captures:
                return self._captures.pop(0)
            if self._tasks:
                return self._tasks.pop(0)
            if self.is_closed:
                return None
            request, self._newest = self._newest, None
            return request

    @property
    def has_request(self) -> bool:
        """Whether a picture waits to be begun."""
        return self._newest is not None or bool(self._captures)

    @property
    def is_urgent(self) -> bool:
        """Whether something waits that a refinement should make way for."""
        return self.has_request or any(not task.gives_way for task in self._tasks)

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all waits to be begun."""
        return not self.has_request and not self._tasks


class RenderWorker:
    """A thread that renders what was asked for last."""

    def __init__(
        self,
        renderer: Renderer,
        scene: Scene,
        announce: Callable[[], None],
        save: Callable[[Picture, Scene], Path],
        truth: GroundTruth | None = None,
        transfer: TransferLadder | None = None,
    ) -> None:
        """Start the thread.

        scene:     that the renderer has loaded
        announce:  called from the thread when a result is there; wakes the window
        save:      called from the thread with a captured picture; returns the file's path
        truth:     that pictures at the views of a data set are compared with
        transfer:  the way of pictures for the screen; plain copies if not given
        """
        self._given_renderer = renderer
        self._renderer = renderer
        self._truth = truth
        self._fetch = transfer.fetch if transfer is not None else fetch_plain
        self._accumulator = Accumulator()
        self._scene = scene
        self._announce = announce
        self._save = save
        self._mailbox = Mailbox()
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._task_ends: SimpleQueue[TaskEnd] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="render", daemon=True)
        self._thread.start()

    def submit(self, request: RenderRequest) -> None:
        """Ask for a picture; returns at once."""
        self._mailbox.put(request)

    def submit_task(self, task: Task) -> None:
        """Have something done on the render thread; returns at once."""
        self._mailbox.put_task(task)

    def load(self, scene: Scene) -> Task:
        """Show another scene, or newer weights of the same one; its end is among `task_ends`."""

        def run(renderer: Renderer, _: Callable[[], bool]) -> Scene:
            renderer.load(scene)
            self._scene = scene
            self._accumulator = Accumulator()
            return scene

        task = Task(f"load {scene.name}", run)
        self.submit_task(task)
        return task

    def compare_with(self, truth: GroundTruth | None) -> Task:
        """Compare with another data set, or with none; its end is among `task_ends`."""

        def run(_: Renderer, __: Callable[[], bool]) -> None:
            self._truth = truth

        task = Task("data set", run)
        self.submit_task(task)
        return task

    def replace_renderer(
        self, make: Callable[[Scene], Renderer], scene: Scene | None = None
    ) -> Task:
        """Go on with another renderer; its end, with its `RendererInfo`, is among `task_ends`.

        make:   called on the thread with the scene; if it fails, all stays as it is
        scene:  to show from now on; None is the present one
        """

        def run(old: Renderer, _: Callable[[], bool]) -> RendererInfo:
            shown = scene or self._scene
            self._renderer, self._scene = make(shown), shown
            self._accumulator = Accumulator()
            old.close()
            return self._renderer.info

        task = Task("renderer", run)
        self.submit_task(task)
        return task

    @property
    def info(self) -> RendererInfo:
        """Of the renderer that is used now."""
        return self._renderer.info

    def results(self) -> list[Result]:
        """What became of requests since the last call, oldest first."""
        return drain(self._results)

    def task_ends(self) -> list[TaskEnd]:
        """The tasks that have ended since the last call, oldest first."""
        return drain(self._task_ends)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Stop between two tiles and wait for the thread to end; captures are saved before.

        Tasks are stopped; a film that is not complete leaves no file.

        seconds:  after which captures, too, are given up
        """
        self._mailbox.close()
        self._thread.join(seconds)
        self._mailbox.abandon()
        self._thread.join()
        # Whoever made the first one closes it.
        if self._renderer is not self._given_renderer:
            self._renderer.close()

    def _run(self) -> None:
        while (work := self._mailbox.take()) is not None:
            if isinstance(work, Task):
                self._task_ends.put(self._do(work))
            else:
                self._results.put(self._fulfil(work))
            self._announce()

    def _do(self, task: Task) -> TaskEnd:
        def is_to_stop() -> bool:
            gives_way = task.gives_way and not self._mailbox.is_empty
            return gives_way or task.stop.is_set() or self._mailbox.is_closed

        try:
            return TaskEnd(task, task.run(self._renderer, is_to_stop))
        # As with pictures: whatever goes wrong must not end the window.
        except Exception as error:
            return TaskEnd(task, message=one_line(error))

    def _fulfil(self, request: RenderRequest) -> Result:
        def is_obsolete() -> bool:
            if request.is_capture:
                return self._mailbox.is_abandoned
            gives_way = not request.is_moving and self._mailbox.is_urgent
            return self._mailbox.is_closed or gives_way

        try:
            if is_obsolete():
                return Cancelled(request)
            cell = self._scene.cells[0].cell
            if request.is_capture:
                picture = render_capture(self._renderer, request, cell, is_obsolete, self._truth)
            else:
                picture = render_comparison(
                    self._renderer,
                    request,
                    cell,
                    is_obsolete,
                    self._truth,
                    self._accumulator,
                    self._fetch,
                )
            if picture is None:
                return Cancelled(request)
            if request.is_capture:
                return Saved(request, self._save(picture, self._scene))
            return picture
        # Whatever goes wrong in a renderer must not end the window.
        except Exception as error:
            return Failure(request, one_line(error))
