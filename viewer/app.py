"""The viewer from its command line to its end: opens the window, or films where there is none."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from donerf.assets import check_scene_file
from donerf.command import USER_ERROR
from viewer.arguments import FILM_FRAMES, FILM_SIZE, FPS, SAMPLES, WINDOW_SIZE, Arguments, parse
from viewer.controls import help_text

# The rest stands on torch, whose import takes seconds: a wrong option is told before that.
if TYPE_CHECKING:
    from donerf import Camera, Renderer, Scene, ViewCell
    from viewer.capture import PoseFile
    from viewer.cockpit import Cockpit, CockpitOptions
    from viewer.ground_truth import GroundTruth
    from viewer.overlay import Overlay
    from viewer.path_file import PathFile
    from viewer.preferences import Preferences
    from viewer.session import Session
    from viewer.status import StatusFile
    from viewer.window import Window
    from viewer.workbench import Workbench
    from viewer.worker import Result


def main(argv: Sequence[str], program: str = "python view.py") -> int | None:
    """Run the viewer; returns the exit code, None for success."""
    arguments = parse(argv, program)
    if arguments.help_keys:
        print(help_text())
        return None

    if arguments.file is not None and arguments.status_file is None:
        check_scene_file(arguments.file)  # Who waits for a status file is told there, later.

    from viewer.status import Status, StatusFile

    status = StatusFile(arguments.status_file)
    status.write(Status("starting"))
    try:
        _run(_set_up(arguments, status))
    except (ValueError, OSError) as error:
        status.write(Status("failed", error=str(error)))
        raise
    except KeyboardInterrupt:
        status.write(Status("failed", error="interrupted"))
        raise
    return None


@dataclass(frozen=True)
class Setup:
    """What was asked for, and what it takes to show it."""

    arguments: Arguments
    scene: Scene
    renderer: Renderer
    pose: PoseFile | None
    status: StatusFile
    truth: GroundTruth | None = None
    path: PathFile | None = None
    rival: Scene | None = None

    @property
    def cell(self) -> ViewCell:
        """The cell that is flown through."""
        return self.scene.cells[0].cell

    @property
    def asked_samples(self) -> int | None:
        """Per ray: as asked for, else as the pose file says, else None."""
        of_pose = self.pose.samples if self.pose is not None else None
        return self.arguments.samples or of_pose

    @property
    def asked_precision(self) -> str:
        """As asked for, else as the pose file says; 'auto' where neither does."""
        return _asked_precision(self.arguments, self.pose)

    @property
    def samples(self) -> int:
        """Per ray of a film or picture."""
        counts = self.renderer.info.sample_counts
        return self.asked_samples or (counts[0] if counts else SAMPLES)

    @property
    def is_adaptive(self) -> bool:
        """Whether the oracle says how many samples a ray gets, too."""
        return self.arguments.adaptive or (self.pose is not None and self.pose.adaptive)

    @property
    def mode(self) -> str:
        """What to show: as asked for, else as the pose file says."""
        of_pose = self.pose.mode if self.pose is not None else None
        return self.arguments.mode or of_pose or "color"

    @property
    def film_size(self) -> tuple[int, int]:
        """Width and height of a film or picture, pixels."""
        of_pose = self.pose.size if self.pose is not None else None
        return self.arguments.size or of_pose or FILM_SIZE

    @property
    def out(self) -> Path:
        """The file that is written without a display."""
        is_picture = self.pose is not None or self.arguments.view is not None
        return self.arguments.out or Path("picture.png" if is_picture else "fly.mp4")


def _set_up(arguments: Arguments, status: StatusFile) -> Setup:
    from donerf import load_scene, make_renderer
    from donerf.assets import default_scene
    from viewer.capture import read_pose
    from viewer.path_file import read_path
    from viewer.preferences import load_preferences, preferences_path
    from viewer.watch import wait_for_checkpoint

    pose = read_pose(arguments.pose) if arguments.pose is not None else None
    path = read_path(arguments.path) if arguments.path is not None else None
    rival = load_scene(arguments.compare) if isinstance(arguments.compare, Path) else None
    newest = wait_for_checkpoint(arguments.watch) if arguments.watch is not None else None
    scene = load_scene(newest or arguments.file or default_scene())
    if pose is not None:
        _check_pose(pose, scene, arguments.free)
    truth = _open_truth(arguments, scene)
    precision = _asked_precision(arguments, pose)
    if precision == "auto" and not arguments.headless and arguments.out is None:
        precision = load_preferences(preferences_path())[0].sampling.precision
    renderer = make_renderer(scene, arguments.device, precision, arguments.backend)
    setup = Setup(arguments, scene, renderer, pose, status, truth, path, rival)
    _check_renderer(setup)
    return setup


def _asked_precision(arguments: Arguments, pose: PoseFile | None) -> str:
    """As asked for, else as the pose file says.

    A screenshot is made again bit for bit only in the precision that it was made in.
    """
    of_pose = pose.precision if pose is not None else None
    # The kernels of a GPU choose fp16 by themselves where it fits, and nothing else has it.
    if arguments.precision == "auto" and of_pose in ("fp32", "bf16"):
        return of_pose
    return arguments.precision


def _open_truth(arguments: Arguments, scene: Scene) -> GroundTruth | None:
    """The data set to compare with, if one was named."""
    from viewer.ground_truth import open_ground_truth

    if arguments.data is None:
        return None
    truth = open_ground_truth(arguments.data, arguments.split, scene.cells[0].cell)
    if arguments.view is not None and arguments.view >= len(truth):
        raise ValueError(
            f"--view must be one of the {len(truth)} '{arguments.split}' views of "
            f"{arguments.data}, 0 ... {len(truth) - 1}, got {arguments.view}"
        )
    return truth


def _check_pose(pose: PoseFile, scene: Scene, is_free: bool) -> None:
    """A pose outside the cell has no defined picture; it is shown only on demand."""
    cell = scene.cells[0].cell
    position = pose.matrix[:3, 3]
    if cell.contains(position):
        return
    place = ", ".join(f"{x:g}" for x in position)
    box = " x ".join(f"{a:g} ... {b:g}" for a, b in zip(cell.lower, cell.upper, strict=True))
    if not is_free:
        raise ValueError(
            f"the pose must lie in the view cell {box} of '{scene.name}', got {place} in "
            f"{pose.path}; --free shows it all the same, extrapolated"
        )
    print(f"note: {place} lies outside the view cell {box}: extrapolated", file=sys.stderr)


def _check_renderer(setup: Setup) -> None:
    """What was asked for must be among what the renderer gives."""
    from viewer.render_modes import offered_modes
    from viewer.transfer import check_transfer

    check_transfer(setup.renderer.info.device, setup.arguments.transfer)
    counts = setup.renderer.info.sample_counts
    if counts is not None and setup.samples not in counts:
        raise ValueError(
            f"this scene is rendered with {', '.join(map(str, counts))} samples per ray, got "
            f"{setup.samples}; choose one of them with --samples"
        )
    modes = offered_modes(setup.renderer.info, setup.truth is not None)
    if setup.mode not in modes:
        raise ValueError(
            f"this renderer shows {', '.join(modes)}, got '{setup.mode}'; choose with --mode"
        )


def _run(setup: Setup) -> None:
    try:
        if setup.arguments.headless or setup.arguments.out is not None:
            _film(setup)
            return
        window = _open_window(setup)
        if window is None:
            _film(setup)
        else:
            _fly(setup, window)
    finally:
        setup.renderer.close()


def _open_window(setup: Setup) -> Window | None:
    """The window; None, after saying so, where there is no display."""
    # A machine without a display may lack the libraries of windows and of OpenGL, too.
    try:
        from viewer.window import NoDisplayError, Window
    except ImportError as error:
        return _say_no_window(setup, f"a library is missing ({error})")
    try:
        return Window(setup.scene.name, *(setup.arguments.size or WINDOW_SIZE))
    except NoDisplayError as error:
        return _say_no_window(setup, str(error))


def _say_no_window(setup: Setup, reason: str) -> None:
    what = "the same flight is filmed" if setup.pose is None else "one picture is written"
    print(
        f"no window, since {reason}: {what} to {setup.out} instead; `donerf doctor` says more",
        file=sys.stderr,
    )


def _fly(setup: Setup, window: Window) -> None:
    from viewer.cockpit import Cockpit
    from viewer.display_loss import end_in_order_without_display
    from viewer.preferences import preferences_path, save_changes

    preferred, note = _preferred(setup)
    cockpit = Cockpit(
        window,
        _make_overlay(window),
        setup.scene,
        setup.renderer,
        _options(setup, preferred, window),
    )
    session = cockpit.session
    end_in_order_without_display(lambda: _end_without_display(cockpit, setup.status))
    try:
        if note:
            session.note(note, time.monotonic())
            print(f"note: {note}", file=sys.stderr)
        _prepare(cockpit.bench, session, setup)
        with _sigterm_as_interrupt():
            cockpit.loop.run(setup.status, setup.arguments.frames)
    finally:
        tell_lost_captures(cockpit.close())
        after = session.preferences.model_copy(update={"saving": cockpit.bench.saving})
        _remember(lambda: save_changes(preferences_path(), preferred, after))


def _end_without_display(cockpit: Cockpit, status: StatusFile) -> NoReturn:
    """The display is gone, and the library of windows with it: end at once, but in order."""
    from viewer.status import Status

    tell_lost_captures(cockpit.end_threads())
    message = "the display was lost; a film that was being made leaves no file"
    status.write(Status("failed", error=message))
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(USER_ERROR)


def _options(setup: Setup, preferred: Preferences, window: Window) -> CockpitOptions:
    """What the command line and the user's settings come to."""
    from donerf import make_renderer
    from viewer.cockpit import CockpitOptions
    from viewer.film_desk import film_choice
    from viewer.interop import interop_fault
    from viewer.render_modes import RenderMode
    from viewer.session import session_settings
    from viewer.transfer import make_ladder
    from viewer.workbench import BenchOptions

    arguments, info = setup.arguments, setup.renderer.info

    def remake(scene: Scene, precision: str) -> Renderer:
        return make_renderer(scene, arguments.device, precision, arguments.backend)

    settings = session_settings(info, setup.scene, setup.truth is not None)
    return CockpitOptions(
        replace(settings, mode=RenderMode(setup.mode), is_free=arguments.free),
        preferred,
        BenchOptions(
            folder=arguments.captures,
            film=film_choice(preferred.saving, arguments.samples),
            remake=remake,
            capture_size=preferred.saving.picture_size,
            wants_depth=preferred.saving.wants_depth,
            split=arguments.split,
        ),
        make_ladder(info.device, arguments.transfer, lambda: interop_fault(window.context)),
        setup.truth,
    )


def _prepare(bench: Workbench, session: Session, setup: Setup) -> None:
    """What is to be seen from the start."""
    arguments = setup.arguments
    if setup.pose is not None:
        session.pilot.go_to(setup.pose.matrix)
    if arguments.view is not None:
        session.stand_at(arguments.view)
    if setup.path is not None:
        bench.paths.take(setup.path)
    if arguments.watch is not None:
        bench.watch(arguments.watch)
    if setup.rival is not None:
        bench.comparison.with_file(setup.rival, bench.info)
    elif arguments.compare == "truth":
        bench.comparison.with_truth()
    elif arguments.compare == "precision":
        bench.comparison.with_precision(bench.scene, bench.info)
    elif isinstance(arguments.compare, int):
        bench.comparison.with_samples(arguments.compare)


def _make_overlay(window: Window) -> Overlay:
    """With ImGui, if it is installed. After the window's own callbacks: ImGui passes them on."""
    from viewer.windowing import HAS_GUI

    if HAS_GUI:
        from viewer.gui.imgui_overlay import ImguiOverlay

        return ImguiOverlay(window.address, window.content_scale)
    from viewer.plain_overlay import PlainOverlay

    return PlainOverlay(window.context)


def _preferred(setup: Setup) -> tuple[Preferences, str]:
    """What the user has set some day, and before that what the command line asks for.

    Also returns what to say when the settings could not be used.
    """
    from viewer.preferences import load_preferences, preferences_path

    preferences, note = load_preferences(preferences_path())
    changes: dict[str, object] = {}
    if setup.asked_samples is not None:
        changes["samples"] = setup.asked_samples
    # What only a GPU has is not kept: the next start may be without one.
    if setup.asked_precision in ("fp32", "bf16"):
        changes["precision"] = setup.asked_precision
    if setup.is_adaptive:
        changes["adaptive"] = True
    preferences = preferences.changed("sampling", **changes)
    if setup.arguments.budget_ms is not None:
        preferences = preferences.changed("performance", budget_ms=setup.arguments.budget_ms)
    arguments = setup.arguments
    asked = {
        "film_size": arguments.film_size,
        "film_fps": arguments.fps,
        "picture_size": arguments.capture_size,
        "wants_depth": arguments.raw_depth or None,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return preferences.changed("saving", **given), note


def _remember(save: Callable[[], None]) -> None:
    """The window is gone: what cannot be kept is no reason to fail."""
    try:
        save()
    except OSError as error:
        print(f"your settings were not saved: {error}", file=sys.stderr)


def tell_lost_captures(results: list[Result]) -> None:
    """After the window is gone, nothing else says that a picture was not saved."""
    from viewer.worker import Cancelled, Failure

    for result in results:
        if isinstance(result, Failure | Cancelled) and result.request.is_capture:
            reason = result.message if isinstance(result, Failure) else "it took too long"
            print(f"a picture was not saved: {reason}", file=sys.stderr)


def _film(setup: Setup) -> None:
    from viewer.camera_path import flight_matrices
    from viewer.film_export import FilmSettings
    from viewer.fly_camera import FlyFrame, make_camera
    from viewer.headless import make_film, make_picture, print_summary
    from viewer.render_modes import RenderMode

    size, cell = setup.film_size, setup.cell
    pose, truth, view = setup.pose, setup.truth, setup.arguments.view
    settings = FilmSettings(
        setup.out,
        size,
        setup.samples,
        RenderMode(setup.mode),
        setup.arguments.fps or FPS,
        view=view,
        adaptive=setup.is_adaptive,
    )
    if pose is not None:
        settings = replace(settings, placement=pose.placement, passes=pose.passes, look=pose.look)
    is_picture = setup.out.suffix.lower() == ".png"
    if setup.arguments.raw_depth:
        if not is_picture:
            raise ValueError(
                f"--raw-depth is of one picture, so --out must end in .png, got {setup.out}"
            )
        settings = replace(settings, wants_depth=True)
    if setup.path is not None:
        path = setup.path.camera_path(FlyFrame(cell))
        count = 1 if is_picture else setup.arguments.frames or path.frame_count(settings.fps)
        matrices = path.matrices(FlyFrame(cell), count, setup.arguments.free)
    else:
        count = 1 if is_picture else setup.arguments.frames or FILM_FRAMES
        matrices = flight_matrices(cell, count)
    with _sigterm_as_interrupt():
        if truth is not None and view is not None:
            camera = truth.cameras[view]
            summary = make_picture(setup.renderer, cell, camera, settings, setup.status, truth)
        elif setup.pose is not None:
            camera = setup.pose.camera(cell, size)
            summary = make_picture(setup.renderer, cell, camera, settings, setup.status)
        elif is_picture:
            camera = make_camera(matrices[0], *size, cell.fov_x)
            summary = make_picture(setup.renderer, cell, camera, settings, setup.status)
        else:
            cameras: list[Camera] = [make_camera(m, *size, cell.fov_x) for m in matrices]
            summary = make_film(setup.renderer, cell, cameras, settings, setup.status)
    print_summary(summary)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """End as with Ctrl-C when asked to terminate, so that no half film is left."""

    def interrupt(_: int, __: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
