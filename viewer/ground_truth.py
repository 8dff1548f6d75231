"""The pictures of a data set, to stand where they were taken and to compare with them."""

from __future__ import annotations

import math
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path

import numpy as np

from donerf import Camera, ViewCell, ViewReader

_KEPT_PICTURES = 8


class GroundTruth:
    """One split of a data set. `picture` is for the render thread, the rest for any.

    cameras:             one a view
    training_positions:  (V, 3) where the training pictures were taken, for the map
    """

    def __init__(self, reader: ViewReader, training_positions: np.ndarray) -> None:
        """Reads pictures with `reader`, when they are asked for."""
        self._reader = reader
        self.names = reader.names
        self.cameras = reader.cameras
        self.training_positions = training_positions
        # The last few: standing at a view asks for the same picture again and again.
        self.picture = lru_cache(_KEPT_PICTURES)(self._read)

    def __len__(self) -> int:
        return len(self.cameras)

    @property
    def path(self) -> Path:
        """The folder or file that the views are in."""
        return self._reader.path

    def nearest(self, matrix: np.ndarray, cell: ViewCell) -> int:
        """The view that is closest to a (4, 4) world_from_camera, in place and direction."""
        return int(np.argmin([_distance(c, matrix, cell) for c in self.cameras]))

    def _read(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 sRGB."""
        return self._reader.read(index).colors


def open_ground_truth(folder: Path, split: str, cell: ViewCell) -> GroundTruth:
    """Open a split of the data set that a scene was trained on.

    Raises FileNotFoundError or ValueError in one sentence.
    """
    reader = ViewReader(folder, split)
    for name, camera in zip(reader.names, reader.cameras, strict=True):
        if not cell.contains(camera.position, tolerance=0.01):
            raise ValueError(
                f"the views must lie in the scene's view cell, '{name}' of {folder} lies outside; "
                "name the data set that the scene was trained on with --data"
            )
    return GroundTruth(reader, _training_positions(folder))


def _training_positions(folder: Path) -> np.ndarray:
    """(V, 3); V = 0 where a data set has no training views."""
    positions: list[np.ndarray] = []
    with suppress(FileNotFoundError), closing(ViewReader(folder, "train")) as training:
        positions = [camera.position for camera in training.cameras]
    return np.array(positions).reshape(-1, 3)


def error_of(pixels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How far colors are off: the mean over the channels, in [0, 1].

    pixels:   (H, W, 4) uint8
    truth:    (H', W', 3) uint8, brought to the size of the pixels
    returns:  (H, W) float32
    """
    truth = resized(truth, pixels.shape[1], pixels.shape[0])
    return np.abs(pixels[..., :3].astype(np.float32) - truth).mean(-1) / 255


def resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture on a coarser grid, each pixel the mean of what it covers."""
    if picture.shape[:2] == (height, width):
        return picture
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))


def _distance(camera: Camera, matrix: np.ndarray, cell: ViewCell) -> float:
    # A radian counts as much as the cell is long.
    away = float(np.linalg.norm(camera.position - matrix[:3, 3]))
    turned = math.acos(float(np.clip(-camera.forward @ matrix[:3, 2], -1, 1)))
    return away + turned * cell.diagonal
