"""The window: glfw, a GL context, and input as events. Decides nothing."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import moderngl

from viewer.controls import Dropped, Event, FocusLost, Input, PointerMoved, Pressed, Released
from viewer.gamepad import PadState
from viewer.windowing import glfw

LONGEST_WAIT_SECONDS = 0.5
_BUTTONS = {0: "MOUSE_LEFT", 1: "MOUSE_RIGHT", 2: "MOUSE_MIDDLE"}


class NoDisplayError(RuntimeError):
    """There is no window to be had here, and why, in one sentence."""


class Window:
    """A window with a GL 3.3 core context. Belongs to the main thread, `wake` apart."""

    def __init__(self, title: str, width: int, height: int) -> None:
        """Open the window, or raise NoDisplayError."""
        _start_glfw()
        self._window = _create_window(title, width, height)
        try:
            glfw.make_context_current(self._window)
            glfw.swap_interval(1)
            self.context = moderngl.create_context(require=330)
        # moderngl raises bare exceptions; all of them mean that there is no usable OpenGL.
        except Exception as error:
            glfw.terminate()
            raise NoDisplayError(f"there is no OpenGL 3.3 ({error})") from None
        self.needs_redraw = True
        self._events: list[Event] = []
        self._names = {
            getattr(glfw, name): name.removeprefix("KEY_")
            for name in dir(glfw)
            if name.startswith("KEY_") and name not in ("KEY_LAST", "KEY_UNKNOWN")
        }
        self._pointer = glfw.get_cursor_pos(self._window)
        self._wheel = 0.0
        self._place_before_full_screen: tuple[int, int, int, int] | None = None
        self._title = title
        self._listen()

    @property
    def framebuffer_size(self) -> tuple[int, int]:
        """Pixels, which on a HiDPI screen are more than the window's size; (0, 0) if minimized."""
        if glfw.get_window_attrib(self._window, glfw.ICONIFIED):
            return (0, 0)
        return glfw.get_framebuffer_size(self._window)

    @property
    def address(self) -> int:
        """Of glfw's window, for ImGui."""
        return ctypes.cast(self._window, ctypes.c_void_p).value or 0

    @property
    def content_scale(self) -> float:
        """How much larger than usual text should be on this screen."""
        return glfw.get_window_content_scale(self._window)[0]

    def set_vsync(self, is_on: bool) -> None:
        """Whether `present` waits until the screen is ready for another picture."""
        glfw.swap_interval(1 if is_on else 0)

    @property
    def pointer(self) -> tuple[float, float]:
        """Where the pointer is, as shares of the window's width and height from the top left."""
        width, height = glfw.get_window_size(self._window)
        x, y = glfw.get_cursor_pos(self._window)
        return x / max(width, 1), y / max(height, 1)

    def copied_text(self) -> str:
        """The text that was copied last, here or elsewhere; empty when it is no text."""
        no_window: Any = None  # The clipboard is everybody's.
        text: Any = glfw.get_clipboard_string(no_window)  # Bytes, whatever its type says.
        return text.decode(errors="replace") if text else ""

    def copy_text(self, text: str) -> None:
        """Put a text into the clipboard."""
        no_window: Any = None
        glfw.set_clipboard_string(no_window, text)

    def read_gamepad(self) -> PadState | None:
        """The first gamepad; None without one, or while another window has the keyboard."""
        if not glfw.get_window_attrib(self._window, glfw.FOCUSED):
            return None
        for joystick in range(glfw.JOYSTICK_1, glfw.JOYSTICK_LAST + 1):
            if glfw.joystick_present(joystick) and glfw.joystick_is_gamepad(joystick):
                state = glfw.get_gamepad_state(joystick)
                if state is not None:
                    buttons = tuple(bool(button) for button in state.buttons)
                    return PadState(buttons, tuple(state.axes))
        return None

    @property
    def is_closing(self) -> bool:
        """Whether the window is to be closed."""
        return bool(glfw.window_should_close(self._window))

    @property
    def is_full_screen(self) -> bool:
        """Whether the window covers a monitor."""
        return self._place_before_full_screen is not None

    def wait(self, seconds: float | None) -> None:
        """Sleep until something happens, or at most so long."""
        # Python hears of Ctrl-C in the terminal only between two waits.
        seconds = LONGEST_WAIT_SECONDS if seconds is None else min(seconds, LONGEST_WAIT_SECONDS)
        if seconds <= 0:
            glfw.poll_events()
        else:
            glfw.wait_events_timeout(seconds)

    def wake(self) -> None:
        """End a `wait`; any thread may call it."""
        glfw.post_empty_event()

    def take_events(self) -> list[Event]:
        """Input since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    def present(self, draw: Callable[[moderngl.Framebuffer], None]) -> None:
        """Draw a picture and show it."""
        draw(self.context.screen)
        glfw.swap_buffers(self._window)
        self.needs_redraw = False

    def resize(self, width: int, height: int) -> None:
        """Ask for another size, in the units of the screen."""
        glfw.set_window_size(self._window, width, height)

    def set_title(self, title: str) -> None:
        """Name the window."""
        if title != self._title:
            self._title = title
            glfw.set_window_title(self._window, title)

    def capture_pointer(self, is_captured: bool) -> None:
        """Hide the pointer and let it move without end, or give it back."""
        mode = glfw.CURSOR_DISABLED if is_captured else glfw.CURSOR_NORMAL
        if glfw.get_input_mode(self._window, glfw.CURSOR) != mode:
            glfw.set_input_mode(self._window, glfw.CURSOR, mode)
            # The pointer has jumped: that was no movement of the mouse.
            self._pointer = glfw.get_cursor_pos(self._window)

    def toggle_full_screen(self) -> None:
        """Cover the monitor that the window is on, or go back to where it was."""
        if self._place_before_full_screen is not None:
            no_monitor: Any = None
            glfw.set_window_monitor(self._window, no_monitor, *self._place_before_full_screen, 0)
            self._place_before_full_screen = None
            return
        monitor = self._monitor()
        if monitor is None:
            return
        position, size = glfw.get_window_pos(self._window), glfw.get_window_size(self._window)
        self._place_before_full_screen = (*position, *size)
        screen = glfw.get_video_mode(monitor)
        glfw.set_window_monitor(self._window, monitor, 0, 0, *screen.size, screen.refresh_rate)

    def close(self) -> None:
        """Ask for the end of the session."""
        glfw.set_window_should_close(self._window, True)

    def destroy(self) -> None:
        """Give everything back."""
        self.context.release()
        glfw.terminate()

    def _listen(self) -> None:
        window = self._window
        glfw.set_key_callback(window, self._on_key)
        glfw.set_mouse_button_callback(window, self._on_button)
        glfw.set_cursor_pos_callback(window, self._on_pointer)
        glfw.set_scroll_callback(window, self._on_wheel)
        glfw.set_window_focus_callback(window, self._on_focus)
        on_drop: Any = self._on_drop  # It gets a list of names, whatever its type says.
        glfw.set_drop_callback(window, on_drop)
        glfw.set_window_refresh_callback(window, self._on_refresh)
        glfw.set_framebuffer_size_callback(window, lambda window, w, h: self._on_refresh(window))

    def _on_key(self, _: object, key: int, scancode: int, action: int, modifiers: int) -> None:
        # glfw names keys by their place on a US keyboard, from the scancode.
        place = self._names.get(key)
        if place is None or action == glfw.REPEAT:
            return
        if action == glfw.RELEASE:
            self._events.append(Released(place))
            return
        name = glfw.get_key_name(key, scancode)
        letter = name.upper() if name and name.isalpha() else None
        is_control = bool(modifiers & glfw.MOD_CONTROL)
        self._events.append(Pressed(Input(place, letter, is_control)))

    def _on_button(self, _: object, button: int, action: int, modifiers: int) -> None:
        if (place := _BUTTONS.get(button)) is None:
            return
        is_control = bool(modifiers & glfw.MOD_CONTROL)
        is_down = action == glfw.PRESS
        self._events.append(
            Pressed(Input(place, is_control=is_control)) if is_down else Released(place)
        )

    def _on_pointer(self, _: object, x: float, y: float) -> None:
        width, height = glfw.get_window_size(self._window)
        longer = max(width, height, 1)
        right, down = x - self._pointer[0], y - self._pointer[1]
        self._pointer = (x, y)
        self._events.append(PointerMoved(right / longer, down / longer, x / max(width, 1)))

    def _on_wheel(self, _: object, __: float, y: float) -> None:
        # A touchpad scrolls in small parts of a notch.
        self._wheel += y
        while abs(self._wheel) >= 1:
            is_up = self._wheel > 0
            self._events.append(Pressed(Input("WHEEL_UP" if is_up else "WHEEL_DOWN")))
            self._wheel -= 1 if is_up else -1

    def _on_focus(self, _: object, is_focused: int) -> None:
        if not is_focused:
            self._events.append(FocusLost())

    def _on_drop(self, _: object, paths: Sequence[str]) -> None:
        # glfw tells the place of a drop as a movement just before it.
        width, _ = glfw.get_window_size(self._window)
        self._events.append(Dropped(tuple(map(Path, paths)), self._pointer[0] / max(width, 1)))

    def _on_refresh(self, _: object) -> None:
        self.needs_redraw = True

    def _monitor(self) -> Any | None:
        """The monitor that holds the window's middle."""
        x, y = glfw.get_window_pos(self._window)
        width, height = glfw.get_window_size(self._window)
        for monitor in glfw.get_monitors():
            left, top = glfw.get_monitor_pos(monitor)
            screen = glfw.get_video_mode(monitor).size
            is_across = left <= x + width / 2 < left + screen.width
            if is_across and top <= y + height / 2 < top + screen.height:
                return monitor
        return glfw.get_primary_monitor()


def _start_glfw() -> None:
    # We read errors ourselves; as warnings they would fill the terminal.
    glfw.ERROR_REPORTING = "ignore"
    if not glfw.init():
        raise NoDisplayError(f"there is no display ({_last_error()})")


def _create_window(title: str, width: int, height: int) -> Any:
    glfw.window_hint(glfw.CONTEXT_VERSION_MAJOR, 3)
    glfw.window_hint(glfw.CONTEXT_VERSION_MINOR, 3)
    glfw.window_hint(glfw.OPENGL_PROFILE, glfw.OPENGL_CORE_PROFILE)
    glfw.window_hint(glfw.OPENGL_FORWARD_COMPAT, True)
    glfw.window_hint(glfw.SCALE_TO_MONITOR, True)
    window = glfw.create_window(width, height, title, None, None)
    if not window:
        reason = _last_error()
        glfw.terminate()
        raise NoDisplayError(f"there is no OpenGL 3.3 ({reason})")
    return window


def _last_error() -> str:
    _, description = glfw.get_error()
    if isinstance(description, bytes):
        description = description.decode(errors="replace")
    return description or "no reason given"
