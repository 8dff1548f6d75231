"""What the viewer's loop needs of a window: one on the screen, or one off it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import moderngl

from viewer.controls import Event
from viewer.workbench import Desktop


class Surface(Desktop, Protocol):
    """Where pictures are shown and input comes from.

    needs_redraw:  what was shown is lost, or the size has changed
    """

    needs_redraw: bool

    @property
    def context(self) -> moderngl.Context:
        """What draws on it."""
        ...

    @property
    def framebuffer_size(self) -> tuple[int, int]:
        """Pixels; (0, 0) while it is minimized."""
        ...

    @property
    def pointer(self) -> tuple[float, float]:
        """Where the pointer is, as shares of the width and height from the top left."""
        ...

    @property
    def is_closing(self) -> bool:
        """Whether it is to be closed."""
        ...

    @property
    def is_full_screen(self) -> bool:
        """Whether it covers a monitor."""
        ...

    def wait(self, seconds: float | None) -> None:
        """Sleep until something happens, or at most so long."""
        ...

    def take_events(self) -> list[Event]:
        """Input since the last call, oldest first."""
        ...

    def present(self, draw: Callable[[moderngl.Framebuffer], None]) -> None:
        """Draw a picture and show it."""
        ...

    def set_title(self, title: str) -> None:
        """Name it."""
        ...

    def set_vsync(self, is_on: bool) -> None:
        """Whether `present` waits until the screen is ready for another picture."""
        ...

    def capture_pointer(self, is_captured: bool) -> None:
        """Hide the pointer and let it move without end, or give it back."""
        ...

    def toggle_full_screen(self) -> None:
        """Cover the monitor, or go back."""
        ...

    def close(self) -> None:
        """Ask for the end of the session."""
        ...

    def destroy(self) -> None:
        """Give everything back."""
        ...
