"""What the window can do beside flying: paths and films, comparisons, files that are dropped, a
training that is watched, places to go to, a gamepad.

Knows no GL. Keys come in by `press`; a panel uses the parts and the methods. All of it is for the
window's thread; what takes time is done elsewhere and taken over in `step`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from donerf import Renderer, Scene, make_renderer
from donerf.renderer import RendererInfo
from viewer.capture import PoseFile
from viewer.comparison import Comparison
from viewer.controls import Action
from viewer.errands import Errands
from viewer.film_desk import FilmChoice, FilmDesk, film_choice
from viewer.fly_camera import make_camera
from viewer.gamepad import ACTIVE_SECONDS, IDLE_SECONDS, Gamepad, PadState
from viewer.ground_truth import GroundTruth, open_ground_truth
from viewer.handover import one_line
from viewer.opener import DatasetFound, Opened, RunFound, open_anything
from viewer.path_desk import PathDesk
from viewer.path_file import PathFile
from viewer.places import Places
from viewer.preferences import Saving
from viewer.rendering import Picture, RenderRequest
from viewer.session import Session, session_settings
from viewer.watch import News, RunWatcher
from viewer.worker import RenderWorker, Task, TaskEnd

T = TypeVar("T")


class Desktop(Protocol):
    """What the window gives."""

    def copied_text(self) -> str:
        """The text in the clipboard."""
        ...

    def copy_text(self, text: str) -> None:
        """Put a text into the clipboard."""
        ...

    def wake(self) -> None:
        """End the window's sleep; any thread may call it."""
        ...

    def read_gamepad(self) -> PadState | None:
        """The first gamepad; None without one, or while another window has the keyboard."""
        ...


def _remake(scene: Scene, precision: str) -> Renderer:
    return make_renderer(scene, precision=precision)


@dataclass(frozen=True)
class BenchOptions:
    """What the command line says about it.

    folder:        for pictures, films and paths
    film:          what films are to be like
    remake:        makes a renderer for a scene in a precision; called on the render thread
    capture_size:  of pictures that are saved; None is the window's
    wants_depth:   save their distances, too
    split:         of data sets that are dropped
    """

    folder: Path
    film: FilmChoice
    remake: Callable[[Scene, str], Renderer] = _remake
    capture_size: tuple[int, int] | None = None
    wants_depth: bool = False
    split: str = "test"


class Workbench:
    """The tools around one session.

    scene, info:    what is shown, and what renders it
    paths, film, comparison, places:  the parts
    training:       how far the training is that is watched; empty without one
    capture_size:   of pictures that are saved; None is the window's
    wants_depth:    save their distances, too
    """

    def __init__(
        self,
        session: Session,
        worker: RenderWorker,
        shown: tuple[Scene, RendererInfo],
        desktop: Desktop,
        options: BenchOptions,
    ) -> None:
        """shown:  what the worker renders, and with what"""
        self.scene, self.info = shown
        self.training = ""
        self.capture_size = options.capture_size
        self.wants_depth = options.wants_depth
        self.film = FilmDesk(worker.submit_task, desktop.wake, options.film)
        self.paths = PathDesk(session, self.film, options.folder, self.say)
        self.comparison = Comparison(session, worker.submit_task, options.remake)
        self.places = Places(session, self.say)
        self._session = session
        self._worker = worker
        self._desktop = desktop
        self._split = options.split
        self._remake = options.remake
        self._errands = Errands(desktop.wake)
        self._watcher: RunWatcher | None = None
        self._loading: dict[Task, Callable[[], None]] = {}
        self._gamepad = Gamepad()
        self._pad_time: float | None = None
        self._is_pad_active = False
        self._now = 0.0
        self.places.enter(self.scene)

    def press(self, action: Action, now: float) -> bool:
        """Do what an input asks for; False when that is not among the tools."""
        self._now = now
        if action is Action.RELEASE and self.film.is_busy:
            self.film.stop()
            return True
        if action is Action.FLIGHT:
            return self.paths.fly(now)
        tool = self._tool(action)
        if tool is None:
            return False
        self._attempt(tool)
        return True

    def step(self, now: float) -> list[Action]:
        """Take over what was done elsewhere; returns what a gamepad asks for beside flying."""
        self._now = now
        self._errands.deliver()
        for news in self._watcher.news() if self._watcher is not None else ():
            self._take_news(news)
        return self._read_gamepad(now)

    def take(self, end: TaskEnd) -> bool:
        """Note the end of a task; False when it was none of ours."""
        if (then := self._loading.pop(end.task, None)) is not None:
            if end.message is None:
                then()
            else:
                self.say(f"this cannot be shown: {end.message}")
            return True
        said = self.film.take(end)
        said = self.comparison.take(end) if said is None else said
        if said:
            self.say(said)
        return said is not None

    def open(self, paths: list[Path], x: float = 0.0) -> None:
        """Open what was dropped on the window.

        x:  where, as a share of its width: a scene right of the divider is compared with
        """
        is_rival = self.comparison.is_on and x > self.comparison.divider
        for path in paths:
            self._read(
                lambda path=path: open_anything(path),
                lambda opened: self._take_opened(opened, is_rival),
            )

    def show(self, scene: Scene) -> None:
        """Show another scene, or newer weights of the same one."""
        if scene.metadata.kind == self.scene.metadata.kind:
            task = self._worker.load(scene)
        else:
            remake, precision = self._remake, self._session.preferences.sampling.precision
            task = self._worker.replace_renderer(lambda new: remake(new, precision), scene)
        self._loading[task] = lambda: self._take_scene(scene)

    def watch(self, folder: Path) -> None:
        """Show a training while it runs; a new checkpoint takes the place of the one before."""
        self.stop_watching()
        self._watcher = RunWatcher(folder, self._desktop.wake)

    def use_precision(self, precision: str) -> None:
        """Render in another precision from now on."""
        remake = self._remake
        task = self._worker.replace_renderer(lambda scene: remake(scene, precision))
        self._loading[task] = self._take_renderer

    def stop_watching(self) -> None:
        """Keep what is shown, whatever the training writes."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        self.training = ""

    def open_data(self, path: Path) -> None:
        """Open a data set to stand in and to compare with."""
        cell, split = self._session.cell, self._split
        self._read(lambda: open_ground_truth(path, split, cell), self._take_truth)

    def compare_with_file(self, path: Path) -> None:
        """Split the picture, with another scene file on its right."""
        self._read(lambda: open_anything(path), lambda opened: self._take_opened(opened, True))

    def capture(self) -> RenderRequest:
        """The present view, to be saved, in the size that was chosen."""
        session = self._session
        request = replace(session.capture(), wants_depth=self.wants_depth)
        if self.capture_size is None or request.view is not None:
            return request
        matrix = session.pilot.frame.matrix(session.pilot.pose)
        camera = make_camera(matrix, *self.capture_size, session.cell.fov_x)
        return replace(request, camera=camera)

    def picture_shown(self, picture: Picture) -> None:
        """A new picture is on the screen."""
        self.comparison.picture_shown(picture)

    def say(self, message: str) -> None:
        """Tell something in the window for a while."""
        self._session.note(message, self._now)

    def seconds_to_wait(self) -> float | None:
        """How soon a gamepad has to be read again; None when there is none."""
        if self._pad_time is None:
            return None
        return ACTIVE_SECONDS if self._is_pad_active else IDLE_SECONDS

    @property
    def saving(self) -> Saving:
        """What films and pictures are like now."""
        film = self.film.choice
        return Saving(
            film_size=film.size,
            film_kind=film.kind,
            film_fps=film.fps,
            film_passes=film.passes,
            picture_size=self.capture_size,
            wants_depth=self.wants_depth,
        )

    def reset_films(self) -> None:
        """Films as they come."""
        self.film.choice = film_choice(Saving(), self.film.choice.samples)

    def reset_pictures(self) -> None:
        """Pictures as they come, and none beside another."""
        self.capture_size, self.wants_depth = None, False
        self.comparison.stop()

    def close(self) -> None:
        """End the threads; the worker has ended before."""
        self.stop_watching()
        self._errands.close()
        self.comparison.close()

    def _tool(self, action: Action) -> Callable[[], object] | None:
        timeline, places = self.paths.timeline, self.places
        match action:
            case Action.KEY_FRAME:
                return self.paths.add_key_frame
            case Action.REMOVE_KEY_FRAME:
                return timeline.remove_selected
            case Action.UNDO:
                return timeline.undo
            case Action.REDO:
                return timeline.redo
            case Action.SAVE_PATH:
                return lambda: self.paths.save(self.scene, self._errands)
            case Action.FILM:
                return self.film.stop if self.film.is_busy else lambda: self.paths.film(self.scene)
            case Action.NEXT_VIEW:
                return lambda: places.step_view(+1)
            case Action.PREVIOUS_VIEW:
                return lambda: places.step_view(-1)
            case Action.BOOKMARK:
                return places.add_bookmark
            case Action.NEXT_BOOKMARK:
                return places.next_bookmark
            case Action.COPY_POSE:
                return self._copy_pose
            case Action.PASTE_POSE:
                return lambda: places.go_to_text(self._desktop.copied_text())
            case Action.COMPARE:
                return lambda: self.comparison.next(self.scene, self.info)
            case Action.SCREENSHOT:
                return lambda: self._worker.submit(self.capture())
        return None

    def _copy_pose(self) -> None:
        self._desktop.copy_text(self.places.pose_as_text())
        self.say("the pose was copied; Ctrl+V goes back to it, here or in another window")

    def _read(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Read something on the errands' thread; whatever is wrong with it is told."""
        self._errands.run(work, lambda value: self._attempt(lambda: then(value)), self.say)

    def _attempt(self, tool: Callable[[], object]) -> None:
        """Do something; what it cannot do is told in the window."""
        try:
            tool()
        except (ValueError, OSError) as error:
            self.say(one_line(error))

    def _take_opened(self, opened: Opened, is_rival: bool) -> None:
        match opened:
            case Scene() if is_rival:
                self.comparison.with_file(opened, self.info)
            case Scene():
                self.stop_watching()
                self.show(opened)
            case PathFile():
                self.paths.take(opened)
            case PoseFile():
                self.places.go_to(opened)
            case DatasetFound(path):
                self.open_data(path)
            case RunFound(path):
                self.watch(path)
                self.say(f"watching the training in {path.name}")

    def _take_scene(self, scene: Scene) -> None:
        """The worker renders another scene now."""
        session, cell = self._session, scene.cells[0].cell
        self.info = self._worker.info
        is_same_cell = cell == session.cell
        has_truth = session.truth is not None and is_same_cell
        session.enter(cell, session_settings(self.info, scene, has_truth), self._now)
        if not is_same_cell:
            self._worker.compare_with(None)
            self.paths.timeline.clear()
        if not is_same_cell or scene.name != self.scene.name:
            self.places.enter(scene)
            self.say(f"{scene.name}: {scene.path}")
        self.scene = scene
        self.comparison.scene_changed(scene, self.info, is_same_cell)

    def _take_renderer(self) -> None:
        """The worker renders with another renderer now."""
        session, self.info = self._session, self._worker.info
        has_truth = session.truth is not None
        session.renderer_changed(session_settings(self.info, self.scene, has_truth))
        self.comparison.scene_changed(self.scene, self.info, True)

    def _take_news(self, news: News) -> None:
        self.training = news.text
        if news.error is not None:
            self.say(news.error)
        if news.scene is not None:
            self.show(news.scene)

    def _take_truth(self, truth: GroundTruth) -> None:
        session = self._session

        def stand() -> None:
            settings = session_settings(self.info, self.scene, has_truth=True)
            session.compare_with_truth(truth, settings)
            self.say(f"{len(truth)} views of {truth.path.name}; [ and ] go from one to the next")

        self._loading[self._worker.compare_with(truth)] = stand

    def _read_gamepad(self, now: float) -> list[Action]:
        state = self._desktop.read_gamepad()
        if state is None and self._pad_time is None:
            return []
        seconds = now - self._pad_time if self._pad_time is not None else 0.0
        self._pad_time = now if state is not None else None
        asked = self._gamepad.read(state, min(seconds, 4 * IDLE_SECONDS))
        pilot = self._session.pilot
        pilot.push_stick(asked.move, now)
        if any(asked.look):
            pilot.look(*asked.look, now)
        self._is_pad_active = asked.is_active
        return list(asked.pressed)
