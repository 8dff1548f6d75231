"""The window's loop: input to the session, its wishes to the worker, pictures to the screen."""

from __future__ import annotations

import time
from dataclasses import replace

import moderngl

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
from viewer.hud import FrameClock, draw_banner, make_title
from viewer.interop import Receiver
from viewer.session import Session
from viewer.split_view import FilmView, SplitView
from viewer.status import State, Status, StatusFile
from viewer.transfer import TransferLadder
from viewer.window import Window
from viewer.workbench import Workbench
from viewer.worker import RenderWorker

# A title that changes with every picture cannot be read, and some desktops draw it slowly.
TITLE_SECONDS = 0.25
# A film has its own camera; nobody flies meanwhile.
_WHILE_FILMING = (Action.QUIT, Action.FULL_SCREEN, Action.RELEASE, Action.FILM)


def fitted_area(picture: tuple[int, int], window: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where a picture of another shape lies: (left, bottom, width, height), in window pixels."""
    scale = min(window[0] / picture[0], window[1] / picture[1])
    width, height = round(picture[0] * scale), round(picture[1] * scale)
    return (window[0] - width) // 2, (window[1] - height) // 2, width, height


class FlyLoop:
    """Runs a session in a window until it is closed. Never waits for the renderer."""

    def __init__(
        self,
        window: Window,
        session: Session,
        worker: RenderWorker,
        bench: Workbench,
        transfer: TransferLadder,
    ) -> None:
        """The parts, made by the caller; nothing happens before `run`."""
        self.frames = 0
        self._window = window
        self._session = session
        self._worker = worker
        self._bench = bench
        self._transfer = transfer
        self._clock = FrameClock()
        self._receiver = Receiver(window.context, transfer)
        self._picture = FrameTexture(window.context, self._receiver)
        self._split = SplitView(window.context, self._receiver)
        self._film = FilmView(window.context)
        self._banner = FrameTexture(window.context)
        self._banner_shown: tuple[str, int] | None = None
        self._title = ""
        self._title_time = 0.0
        self._is_title_due = False
        self._drag: Action | None = None

    def run(self, status: StatusFile, frames: int | None) -> None:
        """Fly until the window is closed, or until so many pictures were shown."""
        while not self._window.is_closing and (frames is None or self.frames < frames):
            self._window.wait(self._seconds_to_wait(time.monotonic()))
            self._step(time.monotonic())
            is_filming = self._bench.film.is_busy
            status.write(self._status("filming" if is_filming else self._session.state))
        status.write(self._status("done"))

    def release(self) -> None:
        """Let go of what CUDA and OpenGL share, before the context ends."""
        self._receiver.release()

    def _step(self, now: float) -> None:
        session, bench = self._session, self._bench
        for event in self._window.take_events():
            self._handle(event, now)
        for action in bench.step(now):
            self._act(action, now)
        size = self._window.framebuffer_size
        session.resize(*size)
        fresh = [result for result in self._worker.results() if session.take_result(result, now)]
        for end in self._worker.task_ends():
            bench.take(end)
        # The worker goes on before this thread draws: they run side by side.
        request = None if bench.film.is_busy else session.next_request(now)
        if request is not None:
            self._worker.submit(request)
        if fresh and session.shown is not None:
            self._picture.upload(session.shown.values)
            bench.picture_shown(session.shown)
            self._clock.tick(now)
            self.frames += 1
        session.forget_message(now)
        self._update_title(now)
        has_changed = self._update_banner(size[0])
        has_changed |= self._split.update(session.shown, bench.comparison)
        has_changed |= self._film.update(bench.film)
        if (fresh or has_changed or self._window.needs_redraw) and not session.is_minimized:
            self._window.present(lambda target: self._draw(target, size))

    def _handle(self, event: Event, now: float) -> None:
        match event:
            case Pressed(pressed):
                if (binding := find_binding(pressed)) is not None:
                    self._act(binding.action, now)
            case Released(place):
                for action in actions_of(place):
                    self._session.pilot.release(action, now)
                    self._stop_drag(action)
            case FocusLost():
                self._session.pilot.release_all(now)
                self._stop_drag(self._drag)
            case PointerMoved(right, down):
                # A drag holds on to the scene; a captured pointer turns the head.
                if self._drag is Action.COMPARE:
                    self._bench.comparison.drag_to(self._window.pointer[0])
                elif self._drag is Action.LOOK:
                    self._session.pilot.look(right, down, now)
                elif self._drag is Action.LOOK_CAPTURED:
                    self._session.pilot.look(-right, -down, now)
            case Dropped(paths, x):
                self._bench.open(list(paths), x)

    def _act(self, action: Action, now: float) -> None:
        """Do what concerns the window; the rest is the tools' and the session's."""
        if self._bench.film.is_busy and action not in _WHILE_FILMING:
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
            case Action.LOOK if self._bench.comparison.grabs(self._window.pointer[0]):
                self._drag = Action.COMPARE
            case Action.LOOK | Action.LOOK_CAPTURED:
                self._drag = action
                self._window.capture_pointer(action is Action.LOOK_CAPTURED)
            case _:
                self._session.press(action, now)

    def _stop_drag(self, action: Action | None) -> None:
        is_divider = self._drag is Action.COMPARE and action is Action.LOOK
        if action is not None and (action is self._drag or is_divider):
            self._drag = None
            self._window.capture_pointer(False)

    def _draw(self, target: moderngl.Framebuffer, size: tuple[int, int]) -> None:
        shown, look = self._session.shown, self._session.look
        target.clear(*self._session.preferences.viewing.background)
        if self._film.size is not None:
            self._film.draw(target, fitted_area(self._film.size, size))
        elif shown is not None:
            is_fitted = shown.request.view is not None
            area = fitted_area(shown.size, size) if is_fitted else (0, 0, *size)
            self._picture.draw(target, area, look, shown.ends)
            self._split.draw(target, size, area, look)
        if self._banner_shown is not None:
            self._banner.draw(target, (0, 0, size[0], 30))

    def _update_banner(self, width: int) -> bool:
        """Bring the banner up to date; True when it has changed."""
        text = self._session.error or self._session.message or self._bench.film.text
        wanted = (text, width) if text and width > 0 else None
        if wanted == self._banner_shown:
            return False
        if wanted is not None:
            self._banner.upload(draw_banner(*wanted))
        self._banner_shown = wanted
        return True

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
