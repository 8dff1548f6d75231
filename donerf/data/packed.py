"""A whole data set in one file: smaller than its folder, and as good to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from donerf.data.info import DatasetInfo


class PackedSource:
    """Reads the views of a packed file."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def read_json(self, name: str) -> dict[str, Any] | None:
        raise NotImplementedError

    def read_colors(self, name: str) -> np.ndarray:
        raise NotImplementedError

    def read_depth(self, name: str, size: tuple[int, int], info: DatasetInfo) -> np.ndarray | None:
        raise NotImplementedError

    def close(self) -> None:
        pass
