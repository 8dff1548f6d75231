"""Places to go to: views of a data set, bookmarks, poses that were copied or dropped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from donerf import Scene
from viewer.bookmarks import Bookmarks, bookmark_file
from viewer.capture import PoseFile, pose_document, pose_from_json
from viewer.session import Session

CLIPBOARD = Path("the clipboard")


class Places:
    """Where a session can go. Its methods raise ValueError where there is nothing to go to.

    bookmarks:  of the scene
    """

    def __init__(self, session: Session, say: Callable[[str], None]) -> None:
        """say:  tells something in the window"""
        self.bookmarks = Bookmarks(None)
        self._session = session
        self._say = say
        self._stored_poses: list[np.ndarray] = []
        self._stored_index: int | None = None

    def enter(self, scene: Scene) -> None:
        """Another scene is shown: its bookmarks, its poses."""
        self._stored_poses = [np.array(pose) for pose in scene.metadata.test_poses]
        self._stored_index = None
        try:
            self.bookmarks = Bookmarks(bookmark_file(scene))
        except (ValueError, OSError) as error:
            self.bookmarks = Bookmarks(None)
            self._say(str(error))

    def step_view(self, step: int) -> None:
        """Go to the next view of the data set; without one, to a pose that the scene knows."""
        session = self._session
        if session.truth is not None:
            index = _stepped(session.view_index, step, len(session.truth))
            session.stand_at(index)
            self._say(f"{session.truth.names[index]}, {index + 1} of {len(session.truth)}")
            return
        count = len(self._stored_poses)
        if count == 0:
            raise ValueError("there are no views to go to; drop a data set on the window")
        self._stored_index = index = _stepped(self._stored_index, step, count)
        session.pilot.go_to(self._stored_poses[index])
        self._say(f"test view {index + 1} of {count}")

    def add_bookmark(self) -> None:
        """Remember where the camera is."""
        pilot = self._session.pilot
        number = self.bookmarks.add(pilot.frame, pilot.pose)
        self._say(f"bookmark {number}; N goes from one to the next")

    def next_bookmark(self, step: int = 1) -> None:
        """Go to the next place that was remembered."""
        matrix = self.bookmarks.next(step)
        if matrix is None:
            raise ValueError("there are no bookmarks yet; B remembers a place")
        self._go_inside(matrix)
        assert self.bookmarks.current is not None, "it has just been visited"
        self._say(f"bookmark {self.bookmarks.current + 1} of {len(self.bookmarks)}")

    def pose_as_text(self) -> str:
        """The present pose as JSON."""
        session = self._session
        matrix = session.pilot.frame.matrix(session.pilot.pose)
        return pose_document(matrix, session.cell, session.samples, session.mode)

    def go_to_text(self, text: str) -> None:
        """Go to a pose that was copied here, or from a file."""
        try:
            document = json.loads(text)
        except ValueError:
            raise ValueError(
                f"{CLIPBOARD} must hold a pose as JSON, such as Ctrl+C copies"
            ) from None
        self.go_to(pose_from_json(document, CLIPBOARD))

    def go_to(self, pose: PoseFile) -> None:
        """Go where a pose file says."""
        self._go_inside(pose.matrix)

    def _go_inside(self, matrix: np.ndarray) -> None:
        """Go to a pose; outside the view cell only for who is free."""
        pilot = self._session.pilot
        if not pilot.is_free and not self._session.cell.contains(matrix[:3, 3]):
            place = ", ".join(f"{x:g}" for x in matrix[:3, 3])
            raise ValueError(f"the pose {place} lies outside the view cell; F lets you leave it")
        pilot.go_to(matrix)


def _stepped(here: int | None, step: int, count: int) -> int:
    """The next of `count`, round and round; begins at the first, or going back at the last."""
    if here is None:
        here = -1 if step > 0 else 0
    return (here + step) % count
