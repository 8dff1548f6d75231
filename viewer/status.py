"""The status file: what the viewer is doing, for a test or a script that waits for it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from donerf.files import write_text

State = Literal[
    "starting", "moving", "settling", "settled", "minimized", "filming", "done", "failed"
]


@dataclass(frozen=True)
class Status:
    """What stands in the file.

    frames:    pictures shown (window) or rendered (film) so far
    size:      of the last picture, pixels
    position:  of the camera, scene units
    error:     the last error, None when all is well
    message:   what is said for a while
    transfer:  the way of pictures to the window
    training:  how far the training is that is watched
    view:      of the data set that is stood at, counted from 0
    psnr:      of the picture there, dB
    rival:     what the picture is compared with
    has_help:  the table of keys is open
    """

    state: State
    frames: int = 0
    size: tuple[int, int] | None = None
    samples: int | None = None
    mode: str | None = None
    position: tuple[float, ...] | None = None
    error: str | None = None
    message: str = ""
    scene: str = ""
    transfer: str = ""
    training: str = ""
    key_frames: int = 0
    film_frames: int = 0
    view: int | None = None
    psnr: float | None = None
    rival: str | None = None
    has_help: bool = False


class StatusFile:
    """Written whole, beside and renamed, whenever something changed; nowhere without a path."""

    def __init__(self, path: Path | None) -> None:
        """path:  the JSON file, or None to write nothing."""
        self._path = path
        self._written: Status | None = None

    def write(self, status: Status) -> None:
        """Tell the world."""
        if self._path is not None and status != self._written:
            write_text(self._path, json.dumps(asdict(status)) + "\n")
            self._written = status
