"""The camera path in the hands of who flies: key frames where one is, flights along it, films."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from donerf import Camera, Scene
from viewer.camera_path import flight_matrices
from viewer.capture import free_path
from viewer.errands import Errands
from viewer.film_desk import FilmDesk
from viewer.film_export import FilmSettings
from viewer.fly_camera import FlyPose, make_camera
from viewer.path_file import PathFile, write_path
from viewer.pilot import FLIGHT_SECONDS, Route
from viewer.render_modes import RenderMode
from viewer.session import Session
from viewer.timeline import Timeline


class PathDesk:
    """A session's camera path. A panel uses `timeline` and the methods.

    folder:  for paths and films
    """

    def __init__(
        self, session: Session, film: FilmDesk, folder: Path, say: Callable[[str], None]
    ) -> None:
        """say:  tells something in the window"""
        self.timeline = Timeline()
        self.folder = folder
        self._session = session
        self._film = film
        self._say = say

    @property
    def playhead(self) -> float | None:
        """Where on the path the flight is, seconds; None when the path is not flown."""
        seconds, path = self._session.pilot.route_seconds, self.timeline.path
        return path.start + seconds if seconds is not None and path.is_flyable else None

    def add_key_frame(self) -> None:
        """A key frame where the camera is: at the end, or in the midst of a flight at its time."""
        key = self.timeline.add(self._session.pilot.pose, self.playhead)
        count = len(self.timeline.path.keys)
        what = "key frame" if count == 1 else "key frames"
        self._say(f"{count} {what}, this one at {key.time:.1f} s; Space flies, Ctrl+E films them")

    def seek(self, time: float) -> None:
        """Stand where the path is at a time, as a timeline's playhead is dragged."""
        pilot, path = self._session.pilot, self.timeline.path
        if path.keys:
            pilot.stand(path.pose_at(pilot.frame, time, pilot.is_free))

    def fly(self, now: float) -> bool:
        """Fly the path from its start, or stop; False, and nothing happens, without a path."""
        pilot, path = self._session.pilot, self.timeline.path
        if not path.is_flyable:
            return False
        if pilot.is_on_flight:
            pilot.follow(None, now)
            return True

        def pose(phase: float) -> FlyPose:
            time = path.start + phase * path.seconds
            return path.pose_at(pilot.frame, time, pilot.is_free)

        pilot.follow(Route(path.seconds, pose), now)
        return True

    def take(self, file: PathFile) -> None:
        """Take the path of a file; undo brings the old one back."""
        path = file.camera_path(self._session.pilot.frame)
        self.timeline.load(path)
        self._say(f"{file.path.name}: {len(path.keys)} key frames, {path.seconds:.1f} s")
        self.seek(path.start)

    def save(self, scene: Scene, errands: Errands) -> None:
        """Write the path as JSON, under a name of its own; raises ValueError without a path."""
        path, cell = self.timeline.path, self._session.cell
        if not path.keys:
            raise ValueError("there is no path to save; K adds a key frame")
        file = free_path(self.folder, f"{scene.name}-path", ".json")
        errands.run(
            lambda: write_path(file, path, cell), lambda _: self._say(f"saved {file}"), self._say
        )

    def film(self, scene: Scene) -> None:
        """Film the path, or the default flight where there is none."""
        session, choice = self._session, self._film.choice
        ending = choice.kind
        settings = FilmSettings(
            free_path(self.folder, f"{scene.name}-film", ending),
            choice.size,
            choice.samples or session.samples,
            # The error needs a picture to compare with, and there is none along the way.
            RenderMode.COLOR if session.mode is RenderMode.ERROR else session.mode,
            choice.fps,
            placement=session.placement,
            passes=choice.passes,
            look=session.look,
            adaptive=session.is_adaptive,
        )
        self._film.start(session.cell, self._cameras(), settings)

    def _cameras(self) -> list[Camera]:
        session, choice = self._session, self._film.choice
        pilot, path = session.pilot, self.timeline.path
        if path.is_flyable:
            count = path.frame_count(choice.fps)
            matrices = path.matrices(pilot.frame, count, pilot.is_free)
        else:
            matrices = flight_matrices(session.cell, round(FLIGHT_SECONDS * choice.fps))
        return [make_camera(matrix, *choice.size, session.cell.fov_x) for matrix in matrices]
