"""A camera path: places and directions at times, and the curve through them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from viewer.fly_camera import MAX_PITCH, FlyFrame, FlyPose
from viewer.spline import b_spline, catmull_rom

# Two key frames at one time would be a jump; a film shows nothing shorter.
SHORTEST_SECONDS = 0.01


@dataclass(frozen=True)
class KeyFrame:
    """Where the camera is at a time.

    time:       seconds from the start of the path
    position:   scene units
    yaw, pitch: radians, as in `FlyPose`
    """

    time: float
    position: tuple[float, float, float]
    yaw: float
    pitch: float

    @classmethod
    def at(cls, time: float, pose: FlyPose) -> KeyFrame:
        """The key frame of a pose."""
        x, y, z = (float(value) for value in pose.position)
        return cls(time, (x, y, z), float(pose.yaw), float(pose.pitch))

    @property
    def pose(self) -> FlyPose:
        """Place and direction."""
        return FlyPose(np.array(self.position), self.yaw, self.pitch)


@dataclass(frozen=True)
class CameraPath:
    """Key frames in the order of their times, and how they are joined.

    is_smooth:  by a B-spline, which passes near them; else by a Catmull-Rom curve through them
    """

    keys: tuple[KeyFrame, ...] = ()
    is_smooth: bool = False

    def __post_init__(self) -> None:
        for before, after in pairwise(self.keys):
            if not after.time > before.time:
                raise ValueError(
                    "key frames must follow each other in time, got "
                    f"{after.time:g} s after {before.time:g} s"
                )

    @property
    def start(self) -> float:
        """Time of the first key frame, seconds; 0 of an empty path."""
        return self.keys[0].time if self.keys else 0.0

    @property
    def end(self) -> float:
        """Time of the last key frame, seconds; 0 of an empty path."""
        return self.keys[-1].time if self.keys else 0.0

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.end - self.start

    @property
    def is_flyable(self) -> bool:
        """Whether it leads anywhere: two key frames or more."""
        return len(self.keys) > 1

    def poses(self, frame: FlyFrame, times: Sequence[float], is_free: bool) -> list[FlyPose]:
        """Where the camera is at some times, clamped to the view cell and the cone of directions.

        times:    seconds, of the same clock as the key frames; the path rests beyond its ends
        is_free:  do not clamp; what is outside the trained views is extrapolated
        """
        if not self.keys:
            raise ValueError("a path must have at least 1 key frame to be followed, it has none")
        points = np.array([(*key.position, key.yaw, key.pitch) for key in self.keys])
        # From one key frame to the next the camera turns the short way round.
        points[:, 3] = np.unwrap(points[:, 3])
        curve = b_spline if self.is_smooth else catmull_rom
        key_times = np.array([key.time for key in self.keys])
        found = curve(key_times, points, np.asarray(times, dtype=np.float64))
        poses = [FlyPose(row[:3], _wrapped(row[3]), float(row[4])) for row in found]
        return [_limited(pose) if is_free else clamped(frame, pose) for pose in poses]

    def pose_at(self, frame: FlyFrame, time: float, is_free: bool) -> FlyPose:
        """Where the camera is at one time."""
        return self.poses(frame, [time], is_free)[0]

    def matrices(self, frame: FlyFrame, count: int, is_free: bool) -> list[np.ndarray]:
        """`count` poses evenly spaced in time, both ends among them, as (4, 4) world_from_camera.

        One pose is that of the first key frame.
        """
        times = np.linspace(self.start, self.end, count).tolist()
        return [frame.matrix(pose) for pose in self.poses(frame, times, is_free)]

    def frame_count(self, fps: int) -> int:
        """How many pictures a film of it has."""
        return round(self.seconds * fps) + 1

    def with_key(self, key: KeyFrame) -> CameraPath:
        """With one key frame more; it replaces one at the same time."""
        others = [k for k in self.keys if abs(k.time - key.time) >= SHORTEST_SECONDS]
        keys = sorted((*others, key), key=lambda k: k.time)
        return replace(self, keys=tuple(keys))

    def without_key(self, index: int) -> CameraPath:
        """Without one of its key frames."""
        return replace(self, keys=self.keys[:index] + self.keys[index + 1 :])

    def lasting(self, seconds: float) -> CameraPath:
        """The same path, flown in so many seconds."""
        if not self.is_flyable:
            return self
        # Shorter, and two key frames would fall on one time.
        closest = min(b.time - a.time for a, b in pairwise(self.keys))
        factor = max(seconds / self.seconds, SHORTEST_SECONDS / closest)
        start = self.start
        keys = (replace(k, time=start + (k.time - start) * factor) for k in self.keys)
        return replace(self, keys=tuple(keys))


def clamped(frame: FlyFrame, pose: FlyPose) -> FlyPose:
    """The nearest pose in the view cell that looks in a trained direction."""
    return replace(frame.into_cone(pose), position=frame.cell.clamp(pose.position))


def _limited(pose: FlyPose) -> FlyPose:
    """Not over the top, where the horizon is lost."""
    return replace(pose, pitch=min(max(pose.pitch, -MAX_PITCH), MAX_PITCH))


def _wrapped(angle: float) -> float:
    """The same angle in [-pi, pi)."""
    return float((angle + math.pi) % (2 * math.pi) - math.pi)
