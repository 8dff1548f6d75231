"""A film that is made from the window: on the render thread, seen while it grows, stopped at will.

While it is made nothing else is rendered, so its size and samples are what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from donerf import Camera, Renderer, ViewCell
from viewer.film_export import FilmProgress, FilmSettings, Summary, export_film
from viewer.preferences import FilmKind, Saving
from viewer.worker import Task, TaskEnd


@dataclass(frozen=True)
class FilmChoice:
    """What a panel lets choose about the films to come.

    size:     width and height, pixels
    samples:  per ray; None: as many as the window shows
    kind:     '.mp4', '.gif', or '' for a folder of PNGs
    passes:   averaged for smooth edges
    """

    size: tuple[int, int]
    samples: int | None = None
    fps: int = 24
    kind: FilmKind = ".mp4"
    passes: int = 1


def film_choice(saving: Saving, samples: int | None) -> FilmChoice:
    """As a user prefers it."""
    return FilmChoice(
        saving.film_size, samples, saving.film_fps, saving.film_kind, saving.film_passes
    )


class FilmDesk:
    """One film at a time. For the window's thread, but for the reports that it gets.

    choice:    for the next film; a panel replaces it
    progress:  of the film that is being made; None before its first picture and when there is none
    """

    def __init__(
        self, submit: Callable[[Task], None], wake: Callable[[], None], choice: FilmChoice
    ) -> None:
        """The ways out.

        submit:  gives a task to the render thread
        wake:    wakes the window; any thread may call it
        """
        self.choice = choice
        self.progress: FilmProgress | None = None
        self._submit = submit
        self._wake = wake
        self._task: Task | None = None
        self._settings: FilmSettings | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a film is being made."""
        return self._task is not None

    @property
    def text(self) -> str:
        """How far it is, for people; empty when there is none."""
        if self._settings is None:
            return ""
        name, progress = self._settings.out.name, self.progress
        if progress is None:
            return f"filming {name} ... (Esc stops)"
        left = _minutes(progress.seconds_left)
        return f"filming {name}: {progress.frames}/{progress.total}, {left} left (Esc stops)"

    def start(self, cell: ViewCell, cameras: Sequence[Camera], settings: FilmSettings) -> None:
        """Begin a film. Nothing happens while another one is being made."""
        if self.is_busy:
            return

        def run(renderer: Renderer, is_to_stop: Callable[[], bool]) -> Summary | None:
            return export_film(renderer, cell, cameras, settings, self.report, is_to_stop)

        self._task = Task(f"film {settings.out.name}", run)
        self._settings = settings
        self._submit(self._task)

    def stop(self) -> None:
        """Give the film up; it leaves no file."""
        if self._task is not None:
            self._task.stop.set()

    def report(self, progress: FilmProgress) -> None:
        """A picture is done; called on the render thread."""
        self.progress = progress
        self._wake()

    def take(self, end: TaskEnd) -> str | None:
        """Note the end of a film; returns what to say, None when it was another task."""
        if end.task is not self._task or self._settings is None:
            return None
        out = self._settings.out
        self._task = self._settings = self.progress = None
        if end.message is not None:
            return f"the film was not made: {end.message}"
        if not isinstance(end.value, Summary):
            return "the film was stopped; it leaves no file"
        return f"filmed {end.value.frames} pictures to {out}"


def _minutes(seconds: float) -> str:
    """1:05 for 65 seconds."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
