"""The window's loop: input to the session, its wishes to the worker, pictures to the screen."""

from __future__ import annotations

import time
from dataclasses import dataclass

import moderngl

from donerf.renderer import RendererInfo
from viewer.controls import (
    Action,
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
from viewer.session import Session
from viewer.status import State, Status, StatusFile
from viewer.window import Window
from viewer.worker import RenderWorker

# A title that changes with every picture cannot be read, and some desktops draw it slowly.
TITLE_SECONDS = 0.25


@dataclass(frozen=True)
class Labels:
    """What the title tells about the scene and what renders it."""

    scene: str
    info: RendererInfo


def fitted_area(picture: tuple[int, int], window: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where a picture of another shape lies: (left, bottom, width, height), in window pixels."""
    scale = min(window[0] / picture[0], window[1] / picture[1])
    width, height = round(picture[0] * scale), round(picture[1] * scale)
    return (window[0] - width) // 2, (window[1] - height) // 2, width, height


class FlyLoop:
    """Runs a session in a window until it is closed. Never waits for the renderer."""

    def __init__(
        self, window: Window, session: Session, worker: RenderWorker, labels: Labels
    ) -> None:
        """The parts, made by the caller; nothing happens before `run`."""
        self.frames = 0
        self._window = window
        self._session = session
        self._worker = worker
        self._labels = labels
        self._clock = FrameClock()
        self._picture = FrameTexture(window.context)
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
            status.write(self._status(self._session.state))
        status.write(self._status("done"))

    def _step(self, now: float) -> None:
        session = self._session
        for event in self._window.take_events():
            self._handle(event, now)
        size = self._window.framebuffer_size
        session.resize(*size)
        fresh = [result for result in self._worker.results() if session.take_result(result, now)]
        # The worker goes on before this thread draws: they run side by side.
        if (request := session.next_request(now)) is not None:
            self._worker.submit(request)
        if fresh and session.shown is not None:
            self._picture.upload(session.shown.values)
            self._clock.tick(now)
            self.frames += 1
        session.forget_message(now)
        self._update_title(now)
        has_changed = self._update_banner(size[0])
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
                if self._drag is Action.LOOK:
                    self._session.pilot.look(right, down, now)
                elif self._drag is Action.LOOK_CAPTURED:
                    self._session.pilot.look(-right, -down, now)

    def _act(self, action: Action, now: float) -> None:
        """Do what concerns the window; the rest is the session's."""
        match action:
            case Action.QUIT:
                self._window.close()
            case Action.FULL_SCREEN:
                self._window.toggle_full_screen()
            case Action.RELEASE:
                self._stop_drag(self._drag)
                if self._window.is_full_screen:
                    self._window.toggle_full_screen()
            case Action.LOOK | Action.LOOK_CAPTURED:
                self._drag = action
                self._window.capture_pointer(action is Action.LOOK_CAPTURED)
            case Action.SCREENSHOT:
                self._worker.submit(self._session.capture())
            case _:
                self._session.press(action, now)

    def _stop_drag(self, action: Action | None) -> None:
        if action is not None and action is self._drag:
            self._drag = None
            self._window.capture_pointer(False)

    def _draw(self, target: moderngl.Framebuffer, size: tuple[int, int]) -> None:
        shown = self._session.shown
        target.clear(*self._session.preferences.viewing.background)
        if shown is not None:
            area = (
                fitted_area(shown.size, size) if shown.request.view is not None else (0, 0, *size)
            )
            self._picture.draw(target, area, self._session.look, shown.ends)
        if self._banner_shown is not None:
            self._banner.draw(target, (0, 0, size[0], 30))

    def _update_banner(self, width: int) -> bool:
        """Bring the banner up to date; True when it has changed."""
        text = self._session.error or self._session.message
        wanted = (text, width) if text and width > 0 else None
        if wanted == self._banner_shown:
            return False
        if wanted is not None:
            self._banner.upload(draw_banner(*wanted))
        self._banner_shown = wanted
        return True

    def _update_title(self, now: float) -> None:
        title = make_title(self._labels.scene, self._session, self._clock, self._labels.info)
        self._is_title_due = title != self._title
        if self._is_title_due and now >= self._title_time + TITLE_SECONDS:
            self._window.set_title(title)
            self._title, self._title_time = title, now
            self._is_title_due = False

    def _seconds_to_wait(self, now: float) -> float | None:
        """How long nothing has to be done; None for as long as nothing happens."""
        seconds = self._session.seconds_to_wait(now)
        if not self._is_title_due:
            return seconds
        until_title = max(self._title_time + TITLE_SECONDS - now, 0.0)
        return until_title if seconds is None else min(seconds, until_title)

    def _status(self, state: State) -> Status:
        session = self._session
        position = tuple(round(float(x), 4) for x in session.pilot.pose.position)
        if session.shown is None:
            return Status(state, position=position, error=session.error)
        request = session.shown.request
        return Status(
            state,
            frames=self.frames,
            size=session.shown.size,
            samples=session.samples,
            mode=request.mode,
            position=position,
            error=session.error,
        )
