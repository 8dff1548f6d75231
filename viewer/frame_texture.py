"""A rendered picture on the screen: the upload to a GL texture and the rectangle that shows it."""

from __future__ import annotations

import moderngl
import numpy as np

from donerf.assets import asset


class FrameTexture:
    """The last picture as a texture. Lives on the thread of the GL context, and as long as it."""

    def __init__(self, context: moderngl.Context) -> None:
        """Compile the shaders; there is nothing to show until the first upload."""
        self._context = context
        self._program = context.program(
            vertex_shader=asset("shaders/frame.vert").read_text(encoding="utf-8"),
            fragment_shader=asset("shaders/frame.frag").read_text(encoding="utf-8"),
        )
        self._rectangle = context.vertex_array(self._program, [])
        self._texture: moderngl.Texture | None = None

    def upload(self, pixels: np.ndarray) -> None:
        """Take over a picture.

        pixels:  (H, W, 4) uint8, row 0 on top, contiguous
        """
        height, width, channels = pixels.shape
        if self._texture is not None and self._texture.size != (width, height):
            self._texture.release()
            self._texture = None
        if self._texture is None:
            self._texture = texture = self._context.texture((width, height), channels)
            # A moving picture is smaller than the window and is smoothed when it is stretched.
            texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
            texture.repeat_x = texture.repeat_y = False
        self._texture.write(pixels)

    def draw(self, target: moderngl.Framebuffer, area: tuple[int, int, int, int]) -> None:
        """Fill an area (left, bottom, width, height) of the target, in pixels.

        It is stated every time, since GL does not follow when a window is resized. A transparent
        picture is blended over what is there.
        """
        target.use()
        target.viewport = area
        if self._texture is None:
            target.clear()
            return
        self._context.enable(moderngl.BLEND)
        self._texture.use(0)
        self._rectangle.render(moderngl.TRIANGLE_STRIP, vertices=4)
