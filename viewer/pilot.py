"""Who flies: turns held keys, mouse moves and the default flight into a place and a direction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from donerf import ViewCell
from viewer.camera_path import flight_pose
from viewer.controls import Action
from viewer.fly_camera import FlyFrame

# Flying through the cell's diagonal takes this long at the usual speed.
CELL_SECONDS = 4.0
FLIGHT_SECONDS = 20.0
# A pause between two pictures (a window dragged, a laptop asleep) is no reason to leap.
LONGEST_STEP_SECONDS = 0.25
WHEEL_FACTOR = 1.1

_DIRECTIONS = {
    Action.FORWARD: (0.0, 0.0, 1.0),
    Action.BACKWARD: (0.0, 0.0, -1.0),
    Action.RIGHT: (1.0, 0.0, 0.0),
    Action.LEFT: (-1.0, 0.0, 0.0),
    Action.UP: (0.0, 1.0, 0.0),
    Action.DOWN: (0.0, -1.0, 0.0),
}


class Pilot:
    """Moves a pose through a cell. Times are seconds on any clock that only goes forward."""

    def __init__(self, cell: ViewCell, is_free: bool, now: float) -> None:
        """Start at home; a free pilot may leave the cell."""
        self.frame = FlyFrame(cell)
        self.pose = self.frame.home()
        self.is_free = is_free
        self.speed = self.usual_speed
        self._time = now
        self._held: set[Action] = set()
        self._phase: float | None = None

    @property
    def usual_speed(self) -> float:
        """Scene units per second."""
        return self.frame.cell.diagonal / CELL_SECONDS

    @property
    def speed_now(self) -> float:
        """Scene units per second, with the keys for fast and slow."""
        factor = 4.0 if Action.FAST in self._held else 1.0
        return self.speed * (factor / 4 if Action.SLOW in self._held else factor)

    @property
    def is_on_flight(self) -> bool:
        """Whether the default flight is on."""
        return self._phase is not None

    @property
    def is_moving(self) -> bool:
        """Whether time alone changes the pose."""
        return self.is_on_flight or bool(np.any(self._direction))

    @property
    def is_extrapolating(self) -> bool:
        """Whether the view is none that the networks were trained for."""
        is_inside = self.frame.cell.contains(self.pose.position)
        return not (is_inside and self.frame.is_in_cone(self.pose))

    def go_to(self, matrix: np.ndarray) -> None:
        """Stand where a (4, 4) world_from_camera does; its roll is dropped."""
        self.pose = self.frame.pose_of(matrix)

    def press(self, action: Action, now: float) -> None:
        """An input went down; an action that is no flying is ignored."""
        self.advance(now)
        match action:
            case Action.HOME:
                self._phase = None
                self.pose = self.frame.home()
                self.speed = self.usual_speed
            case Action.FLIGHT:
                self._phase = 0.0 if self._phase is None else None
            case Action.FREE:
                self._toggle_free()
            case Action.SPEED_UP:
                self._change_speed(WHEEL_FACTOR)
            case Action.SPEED_DOWN:
                self._change_speed(1 / WHEEL_FACTOR)
            case Action.FAST | Action.SLOW:
                self._held.add(action)
            case _ if action in _DIRECTIONS:
                self._phase = None
                self._held.add(action)

    def release(self, action: Action, now: float) -> None:
        """An input went up."""
        self.advance(now)
        self._held.discard(action)

    def release_all(self, now: float) -> None:
        """The window lost the focus: nobody will tell when the keys go up."""
        self.advance(now)
        self._held.clear()

    def look(self, left: float, up: float, now: float) -> None:
        """Turn by shares of the field of view, so that a drag holds on to what it grabbed."""
        self.advance(now)
        self._phase = None
        fov = self.frame.cell.fov_x
        self.pose = self.frame.turned(self.pose, left * fov, up * fov)

    def advance(self, now: float) -> None:
        """Move on to the time `now`, as the held keys or the default flight say."""
        seconds = min(max(now - self._time, 0.0), LONGEST_STEP_SECONDS)
        self._time = now
        if self._phase is not None:
            self._phase = (self._phase + seconds / FLIGHT_SECONDS) % 1
            self.pose = flight_pose(self.frame, self._phase)
        elif (length := np.linalg.norm(self._direction)) > 0:
            step = self._direction / length * self.speed_now * seconds
            self.pose = self.frame.moved(self.pose, step, self.is_free)

    @property
    def _direction(self) -> np.ndarray:
        """(3,) right, up, forward; zero when no key is held, or two that cancel out."""
        held = [_DIRECTIONS[action] for action in self._held if action in _DIRECTIONS]
        return np.sum(held, axis=0) if held else np.zeros(3)

    def _toggle_free(self) -> None:
        self.is_free = not self.is_free
        if not self.is_free:
            inside = self.frame.cell.clamp(self.pose.position)
            self.pose = replace(self.pose, position=inside)

    def _change_speed(self, factor: float) -> None:
        usual = self.usual_speed
        self.speed = min(max(self.speed * factor, usual / 100), usual * 100)
