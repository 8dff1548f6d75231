"""What a file or folder is that was dropped on the window, and its content."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from donerf import Scene, load_scene
from viewer.capture import PoseFile, pose_from_json
from viewer.path_file import PathFile, path_from_json
from viewer.watch import is_run

WHAT_OPENS = "a .donerf scene, a path or pose as .json, a data set or the folder of a training"


@dataclass(frozen=True)
class DatasetFound:
    """A data set, folder or packed file; nothing of it was read yet."""

    path: Path


@dataclass(frozen=True)
class RunFound:
    """The folder of a training."""

    path: Path


Opened = Scene | PathFile | PoseFile | DatasetFound | RunFound


def open_anything(path: Path) -> Opened:
    """Find out what `path` is and read it.

    Raises FileNotFoundError or ValueError, in one sentence, for what is nothing of ours, damaged,
    or from a newer version.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}")
    if path.is_dir():
        return _open_folder(path)
    if path.suffix.lower() == ".donerf":
        return load_scene(path)
    if path.suffix.lower() == ".json":
        return _open_json(path)
    if zipfile.is_zipfile(path):
        return DatasetFound(path)
    raise ValueError(f"{path.name} is nothing that can be opened; drop {WHAT_OPENS}")


def _open_folder(path: Path) -> DatasetFound | RunFound:
    if (path / "dataset_info.json").is_file():
        return DatasetFound(path)
    if is_run(path):
        return RunFound(path)
    raise ValueError(
        f"the folder {path.name} is neither a data set (it has no dataset_info.json) nor a "
        f"training (it has no config.toml); drop {WHAT_OPENS}"
    )


def _open_json(path: Path) -> PathFile | PoseFile:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"a .json file must be JSON: {error} in {path}") from None
    if isinstance(document, dict) and "frames" in document:
        return path_from_json(document, path)
    if isinstance(document, dict) and "transform_matrix" in document:
        return pose_from_json(document, path)
    raise ValueError(
        f"{path.name} is neither a camera path (it has no 'frames') nor a pose (it has no "
        "'transform_matrix')"
    )
