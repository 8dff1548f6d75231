"""A whole data set in one file: about half its folder's size, and as good to train on.

The file is a zip archive. Its JSON files are the folder's own; colors are lossless WebP; depth is
the logarithm of the raw depth in equal steps, as 16-bit PNG. `packed.json` says which steps.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from donerf.data.info import DatasetInfo
from donerf.data.source import (
    BROKEN_FILE,
    SPLITS,
    FolderSource,
    parse_json,
    read_frames,
    read_source_info,
)
from donerf.files import write_atomically

FORMAT = 1
_PACKED_FILE = "packed.json"
_FINEST_STEP = 1.5e-4
"""Of the logarithm: half of it is the largest relative error. Finer ones would store noise."""
_LAST_CODE = 65534
_BACKGROUND_CODE = 65535


@dataclass(frozen=True)
class DepthCode:
    """Raw depth as 16-bit numbers: code = log(depth / nearest) / step; 65535 is background.

    The relative error is half a step, the same near and far.
    """

    nearest: float
    step: float

    @classmethod
    def spanning(cls, nearest: float, farthest: float) -> DepthCode:
        """The finest useful code for raw depths between two positive bounds."""
        return cls(nearest, max(_FINEST_STEP, math.log(farthest / nearest) / _LAST_CODE))

    def encode(self, depth: np.ndarray) -> np.ndarray:
        """(H, W) uint16 from positive depth, +inf for background."""
        is_background = np.isinf(depth)
        depth = np.where(is_background, self.nearest, depth).astype(np.float64)
        code = np.round(np.log(depth / self.nearest) / self.step)
        return np.where(is_background, _BACKGROUND_CODE, code).astype(np.uint16)

    def decode(self, code: np.ndarray) -> np.ndarray:
        """(H, W) float32, inverse of `encode`."""
        depth = self.nearest * np.exp(code.astype(np.float64) * self.step)
        return np.where(code == _BACKGROUND_CODE, math.inf, depth).astype(np.float32)


class PackedSource:
    """Reads the views of a packed file."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self._archive = zipfile.ZipFile(self.path)
        except zipfile.BadZipFile as error:
            raise ValueError(
                f"a data set must be a folder or a file written by `donerf prepare --pack`, "
                f"{self.path} is neither, or was cut short ({error}); copy it again"
            ) from None
        self._names = set(self._archive.namelist())
        try:
            self._code = self._read_code()
        except ValueError:
            self.close()
            raise

    def _read_code(self) -> DepthCode:
        values = self.read_json(_PACKED_FILE)
        if values is None:
            raise ValueError(
                f"a packed data set must hold {_PACKED_FILE}, {self.path} does not; "
                "pack the folder with `donerf prepare DIR --pack FILE`"
            )
        if values.get("format") != FORMAT:
            raise ValueError(
                f"a packed data set must have the format {FORMAT}, got {values.get('format')!r} in "
                f"{self.path}; a newer version of donerf may read it"
            )
        try:
            code = DepthCode(float(values["nearest"]), float(values["step"]))
        except (KeyError, TypeError, ValueError):
            code = DepthCode(math.nan, math.nan)
        if not (code.nearest > 0 and code.step > 0):
            raise ValueError(
                f"{_PACKED_FILE} must state a positive 'nearest' and 'step', got {values} in "
                f"{self.path}; pack the folder again"
            )
        return code

    def _read(self, name: str, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
        try:
            return decode(self._archive.read(name))  # checks the sum of the bytes, too
        except BROKEN_FILE as error:
            raise ValueError(
                f"a packed data set must be whole, {self.path} is damaged in {name} ({error}); "
                "copy it or pack it again"
            ) from None

    def read_json(self, name: str) -> dict[str, Any] | None:
        if name not in self._names:
            return None
        data = self._read(name, lambda data: np.frombuffer(data, np.uint8)).tobytes()
        return parse_json(data, self.path / name)

    def read_colors(self, name: str) -> np.ndarray:
        return self._read(f"{name}.webp", _decode_colors)

    def read_depth(self, name: str, size: tuple[int, int], info: DatasetInfo) -> np.ndarray | None:
        if f"{name}_depth.png" not in self._names:
            return None
        code = self._read(f"{name}_depth.png", _decode_depth)
        if code.shape != (size[1], size[0]):
            raise ValueError(
                f"a depth map must have its picture's size {size[0]}x{size[1]}, got "
                f"{code.shape[1]}x{code.shape[0]} for '{name}' in {self.path}; pack it again"
            )
        return self._code.decode(code)

    def close(self) -> None:
        self._archive.close()


def pack(
    folder: Path, file: Path, on_progress: Callable[[int, int], object] = lambda done, total: None
) -> None:
    """Write all views of a folder as one file, beside it first and then renamed.

    Colors come back bit by bit; depth to within 1e-4 of itself.

    on_progress:  called with the number of views that are done, and of all
    """
    if Path(file).exists() and not Path(file).is_file():
        raise ValueError(
            f"a packed data set must be a new or an ordinary file, {file} is a folder or a device; "
            "name a file in it or elsewhere"
        )
    source = FolderSource(folder)
    info = read_source_info(source)
    names = [frame.name for split in SPLITS for frame in read_frames(source, split, optional=True)]
    code = _depth_code(source, info, names)
    names = list(dict.fromkeys(names))  # two splits may share a view

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive, ThreadPoolExecutor(os.cpu_count()) as pool:
            header = {"format": FORMAT, **asdict(code)}
            _write_member(archive, _PACKED_FILE, json.dumps(header).encode())
            for text in sorted([*source.path.glob("*.json"), *source.path.glob("*.md")]):
                _write_member(archive, text.name, text.read_bytes())
            encoded = pool.map(lambda name: _encode_view(source, info, code, name), names)
            for done, members in enumerate(encoded, start=1):
                for name, data in members:
                    _write_member(archive, name, data)
                on_progress(done, len(names))

    write_atomically(file, write)


def _depth_code(source: FolderSource, info: DatasetInfo, names: list[str]) -> DepthCode:
    """The code that spans the raw depths of all views; any for views without depth."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bounds = [b for b in pool.map(lambda n: _raw_bounds(source, info, n), names) if b]
    if not bounds:
        return DepthCode.spanning(1, 2)
    return DepthCode.spanning(min(near for near, _ in bounds), max(far for _, far in bounds))


def _raw_bounds(source: FolderSource, info: DatasetInfo, name: str) -> tuple[float, float] | None:
    depth = _read_depth(source, info, name, source.read_colors(name))
    surfaces = depth[np.isfinite(depth)] if depth is not None else np.empty(0)
    return (float(surfaces.min()), float(surfaces.max())) if surfaces.size else None


def _encode_view(
    source: FolderSource, info: DatasetInfo, code: DepthCode, name: str
) -> Iterator[tuple[str, bytes]]:
    colors = source.read_colors(name)
    depth = _read_depth(source, info, name, colors)
    members = [(f"{name}.webp", _image_bytes(colors, "WEBP", lossless=True, method=4, quality=75))]
    if depth is not None:
        members.append((f"{name}_depth.png", _image_bytes(code.encode(depth), "PNG")))
    return iter(members)


def _read_depth(
    source: FolderSource, info: DatasetInfo, name: str, colors: np.ndarray
) -> np.ndarray | None:
    return source.read_depth(name, (colors.shape[1], colors.shape[0]), info)


def _image_bytes(pixels: np.ndarray, kind: str, **options: float) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _decode_colors(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def _decode_depth(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image).astype(np.uint16)


def _write_member(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # A fixed date: the same folder gives the same bytes.
    member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    is_text = name.endswith((".json", ".md"))
    member.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
    member.external_attr = 0o644 << 16
    archive.writestr(member, data)
