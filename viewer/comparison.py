"""The picture split in two: the same view with other samples, another precision, another file, or
as the data set has it. Knows no GL; the render thread makes both pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from donerf import Renderer, Scene
from donerf.renderer import RendererInfo
from viewer.rendering import Picture, Rival
from viewer.session import Session
from viewer.worker import Task, TaskEnd

# How close to the divider a pointer has to be to take it, as a share of the window's width.
GRAB = 0.015
_MARGIN = 0.02


class Kind(StrEnum):
    """What the right part of the picture shows."""

    SAMPLES = "samples"
    PRECISION = "precision"
    FILE = "file"
    TRUTH = "truth"


class Comparison:
    """What the picture is compared with. For the window's thread.

    kind:     None when the picture is not split
    divider:  where it is split, as a share of its width from the left
    """

    def __init__(
        self,
        session: Session,
        submit: Callable[[Task], None],
        remake: Callable[[Scene, str], Renderer],
    ) -> None:
        """The ways out.

        submit:  gives a task to the render thread
        remake:  makes a renderer for a scene in a precision, called there
        """
        self.kind: Kind | None = None
        self.divider = 0.5
        self._session = session
        self._submit = submit
        self._remake = remake
        self._other: Renderer | None = None
        self._precision = ""
        self._retired: list[Renderer] = []
        self._task: Task | None = None

    @property
    def is_on(self) -> bool:
        """Whether two pictures are shown."""
        return self._session.rival is not None

    def stop(self) -> None:
        """Show one picture again."""
        self.kind = self._task = None
        self._show(None)

    def with_samples(self, samples: int | None = None) -> None:
        """Compare with other samples per ray; the most, or else the fewest, if not given.

        Raises ValueError where there is only one number of them.
        """
        counts = self._session.settings.sample_counts
        if len(counts) < 2:
            raise ValueError(f"this scene is always rendered with {max(counts)} samples per ray")
        if samples is None:
            samples = max(counts) if self._session.samples < max(counts) else min(counts)
        self._begin(Kind.SAMPLES)
        self._show(Rival(f"S = {samples}", samples=samples))

    def with_truth(self) -> None:
        """Compare with the data set's picture; goes to its nearest view.

        Raises ValueError when there is no data set.
        """
        session = self._session
        if session.truth is None:
            raise ValueError("there is no data set to compare with; drop its folder on the window")
        self._begin(Kind.TRUTH)
        self._show(Rival("ground truth", is_truth=True))
        if session.view_index is None:
            matrix = session.pilot.frame.matrix(session.pilot.pose)
            session.stand_at(session.truth.nearest(matrix, session.cell))

    def with_precision(self, scene: Scene, info: RendererInfo) -> None:
        """Compare with the other precision; it shows when its renderer is there."""
        other = "fp32" if info.precision == "bf16" else "bf16"
        self._precision = info.precision
        # The one that is shown stays until the newer one is there.
        if self.kind is not Kind.PRECISION:
            self._begin(Kind.PRECISION)
        self._make(scene, other, other)

    def with_file(self, scene: Scene, info: RendererInfo) -> None:
        """Compare with another scene, seen from the same place; raises ValueError if that is none.

        scene:  whose cell must hold the present camera
        """
        if not scene.cells[0].cell.contains(self._session.pilot.pose.position, tolerance=0.01):
            raise ValueError(
                f"'{scene.name}' was not trained for this place: its view cell is another one; "
                "compare scenes of one cell"
            )
        self._begin(Kind.FILE)
        name = scene.path.name if scene.path is not None else scene.name
        self._make(scene, info.precision, name)

    def next(self, scene: Scene, info: RendererInfo) -> None:
        """The next kind that there is data for, and after the last one none."""
        has_counts = len(self._session.settings.sample_counts) > 1
        kinds = [None, *([Kind.SAMPLES] if has_counts else []), Kind.PRECISION]
        if self._session.truth is not None:
            kinds.append(Kind.TRUTH)
        here = kinds.index(self.kind) if self.kind in kinds else -1
        match kinds[(here + 1) % len(kinds)]:
            case Kind.SAMPLES:
                self.with_samples()
            case Kind.PRECISION:
                self.with_precision(scene, info)
            case Kind.TRUTH:
                self.with_truth()
            case _:
                self.stop()

    def scene_changed(self, scene: Scene, info: RendererInfo, same_cell: bool) -> None:
        """Another scene, or newer weights of it, is shown now."""
        if self.kind is Kind.PRECISION:
            self.with_precision(scene, info)
        elif not same_cell and self.kind in (Kind.FILE, Kind.TRUTH):
            self.stop()

    def take(self, end: TaskEnd) -> str | None:
        """Note a renderer that was made; returns what to say, None when it was another task.

        An empty text is nothing to say.
        """
        if end.task.name != _TASK:
            return None
        is_wanted = end.task is self._task
        if not isinstance(end.value, _Made):
            if not is_wanted:
                return ""
            self.stop()
            return f"there is nothing to compare with: {end.message}"
        if not is_wanted:
            self._retired.append(end.value.renderer)
            return ""
        self._task = None
        self._show(Rival(end.value.label, renderer=end.value.renderer))
        self._other = end.value.renderer
        return ""

    def grabs(self, x: float) -> bool:
        """Whether a pointer at this share of the width takes the divider."""
        return self.is_on and abs(x - self.divider) < GRAB

    def drag_to(self, x: float) -> None:
        """Move the divider; it stays in sight."""
        self.divider = min(max(x, _MARGIN), 1 - _MARGIN)

    def labels(self, shown: Picture) -> tuple[str, str]:
        """What to write over the left and the right part."""
        rival = shown.rival
        request = shown.request
        left = f"S = {request.samples}"
        if rival is None or request.rival is None:
            return left, "go to a view: [ ]"
        if self.kind is not Kind.SAMPLES:
            left = {Kind.TRUTH: f"rendered, {left}", Kind.PRECISION: self._precision}.get(
                self.kind or Kind.FILE, "this file"
            )
        return left + _decibels(shown), request.rival.label + _decibels(rival)

    def picture_shown(self, picture: Picture) -> None:
        """Close the renderers that nobody will ask again.

        A picture that was asked for without them has come, so no older request is left.
        """
        rival = picture.request.rival
        in_use = rival.renderer if rival is not None else None
        for renderer in [r for r in self._retired if r is not in_use]:
            self._retired.remove(renderer)
            self._submit(Task("close", lambda *_, renderer=renderer: renderer.close()))

    def close(self) -> None:
        """Let go of all renderers; the render thread has ended."""
        for renderer in (*self._retired, *([self._other] if self._other is not None else [])):
            renderer.close()
        self._other = None
        self._retired = []

    def _begin(self, kind: Kind) -> None:
        self.stop()
        self.kind = kind

    def _show(self, rival: Rival | None) -> None:
        """Render this from now on."""
        self._session.compare_with(rival)
        if self._other is not None:
            self._retired.append(self._other)
            self._other = None

    def _make(self, scene: Scene, precision: str, label: str) -> None:
        def run(*_: object) -> _Made:
            return _Made(self._remake(scene, precision), label)

        self._task = Task(_TASK, run)
        self._submit(self._task)


_TASK = "renderer to compare with"


@dataclass(frozen=True)
class _Made:
    """A renderer that was made on the render thread."""

    renderer: Renderer
    label: str


def _decibels(picture: Picture) -> str:
    return f", {picture.psnr:.2f} dB" if picture.psnr is not None else ""
