"""scene.json: the data sets of a scene that has several view cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from donerf.data.blender_script import SCENE_FILE
from donerf.data.source import parse_json

__all__ = ["SCENE_FILE", "ListedCell", "read_scene_list"]

_FORMAT = 1


@dataclass(frozen=True)
class ListedCell:
    """One view cell of a scene: its name in Blender, and the folder of its data set."""

    name: str
    folder: Path


def read_scene_list(path: Path) -> list[ListedCell]:
    """The cells that a scene.json lists; it knows their folders from its own."""
    try:
        values = parse_json(path.read_bytes(), path)
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(
            f"there is no scene list {path}; `donerf render-scene` writes one for a scene of "
            "several view cells"
        ) from None
    cells = values.get("cells")
    if values.get("format") != _FORMAT or not isinstance(cells, list) or not cells:
        raise ValueError(
            f"a scene list must have 'format': {_FORMAT} and 'cells', a list of at least one, see "
            f"{path}"
        )
    return [_listed_cell(cell, path) for cell in cells]


def _listed_cell(cell: object, path: Path) -> ListedCell:
    if isinstance(cell, dict):
        name, folder = cell.get("name"), cell.get("folder")
        if isinstance(name, str) and name and isinstance(folder, str) and folder:
            return ListedCell(name, path.parent / folder)
    raise ValueError(f"a cell must have a 'name' and a 'folder', got {cell!r} in {path}")
