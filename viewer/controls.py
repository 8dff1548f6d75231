"""The one table of keys and mouse actions: it drives dispatch, `--help-keys` and the docs page.

Inputs are named as glfw names them, without the prefix ("W", "LEFT_SHIFT", "F11"), and the mouse's
are "MOUSE_LEFT", "MOUSE_RIGHT", "WHEEL_UP", "WHEEL_DOWN". This module knows no window library.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

_CONTROL_KEYS = ("LEFT_CONTROL", "RIGHT_CONTROL")


class Action(Enum):
    """What an input asks for."""

    FORWARD = auto()
    BACKWARD = auto()
    LEFT = auto()
    RIGHT = auto()
    UP = auto()
    DOWN = auto()
    FAST = auto()
    SLOW = auto()
    LOOK = auto()
    LOOK_CAPTURED = auto()
    SPEED_UP = auto()
    SPEED_DOWN = auto()
    HOME = auto()
    FLIGHT = auto()
    FREE = auto()
    MORE_SAMPLES = auto()
    FEWER_SAMPLES = auto()
    SHOW_COLOR = auto()
    SHOW_DEPTH = auto()
    SHOW_ORACLE_DEPTH = auto()
    SHOW_ENTROPY = auto()
    SHOW_SAMPLE_PLACES = auto()
    SHOW_NORMALS = auto()
    SHOW_OPACITY = auto()
    KEY_FRAME = auto()
    REMOVE_KEY_FRAME = auto()
    UNDO = auto()
    REDO = auto()
    SAVE_PATH = auto()
    FILM = auto()
    NEXT_VIEW = auto()
    PREVIOUS_VIEW = auto()
    BOOKMARK = auto()
    NEXT_BOOKMARK = auto()
    COPY_POSE = auto()
    PASTE_POSE = auto()
    COMPARE = auto()
    SHOW_ERROR = auto()
    ORACLE = auto()
    LOCK = auto()
    PROBE = auto()
    PANEL = auto()
    HUD = auto()
    HELP = auto()
    SCREENSHOT = auto()
    FULL_SCREEN = auto()
    RELEASE = auto()
    QUIT = auto()


@dataclass(frozen=True)
class Input:
    """Something that was pressed.

    place:       the key by its place on a US keyboard, whatever is printed on it; or a mouse input
    letter:      what this keyboard prints on the key, in capitals; None where it is no letter
    is_control:  whether Ctrl was down
    """

    place: str
    letter: str | None = None
    is_control: bool = False

    @property
    def is_pointer(self) -> bool:
        """Whether it comes from the mouse."""
        return self.place.startswith(("MOUSE", "WHEEL"))


@dataclass(frozen=True)
class Pressed:
    """An input went down, or the wheel turned by a notch."""

    input: Input


@dataclass(frozen=True)
class Released:
    """An input went up; named by its place, whatever else is down."""

    place: str


@dataclass(frozen=True)
class PointerMoved:
    """The mouse moved, in shares of the window's longer side: right and down are positive.

    x:  where it came to, as a share of the width; None where nobody knows
    """

    right: float
    down: float
    x: float | None = None


@dataclass(frozen=True)
class FocusLost:
    """Another window has the keyboard now."""


@dataclass(frozen=True)
class Dropped:
    """Files or folders were dropped on the window, at a share of its width."""

    paths: tuple[Path, ...]
    x: float


Event = Pressed | Released | PointerMoved | FocusLost | Dropped


@dataclass(frozen=True)
class Binding:
    """One line of the table.

    inputs:      any of them triggers the action
    label:       how the help names the inputs
    is_held:     the action lasts as long as the input is down
    by_letter:   found by the letter on the key (P for picture), not by its place (WASD)
    """

    inputs: tuple[str, ...]
    label: str
    action: Action
    meaning: str
    is_held: bool = False
    by_letter: bool = False
    needs_control: bool = False

    def matches(self, pressed: Input) -> bool:
        """Whether this input means this line. Ctrl+W must not fly, so Ctrl has to agree."""
        # Systems disagree whether the Ctrl key itself is pressed with Ctrl down.
        is_control = pressed.is_control and pressed.place not in _CONTROL_KEYS
        if self.needs_control != is_control:
            return False
        # A keyboard without Latin letters (Greek, Cyrillic) is read by place as well.
        has_letter = pressed.letter is not None and pressed.letter.isascii()
        name = pressed.letter if self.by_letter and has_letter else pressed.place
        return name in self.inputs


def _letter(letter: str, action: Action, meaning: str) -> Binding:
    """A key by what is printed on it."""
    return Binding((letter,), letter, action, meaning, by_letter=True)


def _with_control(letter: str, action: Action, meaning: str) -> Binding:
    """A key by what is printed on it, together with Ctrl."""
    label = f"Ctrl+{letter}"
    return Binding((letter,), label, action, meaning, by_letter=True, needs_control=True)


BINDINGS = (
    Binding(("W", "UP"), "W, up arrow", Action.FORWARD, "fly forward", is_held=True),
    Binding(("S", "DOWN"), "S, down arrow", Action.BACKWARD, "fly backward", is_held=True),
    Binding(("A", "LEFT"), "A, left arrow", Action.LEFT, "fly left", is_held=True),
    Binding(("D", "RIGHT"), "D, right arrow", Action.RIGHT, "fly right", is_held=True),
    Binding(("E",), "E", Action.UP, "rise", is_held=True),
    Binding(("Q",), "Q", Action.DOWN, "sink", is_held=True),
    Binding(("LEFT_SHIFT", "RIGHT_SHIFT"), "Shift", Action.FAST, "4 times as fast", is_held=True),
    Binding(("LEFT_ALT", "RIGHT_ALT"), "Alt", Action.SLOW, "a quarter as fast", is_held=True),
    Binding(("WHEEL_UP",), "wheel up", Action.SPEED_UP, "fly faster from now on (x 1.1)"),
    Binding(("WHEEL_DOWN",), "wheel down", Action.SPEED_DOWN, "fly slower from now on (/ 1.1)"),
    Binding(
        ("MOUSE_LEFT",),
        "left drag",
        Action.LOOK,
        "look around: the picture follows the pointer",
        is_held=True,
    ),
    Binding(
        ("MOUSE_RIGHT",),
        "right button held",
        Action.LOOK_CAPTURED,
        "look around with the pointer captured: the view follows the mouse",
        is_held=True,
    ),
    Binding(("HOME",), "Home", Action.HOME, "back to the start: place, direction and speed"),
    Binding(
        ("SPACE",),
        "Space",
        Action.FLIGHT,
        "fly the camera path, or else the default flight; again: stop",
    ),
    _letter("F", Action.FREE, "leave the view cell, or return (extrapolated)"),
    Binding(("EQUAL", "KP_ADD"), "=", Action.MORE_SAMPLES, "more samples per ray (1 ... 16)"),
    Binding(("MINUS", "KP_SUBTRACT"), "-", Action.FEWER_SAMPLES, "fewer samples per ray"),
    Binding(("1", "KP_1"), "1", Action.SHOW_COLOR, "show color"),
    Binding(("2", "KP_2"), "2", Action.SHOW_DEPTH, "show depth, from the shaded samples"),
    Binding(("3", "KP_3"), "3", Action.SHOW_ORACLE_DEPTH, "show the depth that the oracle expects"),
    Binding(("4", "KP_4"), "4", Action.SHOW_ENTROPY, "show how undecided the oracle is (entropy)"),
    Binding(("5", "KP_5"), "5", Action.SHOW_SAMPLE_PLACES, "show where the samples of a ray went"),
    Binding(("6", "KP_6"), "6", Action.SHOW_NORMALS, "show which way surfaces face, from depth"),
    Binding(("7", "KP_7"), "7", Action.SHOW_OPACITY, "show opacity"),
    Binding(("8", "KP_8"), "8", Action.SHOW_ERROR, "show the error against the data set (--data)"),
    _letter("O", Action.ORACLE, "without the oracle, or with it, at equal cost"),
    _letter("L", Action.LOCK, "lock the resolution while moving, or not"),
    Binding(
        ("LEFT_CONTROL", "RIGHT_CONTROL"),
        "Ctrl held",
        Action.PROBE,
        "probe the ray under the pointer",
        is_held=True,
    ),
    Binding(("TAB",), "Tab", Action.PANEL, "show or hide the panel"),
    _letter("I", Action.HUD, "show or hide the numbers"),
    Binding(("H", "F1"), "H, F1", Action.HELP, "show or hide this help", by_letter=True),
    _letter("K", Action.KEY_FRAME, "add a key frame to the camera path"),
    Binding(("DELETE",), "Delete", Action.REMOVE_KEY_FRAME, "remove the selected key frame"),
    _with_control("Z", Action.UNDO, "undo a change of the path"),
    _with_control("Y", Action.REDO, "do it again after all"),
    _with_control("S", Action.SAVE_PATH, "save the path"),
    _with_control("E", Action.FILM, "film the path, or the default flight; again: stop"),
    Binding(("RIGHT_BRACKET",), "]", Action.NEXT_VIEW, "go to the next view of the data set"),
    Binding(("LEFT_BRACKET",), "[", Action.PREVIOUS_VIEW, "go to the view before"),
    _letter("C", Action.COMPARE, "split the picture to compare; again: the next way, and off"),
    _letter("B", Action.BOOKMARK, "remember this place"),
    _letter("N", Action.NEXT_BOOKMARK, "go to the next place remembered"),
    _with_control("C", Action.COPY_POSE, "copy the pose"),
    _with_control("V", Action.PASTE_POSE, "go to a pose that was copied"),
    _letter("P", Action.SCREENSHOT, "save a picture, and beside it its pose"),
    Binding(("F11",), "F11", Action.FULL_SCREEN, "full screen, or back"),
    Binding(("ESCAPE",), "Esc", Action.RELEASE, "free the pointer, leave full screen"),
    _with_control("Q", Action.QUIT, "quit"),
)


KEY_NOTE = (
    "W A S D E Q mean places on the keyboard, so they lie together on every layout;\n"
    "the other letters mean what is printed on the keys."
)


def find_binding(pressed: Input) -> Binding | None:
    """What an input means, None when nothing."""
    return next((binding for binding in BINDINGS if binding.matches(pressed)), None)


def actions_of(place: str) -> frozenset[Action]:
    """The held actions that end when this input is let go, whatever else is down by then."""
    return frozenset(b.action for b in BINDINGS if b.is_held and place in b.inputs)


def help_text() -> str:
    """The table as text, for `--help-keys`."""
    width = max(len(binding.label) for binding in BINDINGS)
    lines = [f"  {binding.label:<{width}}  {binding.meaning}" for binding in BINDINGS]
    return "\n".join(("Keys and mouse:", *lines, "", KEY_NOTE))
