"""The views of a split one by one: cameras at once, pictures only when they are asked for."""

from __future__ import annotations

from pathlib import Path

from donerf.data.dataset import View, open_source, read_view, view_camera
from donerf.data.info import DatasetInfo
from donerf.data.source import read_frames, read_source_info
from donerf.geometry.camera import Camera


class ViewReader:
    """Opens in no time, whatever the size of the data set. `read` may be called by any thread.

    info:     what the data set says about itself
    names:    'test/00000', ...
    cameras:  one a view, each with its own intrinsics
    """

    def __init__(self, folder_or_pack: Path, split: str) -> None:
        """Read the list of views, and one picture where the data set does not state their size.

        Raises FileNotFoundError or ValueError that names the file and the cure.
        """
        self._source = open_source(folder_or_pack)
        try:
            self.info: DatasetInfo = read_source_info(self._source)
            self._frames = read_frames(self._source, split)
            self.names = [frame.name for frame in self._frames]
            self.cameras = self._read_cameras()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def path(self) -> Path:
        """The folder or file that the views are in."""
        return self._source.path

    def read(self, index: int) -> View:
        """One view with its picture, and its distances where it has depth."""
        return read_view(self._source, self.info, self._frames[index])

    def close(self) -> None:
        """Let go of the files."""
        self._source.close()

    def _read_cameras(self) -> list[Camera]:
        size = self.info.resolution
        if size is None:
            height, width = self._source.read_colors(self._frames[0].name).shape[:2]
            size = (width, height)
        return [view_camera(frame, self.info, *size) for frame in self._frames]
