"""Pictures to a film: mp4, gif or a folder of PNGs, written beside and renamed when complete."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
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
        """Start the encoder."""
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
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  (as long as the encoder)
        try:
            self._encoder = subprocess.Popen(
                [
                    *(find_encoder(), "-y", "-loglevel", "error"),
                    *(*pictures, "-r", str(fps), "-i", "-"),
                    *(*codec, "-movflags", "+faststart", path),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                # Ctrl-C is for this program, which then ends the encoder by itself.
                start_new_session=True,
            )
        except OSError as error:
            self._complaints.close()
            raise _no_encoder(error) from None

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
        self._complaints.close()

    def abort(self) -> None:
        self._encoder.kill()
        with suppress(OSError):
            self._encoder.communicate()
        self._complaints.close()

    def _failure(self) -> OSError:
        """Why the encoder ended by itself, in its own words."""
        with suppress(OSError):
            self._encoder.communicate()
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").split("\n")
        said = next((line.strip() for line in lines if line.strip()), "it does not say why")
        return OSError(
            f"the encoder stopped after {self._count} pictures ({said}); if the disk is full free "
            "some space, if it lacks the H.264 codec write a .gif or a folder of PNGs"
        )


def find_encoder() -> str:
    """The program that encodes an mp4: the one that imageio-ffmpeg brings along, or knows of."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise _no_encoder(error) from None


def _no_encoder(error: Exception) -> OSError:
    return OSError(
        f"there is no encoder for mp4 films ({error}); install it again with `pip install "
        "--force-reinstall imageio-ffmpeg`, or write a .gif or a folder of PNGs"
    )


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
