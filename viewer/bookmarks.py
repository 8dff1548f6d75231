"""Places to come back to, remembered for each scene."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from donerf import Scene
from donerf.files import write_text
from viewer.fly_camera import FlyFrame, FlyPose
from viewer.path_file import matrix_from_json
from viewer.preferences import preferences_path

MOST_BOOKMARKS = 99


class Bookmarks:
    """The bookmarks of one scene.

    current:  which one was visited last; None before any
    """

    def __init__(self, path: Path | None) -> None:
        """Read the bookmarks in `path`, if it exists; None remembers nothing.

        Raises ValueError when the file is no list of poses.
        """
        self._path = path
        self.current: int | None = None
        self.matrices: list[np.ndarray] = _read(path) if path is not None else []

    def __len__(self) -> int:
        return len(self.matrices)

    def add(self, frame: FlyFrame, pose: FlyPose) -> int:
        """Remember a place; returns its number, counted from 1.

        Raises OSError when it cannot be written down; it is then remembered until the end.
        """
        if len(self.matrices) == MOST_BOOKMARKS:
            del self.matrices[0]
        self.matrices.append(frame.matrix(pose))
        self.current = len(self.matrices) - 1
        self._write()
        return len(self.matrices)

    def remove(self, index: int) -> None:
        """Forget a place, counted from 0."""
        del self.matrices[index]
        self.current = None
        self._write()

    def next(self, step: int = 1) -> np.ndarray | None:
        """The (4, 4) world_from_camera of the next place, round and round; None without any."""
        if not self.matrices:
            return None
        start = -1 if step > 0 else 0
        here = self.current if self.current is not None else start
        self.current = (here + step) % len(self.matrices)
        return self.matrices[self.current]

    def _write(self) -> None:
        if self._path is not None:
            poses = [matrix.tolist() for matrix in self.matrices]
            write_text(self._path, json.dumps({"bookmarks": poses}) + "\n")


def bookmark_file(scene: Scene, folder: Path | None = None) -> Path:
    """Where a scene's bookmarks are kept: by its name and cell, so another training keeps them."""
    cell = scene.cells[0].cell
    place = json.dumps([scene.name, cell.center, cell.size])
    digest = hashlib.sha256(place.encode()).hexdigest()
    return (folder or preferences_path().parent) / "bookmarks" / f"{digest[:16]}.json"


def _read(path: Path) -> list[np.ndarray]:
    if not path.exists():
        return []
    try:
        poses = json.loads(path.read_text(encoding="utf-8"))["bookmarks"]
        return [matrix_from_json(pose) for pose in poses][:MOST_BOOKMARKS]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"the bookmarks in {path} cannot be read ({error}); remove the file"
        ) from None
