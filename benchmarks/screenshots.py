"""Make the pictures of docs/viewer.md and docs/viewer-tools.md: each mode, the window, its tools.

python benchmarks/screenshots.py --data data/courtyard

They are taken off the screen, from the same loop that runs in the window.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from donerf import load_scene, make_renderer
from donerf.assets import default_scene
from donerf.files import write_atomically
from viewer.cockpit import Cockpit, CockpitOptions
from viewer.film_desk import FilmChoice
from viewer.fly_camera import FlyPose
from viewer.ground_truth import open_ground_truth
from viewer.gui.imgui_input import ImguiInput
from viewer.gui.imgui_overlay import ImguiOverlay
from viewer.offscreen import OffscreenWindow
from viewer.preferences import Preferences
from viewer.session import MODE_ACTIONS, session_settings
from viewer.transfer import make_ladder
from viewer.workbench import BenchOptions

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
WINDOW = (1280, 800)
MODE_SIZE = (480, 360)
TOOLS_SIZE = (900, 600)
PLACE = FlyPose(np.array([-1.25, -4.9, 1.75]), yaw=-0.12, pitch=-0.12)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "courtyard")
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument(
        "--what", nargs="+", choices=tuple(KINDS), default=tuple(KINDS), help="which of them"
    )
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        # As for someone new: no bookmarks yet.
        os.environ["XDG_CONFIG_HOME"] = folder
        for what in options.what:
            KINDS[what](options.data, options.out)


def take_modes(data: Path, out: Path) -> None:
    """The eight modes side by side, each with its legend."""
    bare = Preferences().changed("panel", is_open=False)
    bare = bare.changed("viewing", has_map=False, has_hud=False)
    studio = Studio(data, MODE_SIZE, bare)
    tiles = []
    for action in MODE_ACTIONS:
        studio.cockpit.session.press(action, time.monotonic())
        studio.settle()
        tiles.append(studio.picture())
    studio.close()
    rows = [np.concatenate(tiles[i : i + 2], axis=1) for i in range(0, len(tiles), 2)]
    save(np.concatenate(rows), out / "viewer-modes.webp")


def take_windows(data: Path, out: Path) -> None:
    """The window as it comes, with a probed ray, with the cell and a path."""
    # A few passes are enough to look at.
    studio = Studio(data, WINDOW, Preferences().changed("sampling", passes=3))
    studio.settle()
    save(studio.picture(), out / "viewer-window.webp")
    studio.key("TAB")
    studio.window.move_pointer(0.42 * WINDOW[0], 0.34 * WINDOW[1])
    studio.window.press("LEFT_CONTROL", is_control=True)
    studio.wait_for(lambda: studio.cockpit.loop.ray is not None)
    save(studio.picture(), out / "viewer-probe.webp")
    studio.window.release("LEFT_CONTROL")
    studio.show_limits()
    studio.settle()
    save(studio.picture(), out / "viewer-limits.webp")
    studio.close()


def take_tools(data: Path, out: Path) -> None:
    """The picture split against ground truth, and a film of a path while it is made."""
    bare = Preferences().changed("panel", is_open=False)
    bare = bare.changed("viewing", has_map=False, has_hud=False)
    studio = Studio(data, TOOLS_SIZE, bare.changed("sampling", samples=1))
    session, bench = studio.cockpit.session, studio.cockpit.bench
    session.stand_at(4)
    bench.comparison.with_truth()
    studio.settle()
    save(studio.picture(), out / "viewer-split.webp")
    bench.comparison.stop()
    session.prefer(Preferences().changed("panel", open_groups=("Camera and path",)))
    for index in (0, 1, 5, 8):
        session.stand_at(index)
        bench.paths.add_key_frame()
    studio.settle()
    with TemporaryDirectory() as folder:
        bench.paths.folder = Path(folder)
        studio.window.press("E", is_control=True)
        studio.wait_for(lambda: (bench.film.progress.frames if bench.film.progress else 0) > 40)
        save(studio.picture(), out / "viewer-film.webp")
        studio.close()


KINDS: dict[str, Callable[[Path, Path], None]] = {
    "modes": take_modes,
    "windows": take_windows,
    "tools": take_tools,
}


def save(pixels: np.ndarray, path: Path) -> None:
    """Write a picture for the documentation."""
    image = Image.fromarray(pixels)
    write_atomically(path, lambda beside: image.save(beside, format="WEBP", quality=82))
    print(path)


class Studio:
    """The viewer off the screen, standing at the place of the pictures."""

    def __init__(self, data: Path, size: tuple[int, int], preferences: Preferences) -> None:
        scene = load_scene(default_scene())
        truth = open_ground_truth(data, "test", scene.cells[0].cell)
        renderer = make_renderer(scene)
        info = renderer.info
        self.window = OffscreenWindow(*size)
        overlay = ImguiOverlay(None)
        self.window.listener = ImguiInput()
        options = CockpitOptions(
            session_settings(info, scene, has_truth=True),
            preferences,
            BenchOptions(Path(), FilmChoice((640, 480))),
            make_ladder(info.device, "auto", lambda: None),
            truth,
        )
        self.cockpit = Cockpit(self.window, overlay, scene, renderer, options)
        self.cockpit.session.pilot.stand(PLACE)

    def step(self) -> None:
        """One turn of the loop."""
        self.cockpit.loop.step(time.monotonic())

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Go on until something holds."""
        while not what():
            self.window.wait(0.02)
            self.step()

    def settle(self) -> None:
        """Wait for the finished picture."""
        self.step()
        self.wait_for(lambda: self.cockpit.session.state == "settled")

    def key(self, place: str) -> None:
        """Press and let go."""
        self.window.press(place)
        self.step()
        self.window.release(place)
        self.step()

    def show_limits(self) -> None:
        """The edges of the cell and the trained directions, from a corner of the cell."""
        session = self.cockpit.session
        session.prefer(session.preferences.changed("viewing", has_box=True, has_cone=True))
        lower, upper = session.cell.lower, session.cell.upper
        corner = (
            np.array([upper[0], lower[1], upper[2]]) * 0.97 + np.array(session.cell.center) * 0.03
        )
        session.pilot.stand(FlyPose(corner, yaw=0.5, pitch=-0.2))

    def picture(self) -> np.ndarray:
        """What the window shows, without messages that pass."""
        self.cockpit.session.message = ""
        self.window.needs_redraw = True
        self.step()
        return self.window.pixels()

    def close(self) -> None:
        """End the viewer."""
        self.cockpit.close()


if __name__ == "__main__":
    main()
