"""Lines over the picture: the edges of the view cell, and the limits of the trained directions."""

from __future__ import annotations

import math

import moderngl
import numpy as np

from donerf import Camera
from viewer.fly_camera import FlyFrame
from viewer.frame_texture import load_program
from viewer.matrices import clip_from_world

BOX_COLOR = (0.55, 0.75, 1.0, 0.75)
CONE_COLOR = (1.0, 0.72, 0.35, 0.85)
_CONE_STEPS = 24


class CellLines:
    """Lives on the thread of the GL context, and as long as it."""

    def __init__(self, context: moderngl.Context) -> None:
        """Compile the shaders; there are no lines before `enter`."""
        self._context = context
        self._program = load_program(context, "lines.vert", "lines.frag")
        self._frame: FlyFrame | None = None
        self._box: moderngl.VertexArray | None = None
        self._cone: moderngl.VertexArray | None = None
        self._buffers: list[moderngl.Buffer] = []

    def enter(self, frame: FlyFrame) -> None:
        """Make the lines of a cell; those of the one before are given back."""
        if frame is self._frame:
            return
        self._release_lines()
        self._frame = frame
        self._box, self._cone = self._lines(box_edges(frame)), self._lines(cone_limits(frame))

    def draw(
        self,
        target: moderngl.Framebuffer,
        area: tuple[int, int, int, int],
        camera: Camera,
        has_box: bool,
        has_cone: bool,
    ) -> None:
        """Draw over an area (left, bottom, width, height) that shows what the camera sees."""
        target.use()
        target.viewport = area
        matrix = clip_from_world(camera).astype(np.float32)
        # GL reads matrices by columns.
        self._program["clip_from_world"].write(matrix.T.tobytes())  # type: ignore[union-attr]
        self._context.enable(moderngl.BLEND)
        for is_wanted, lines, color in (
            (has_box, self._box, BOX_COLOR),
            (has_cone, self._cone, CONE_COLOR),
        ):
            if is_wanted and lines is not None:
                self._program["ink"] = color
                lines.render(moderngl.LINES)

    def release(self) -> None:
        """Give everything back, before the context ends."""
        self._release_lines()
        self._program.release()

    def _release_lines(self) -> None:
        for part in (self._box, self._cone, *self._buffers):
            if part is not None:
                part.release()
        self._buffers.clear()

    def _lines(self, points: np.ndarray) -> moderngl.VertexArray | None:
        if not len(points):
            return None
        buffer = self._context.buffer(points.astype(np.float32).tobytes())
        self._buffers.append(buffer)
        return self._context.vertex_array(self._program, [(buffer, "4f", "place")])


def box_edges(frame: FlyFrame) -> np.ndarray:
    """(24, 4) ends of the cell's 12 edges, world; the fourth number is 1."""
    cell = frame.cell
    ends = []
    for axis in range(3):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        for corner in range(4):
            for side in (cell.lower, cell.upper):
                point = np.ones(4)
                point[axis] = side[axis]
                point[one] = (cell.lower, cell.upper)[corner & 1][one]
                point[other] = (cell.lower, cell.upper)[corner >> 1][other]
                ends.append(point)
    return np.array(ends)


def cone_limits(frame: FlyFrame) -> np.ndarray:
    """(N, 4) ends of lines around the trained directions, infinitely far: the fourth number is 0.

    The middle of the picture has to stay within them. There are none where all is trained.
    """
    yaw, pitch = frame.cone
    if yaw >= math.pi and pitch >= math.pi / 2:
        return np.empty((0, 4))
    low, high = frame.base_pitch - pitch, frame.base_pitch + pitch
    yaws = np.linspace(-min(yaw, math.pi), min(yaw, math.pi), _CONE_STEPS)
    pitches = np.linspace(max(low, -math.pi / 2), min(high, math.pi / 2), _CONE_STEPS)
    rims = [np.array([frame.direction(a, b) for a in yaws]) for b in (pitches[0], pitches[-1])]
    if yaw < math.pi:
        rims += [np.array([frame.direction(a, b) for b in pitches]) for a in (-yaw, yaw)]
    directions = np.concatenate([np.stack((rim[:-1], rim[1:]), 1).reshape(-1, 3) for rim in rims])
    return np.concatenate((directions, np.zeros((len(directions), 1))), axis=1)
