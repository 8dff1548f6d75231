"""Measure the viewer itself: what its interface costs, how soon it answers, what it leaves behind.

python benchmarks/viewer_interface.py
python benchmarks/viewer_interface.py --what interface leaks

Writes benchmarks/results/viewer_interface.json. All but `window`, which needs Xvfb, runs off the
screen on whatever OpenGL there is.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from donerf import Scene, load_scene, make_renderer
from donerf.assets import asset
from donerf.evaluation.quality import machine
from donerf.files import write_text
from viewer.cockpit import Cockpit, CockpitOptions
from viewer.controls import BINDINGS, Action
from viewer.film_desk import FilmChoice
from viewer.gui.imgui_input import ImguiInput
from viewer.gui.imgui_overlay import ImguiOverlay
from viewer.gui.panel import GROUPS
from viewer.offscreen import OffscreenWindow
from viewer.preferences import PanelState, Preferences
from viewer.session import session_settings
from viewer.surface import Surface
from viewer.transfer import make_ladder
from viewer.workbench import BenchOptions

ROOT = Path(__file__).resolve().parent.parent
SCENE = asset("assets/courtyard.donerf")
RESULTS = ROOT / "benchmarks" / "results" / "viewer_interface.json"
ALL_OPEN = Preferences(panel=PanelState(open_groups=tuple(group.title for group in GROUPS)))
LEAN = ALL_OPEN.changed("performance", refines=False)
MEGABYTE = 1 << 20
M_ARENA_MAX = -8
WARM_CONTEXTS = 10
STILL_SECONDS = 10.0
SOAK_SECONDS = 600.0
SOAK_STEP = 1 / 20


def main() -> None:
    """Measure what is asked for; the rest keeps its earlier results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", nargs="+", choices=PARTS, default=list(PARTS))
    report = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in parser.parse_args().what:
        with tempfile.TemporaryDirectory() as folder:
            # The bookmarks that random input sets are nobody's.
            os.environ["XDG_CONFIG_HOME"] = folder
            # Each in a process of its own: none pays for the memory and the threads of another.
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                report[name] = process.submit(PARTS[name]).result()
        print(name, json.dumps(report[name], indent=1))
        write_text(RESULTS, json.dumps(report | {"machine": machine()}, indent=1) + "\n")


W = TypeVar("W", bound=Surface)


class Rig(Generic[W]):
    """The viewer with the default scene in a window, mostly one off the screen."""

    def __init__(self, window: W, preferences: Preferences, address: int | None = None) -> None:
        """address:  of glfw's window, for ImGui; None off the screen"""
        self.scene = load_scene(SCENE)
        self.renderer = renderer = make_renderer(self.scene, device="cpu")
        self.window = window
        self.overlay = ImguiOverlay(address)
        if isinstance(window, OffscreenWindow):
            window.listener = ImguiInput()
        options = CockpitOptions(
            session_settings(renderer.info, self.scene, has_truth=False),
            preferences,
            BenchOptions(Path(os.environ["XDG_CONFIG_HOME"]), FilmChoice((64, 48))),
            make_ladder(renderer.info.device, "auto", lambda: None),
        )
        self.cockpit = Cockpit(window, self.overlay, self.scene, renderer, options)
        self.session = self.cockpit.session

    def step(self, now: float | None = None) -> None:
        """One turn of the loop."""
        self.cockpit.loop.step(time.monotonic() if now is None else now)

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Go on until something holds."""
        while not what():
            self.window.wait(0.005)
            self.step()

    def wait_settled(self) -> None:
        """Go on until there is nothing left to refine."""
        self.step()
        self.wait_for(lambda: self.session.state == "settled")

    def close(self) -> None:
        """End the viewer."""
        self.cockpit.close()
        self.renderer.close()


def measure_interface() -> dict[str, Any]:
    """Milliseconds of interface work a frame with all groups open, rasterization left out."""
    rig = Rig(OffscreenWindow(1280, 1000), ALL_OPEN.changed("performance", refines=False))
    rig.wait_for(lambda: rig.session.shown is not None)
    spent: list[float] = []
    begin, lay_out = rig.overlay.begin, rig.overlay.lay_out

    def timed_begin(*arguments: Any) -> None:
        start = time.perf_counter()
        begin(*arguments)
        spent.append((time.perf_counter() - start) * 1000)

    def timed_lay_out(*arguments: Any) -> list[Action]:
        start = time.perf_counter()
        asked = lay_out(*arguments)
        spent[-1] += (time.perf_counter() - start) * 1000
        return asked

    rig.overlay.begin, rig.overlay.lay_out = timed_begin, timed_lay_out  # type: ignore[method-assign]
    for frame in range(600):
        rig.window.move_pointer(50 + frame % 200, 50 + frame)
        rig.step()
    opengl = str(rig.window.context.info["GL_RENDERER"])
    rig.close()
    warm = spent[100:]
    return {
        "frames": len(warm),
        "ms_median": round(statistics.median(warm), 3),
        "ms_99": round(sorted(warm)[int(0.99 * len(warm))], 3),
        "opengl": opengl,
    }


def measure_answer() -> dict[str, Any]:
    """From a key press in the midst of a long refinement to the picture that follows it."""
    rig = Rig(OffscreenWindow(1280, 800), Preferences().changed("panel", is_open=False))
    rig.wait_for(lambda: rig.session.shown is not None)
    milliseconds, pictures = [], []
    for press in range(24):
        rig.wait_for(lambda: rig.session.state == "settling" and rig.session.is_refining)
        # Somewhere in the midst of it.
        end = time.monotonic() + 0.05 * (press % 6)
        rig.wait_for(lambda end=end: time.monotonic() > end)
        before, shown = rig.session.pilot.pose, rig.cockpit.loop.frames
        start = time.perf_counter()
        rig.window.press("A" if press % 2 else "D")
        rig.wait_for(lambda before=before: _is_answered(rig, before))
        milliseconds.append((time.perf_counter() - start) * 1000)
        pictures.append(rig.cockpit.loop.frames - shown)
        rig.window.release("A" if press % 2 else "D")
        rig.step()
    rig.close()
    # The first movements also find the size that keeps the budget.
    return {
        "presses": len(milliseconds) - 4,
        "ms_median": round(statistics.median(milliseconds[4:]), 1),
        "ms_max": round(max(milliseconds[4:]), 1),
        "pictures_max": max(pictures[4:]),
    }


def _is_answered(rig: Rig[Any], before: Any) -> bool:
    shown = rig.session.shown
    if shown is None or not shown.request.is_moving:
        return False
    return bool(np.any(shown.request.camera.position != before.position))


def measure_leaks() -> dict[str, Any]:
    """What resizes, file swaps and opened and closed contexts leave in memory, off the screen."""
    _use_one_heap()
    report = _leaks_of(Rig(OffscreenWindow(320, 240), LEAN))
    contexts = _growth(50 + WARM_CONTEXTS, WARM_CONTEXTS, lambda _: _open_and_close())
    return report | {"megabytes_after_50_contexts": contexts}


def measure_window_leaks() -> dict[str, Any]:
    """What resizes and file swaps of the real window leave in memory."""
    _use_one_heap()
    with _virtual_display() as settings:
        if settings is None:
            return {"skipped": "needs Xvfb"}
        os.environ.update(settings)
        from viewer.window import Window

        window = Window("leaks", 320, 240)
        return _leaks_of(Rig(window, LEAN, window.address))


def _leaks_of(rig: Rig[Any]) -> dict[str, Any]:
    rig.wait_for(lambda: rig.session.shown is not None)
    resizes = _growth(1000, 100, lambda i: _resize(rig, i))
    scenes = [
        load_scene(ROOT / "assets" / f"{name}.donerf") for name in ("living_room", "courtyard")
    ]
    swaps = _growth(200, 100, lambda i: _swap(rig, scenes[i % 2]))
    error = rig.window.context.error
    rig.close()
    return {
        "megabytes_after_1000_resizes": resizes,
        "megabytes_after_200_swaps": swaps,
        "gl_error": error,
    }


def _use_one_heap() -> None:
    """Have all threads share one: the gaps that each leaves in its own would hide a leak."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def _growth(count: int, warm: int, act: Callable[[int], None]) -> float:
    """Megabytes that memory grows by from `warm` on."""
    before = 0
    for i in range(count):
        act(i)
        if i == warm:
            before = _resident()
    return round((_resident() - before) / MEGABYTE, 2)


def _resident() -> int:
    """Bytes that are in use; what the C library keeps for the next tile is none."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _resize(rig: Rig[Any], i: int) -> None:
    rig.window.resize(200 + 7 * i % 300, 150 + 11 * i % 250)
    shown = rig.cockpit.loop.frames
    rig.wait_for(lambda: rig.cockpit.loop.frames > shown)


def _swap(rig: Rig[Any], scene: Scene) -> None:
    rig.cockpit.bench.show(scene)
    rig.wait_for(lambda: rig.cockpit.bench.scene is scene)


def _open_and_close() -> None:
    rig = Rig(OffscreenWindow(160, 120), Preferences().changed("performance", refines=False))
    rig.wait_for(lambda: rig.session.shown is not None)
    rig.close()


def measure_stillness() -> dict[str, Any]:
    """What goes on once the picture has settled and nobody touches anything."""
    rig = Rig(OffscreenWindow(640, 480), ALL_OPEN.changed("sampling", passes=2))
    rig.step()
    rig.window.press("D")
    end = time.monotonic() + 3
    rig.wait_for(lambda: time.monotonic() > end)
    rig.window.release("D")
    rig.wait_settled()
    pictures, drawn = rig.cockpit.loop.frames, rig.window.presented
    sizes, end = [rig.session.resolution.size], time.monotonic() + STILL_SECONDS
    while time.monotonic() < end:
        rig.window.wait(0.02)
        rig.step()
        sizes.append(rig.session.resolution.size)
    changes = sum(a != b for a, b in pairwise(sizes))
    report = {
        "seconds": STILL_SECONDS,
        "resolution_changes": changes,
        "pictures_rendered": rig.cockpit.loop.frames - pictures,
        "windows_drawn": rig.window.presented - drawn,
    }
    rig.close()
    return report


def measure_soak() -> dict[str, Any]:
    """Ten minutes of random input on a clock that runs ahead: where the camera was."""
    rig = Rig(OffscreenWindow(96, 72), Preferences().changed("performance", refines=False))
    dice = random.Random(0)
    keys = [b for b in BINDINGS if b.action not in (Action.QUIT, Action.FREE, Action.FILM)]
    cell, now, outside, nonsense, steps = rig.session.cell, time.monotonic(), 0, 0, 0
    end = now + SOAK_SECONDS
    while now < end:
        now += SOAK_STEP
        binding = dice.choice(keys)
        place = dice.choice(binding.inputs)
        if dice.random() < 0.5:
            rig.window.press(place, is_control=binding.needs_control)
        else:
            rig.window.release(place)
        rig.window.move_pointer(dice.uniform(0, 96), dice.uniform(0, 72))
        rig.step(now)
        pose = rig.session.pilot.pose
        outside += not cell.contains(pose.position)
        nonsense += not np.isfinite([*pose.position, pose.yaw, pose.pitch]).all()
        steps += 1
    error = rig.window.context.error
    rig.close()
    return {
        "minutes": SOAK_SECONDS / 60,
        "steps": steps,
        "outside_the_cell": outside,
        "not_finite": nonsense,
        "gl_error": error,
        "session_error": rig.session.error,
    }


def measure_window() -> dict[str, Any]:
    """The real window: how soon it shows something, and what it costs when it has settled."""
    with _virtual_display() as settings:
        if settings is None:
            return {"skipped": "needs Xvfb"}
        starts = [_run_window(settings) for _ in range(3)]
    return {
        "seconds_to_first_picture": statistics.median(start[0] for start in starts),
        "seconds_of_torch_import": _torch_import(),
        "percent_of_a_core_when_settled": statistics.median(start[1] for start in starts),
    }


@contextmanager
def _virtual_display() -> Iterator[dict[str, str] | None]:
    """A display for the real window: the environment that leads to it; None without Xvfb."""
    if shutil.which("Xvfb") is None:
        yield None
        return
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x800x24"]
    server = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    with os.fdopen(reader) as numbers:
        display = f":{numbers.readline().strip()}"
    try:
        yield {"DISPLAY": display, "PYGLFW_LIBRARY_VARIANT": "x11"}
    finally:
        server.terminate()
        server.wait()


def _run_window(display: dict[str, str]) -> tuple[float, float]:
    """(seconds to the first picture, percent of a core while settled) of one run."""
    with tempfile.TemporaryDirectory() as folder:
        status = Path(folder) / "status.json"
        settings = display | {"XDG_CONFIG_HOME": folder}
        # It settles sooner without smooth edges; what it costs afterwards is the same.
        preferences = Path(folder) / "donerf-viewer" / "preferences.json"
        write_text(preferences, json.dumps({"sampling": {"passes": 1}}))
        command = [sys.executable, str(ROOT / "view.py"), str(SCENE), "--device", "cpu"]
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--status-file", str(status)], cwd=folder, env=os.environ | settings
        )
        try:
            _wait_status(status, lambda said: said.get("frames", 0) > 0)
            first = time.perf_counter() - start
            _wait_status(status, lambda said: said.get("state") == "settled")
            time.sleep(2)
            before, start = _cpu_seconds(process.pid), time.perf_counter()
            time.sleep(10)
            load = (_cpu_seconds(process.pid) - before) / (time.perf_counter() - start)
        finally:
            process.kill()
            process.wait()
    return round(first, 2), round(100 * load, 2)


def _wait_status(path: Path, what: Callable[[dict[str, Any]], bool]) -> None:
    while not (path.exists() and what(json.loads(path.read_text()))):
        time.sleep(0.01)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _torch_import() -> float:
    code = (
        "import time; start = time.perf_counter(); import torch; print(time.perf_counter() - start)"
    )
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    return round(statistics.median(times), 2)


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "interface": measure_interface,
    "answer": measure_answer,
    "stillness": measure_stillness,
    "leaks": measure_leaks,
    "window_leaks": measure_window_leaks,
    "soak": measure_soak,
    "window": measure_window,
}

if __name__ == "__main__":
    main()
