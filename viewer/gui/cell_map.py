"""The map: the view cell from above, where the camera stands and looks, where was photographed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from imgui_bundle import imgui

from viewer.fly_camera import FlyFrame
from viewer.gui.overlays import BARE, has_room, place_next
from viewer.session import Session

_EMS = 9.0
_CELL_SHARE = 0.62
"""Of the map's width, for the cell."""
_CONE_STEPS = 12
_FRAME = (0.55, 0.60, 0.70, 1.0)
_CONE = (0.35, 0.55, 0.95, 0.25)
_TRAINED = (0.75, 0.78, 0.85, 0.45)
_VIEWS = (0.95, 0.75, 0.30, 0.9)
_CAMERA = (0.45, 0.95, 0.55, 1.0)
_OUTSIDE = (1.0, 0.45, 0.30, 1.0)


@dataclass(frozen=True)
class MapFrame:
    """The horizontal plane of the map: up on it is where the cell looks.

    axes:  (2, 3) world directions of right and up on the map
    half:  (2,) half the size of the cell's footprint on it, scene units
    """

    center: np.ndarray
    axes: np.ndarray
    half: np.ndarray

    @classmethod
    def of(cls, frame: FlyFrame) -> MapFrame:
        """The map of a cell."""
        axes = np.array([-frame.left, frame.ahead])
        half = np.abs(axes) @ np.array(frame.cell.size) / 2
        return cls(np.array(frame.cell.center), axes, half)

    def places(self, positions: np.ndarray) -> np.ndarray:
        """(V, 3) world as (V, 2) on the map, scene units from its middle."""
        return (positions - self.center) @ self.axes.T


class CellMap:
    """Draws the map; what never changes is worked out once."""

    def __init__(self, session: Session) -> None:
        frame = session.pilot.frame
        self._frame = frame
        self._map = MapFrame.of(frame)
        truth = session.truth
        positions = truth.training_positions if truth is not None else np.zeros((0, 3))
        views = [camera.position for camera in truth.cameras] if truth is not None else []
        self._trained = self._map.places(positions)
        self._views = self._map.places(np.array(views).reshape(-1, 3))

    def draw(self, session: Session, taken: tuple[float, float]) -> None:
        """The map, bottom right, where there is room.

        taken:  from the left, and from the top
        """
        half = _EMS / 2 * imgui.get_font_size()
        if not has_room((2 * half, 2 * half), taken):
            return
        place_next(1.0, 1.0)
        imgui.begin("map", None, BARE)
        corner = imgui.get_cursor_screen_pos()
        # Twice the cell: the cone and a camera outside should be on the map, too.
        scale = _CELL_SHARE * half / float(self._map.half.max())
        middle = np.array([corner.x + half, corner.y + half])
        pen = Pen(imgui.get_window_draw_list(), middle, scale)
        self._draw_cell(pen)
        self._draw_camera(pen, session)
        imgui.dummy(imgui.ImVec2(2 * half, 2 * half))
        imgui.end()

    def _draw_cell(self, pen: Pen) -> None:
        pen.rectangle(self._map.half, _FRAME)
        pen.dots(self._trained, _TRAINED)
        pen.dots(self._views, _VIEWS)

    def _draw_camera(self, pen: Pen, session: Session) -> None:
        pilot = session.pilot
        # Further away it stays at the border, on its side.
        border = float(self._map.half.max()) / _CELL_SHARE
        place = self._map.places(pilot.pose.position[None])[0].clip(-border, border)
        reach = 0.8 * float(self._map.half.max())
        # Yaw is to the left of straight ahead, which is up on the map.
        pen.wedge(place, 0.0, self._frame.cone[0], reach, _CONE)
        color = _OUTSIDE if pilot.is_extrapolating else _CAMERA
        pen.wedge(place, pilot.pose.yaw, self._frame.cell.fov_x / 2, 0.5 * reach, color)
        pen.dots(place[None], color, 3.5)
        pen.column(self._height(pilot.pose.position), self._map.half, color)

    def _height(self, position: np.ndarray) -> float:
        """Where in the cell's height it is, 0 at the bottom, 1 at the top."""
        up = self._frame.up
        half = float(np.abs(up) @ np.array(self._frame.cell.size)) / 2
        return (float((position - self._map.center) @ up) / half + 1) / 2


class Pen:
    """Draws on the map in scene units from its middle; up is up."""

    def __init__(self, paper: imgui.ImDrawList, middle: np.ndarray, scale: float) -> None:
        self._paper = paper
        self._middle = middle
        self._scale = scale

    def rectangle(self, half: np.ndarray, color: tuple[float, ...]) -> None:
        """Around the middle."""
        left, bottom = self._at(-half)
        right, top = self._at(half)
        self._paper.add_rect((left, top), (right, bottom), _u32(color))

    def dots(self, places: np.ndarray, color: tuple[float, ...], radius: float = 1.5) -> None:
        """(V, 2) places."""
        ink, at = _u32(color), self._middle + places * (self._scale, -self._scale)
        for x, y in at.tolist():
            self._paper.add_rect_filled((x - radius, y - radius), (x + radius, y + radius), ink)

    def wedge(
        self, place: np.ndarray, yaw: float, half: float, reach: float, color: tuple[float, ...]
    ) -> None:
        """A fan of directions, radians to the left of up."""
        angles = np.linspace(yaw - half, yaw + half, _CONE_STEPS)
        arc = place + reach * np.stack((-np.sin(angles), np.cos(angles)), axis=-1)
        filled = (*color[:3], min(color[3], 0.25))
        for point in (place, *arc):
            self._paper.path_line_to(self._at(point))
        # A fan of more than half a turn is no convex shape.
        if half < math.pi / 2:
            self._paper.path_fill_convex(_u32(filled))
        else:
            self._paper.path_stroke(_u32(filled), 1.0, 0)

    def column(self, share: float, half: np.ndarray, color: tuple[float, ...]) -> None:
        """The height in the cell, as a mark on a scale beside it."""
        x = self._middle[0] + (float(half[0]) + 0.12 * float(half.max())) * self._scale
        bottom, top = (
            self._middle[1] + half[1] * self._scale,
            self._middle[1] - half[1] * self._scale,
        )
        self._paper.add_line((x, bottom), (x, top), _u32(_FRAME))
        y = bottom + min(max(share, -0.2), 1.2) * (top - bottom)
        self._paper.add_rect_filled((x - 4, y - 2), (x + 4, y + 2), _u32(color))

    def _at(self, place: np.ndarray) -> tuple[float, float]:
        x, y = self._middle + place * (self._scale, -self._scale)
        return float(x), float(y)


def _u32(color: tuple[float, ...]) -> int:
    return imgui.get_color_u32(imgui.ImVec4(*color))
