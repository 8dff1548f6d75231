"""A window without a screen: the whole viewer on a GL context of its own, steered by a program.

The pictures of the documentation, the measurements of the interface and its tests are made so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import moderngl
import numpy as np

from viewer.controls import Event, FocusLost, Input, PointerMoved, Pressed, Released
from viewer.gamepad import PadState


class InputListener(Protocol):
    """Who hears of input beside the loop: ImGui, which a real window tells by itself."""

    def hear_pointer(self, x: float, y: float) -> None:
        """The mouse is at a pixel from the top left."""
        ...

    def hear_button(self, place: str, is_down: bool) -> None:
        """A mouse button went down or up."""
        ...

    def hear_wheel(self, notches: float) -> None:
        """The wheel turned, up is positive."""
        ...

    def hear_key(self, place: str, is_down: bool) -> None:
        """A key went down or up."""
        ...

    def hear_text(self, text: str) -> None:
        """Characters were typed."""
        ...


class OffscreenWindow:
    """Fits where a `Window` does.

    listener:  hears of the input, too
    title:     that was set last
    """

    def __init__(self, width: int, height: int) -> None:
        """Make the context; raises what moderngl raises where there is no OpenGL through EGL."""
        # Its type says that any further option is a dict.
        options: dict[str, Any] = {"backend": "egl"}
        self.context = moderngl.create_context(standalone=True, require=330, **options)
        self.needs_redraw = True
        self.is_closing = False
        self.is_full_screen = False
        self.is_captured = False
        self.has_vsync = True
        self.listener: InputListener | None = None
        self.title = ""
        self.presented = 0
        self.text = ""
        self.pad: PadState | None = None
        self._events: list[Event] = []
        self._woken = threading.Event()
        self._place = (0.0, 0.0)
        self._target = self.context.simple_framebuffer((width, height), 3)
        self._is_minimized = False

    @property
    def framebuffer_size(self) -> tuple[int, int]:
        """Pixels; (0, 0) while it is minimized."""
        return (0, 0) if self._is_minimized else self._target.size

    @property
    def pointer(self) -> tuple[float, float]:
        """Shares of the width and height, from the top left."""
        width, height = self._target.size
        return self._place[0] / width, self._place[1] / height

    def resize(self, width: int, height: int) -> None:
        """Another size in pixels; 0x0 minimizes it."""
        self._is_minimized = min(width, height) < 1
        if not self._is_minimized and (width, height) != self._target.size:
            old, self._target = self._target, self.context.simple_framebuffer((width, height), 3)
            # GL must not be left with a framebuffer that is gone.
            self._target.use()
            _release(old)
        self.needs_redraw = True

    def move_pointer(self, x: float, y: float) -> None:
        """Move the mouse to a pixel from the top left."""
        longer = max(self._target.size)
        right, down = (x - self._place[0]) / longer, (y - self._place[1]) / longer
        self._place = (x, y)
        self._events.append(PointerMoved(right, down))
        if self.listener is not None:
            self.listener.hear_pointer(x, y)

    def press(self, place: str, letter: str | None = None, is_control: bool = False) -> None:
        """A key or a mouse button goes down, or the wheel turns; named as in `controls.py`."""
        is_key = not Input(place).is_pointer
        name = letter or (place if is_key and len(place) == 1 and place.isalpha() else None)
        self._events.append(Pressed(Input(place, name, is_control)))
        self._tell(place, is_down=True)

    def release(self, place: str) -> None:
        """A key or a mouse button goes up."""
        self._events.append(Released(place))
        self._tell(place, is_down=False)

    def type_text(self, text: str) -> None:
        """Characters, as the keyboard makes them."""
        if self.listener is not None:
            self.listener.hear_text(text)

    def lose_focus(self) -> None:
        """Another window gets the keyboard."""
        self._events.append(FocusLost())

    def pixels(self) -> np.ndarray:
        """What is shown: (H, W, 3) uint8, row 0 on top."""
        width, height = self._target.size
        rows = np.frombuffer(self._target.read(components=3), np.uint8)
        # GL reads rows from the bottom.
        return rows.reshape(height, width, 3)[::-1].copy()

    def wait(self, seconds: float | None) -> None:
        """Sleep until `wake`, or at most so long; not at all with input that waits."""
        if not self._events:
            self._woken.wait(0.5 if seconds is None else min(seconds, 0.5))
        self._woken.clear()

    def wake(self) -> None:
        """End a `wait`; any thread may call it."""
        self._woken.set()

    def take_events(self) -> list[Event]:
        """Input since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    def present(self, draw: Callable[[moderngl.Framebuffer], None]) -> None:
        """Draw a picture."""
        self._target.viewport = (0, 0, *self._target.size)
        draw(self._target)
        # What a screen does by showing it: otherwise commands pile up.
        self.context.finish()
        self.presented += 1
        self.needs_redraw = False

    def set_title(self, title: str) -> None:
        """Name the window."""
        self.title = title

    def set_vsync(self, is_on: bool) -> None:
        """There is no screen to wait for."""
        self.has_vsync = is_on

    def capture_pointer(self, is_captured: bool) -> None:
        """There is no pointer to hide."""
        self.is_captured = is_captured

    def toggle_full_screen(self) -> None:
        """There is no screen to fill."""
        self.is_full_screen = not self.is_full_screen

    def copied_text(self) -> str:
        """The text in its own clipboard."""
        return self.text

    def copy_text(self, text: str) -> None:
        """Put a text there."""
        self.text = text

    def read_gamepad(self) -> PadState | None:
        """The state that was set, if any."""
        return self.pad

    def close(self) -> None:
        """Ask for the end of the session."""
        self.is_closing = True

    def destroy(self) -> None:
        """Give the context back."""
        _release(self._target)
        self.context.release()

    def _tell(self, place: str, is_down: bool) -> None:
        if self.listener is None:
            return
        if place.startswith("WHEEL"):
            if is_down:
                self.listener.hear_wheel(1.0 if place == "WHEEL_UP" else -1.0)
        elif Input(place).is_pointer:
            self.listener.hear_button(place, is_down)
        else:
            self.listener.hear_key(place, is_down)


def _release(target: moderngl.Framebuffer) -> None:
    """A framebuffer does not take what it draws into with it."""
    parts = (*target.color_attachments, target.depth_attachment)
    target.release()
    for part in parts:
        if part is not None:
            part.release()
