"""A gamepad as a second pair of hands: sticks fly and look, buttons do what keys do.

Knows no window library: it is given the state that glfw reads, in glfw's order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from viewer.controls import Action

# Sticks do not rest at zero exactly.
DEAD_ZONE = 0.15
# A full stick turns the view by its own width in this time.
SECONDS_PER_VIEW = 1.0
# A stick is read this often; while it rests the window may sleep longer.
ACTIVE_SECONDS = 1 / 60
IDLE_SECONDS = 1 / 10

# In the order of glfw: A B X Y, bumpers, back start guide, thumbs, then the cross.
BUTTONS: dict[int, Action] = {
    0: Action.KEY_FRAME,
    1: Action.HOME,
    2: Action.SCREENSHOT,
    3: Action.FLIGHT,
    4: Action.FEWER_SAMPLES,
    5: Action.MORE_SAMPLES,
    6: Action.PREVIOUS_VIEW,
    7: Action.NEXT_VIEW,
    11: Action.SPEED_UP,
    13: Action.SPEED_DOWN,
    12: Action.NEXT_BOOKMARK,
    14: Action.BOOKMARK,
}
HELP = """\
Gamepad: left stick flies, right stick looks, triggers sink and rise; A key frame, B home,
X picture, Y flight, bumpers samples, Back and Start data-set views, cross up and down speed,
right next bookmark, left set a bookmark."""


@dataclass(frozen=True)
class PadState:
    """What glfw reads.

    buttons:  15, true while down
    axes:     6 in [-1, 1]: left x y, right x y (right and down are positive), triggers from -1
    """

    buttons: tuple[bool, ...]
    axes: tuple[float, ...]


@dataclass(frozen=True)
class PadInput:
    """What a gamepad asks for.

    move:     (right, up, forward) in [-1, 1] each, a share of the flying speed
    look:     (left, up) shares of the field of view, since the last reading
    pressed:  by buttons that went down
    """

    move: tuple[float, float, float] = (0.0, 0.0, 0.0)
    look: tuple[float, float] = (0.0, 0.0)
    pressed: tuple[Action, ...] = ()

    @property
    def is_active(self) -> bool:
        """Whether anything is held."""
        return any(self.move) or any(self.look)


@dataclass
class Gamepad:
    """Turns readings into what they ask for; remembers which buttons are down."""

    _down: frozenset[int] = field(default_factory=frozenset)

    def read(self, state: PadState | None, seconds: float) -> PadInput:
        """What is asked for now; None for the state lets everything go.

        seconds:  since the last reading
        """
        if state is None:
            self._down = frozenset()
            return PadInput()
        down = frozenset(i for i, is_down in enumerate(state.buttons) if is_down)
        pressed = tuple(BUTTONS[i] for i in sorted(down - self._down) if i in BUTTONS)
        self._down = down
        left_x, left_y, right_x, right_y = map(_shaped, state.axes[:4])
        # A trigger rests at -1.
        sink, rise = (max((axis + 1) / 2, 0.0) for axis in state.axes[4:6])
        turn = seconds / SECONDS_PER_VIEW
        return PadInput(
            move=(left_x, _shaped(rise - sink), -left_y),
            look=(-right_x * turn, -right_y * turn),
            pressed=pressed,
        )


def _shaped(axis: float) -> float:
    """Nothing near the middle, fine at first, everything at the end."""
    size = (abs(axis) - DEAD_ZONE) / (1 - DEAD_ZONE)
    if not size > 0:
        return 0.0
    return min(size, 1.0) ** 2 * (1 if axis > 0 else -1)
