"""Words as pixels, to be laid over the picture where nothing better draws them."""

from __future__ import annotations

import numpy as np

_LETTERS = 16
_LINE = 19
_PADDING = 8
_PAPER = (20, 20, 24, 210)
_INK = (255, 255, 255, 255)


def draw_text(text: str, width: int) -> np.ndarray:
    """Lines of text as pixels, to be laid over the picture.

    width:    of the window's framebuffer, pixels; what is longer is cut off
    returns:  (H, W, 4) uint8, row 0 on top
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=_LETTERS)
    letters = max(int(width / 9), 20)
    lines = [x if len(x) <= letters else x[: letters - 3] + "..." for x in text.splitlines()]
    paper = Image.new("RGBA", (width, _LINE * len(lines) + 2 * _PADDING - 5), _PAPER)
    pen = ImageDraw.Draw(paper)
    for row, line in enumerate(lines):
        place = (_PADDING + 2, _PADDING - 3 + row * _LINE)
        pen.text(place, line, font=font, fill=_INK)
    return np.asarray(paper)


def draw_label(text: str) -> np.ndarray:
    """A few words as pixels, as wide as they are, to be laid over the picture.

    returns:  (H, W, 4) uint8, row 0 on top
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=_LETTERS)
    width = int(font.getlength(text)) + 20
    label = Image.new("RGBA", (width, 30), (20, 20, 24, 170))
    ImageDraw.Draw(label).text((10, 5), text, font=font, fill=_INK)
    return np.asarray(label)
