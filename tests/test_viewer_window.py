"""The real window under a virtual display, steered by real key and mouse events."""

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
from viewer_scene import CELL, write_scene

VIEW = str(Path(__file__).resolve().parent.parent / "view.py")
TOOLS = ("Xvfb", "xdotool")
# A busy machine may take long; what is waited for is a state, never a time.
SECONDS = 180.0

needs_display_tools = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)),
    reason="needs Xvfb and xdotool (on Debian: apt install xvfb xdotool)",
)


class Viewer:
    """A running `view.py`, seen through its status file and steered by xdotool."""

    def __init__(self, process: subprocess.Popen[str], status: Path, display: str) -> None:
        self.process = process
        self._status = status
        self._display = display

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

    def do(self, *command: str) -> None:
        environment = os.environ | {"DISPLAY": self._display}
        subprocess.run(["xdotool", *command], check=True, env=environment, timeout=SECONDS)


@contextmanager
def virtual_display() -> Iterator[str]:
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as numbers:
            yield f":{numbers.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def viewer(folder: Path, *options: str) -> Iterator[Viewer]:
    status = folder / "status.json"
    options = ("--size", "160x120", "--device", "cpu", "--status-file", str(status), *options)
    with virtual_display() as display:
        environment = os.environ | {"DISPLAY": display, "PYGLFW_LIBRARY_VARIANT": "x11"}
        environment.pop("WAYLAND_DISPLAY", None)
        process = subprocess.Popen(
            [sys.executable, VIEW, str(write_scene(folder)), *options],
            cwd=folder,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            running = Viewer(process, status, display)
            first = running.wait_for(lambda status: status.get("frames", 0) > 0)
            if first["state"] == "filming":
                pytest.skip("no OpenGL on the virtual display (on Debian: libgl1-mesa-dri)")
            yield running
        finally:
            process.kill()
            process.communicate()


@needs_display_tools
def test_a_session_with_keys_and_mouse(tmp_path: Path):
    with viewer(tmp_path, "--captures", str(tmp_path)) as running:
        start = running.wait_settled()
        assert start["size"] == [160, 120]
        assert start["position"] == pytest.approx(CELL.center)

        running.do("keydown", "w")
        at_wall = running.wait_for(lambda status: status["position"][1] == CELL.upper[1])
        running.do("keyup", "w")
        assert CELL.lower[2] <= at_wall["position"][2] < CELL.center[2], "it looks down a little"

        frames = running.status["frames"]
        running.do(
            "mousemove", "60", "60", "mousedown", "1", "mousemove", "90", "60", "mouseup", "1"
        )
        running.wait_for(lambda status: status["frames"] > frames)

        running.do("key", "equal")
        running.wait_for(lambda status: status["samples"] == 8)
        running.do("key", "2")
        running.wait_for(lambda status: status["mode"] == "depth")

        running.do("key", "p")
        running.wait_for(lambda _: (tmp_path / "noise-0001.json").exists())
        assert json.loads((tmp_path / "noise-0001.json").read_text())["samples"] == 8

        idle = running.wait_settled()["frames"]
        assert running.status["frames"] == idle, "an idle window renders nothing"

        # Both arrive before the picture is rendered: it is saved all the same.
        running.do("key", "p", "key", "ctrl+q")
        assert running.process.wait(SECONDS) == 0
        assert (tmp_path / "noise-0002.json").exists()
        assert running.status["state"] == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a display cannot be taken away")
def test_without_a_display_the_flight_is_filmed(tmp_path: Path):
    display = {"DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"}
    environment = {name: value for name, value in os.environ.items() if name not in display}
    done = subprocess.run(
        [sys.executable, VIEW, str(write_scene(tmp_path)), "--frames", "2", "--size", "16x12"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("no window, ")
    assert "filmed to fly.mp4" in done.stderr.splitlines()[0]
    assert (tmp_path / "fly.mp4").stat().st_size > 0
    assert json.loads(done.stdout)["frames"] == 2
