"""The camera path while it is being made: every change can be undone."""

from __future__ import annotations

from dataclasses import replace

from viewer.fly_camera import FlyPose
from viewer.key_frames import SHORTEST_SECONDS, CameraPath, KeyFrame

# From one key frame to the next, until somebody says otherwise.
USUAL_GAP_SECONDS = 2.0
REMEMBERED = 200


class Timeline:
    """A camera path, its history, and the selected key frame.

    A panel shows `path`, calls the methods below, and is done. What a slider does while it is
    dragged is one change: give all its calls one `drag` name, and call `end_drag` when it is let
    go.

    selected:  index of the key frame that keys and buttons act on; None when there is none
    version:   counts changes, for whoever has to notice one
    """

    def __init__(self) -> None:
        """An empty path."""
        self.selected: int | None = None
        self.version = 0
        self._history: list[CameraPath] = [CameraPath()]
        self._place = 0
        self._drag: str | None = None

    @property
    def path(self) -> CameraPath:
        """The path as it is now."""
        return self._history[self._place]

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return self._place > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a change that was taken back."""
        return self._place < len(self._history) - 1

    def add(self, pose: FlyPose, time: float | None = None) -> KeyFrame:
        """Put a key frame at a time, by default some seconds after the last one; selects it."""
        if time is None:
            time = self.path.end + USUAL_GAP_SECONDS if self.path.keys else 0.0
        key = KeyFrame.at(max(time, 0.0), pose)
        self._change(self.path.with_key(key))
        self.selected = self.path.keys.index(key)
        return key

    def replace_selected(self, pose: FlyPose) -> None:
        """Give the selected key frame another place and direction."""
        if self.selected is not None:
            key = KeyFrame.at(self.path.keys[self.selected].time, pose)
            self._change(self.path.with_key(key))

    def remove_selected(self) -> None:
        """Take the selected key frame away; the one before it is selected then."""
        if self.selected is not None:
            self._change(self.path.without_key(self.selected))
            self.selected = max(self.selected - 1, 0) if self.path.keys else None

    def move_selected(self, time: float, drag: str | None = None) -> None:
        """Give the selected key frame another time, between those of its neighbors."""
        if self.selected is None:
            return
        keys, i = self.path.keys, self.selected
        low = keys[i - 1].time + SHORTEST_SECONDS if i > 0 else 0.0
        high = keys[i + 1].time - SHORTEST_SECONDS if i + 1 < len(keys) else float("inf")
        moved = replace(keys[i], time=max(low, min(time, high)))
        self._change(replace(self.path, keys=(*keys[:i], moved, *keys[i + 1 :])), drag)

    def set_seconds(self, seconds: float, drag: str | None = None) -> None:
        """Fly the same path in another time."""
        self._change(self.path.lasting(seconds), drag)

    def set_smooth(self, is_smooth: bool) -> None:
        """Choose the curve: through the key frames, or smoother and near them."""
        self._change(replace(self.path, is_smooth=is_smooth))

    def load(self, path: CameraPath) -> None:
        """Take another path; the one before can be had back by undo."""
        self._change(path)
        self.selected = 0 if path.keys else None

    def clear(self) -> None:
        """Take all key frames away."""
        self.load(CameraPath(is_smooth=self.path.is_smooth))

    def select_nearest(self, time: float) -> None:
        """Select the key frame whose time is nearest."""
        keys = self.path.keys
        if keys:
            self.selected = min(range(len(keys)), key=lambda i: abs(keys[i].time - time))

    def end_drag(self) -> None:
        """A slider was let go: what comes next is a change of its own."""
        self._drag = None

    def undo(self) -> bool:
        """Take the last change back; False when there is none."""
        return self._go(-1)

    def redo(self) -> bool:
        """Do what was taken back; False when there is nothing."""
        return self._go(+1)

    def _change(self, path: CameraPath, drag: str | None = None) -> None:
        if path == self.path:
            return
        del self._history[self._place + 1 :]
        # Only the end of a drag is worth going back to.
        if drag is not None and drag == self._drag:
            self._history.pop()
        self._history.append(path)
        del self._history[: -REMEMBERED - 1]
        self._place = len(self._history) - 1
        self._drag = drag
        self._changed()

    def _go(self, step: int) -> bool:
        place = self._place + step
        if not 0 <= place < len(self._history):
            return False
        self._place = place
        self._drag = None
        self._changed()
        return True

    def _changed(self) -> None:
        self.version += 1
        count = len(self.path.keys)
        if self.selected is not None and self.selected >= count:
            self.selected = count - 1 if count else None
