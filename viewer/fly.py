"""The window's loop: input to the session, its wishes to the worker, pictures to the screen."""

from __future__ import annotations

import time
from dataclasses import replace

import moderngl

from viewer.cell_lines import CellLines
from viewer.controls import (
    Action,
    Dropped,
    Event,
    FocusLost,
    PointerMoved,
    Pressed,
    Released,
    actions_of,
    find_binding,
)
from viewer.frame_texture import FrameTexture
from viewer.hud import Facts, FrameClock, make_title
from viewer.interop import Receiver
from viewer.overlay import Overlay, Scenery
from viewer.ray_probe import ProbedRay, RayProber
from viewer.session import Session
from viewer.split_view import FilmView, SplitView
from viewer.status import State, Status, StatusFile
from viewer.surface import Surface
from viewer.transfer import TransferLadder
from viewer.workbench import Workbench
from viewer.worker import RenderWorker

# A title that changes with every picture cannot be read, and some desktops draw it slowly.
TITLE_SECONDS = 0.25
# While an overlay is lively, it is drawn so often.
LIVELY_SECONDS = 1 / 60
# Where drawing is slow (OpenGL in software), the overlay alone gets a third of the time at most.
REST_FACTOR = 2.0
# What the overlay shows too late is drawn once more when nothing new has come for so long.
LATE_SECONDS = 0.12
NO_PANEL = "there is no panel without imgui-bundle; pip install imgui-bundle (H shows the keys)"
# A film has its own camera; nobody flies meanwhile.
_WHILE_FILMING = (
    *(Action.QUIT, Action.FULL_SCREEN, Action.RELEASE, Action.FILM),
    *(Action.HELP, Action.PANEL, Action.HUD),
)


def fitted_area(picture: tuple[int, int], window: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where a picture of another shape lies: (left, bottom, width, height), in window pixels."""
    scale = min(window[0] / picture[0], window[1] / picture[1])
    width, height = round(picture[0] * scale), round(picture[1] * scale)
    return (window[0] - width) // 2, (window[1] - height) // 2, width, height


class FlyLoop:
    """Runs a session in a window until it is closed. Never waits for the renderer."""

    def __init__(
        self,
        window: Surface,
        session: Session,
        worker: RenderWorker,
        bench: Workbench,
        transfer: TransferLadder,
        overlay: Overlay,
    ) -> None:
        """The parts, made by the caller; nothing happens before `run`."""
        self.frames = 0
        self._window = window
        self._session = session
        self._worker = worker
        self._bench = bench
        self._transfer = transfer
        self._overlay = overlay
        self._clock = FrameClock()
        self._receiver = Receiver(window.context, transfer)
        self._picture = FrameTexture(window.context, self._receiver)
        self._split = SplitView(window.context, self._receiver)
        self._film = FilmView(window.context)
        self._lines = CellLines(window.context)
        self._prober = RayProber(worker.submit_task)
        self._is_probing = False
        self.has_help = False
        self._transfer_ms = 0.0
        self._followed = session.preferences
        self._words = ""
        self._rest_until = 0.0
        self._late_at: float | None = None
        self._title = ""
        self._title_time = 0.0
        self._is_title_due = False
        self._drag: Action | None = None
        self._pointer_x = 0.0

    @property
    def ray(self) -> ProbedRay | None:
        """The ray that is probed."""
        return self._prober.ray

    def run(self, status: StatusFile, frames: int | None) -> None:
        """Fly until the window is closed, or until so many pictures were shown."""
        self._window.set_vsync(self._followed.performance.has_vsync)
        while not self._window.is_closing and (frames is None or self.frames < frames):
            self._window.wait(self._seconds_to_wait(time.monotonic()))
            self.step(time.monotonic())
            is_filming = self._bench.film.is_busy
            status.write(self._status("filming" if is_filming else self._session.state))
        status.write(self._status("done"))

    def release(self) -> None:
        """Give back what is on the GPU, before the context ends."""
        for part in (self._receiver, self._picture, self._split, self._film, self._lines):
            part.release()

    def step(self, now: float) -> None:
        """One turn of the loop: take what has come, draw if there is anything new."""
        session, bench = self._session, self._bench
        events = self._window.take_events()
        session.resize(*self._window.framebuffer_size)
        asked = bench.step(now)
        is_due = self._take_results(now)
        session.forget_message(now)
        is_due |= self._has_new_words()
        is_due |= self._film.update(bench.film)
        is_due |= self._window.needs_redraw
        if (is_due or events or self._is_lively(now)) and not session.is_minimized:
            self._frame(events, asked, now, is_due)
        else:
            self._take_input(events, asked, now)
        self._follow_preferences()
        self._update_title(now)

    def _frame(self, events: list[Event], asked: list[Action], now: float, is_new: bool) -> None:
        """Lay the window out, and draw it if there is anything new, also after the input.

        Input is handled in between, when it is known whose it is.
        """
        overlay, size, before = self._overlay, self._window.framebuffer_size, self._settings
        was_busy = overlay.owns_pointer or overlay.owns_keys
        overlay.begin(size, now)
        if events and (was_busy or overlay.owns_pointer or overlay.owns_keys):
            overlay.stir(now)
        self._take_input([event for event in events if self._is_ours(event)], asked, now)
        is_new |= self._split.update(self._session.shown, self._bench.comparison)
        pressed = overlay.lay_out(self._session, self._scenery(), now)
        for action in pressed:
            self._act(action, now)
        # Flying changes nothing before the next picture is there, and drawing may be slow.
        is_new |= bool(pressed) or self._settings != before
        if is_new or self._is_lively(now):
            start = time.monotonic()
            self._window.present(lambda target: self._draw(target, size))
            seconds = time.monotonic() - start
            self._rest_until = now + seconds * (1 + REST_FACTOR)
            self._late_at = now + LATE_SECONDS if is_new and overlay.is_late else None

    @property
    def _settings(self) -> tuple[object, ...]:
        """What shows over the picture by itself, without a new one."""
        session, bench = self._session, self._bench
        free, places = session.pilot.is_free, len(bench.places.bookmarks)
        path = (bench.paths.timeline.version, bench.paths.timeline.selected)
        return (session.preferences, session.mode, self.has_help, free, places, path)

    def _is_lively(self, now: float) -> bool:
        """Whether the overlay moves by itself; what is rendered needs the machine more."""
        is_late = self._late_at is not None and now >= self._late_at
        return (is_late or self._overlay.is_lively(now)) and now >= self._rest_until

    def _take_input(self, events: list[Event], asked: list[Action], now: float) -> None:
        """Follow the input, and ask for the picture that comes of it."""
        for event in events:
            self._handle(event, now)
        for action in asked:
            self._act(action, now)
        if self._is_probing:
            self._aim()
        # The worker goes on before this thread draws: they run side by side.
        request = None if self._bench.film.is_busy else self._session.next_request(now)
        if request is not None:
            self._worker.submit(request)

    def _take_results(self, now: float) -> bool:
        """Note what the worker has done; True when there is something new to see."""
        session, bench = self._session, self._bench
        fresh = [result for result in self._worker.results() if session.take_result(result, now)]
        ends = self._worker.task_ends()
        for end in ends:
            if not self._prober.take(end):
                bench.take(end)
        if fresh and session.shown is not None:
            start = time.perf_counter()
            self._picture.upload(session.shown.values)
            self._transfer_ms = (time.perf_counter() - start) * 1000
            bench.picture_shown(session.shown)
            self._clock.tick(now)
            self.frames += 1
        return bool(fresh or ends)

    def _has_new_words(self) -> bool:
        """Whether something else is to be said over the picture than before."""
        session = self._session
        words = f"{session.error} {session.message} {self._bench.film.text}"
        has_changed = words != self._words
        self._words = words
        return has_changed

    def _follow_preferences(self) -> None:
        """Do what the session cannot: the screen's rhythm, another renderer."""
        before, after = self._followed, self._session.preferences
        self._followed = after
        if before.performance.has_vsync != after.performance.has_vsync:
            self._window.set_vsync(after.performance.has_vsync)
        if before.sampling.precision != after.sampling.precision:
            self._bench.use_precision(after.sampling.precision)

    def _is_ours(self, event: Event) -> bool:
        """Whether an event is for the flight, not for the overlay. Letting go always is."""
        match event:
            case Pressed(pressed) if pressed.is_pointer:
                return not self._overlay.owns_pointer
            case Pressed():
                return not self._overlay.owns_keys
        return True

    def _handle(self, event: Event, now: float) -> None:
        match event:
            case Pressed(pressed):
                if (binding := find_binding(pressed)) is not None:
                    self._act(binding.action, now)
            case Released(place):
                for action in actions_of(place):
                    self._session.pilot.release(action, now)
                    self._let_go(action)
            case FocusLost():
                self._session.pilot.release_all(now)
                self._stop_drag(self._drag)
                self._let_go(Action.PROBE)
            case PointerMoved(right, down, x):
                # By now the pointer may be elsewhere than where a button was pressed.
                self._pointer_x = x if x is not None else self._window.pointer[0]
                self._move_pointer(right, down, now)
            case Dropped(paths, x):
                self._bench.open(list(paths), x)

    def _move_pointer(self, right: float, down: float, now: float) -> None:
        factor = self._session.preferences.flying.look_factor
        # A drag holds on to the scene; a captured pointer turns the head.
        if self._drag is Action.COMPARE:
            self._bench.comparison.drag_to(self._pointer_x)
        elif self._drag is Action.LOOK:
            self._session.pilot.look(factor * right, factor * down, now)
        elif self._drag is Action.LOOK_CAPTURED:
            self._session.pilot.look(-factor * right, -factor * down, now)

    def _act(self, action: Action, now: float) -> None:
        """Do what concerns the window; the rest is the tools' and the session's."""
        session = self._session
        if self._bench.film.is_busy and action not in _WHILE_FILMING:
            return
        if action is Action.RELEASE and self.has_help:
            self.has_help = False
            return
        if self._bench.press(action, now):
            return
        match action:
            case Action.QUIT:
                self._window.close()
            case Action.FULL_SCREEN:
                self._window.toggle_full_screen()
            case Action.RELEASE:
                self._stop_drag(self._drag)
                if self._window.is_full_screen:
                    self._window.toggle_full_screen()
            case Action.LOOK if self._bench.comparison.grabs(self._pointer_x):
                self._drag = Action.COMPARE
            case Action.LOOK | Action.LOOK_CAPTURED:
                self._drag = action
                self._window.capture_pointer(action is Action.LOOK_CAPTURED)
            case Action.PROBE:
                self._is_probing = True
            case Action.HELP:
                self.has_help = not self.has_help
            case Action.PANEL if not self._overlay.has_panel:
                session.note(NO_PANEL, now)
            case _:
                session.press(action, now)

    def _let_go(self, action: Action) -> None:
        """A held input has ended."""
        self._stop_drag(action)
        if action is Action.PROBE:
            self._is_probing = False
            self._prober.stop()

    def _stop_drag(self, action: Action | None) -> None:
        is_divider = self._drag is Action.COMPARE and action is Action.LOOK
        if action is not None and (action is self._drag or is_divider):
            self._drag = None
            self._window.capture_pointer(False)

    def _aim(self) -> None:
        """Probe the ray under the pointer."""
        shown, size = self._session.shown, self._window.framebuffer_size
        if shown is None or self._session.is_minimized or self._overlay.owns_pointer:
            return
        left, bottom, width, height = self._area(size)
        x, y = self._window.pointer[0] * size[0], self._window.pointer[1] * size[1]
        top = size[1] - bottom - height
        self._prober.aim(shown, ((x - left) / width, (y - top) / height))

    def _area(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Where the picture lies in the window: (left, bottom, width, height)."""
        shown = self._session.shown
        if shown is None or shown.request.view is None:
            return (0, 0, *size)
        return fitted_area(shown.size, size)

    def _scenery(self) -> Scenery:
        bench, transfer = self._bench, self._transfer
        facts = Facts(bench.scene, bench.info, self._clock, transfer, self._transfer_ms)
        scenery = Scenery(facts, bench, has_help=self.has_help)
        if self._prober.ray is None:
            return scenery
        size = self._window.framebuffer_size
        left, bottom, width, height = self._area(size)
        top = size[1] - bottom - height
        x, y = self._prober.ray.place
        place = (left + x * width, top + y * height)
        return replace(scenery, ray=self._prober.ray, ray_place=place)

    def _draw(self, target: moderngl.Framebuffer, size: tuple[int, int]) -> None:
        session, shown = self._session, self._session.shown
        viewing = session.preferences.viewing
        target.clear(*viewing.background)
        if self._film.size is not None:
            self._film.draw(target, fitted_area(self._film.size, size))
        elif shown is not None:
            area = self._area(size)
            self._picture.draw(target, area, session.look, shown.ends)
            self._split.draw(target, size, area, session.look)
            if viewing.has_box or viewing.has_cone:
                self._lines.enter(session.pilot.frame)
                camera = shown.request.camera
                self._lines.draw(target, area, camera, viewing.has_box, viewing.has_cone)
        self._overlay.draw(target, size)

    def _update_title(self, now: float) -> None:
        bench = self._bench
        title = make_title(bench.scene.name, self._session, self._clock, bench.info)
        # Where there is only one way for pictures, it need not be said.
        transfer = "" if bench.info.device == "cpu" else f"{self._transfer.way} transfer"
        title = " | ".join(filter(None, [title, transfer, bench.training]))
        self._is_title_due = title != self._title
        if self._is_title_due and now >= self._title_time + TITLE_SECONDS:
            self._window.set_title(title)
            self._title, self._title_time = title, now
            self._is_title_due = False

    def _seconds_to_wait(self, now: float) -> float | None:
        """How long nothing has to be done; None for as long as nothing happens."""
        # While a film is made it wakes the window; a session has nothing to wait for then.
        is_filming = self._bench.film.is_busy
        waits = [None if is_filming else self._session.seconds_to_wait(now)]
        waits.append(self._bench.seconds_to_wait())
        if self._late_at is not None and not self._session.is_minimized:
            waits.append(max(self._late_at, self._rest_until) - now)
        if self._overlay.is_lively(now):
            waits.append(max(LIVELY_SECONDS, self._rest_until - now))
        if self._is_title_due:
            waits.append(max(self._title_time + TITLE_SECONDS - now, 0.0))
        return min((seconds for seconds in waits if seconds is not None), default=None)

    def _status(self, state: State) -> Status:
        session, bench = self._session, self._bench
        status = Status(
            state,
            position=tuple(round(float(x), 4) for x in session.pilot.pose.position),
            error=session.error,
            message=session.message,
            scene=bench.scene.name,
            transfer=self._transfer.way,
            training=bench.training,
            key_frames=len(bench.paths.timeline.path.keys),
            film_frames=bench.film.progress.frames if bench.film.progress is not None else 0,
            has_help=self.has_help,
        )
        if session.shown is None:
            return status
        asked = session.shown.request.rival
        return replace(
            status,
            frames=self.frames,
            size=session.shown.size,
            samples=session.samples,
            mode=session.shown.request.mode,
            view=session.view_index,
            psnr=session.shown.psnr,
            rival=asked.label if asked is not None and session.shown.rival is not None else None,
        )
