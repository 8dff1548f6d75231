"""The overlay with ImGui: the panel, and everything that lies over the picture."""

from __future__ import annotations

import moderngl

from viewer.controls import Action
from viewer.gui.cell_map import CellMap
from viewer.gui.imgui_host import ImguiHost
from viewer.gui.overlays import draw_help, draw_legend, draw_message, draw_numbers, draw_reticle
from viewer.gui.panel import Panel
from viewer.gui.probe_plot import draw_probe
from viewer.overlay import Scenery
from viewer.session import Session


class ImguiOverlay:
    """Lives on the thread of the GL context."""

    has_panel = True
    is_late = True

    def __init__(self, window: int | None, scale: float = 1.0) -> None:
        """Begin; as in `ImguiHost`."""
        self._host = ImguiHost(window, scale)
        self.panel = Panel()
        self._map: CellMap | None = None
        self._mapped: object = None

    def begin(self, size: tuple[int, int], now: float) -> None:
        """Start a frame."""
        self._host.begin(size, now)

    def lay_out(self, session: Session, scenery: Scenery, now: float) -> list[Action]:
        """Finish the frame."""
        viewing = session.preferences.viewing
        asked, left = [], 0.0
        if session.preferences.panel.is_open:
            asked = self.panel.draw(session, scenery)
            left = self.panel.right
        top = draw_numbers(session, scenery.facts, left) if viewing.has_hud else 0.0
        legend_height = draw_legend(session, left)
        if viewing.has_map:
            self._map_of(session).draw(session, (left, top))
        if viewing.has_cone:
            draw_reticle()
        if scenery.has_help:
            draw_help()
        if scenery.ray is not None:
            draw_probe(scenery.ray, self._host.from_pixels(scenery.ray_place))
        draw_message(session, legend_height)
        self._host.end()
        return asked

    def draw(self, target: moderngl.Framebuffer, size: tuple[int, int]) -> None:
        """Draw the frame over the picture."""
        self._host.draw(target)

    def stir(self, now: float) -> None:
        """There was input."""
        self._host.stir(now)

    def is_lively(self, now: float) -> bool:
        """Whether hovers and tooltips still move."""
        return self._host.is_lively(now)

    @property
    def owns_pointer(self) -> bool:
        """Whether the mouse is over the panel, or drags something of it."""
        return self._host.owns_pointer

    @property
    def owns_keys(self) -> bool:
        """Whether something is being typed in."""
        return self._host.owns_keys

    def close(self) -> None:
        """Give everything back."""
        self._host.close()

    def _map_of(self, session: Session) -> CellMap:
        """The map; another scene or data set has another one."""
        key = (session.cell, session.truth)
        if self._map is None or key != self._mapped:
            self._map, self._mapped = CellMap(session), key
        return self._map
