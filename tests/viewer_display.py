"""The real viewer in a window on a virtual display: steered by xdotool and by dropped files, seen
through its status file.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VIEW = str(ROOT / "view.py")
TOOLS = ("Xvfb", "xdotool")
# A busy machine may take long; what is waited for is a state, never a time.
SECONDS = 180.0

needs_display_tools = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)),
    reason="needs Xvfb and xdotool (on Debian: apt install xvfb xdotool)",
)


class Viewer:
    """A running `view.py`, seen through its status file and steered by xdotool."""

    def __init__(
        self, process: subprocess.Popen[str], status: Path, display: str, server: subprocess.Popen
    ) -> None:
        self.process = process
        self.server = server
        self._status = status
        self._environment = os.environ | {"DISPLAY": display}

    @property
    def status(self) -> dict:
        try:
            return json.loads(self._status.read_text())
        except FileNotFoundError:
            return {}

    def wait_for(self, what: Callable[[dict], bool]) -> dict:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if what(status := self.status):
                return status
            if self.process.poll() is not None and not what(self.status):
                pytest.fail(f"the viewer ended: {self.process.communicate()[1]}")
            time.sleep(0.02)
        pytest.fail(f"waited in vain, last status {self.status}")

    def wait_settled(self) -> dict:
        return self.wait_for(lambda status: status.get("state") == "settled")

    def wait_said(self, part: str) -> dict:
        return self.wait_for(lambda status: part in status.get("message", ""))

    def do(self, *command: str) -> None:
        subprocess.run(["xdotool", *command], check=True, env=self._environment, timeout=SECONDS)

    def resize(self, width: int, height: int) -> None:
        self.do("getwindowfocus", "windowsize", str(width), str(height))

    def drop(self, path: Path, x: int = 10, y: int = 10) -> None:
        """Drop a file or folder on a pixel of the window, as a file manager does."""
        subprocess.run(
            [sys.executable, str(ROOT / "tests/x11_drop.py"), str(path), str(x), str(y)],
            check=True,
            env=self._environment,
            timeout=SECONDS,
        )


@contextmanager
def virtual_display() -> Iterator[tuple[str, subprocess.Popen]]:
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as numbers:
            yield f":{numbers.readline().strip()}", server
    finally:
        server.terminate()
        server.wait()


@contextmanager
def viewer(folder: Path, *options: str) -> Iterator[Viewer]:
    """A window with the scene or whatever else the options name; its settings are its own."""
    status = folder / "status.json"
    options = ("--size", "160x120", "--device", "cpu", "--status-file", str(status), *options)
    with virtual_display() as (display, server):
        environment = os.environ | {
            "DISPLAY": display,
            "PYGLFW_LIBRARY_VARIANT": "x11",
            "XDG_CONFIG_HOME": str(folder / "settings"),
        }
        environment.pop("WAYLAND_DISPLAY", None)
        process = subprocess.Popen(
            [sys.executable, VIEW, *options],
            cwd=folder,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            running = Viewer(process, status, display, server)
            first = running.wait_for(lambda status: status.get("frames", 0) > 0)
            if first["state"] == "filming":
                pytest.skip("no OpenGL on the virtual display (on Debian: libgl1-mesa-dri)")
            yield running
        finally:
            process.kill()
            process.communicate()
