"""Camera paths as JSON: our own files, and the `cam_path*.json` of data sets."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from donerf import ViewCell
from donerf.files import read_json, write_text
from viewer.fly_camera import FlyFrame, make_camera
from viewer.key_frames import CameraPath, KeyFrame

# Paths without times, as data sets have them, are one picture a frame.
USUAL_FPS = 24
MOST_FRAMES = 100_000


@dataclass(frozen=True)
class PathFile:
    """What a path file says.

    matrices:   (4, 4) world_from_camera of each key frame
    times:      seconds of each, increasing
    """

    path: Path
    matrices: list[np.ndarray]
    times: list[float]
    is_smooth: bool = False

    def camera_path(self, frame: FlyFrame) -> CameraPath:
        """The path in a scene's axes; rolls are dropped."""
        poses = map(frame.pose_of, self.matrices)
        keys = (KeyFrame.at(t, pose) for t, pose in zip(self.times, poses, strict=True))
        return CameraPath(tuple(keys), self.is_smooth)


def write_path(path: Path, camera_path: CameraPath, cell: ViewCell) -> None:
    """Write a path; what a data set's `cam_path.json` has, and the times beside."""
    frame = FlyFrame(cell)
    document = {
        "camera_angle_x": cell.fov_x,
        "is_smooth": camera_path.is_smooth,
        "frames": [
            {"time": round(key.time, 4), "transform_matrix": frame.matrix(key.pose).tolist()}
            for key in camera_path.keys
        ],
    }
    write_text(path, json.dumps(document, indent=1) + "\n")


def read_path(path: Path) -> PathFile:
    """Read a path file; raises FileNotFoundError or ValueError, in one sentence with its name."""
    document = read_json(path, "path", "Ctrl+S in the window saves the camera path")
    return path_from_json(document, path)


def path_from_json(document: Any, path: Path) -> PathFile:
    """Check what was read from a path file."""
    frames = document.get("frames") if isinstance(document, dict) else None
    if not isinstance(frames, list) or not 1 <= len(frames) <= MOST_FRAMES:
        raise ValueError(
            f"a path file must have 'frames', a list of 1 ... {MOST_FRAMES} poses, {path} has none"
        )
    fps = _positive(document.get("fps", USUAL_FPS), "fps", path)
    is_smooth = document.get("is_smooth", False)
    if not isinstance(is_smooth, bool):
        raise ValueError(f"'is_smooth' must be true or false, got {is_smooth!r} in {path}")
    matrices = [_matrix(frame, i, path) for i, frame in enumerate(frames)]
    if all(frame.get("time") is None for frame in frames):
        return PathFile(path, matrices, [i / fps for i in range(len(frames))], is_smooth)
    times = [_time(frame, i, path) for i, frame in enumerate(frames)]
    for i in range(1, len(times)):
        if not times[i] > times[i - 1]:
            raise ValueError(
                f"'time' must grow from frame to frame, got {times[i]:g} after {times[i - 1]:g} "
                f"in frame {i} of {path}"
            )
    return PathFile(path, matrices, times, is_smooth)


def matrix_from_json(values: Any) -> np.ndarray:
    """A (4, 4) world_from_camera from nested lists; raises ValueError when it is none."""
    try:
        matrix = np.array(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise ValueError("'transform_matrix' must be 4x4 numbers") from None
    # A camera checks that the pose is finite and rigid.
    return make_camera(matrix, 1, 1, math.pi / 2).world_from_camera


def _matrix(frame: Any, i: int, path: Path) -> np.ndarray:
    try:
        return matrix_from_json(frame.get("transform_matrix") if isinstance(frame, dict) else None)
    except ValueError as error:
        raise ValueError(f"{error}, in frame {i} of {path}") from None


def _time(frame: dict[str, Any], i: int, path: Path) -> float:
    value = frame.get("time")
    if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
        return float(value)
    raise ValueError(f"'time' must be seconds, 0 or more, got {value!r} in frame {i} of {path}")


def _positive(value: Any, name: str, path: Path) -> float:
    if isinstance(value, int | float) and math.isfinite(value) and value > 0:
        return float(value)
    raise ValueError(f"'{name}' must be a positive number, got {value!r} in {path}")
