"""Pictures to a film: mp4, gif or a folder of PNGs, written beside and renamed when complete."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

_FRAME_NAME = re.compile(r"\d{5}\.png")


class FilmWriter(ABC):
    """Takes pictures, one after the other."""

    @abstractmethod
    def add(self, pixels: np.ndarray) -> None:
        """Append a picture, (H, W, 4) uint8, row 0 on top; all have one size."""

    @abstractmethod
    def finish(self) -> None:
        """Complete the file."""

    def abort(self) -> None:  # noqa: B027  (most writers have nothing to let go of)
        """Let go of what is half done; its file is removed afterwards."""


@contextmanager
def open_film(path: Path, size: tuple[int, int], fps: int) -> Iterator[FilmWriter]:
    """Write a film; `path` appears only when all went well.

    path:  *.mp4, *.gif, or a folder for PNGs
    size:  width and height, pixels
    """
    suffix = path.suffix.lower()
    if suffix not in (".mp4", ".gif", ""):
        raise ValueError(
            f"a film must be .mp4, .gif or a folder (no ending), got {path}; one picture is .png"
        )
    _check_replaceable(path, is_folder=suffix == "")
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir() if suffix == "" else beside.touch()
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written ({error.strerror}); choose another place with --out"
        ) from None
    try:
        writer = _make_writer(beside, size, fps)
        try:
            yield writer
            writer.finish()
        except BaseException:
            writer.abort()
            raise
        _replace(beside, path)
    finally:
        _remove(beside)


def _make_writer(path: Path, size: tuple[int, int], fps: int) -> FilmWriter:
    match path.suffix:
        case ".mp4":
            return Mp4Writer(path, size, fps)
        case ".gif":
            return GifWriter(path, fps)
    return FolderWriter(path)


class Mp4Writer(FilmWriter):
    """H.264 with 4:2:0 color, which every player shows; it needs even sizes."""

    def __init__(self, path: Path, size: tuple[int, int], fps: int) -> None:
        """Start the encoder, the one that imageio-ffmpeg brings along."""
        from imageio_ffmpeg import get_ffmpeg_exe

        self._count = 0
        self._padding = ((0, size[1] % 2), (0, size[0] % 2), (0, 0))
        even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        if even != size:
            print(
                f"an mp4 needs even sizes: {size[0]}x{size[1]} is written as {even[0]}x{even[1]} "
                "with its last row or column twice",
                file=sys.stderr,
            )
        pictures = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{even[0]}x{even[1]}"]
        # One thread, so that encoding takes little from the rendering that goes on beside it.
        codec = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20", "-threads", "1"]
        self._encoder = subprocess.Popen(
            [
                *(get_ffmpeg_exe(), "-y", *pictures, "-r", str(fps), "-i", "-"),
                *(*codec, "-movflags", "+faststart", path),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is for this program, which then ends the encoder by itself.
            start_new_session=True,
        )

    def add(self, pixels: np.ndarray) -> None:
        rgb = np.pad(pixels[..., :3], self._padding, mode="edge")
        assert self._encoder.stdin is not None, "the encoder was started with a pipe"
        try:
            self._encoder.stdin.write(rgb.tobytes())
        except OSError:
            raise self._failure() from None
        self._count += 1

    def finish(self) -> None:
        # This closes the pipe, which tells the encoder that the film is complete.
        self._encoder.communicate()
        if self._encoder.returncode != 0:
            raise self._failure()

    def abort(self) -> None:
        self._encoder.kill()
        with suppress(OSError):
            self._encoder.communicate()

    def _failure(self) -> OSError:
        return OSError(f"the film stopped after {self._count} pictures; is the disk full?")


class GifWriter(FilmWriter):
    """Up to 256 colors a picture, kept in memory until the end, one byte a pixel."""

    def __init__(self, path: Path, fps: int) -> None:
        """Nothing is written before the end."""
        self._path = path
        self._fps = fps
        self._pictures: list[Image.Image] = []

    def add(self, pixels: np.ndarray) -> None:
        from PIL import Image

        picture = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
        self._pictures.append(picture.quantize(256, method=Image.Quantize.MEDIANCUT))

    def finish(self) -> None:
        first, *rest = self._pictures
        first.save(
            self._path,
            format="GIF",
            save_all=True,
            append_images=rest,
            duration=1000 / self._fps,
            loop=0,
        )


class FolderWriter(FilmWriter):
    """00000.png, 00001.png, ..."""

    def __init__(self, path: Path) -> None:
        """path:  an empty folder"""
        self._path = path
        self._count = 0

    def add(self, pixels: np.ndarray) -> None:
        from PIL import Image

        picture = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
        picture.save(self._path / f"{self._count:05d}.png")
        self._count += 1

    def finish(self) -> None:
        pass


def _check_replaceable(path: Path, is_folder: bool) -> None:
    """Only what a film of the same kind left there may be replaced."""
    if not path.exists():
        return
    if path.is_dir() != is_folder:
        kind = "a folder" if path.is_dir() else "a file"
        raise ValueError(f"{path} is {kind} already; choose another name with --out")
    if is_folder:
        strangers = [p.name for p in path.iterdir() if not _FRAME_NAME.fullmatch(p.name)]
        if strangers:
            raise ValueError(
                f"the folder {path} holds other files ({strangers[0]}); name a new or empty one "
                "with --out"
            )


def _replace(beside: Path, path: Path) -> None:
    if path.is_dir():
        # A folder with something in it cannot be replaced in one step.
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        path.rename(old)
        try:
            beside.rename(path)
        finally:
            if not path.exists():
                old.rename(path)
        shutil.rmtree(old)
    else:
        os.replace(beside, path)


def _remove(beside: Path) -> None:
    if beside.is_dir():
        shutil.rmtree(beside)
    else:
        beside.unlink(missing_ok=True)
