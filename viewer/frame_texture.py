"""A rendered picture on the screen: the upload to a GL texture and the rectangle that shows it."""

from __future__ import annotations

import math

import moderngl
import numpy as np

from donerf.assets import asset
from viewer.coloring import PLAIN, RAMP, UNIT, Look, RampRange, ends_in_look
from viewer.interop import Receiver
from viewer.transfer import Values, in_main_memory


class FrameTexture:
    """The last picture as a texture. Lives on the thread of the GL context, and as long as it."""

    def __init__(self, context: moderngl.Context, receiver: Receiver | None = None) -> None:
        """Compile the shaders; there is nothing to show until the first upload.

        receiver:  takes pictures over that are still on the GPU
        """
        self._context = context
        self._receiver = receiver
        self._picture = load_program(context, "frame.vert", "frame.frag")
        self._values = load_program(context, "frame.vert", "ramp.frag")
        self._values["ramp"].write(np.array(RAMP, np.float32).tobytes())  # type: ignore[union-attr]
        self._show_picture = context.vertex_array(self._picture, [])
        self._show_values = context.vertex_array(self._values, [])
        self._texture: moderngl.Texture | None = None

    def upload(self, values: Values) -> None:
        """Take over a picture.

        values:  (H, W, 4) uint8, or (H, W) float32 that get their colors when drawn; row 0 on
                 top, contiguous
        """
        height, width = values.shape[:2]
        channels, kind = (4, "f1") if len(values.shape) == 3 else (1, "f4")
        old = self._texture
        if old is not None and (old.size, old.components) != ((width, height), channels):
            old.release()
            self._texture = None
        if self._texture is None:
            self._texture = texture = self._context.texture((width, height), channels, dtype=kind)
            # A moving picture is smaller than the window and is smoothed when it is stretched.
            texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
            texture.repeat_x = texture.repeat_y = False
        if self._receiver is not None:
            self._receiver.write(self._texture, values)
        else:
            self._texture.write(in_main_memory(values))

    def draw(
        self,
        target: moderngl.Framebuffer,
        area: tuple[int, int, int, int],
        look: Look = PLAIN,
        ends: RampRange = UNIT,
    ) -> None:
        """Fill an area (left, bottom, width, height) of the target, in pixels.

        It is stated every time, since GL does not follow when a window is resized. A transparent
        picture is blended over what is there.

        ends:  of the ramp of colors that values get, before the look moves them
        """
        target.use()
        target.viewport = area
        if self._texture is None:
            target.clear()
            return
        self._context.enable(moderngl.BLEND)
        self._texture.use(0)
        if self._texture.components == 4:
            self._picture["gain"] = 2.0**look.exposure_ev
            self._show_picture.render(moderngl.TRIANGLE_STRIP, vertices=4)
        else:
            self._set_ends(ends_in_look(ends, look))
            self._show_values.render(moderngl.TRIANGLE_STRIP, vertices=4)

    def release(self) -> None:
        """Give everything back; a context that ends does not do it."""
        parts = (self._show_picture, self._show_values, self._picture, self._values, self._texture)
        for part in parts:
            if part is not None:
                part.release()
        self._texture = None

    def _set_ends(self, ends: RampRange) -> None:
        is_log = ends.is_logarithmic
        self._values["is_logarithmic"] = is_log
        self._values["ends"] = tuple(math.log(x) if is_log else x for x in (ends.low, ends.high))


def load_program(context: moderngl.Context, vertex: str, fragment: str) -> moderngl.Program:
    """Compile two shaders from `shaders/`."""
    vertex, fragment = (
        asset(f"shaders/{name}").read_text(encoding="utf-8") for name in (vertex, fragment)
    )
    return context.program(vertex_shader=vertex, fragment_shader=fragment)
