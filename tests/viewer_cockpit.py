"""The whole viewer on a GL context without a display, steered by a test: clicks, keys, pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from viewer_scene import make_scene, write_data

from donerf import Scene, load_scene, make_renderer
from viewer.cockpit import Cockpit, CockpitOptions
from viewer.film_desk import FilmChoice
from viewer.ground_truth import GroundTruth, open_ground_truth
from viewer.gui.imgui_input import ImguiInput
from viewer.gui.imgui_overlay import ImguiOverlay
from viewer.gui.panel import GROUPS
from viewer.gui.widgets import Place
from viewer.offscreen import OffscreenWindow
from viewer.overlay import Overlay
from viewer.plain_overlay import PlainOverlay
from viewer.preferences import PanelState, Preferences
from viewer.session import session_settings
from viewer.transfer import make_ladder
from viewer.workbench import BenchOptions

SECONDS = 60.0
SIZE = (640, 900)
ALL_OPEN = Preferences(panel=PanelState(open_groups=tuple(group.title for group in GROUPS)))


class Flight:
    """A cockpit, and hands on its mouse and keys."""

    def __init__(self, cockpit: Cockpit, window: OffscreenWindow, overlay: Overlay) -> None:
        self.cockpit = cockpit
        self.session = cockpit.session
        self.bench = cockpit.bench
        self.window = window
        self.overlay = overlay

    @property
    def places(self) -> dict[str, Place]:
        """Where the panel's widgets are."""
        assert isinstance(self.overlay, ImguiOverlay)
        return self.overlay.panel.widgets.places

    def step(self, turns: int = 1) -> None:
        for _ in range(turns):
            self.cockpit.loop.step(time.monotonic())

    def wait_for(self, what: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not what():
            assert time.monotonic() < end, f"waited in vain; it says: {self.session.message}"
            self.window.wait(0.01)
            self.step()

    def settle(self) -> None:
        self.step(2)
        self.wait_for(lambda: self.session.state == "settled")
        self.step(2)

    def rest(self) -> None:
        """Go on until nothing is drawn any more."""
        drawn = -1
        while drawn != self.window.presented:
            drawn = self.window.presented
            # Longer than the loop waits before it draws anything once more.
            time.sleep(0.3)
            self.step()

    def click(self, place: Place, share: float = 0.5) -> None:
        """Press and let go on a widget, at a share of its width."""
        self.window.move_pointer(*_middle(place, share))
        self.step()
        self.window.press("MOUSE_LEFT")
        self.step()
        self.window.release("MOUSE_LEFT")
        self.step()

    def drag(self, place: Place, start: float, end: float) -> None:
        """Press on a widget and let go elsewhere on it, shares of its width."""
        self.window.move_pointer(*_middle(place, start))
        self.step()
        self.window.press("MOUSE_LEFT")
        self.step()
        self.window.move_pointer(*_middle(place, end))
        self.step()
        self.window.release("MOUSE_LEFT")
        self.step()

    def hover(self, x: float, y: float, turns: int = 3) -> None:
        self.window.move_pointer(x, y)
        self.step(turns)

    def key(self, place: str, letter: str | None = None, is_control: bool = False) -> None:
        """Press and let go."""
        self.window.press(place, letter, is_control)
        self.step()
        self.window.release(place)
        self.step()

    def pixels(self) -> np.ndarray:
        self.window.needs_redraw = True
        self.step()
        return self.window.pixels()


def _middle(place: Place, share: float) -> tuple[float, float]:
    return place.left + share * (place.right - place.left), (place.top + place.bottom) / 2


@contextmanager
def flight(
    folder: Path,
    scene: Scene | None = None,
    truth: GroundTruth | None = None,
    size: tuple[int, int] = SIZE,
    preferences: Preferences = ALL_OPEN,
    is_plain: bool = False,
) -> Iterator[Flight]:
    """The viewer with a scene; skips the test where there is no OpenGL."""
    scene = scene or make_scene()
    try:
        window = OffscreenWindow(*size)
    except Exception as error:
        pytest.skip(f"no OpenGL through EGL here ({error}); libegl1 and libgl1-mesa-dri give it")
    if is_plain:
        overlay: Overlay = PlainOverlay(window.context)
    else:
        overlay = ImguiOverlay(None)
        window.listener = ImguiInput()
    renderer = make_renderer(scene, "cpu", "fp32")
    info = renderer.info
    options = CockpitOptions(
        session_settings(info, scene, truth is not None),
        preferences,
        BenchOptions(folder, FilmChoice((16, 12), fps=2)),
        make_ladder(info.device, "auto", lambda: None),
        truth,
    )
    cockpit = Cockpit(window, overlay, scene, renderer, options)
    try:
        yield Flight(cockpit, window, overlay)
    finally:
        cockpit.close()
        renderer.close()


def scene_with_data(folder: Path) -> tuple[Scene, GroundTruth]:
    """A small scene and its data set."""
    data, file = write_data(folder)
    scene = load_scene(file)
    return scene, open_ground_truth(data, "test", scene.cells[0].cell)
