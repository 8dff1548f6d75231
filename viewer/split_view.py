"""Two pictures side by side, with a divider and labels; and the film that is being made."""

from __future__ import annotations

import moderngl

from viewer.coloring import Look
from viewer.comparison import Comparison
from viewer.film_desk import FilmDesk
from viewer.frame_texture import FrameTexture
from viewer.interop import Receiver
from viewer.rendering import Picture
from viewer.text_picture import draw_label

DIVIDER_PIXELS = 2
_LABEL_MARGIN = 8
Area = tuple[int, int, int, int]


class SplitView:
    """Draws the right part over the whole picture. Lives on the thread of the GL context."""

    def __init__(self, context: moderngl.Context, receiver: Receiver | None = None) -> None:
        """Nothing is split yet."""
        self._rival = FrameTexture(context, receiver)
        self._labels = FrameTexture(context), FrameTexture(context)
        self._label_sizes = [(0, 0), (0, 0)]
        self._texts = ("", "")
        self._divider = 0.0
        self._shown: Picture | None = None

    def update(self, shown: Picture | None, comparison: Comparison) -> bool:
        """Take over what is new; True when the window has to be drawn again."""
        rival = shown.rival if shown is not None and comparison.is_on else None
        texts = comparison.labels(shown) if shown is not None and comparison.is_on else ("", "")
        before = (self._shown, self._texts, self._divider)
        if rival is not None and rival is not self._shown:
            self._rival.upload(rival.values)
        if texts != self._texts and all(texts):
            for i, text in enumerate(texts):
                pixels = draw_label(text)
                self._labels[i].upload(pixels)
                self._label_sizes[i] = pixels.shape[1], pixels.shape[0]
        self._shown, self._texts, self._divider = rival, texts, comparison.divider
        return before != (rival, texts, comparison.divider)

    def draw(
        self, target: moderngl.Framebuffer, size: tuple[int, int], area: Area, look: Look
    ) -> None:
        """Draw over a picture that fills `area` of a window of `size` pixels."""
        if not all(self._texts):
            return
        x = round(self._divider * size[0])
        if self._shown is not None:
            target.scissor = (x, 0, size[0] - x, size[1])
            self._rival.draw(target, area, look, self._shown.ends)
            target.scissor = None  # type: ignore[assignment]  # so it is lifted, says the manual
        target.clear(1, 1, 1, 1, viewport=(x - DIVIDER_PIXELS // 2, 0, DIVIDER_PIXELS, size[1]))
        top = size[1] - _LABEL_MARGIN
        (left_width, height), (right_width, _) = self._label_sizes
        left = (x - _LABEL_MARGIN - left_width, top - height, left_width, height)
        right = (x + _LABEL_MARGIN, top - height, right_width, height)
        self._labels[0].draw(target, left)
        self._labels[1].draw(target, right)

    def release(self) -> None:
        """Give everything back, before the context ends."""
        for texture in (self._rival, *self._labels):
            texture.release()


class FilmView:
    """Shows the latest picture of the film that is being made."""

    def __init__(self, context: moderngl.Context) -> None:
        """No film yet."""
        self._picture = FrameTexture(context)
        self._frames = 0
        self.size: tuple[int, int] | None = None

    def update(self, film: FilmDesk) -> bool:
        """Take over what is new; True when the window has to be drawn again."""
        progress = film.progress
        frames = progress.frames if progress is not None else 0
        if frames == self._frames:
            return False
        self._frames = frames
        if progress is None:
            self.size = None
        else:
            self.size = progress.pixels.shape[1], progress.pixels.shape[0]
            self._picture.upload(progress.pixels)
        return True

    def draw(self, target: moderngl.Framebuffer, area: Area) -> None:
        """Fill an area of the window."""
        self._picture.draw(target, area)

    def release(self) -> None:
        """Give everything back, before the context ends."""
        self._picture.release()
