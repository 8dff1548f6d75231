"""The overlay of a viewer without ImGui: a message, the probed ray and the help, as pictures."""

from __future__ import annotations

import moderngl

from viewer.controls import Action, help_text
from viewer.frame_texture import FrameTexture
from viewer.overlay import Scenery
from viewer.session import Session
from viewer.text_picture import draw_text


class PlainOverlay:
    """Shows text over the picture. Lives on the thread of the GL context."""

    has_panel = False
    is_late = False
    owns_pointer = False
    owns_keys = False

    def __init__(self, context: moderngl.Context) -> None:
        """There is nothing to show yet."""
        self._banner = FrameTexture(context)
        self._shown: str | None = None
        self._height = 0
        self._width = 0

    def begin(self, size: tuple[int, int], now: float) -> None:
        """Nothing has to be known before the input."""
        self._width = size[0]

    def lay_out(self, session: Session, scenery: Scenery, now: float) -> list[Action]:
        """Choose the text: an error, the help, a message or the ray."""
        text = (
            session.error
            or (help_text() if scenery.has_help else session.message)
            or scenery.bench.film.text
        )
        if not text and scenery.ray is not None:
            text = scenery.ray.sentence
        key = f"{self._width} {text}" if text and self._width > 0 else None
        if key != self._shown and key is not None:
            pixels = draw_text(text, self._width)
            self._banner.upload(pixels)
            self._height = pixels.shape[0]
        self._shown = key
        return []

    def draw(self, target: moderngl.Framebuffer, size: tuple[int, int]) -> None:
        """Lay the text over the bottom of the picture."""
        if self._shown is not None:
            self._banner.draw(target, (0, 0, size[0], self._height))

    def stir(self, now: float) -> None:
        """Nothing moves here by itself."""

    def is_lively(self, now: float) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Give the texture back."""
        self._banner.release()
