"""Who flies: turns held keys, mouse moves and the default flight into a place and a direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from donerf import ViewCell
from viewer.camera_path import flight_pose
from viewer.controls import Action
from viewer.fly_camera import FlyFrame, FlyPose

# Flying through the cell's diagonal takes this long at the usual speed.
CELL_SECONDS = 4.0
FLIGHT_SECONDS = 20.0
# A pause between two pictures (a window dragged, a laptop asleep) is no reason to leap.
LONGEST_STEP_SECONDS = 0.25
WHEEL_FACTOR = 1.1
# Looking beyond the trained directions, the view comes back: the rest halves about this often.
TURN_BACK_SECONDS = 0.12
# Closer to the limit than this it is there.
TURN_BACK_DONE = math.radians(0.02)

_DIRECTIONS = {
    Action.FORWARD: (0.0, 0.0, 1.0),
    Action.BACKWARD: (0.0, 0.0, -1.0),
    Action.RIGHT: (1.0, 0.0, 0.0),
    Action.LEFT: (-1.0, 0.0, 0.0),
    Action.UP: (0.0, 1.0, 0.0),
    Action.DOWN: (0.0, -1.0, 0.0),
}


@dataclass(frozen=True)
class Route:
    """A flight that needs no hands.

    seconds:    that it takes
    pose:       where it is at a share of that time, in [0, 1]
    is_closed:  it begins again where it ends; else it stops there
    """

    seconds: float
    pose: Callable[[float], FlyPose]
    is_closed: bool = False


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
        self._stick = np.zeros(3)
        self._route: Route | None = None
        self._phase = 0.0

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
        """Whether a route is being followed."""
        return self._route is not None

    @property
    def route_seconds(self) -> float | None:
        """How far along its route it is, seconds; None when it follows none."""
        return self._phase * self._route.seconds if self._route is not None else None

    @property
    def is_moving(self) -> bool:
        """Whether time alone changes the pose."""
        return self.is_on_flight or bool(np.any(self._direction)) or self._is_turning_back

    @property
    def _is_turning_back(self) -> bool:
        inside = self.frame.into_cone(self.pose)
        is_outside = (inside.yaw, inside.pitch) != (self.pose.yaw, self.pose.pitch)
        return is_outside and not self.is_free

    @property
    def is_extrapolating(self) -> bool:
        """Whether the view is none that the networks were trained for."""
        is_inside = self.frame.cell.contains(self.pose.position)
        return not (is_inside and self.frame.is_in_cone(self.pose))

    def go_to(self, matrix: np.ndarray) -> None:
        """Stand where a (4, 4) world_from_camera does; its roll is dropped."""
        self._route = None
        self.pose = self.frame.pose_of(matrix)

    def stand(self, pose: FlyPose) -> None:
        """Stand at a pose."""
        self._route = None
        self.pose = pose

    def follow(self, route: Route | None, now: float) -> None:
        """Follow a route from its start until hands take over; None stops where it is."""
        self.advance(now)
        self._route, self._phase = route, 0.0
        if route is not None:
            self.pose = route.pose(0.0)

    def push_stick(self, move: tuple[float, float, float], now: float) -> None:
        """Fly with a stick, pushed (right, up, forward) by shares of its way, until it changes."""
        if any(move) or self._stick.any():
            self.advance(now)
            self._stick = np.array(move)
        if any(move):
            self._route = None

    def press(self, action: Action, now: float) -> None:
        """An input went down; an action that is no flying is ignored."""
        self.advance(now)
        match action:
            case Action.HOME:
                self._route = None
                self.pose = self.frame.home()
                self.speed = self.usual_speed
            case Action.FLIGHT:
                self.follow(default_route(self.frame) if self._route is None else None, now)
            case Action.FREE:
                self.set_free(not self.is_free)
            case Action.SPEED_UP:
                self._change_speed(WHEEL_FACTOR)
            case Action.SPEED_DOWN:
                self._change_speed(1 / WHEEL_FACTOR)
            case Action.FAST | Action.SLOW:
                self._held.add(action)
            case _ if action in _DIRECTIONS:
                self._route = None
                self._held.add(action)

    def release(self, action: Action, now: float) -> None:
        """An input went up."""
        self.advance(now)
        self._held.discard(action)

    def release_all(self, now: float) -> None:
        """The window lost the focus: nobody will tell when the keys go up."""
        self.advance(now)
        self._held.clear()
        self._stick = np.zeros(3)

    def look(self, left: float, up: float, now: float) -> None:
        """Turn by shares of the field of view, so that a drag holds on to what it grabbed."""
        self.advance(now)
        self._route = None
        fov = self.frame.cell.fov_x
        self.pose = self.frame.turned(self.pose, left * fov, up * fov)

    def advance(self, now: float) -> None:
        """Move on to the time `now`, as the held keys or a route say."""
        seconds = min(max(now - self._time, 0.0), LONGEST_STEP_SECONDS)
        self._time = now
        if self._route is not None:
            self._advance_on(self._route, seconds)
            return
        if np.any(direction := self._direction):
            step = direction * self.speed_now * seconds
            self.pose = self.frame.moved(self.pose, step, self.is_free)
        if self._is_turning_back:
            self._turn_back(seconds)

    def _advance_on(self, route: Route, seconds: float) -> None:
        phase = self._phase + seconds / route.seconds
        self._phase = phase % 1 if route.is_closed else min(phase, 1.0)
        self.pose = route.pose(self._phase)
        if self._phase == 1.0:
            self._route = None

    @property
    def _direction(self) -> np.ndarray:
        """(3,) right, up, forward, 1 long at most; zero when nothing is held, or cancels out."""
        held = [_DIRECTIONS[action] for action in self._held if action in _DIRECTIONS]
        keys = np.sum(held, axis=0) if held else np.zeros(3)
        length = np.linalg.norm(keys)
        both = self._stick + (keys / length if length > 0 else 0.0)
        return both / max(float(np.linalg.norm(both)), 1.0)

    def _turn_back(self, seconds: float) -> None:
        """Softly towards the nearest trained direction: elsewhere the networks make things up."""
        inside = self.frame.into_cone(self.pose)
        rest = 0.5 ** (seconds / TURN_BACK_SECONDS)
        yaw = inside.yaw + (self.pose.yaw - inside.yaw) * rest
        pitch = inside.pitch + (self.pose.pitch - inside.pitch) * rest
        is_done = max(abs(yaw - inside.yaw), abs(pitch - inside.pitch)) < TURN_BACK_DONE
        self.pose = inside if is_done else replace(self.pose, yaw=yaw, pitch=pitch)

    def set_free(self, is_free: bool) -> None:
        """Lift the limits of the cell, or go back into it."""
        self.is_free = is_free
        if not is_free:
            inside = self.frame.cell.clamp(self.pose.position)
            self.pose = replace(self.pose, position=inside)

    def _change_speed(self, factor: float) -> None:
        usual = self.usual_speed
        self.speed = min(max(self.speed * factor, usual / 100), usual * 100)


def default_route(frame: FlyFrame) -> Route:
    """The default flight, round and round."""
    return Route(FLIGHT_SECONDS, lambda phase: flight_pose(frame, phase), is_closed=True)
