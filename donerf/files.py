"""Writing files so that nothing that existed is lost when a write fails; reading with one sentence
for what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write to a name beside `path`, then rename: readers see the old file or the whole new one.

    write:  called with the temporary path; whatever it raises (a full disk, Ctrl-C) leaves the
            old file as it was and no half file behind
    """
    path = Path(path)
    # Renaming over a device or a pipe (/dev/stdout) would replace it by a file.
    if path.exists() and not path.is_file():
        raise ValueError(f"the output must be a file, got {path}; name a file in a folder")
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write(beside)
            os.replace(beside, path)
    finally:
        if beside.parent.is_dir():
            beside.unlink(missing_ok=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the system says of a failed write into a sentence with a cure."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"could not write {path}: {error.strerror or error}; what was there before is "
            "unchanged; free some space, or choose another place"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_atomically(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically; metadata may be empty."""
    # Serialized in memory first: the library's own writer reports a full disk as damaged data.
    data = safetensors.torch.save(tensors, metadata)
    write_atomically(path, lambda beside: beside.write_bytes(data))


def append_line(path: Path, line: str) -> None:
    """Append one line to a text file."""
    with _explained(path), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def read_json(path: Path, kind: str, source: str) -> Any:
    """What a JSON file holds; raises FileNotFoundError or ValueError, in one sentence.

    kind:    of file, in words
    source:  where such a file comes from, in words
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no {kind} file {path}; {source}") from None
    except ValueError as error:
        raise ValueError(f"a {kind} file must be JSON: {error} in {path}") from None
