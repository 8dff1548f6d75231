"""What the window says in words: its title, and a banner over the picture."""

from __future__ import annotations

from collections import deque

import numpy as np

from donerf.renderer import RendererInfo
from viewer.session import Session

_FRAMES_AVERAGED = 15
_LETTER_SIZE = 16
# A longer pause between two pictures is no frame rate any more.
_PAUSE_SECONDS = 1.0


class FrameClock:
    """Pictures per second, over the last few."""

    def __init__(self) -> None:
        """Nothing was shown yet."""
        self._times: deque[float] = deque(maxlen=_FRAMES_AVERAGED)

    def tick(self, now: float) -> None:
        """A picture is shown at `now`, in seconds."""
        if self._times and now - self._times[-1] > _PAUSE_SECONDS:
            self._times.clear()
        self._times.append(now)

    @property
    def fps(self) -> float | None:
        """Pictures per second; None when there are too few to tell."""
        if len(self._times) < 2 or self._times[-1] <= self._times[0]:
            return None
        return (len(self._times) - 1) / (self._times[-1] - self._times[0])


def make_title(scene: str, session: Session, clock: FrameClock, info: RendererInfo) -> str:
    """The window's title: the scene, and how fast what is being shown."""
    if session.shown is None:
        return f"{scene} - first picture ..."
    request, ms = session.shown.request, session.shown.ms
    width, height = session.shown.size
    scale = round(100 * session.resolution.ladder[request.rung])
    fps = f"{clock.fps:.1f} fps" if request.is_moving and clock.fps is not None else "still"
    parts = [
        f"{fps}, {ms:.0f} ms",
        f"{width}x{height} ({scale} %)",
        f"S={request.samples}" + (f" x{request.passes}" if request.passes > 1 else ""),
        str(request.mode),
        f"{info.backend} {info.device} {info.precision}",
        f"speed {session.pilot.speed_now:.2g}/s",
    ]
    if session.pilot.is_extrapolating:
        parts.append("outside the trained views")
    return f"{scene} - " + " | ".join(parts)


def draw_banner(text: str, width: int) -> np.ndarray:
    """A line of text as pixels, to be laid over the picture.

    width:    of the window's framebuffer, pixels
    returns:  (H, W, 4) uint8, row 0 on top
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=_LETTER_SIZE)
    letters = max(int(width / 9), 20)
    text = text if len(text) <= letters else text[: letters - 3] + "..."
    banner = Image.new("RGBA", (width, 30), (20, 20, 24, 210))
    ImageDraw.Draw(banner).text((10, 5), text, font=font, fill=(255, 255, 255, 255))
    return np.asarray(banner)


def draw_label(text: str) -> np.ndarray:
    """A few words as pixels, as wide as they are, to be laid over the picture.

    returns:  (H, W, 4) uint8, row 0 on top
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=_LETTER_SIZE)
    width = int(font.getlength(text)) + 20
    label = Image.new("RGBA", (width, 30), (20, 20, 24, 170))
    ImageDraw.Draw(label).text((10, 5), text, font=font, fill=(255, 255, 255, 255))
    return np.asarray(label)
