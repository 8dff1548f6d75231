"""A display that goes away under a window (a connection closed, a server ended), on X11.

Xlib then ends the process, without a word that helps and with whatever was half done. It cannot be
had back to work after that, but it asks somebody first; who is asked here ends in order.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import NoReturn

# Xlib keeps a pointer to it, Python must keep it alive.
_handlers: list[object] = []


def end_in_order_without_display(end: Callable[[], NoReturn]) -> None:
    """Have `end` called, on the thread that notices, when the X11 display is lost.

    Does nothing elsewhere: Wayland, macOS and Windows close the window themselves.
    """
    if sys.platform != "linux":
        return
    try:
        # The copy that glfw has loaded, or one that nobody uses: then nothing happens.
        xlib = ctypes.CDLL("libX11.so.6")
    except OSError:
        return
    handler_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)

    def handle(_: int | None) -> int:
        end()

    handler = handler_type(handle)
    _handlers.append(handler)
    xlib.XSetIOErrorHandler(handler)
