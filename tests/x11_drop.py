"""Drop a file on the window under a place of the screen, as a file manager would (XDND version 5).

    python x11_drop.py FILE X Y

A helper of the end-to-end tests: no common tool can do this. It speaks to Xlib by itself.
"""

import ctypes
import ctypes.util
import sys
import time
from ctypes import Structure, Union, byref, c_char_p, c_int, c_long, c_ulong, c_void_p
from pathlib import Path

SELECTION_REQUEST, SELECTION_NOTIFY, CLIENT_MESSAGE = 30, 31, 33
VERSION = 5
SECONDS = 30.0


class ClientMessage(Structure):
    _fields_ = [
        ("type", c_int),
        ("serial", c_ulong),
        ("send_event", c_int),
        ("display", c_void_p),
        ("window", c_ulong),
        ("message_type", c_ulong),
        ("format", c_int),
        ("data", c_long * 5),
    ]


class SelectionRequest(Structure):
    _fields_ = [
        ("type", c_int),
        ("serial", c_ulong),
        ("send_event", c_int),
        ("display", c_void_p),
        ("owner", c_ulong),
        ("requestor", c_ulong),
        ("selection", c_ulong),
        ("target", c_ulong),
        ("property", c_ulong),
        ("time", c_ulong),
    ]


class SelectionNotify(Structure):
    _fields_ = [
        ("type", c_int),
        ("serial", c_ulong),
        ("send_event", c_int),
        ("display", c_void_p),
        ("requestor", c_ulong),
        ("selection", c_ulong),
        ("target", c_ulong),
        ("property", c_ulong),
        ("time", c_ulong),
    ]


class Event(Union):
    _fields_ = [
        ("type", c_int),
        ("client", ClientMessage),
        ("request", SelectionRequest),
        ("notify", SelectionNotify),
        ("room", c_long * 24),
    ]


class Source:
    """A window that something is dragged from."""

    def __init__(self) -> None:
        self.x = ctypes.CDLL(ctypes.util.find_library("X11") or "libX11.so.6")
        self.x.XOpenDisplay.restype = c_void_p
        self.x.XDefaultRootWindow.restype = self.x.XInternAtom.restype = c_ulong
        self.x.XCreateSimpleWindow.restype = c_ulong
        self.x.XInternAtom.argtypes = [c_void_p, c_char_p, c_int]
        self.display = c_void_p(self.x.XOpenDisplay(None))
        assert self.display.value, "there is no display"
        self.root = c_ulong(self.x.XDefaultRootWindow(self.display))
        corner = (c_int(0), c_int(0), c_int(1), c_int(1), c_int(0), c_ulong(0), c_ulong(0))
        window = self.x.XCreateSimpleWindow(self.display, self.root, *corner)
        self.window = c_ulong(window)

    def atom(self, name: str) -> int:
        return self.x.XInternAtom(self.display, name.encode(), 0)

    def window_at(self, place: tuple[int, int]) -> int:
        """The topmost child of the root at a place of the screen."""
        child, x, y = c_ulong(), c_int(), c_int()
        self.x.XTranslateCoordinates(
            self.display,
            self.root,
            self.root,
            c_int(place[0]),
            c_int(place[1]),
            byref(x),
            byref(y),
            byref(child),
        )
        assert child.value, f"there is no window at {place}"
        return child.value

    def tell(self, target: int, name: str, *data: int) -> None:
        """Send a message of the protocol; the sender comes first in all of them."""
        event = Event()
        event.client = ClientMessage(
            CLIENT_MESSAGE, 0, 1, self.display, target, self.atom(name), 32
        )
        for i, value in enumerate((self.window.value, *data)):
            event.client.data[i] = value
        self.x.XSendEvent(self.display, c_ulong(target), c_int(0), c_long(0), byref(event))
        self.x.XFlush(self.display)

    def next_event(self) -> Event:
        end = time.monotonic() + SECONDS
        while not self.x.XPending(self.display):
            assert time.monotonic() < end, "the window does not answer"
            time.sleep(0.005)
        event = Event()
        self.x.XNextEvent(self.display, byref(event))
        return event

    def wait_for(self, name: str) -> None:
        while True:
            event = self.next_event()
            if event.type == CLIENT_MESSAGE and event.client.message_type == self.atom(name):
                return

    def hand_over(self, data: bytes) -> None:
        """Answer the target's question for what was dropped."""
        while (event := self.next_event()).type != SELECTION_REQUEST:
            pass
        asked = event.request
        self.x.XChangeProperty(
            self.display,
            c_ulong(asked.requestor),
            c_ulong(asked.property),
            c_ulong(asked.target),
            c_int(8),
            c_int(0),
            c_char_p(data),
            c_int(len(data)),
        )
        answer = Event()
        answer.notify = SelectionNotify(
            SELECTION_NOTIFY,
            0,
            1,
            self.display,
            asked.requestor,
            asked.selection,
            asked.target,
            asked.property,
            asked.time,
        )
        place = c_ulong(asked.requestor)
        self.x.XSendEvent(self.display, place, c_int(0), c_long(0), byref(answer))
        self.x.XFlush(self.display)


def drop(file: Path, place: tuple[int, int]) -> None:
    source = Source()
    target = source.window_at(place)
    uris, copy = source.atom("text/uri-list"), source.atom("XdndActionCopy")
    selection = c_ulong(source.atom("XdndSelection"))
    source.x.XSetSelectionOwner(source.display, selection, source.window, c_ulong(0))
    source.tell(target, "XdndEnter", VERSION << 24, uris, 0, 0)
    source.tell(target, "XdndPosition", 0, place[0] << 16 | place[1], 0, copy)
    source.wait_for("XdndStatus")
    source.tell(target, "XdndDrop", 0, 0, 0, 0)
    source.hand_over(f"{file.resolve().as_uri()}\r\n".encode())
    source.wait_for("XdndFinished")


if __name__ == "__main__":
    drop(Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3])))
