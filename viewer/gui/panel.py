"""The panel: five groups of settings, each with a reset, and what they say about themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imgui_bundle import imgui

from viewer.controls import Action
from viewer.gui import camera_group, performance_group, sampling_group, scene_group, view_group
from viewer.gui.overlays import MARGIN
from viewer.gui.widgets import Widgets
from viewer.overlay import Scenery
from viewer.preferences import GroupName
from viewer.session import Session
from viewer.workbench import Workbench

WIDTH_EMS = 21.0


@dataclass(frozen=True)
class Group:
    """One of the panel's groups.

    draw:    its widgets; returns what they ask for
    reset:   sets back what is not among the preferences
    resets:  the preferences that its reset button sets back
    """

    title: str
    draw: Callable[[Widgets, Session, Scenery], list[Action]]
    reset: Callable[[Session, Workbench], None] | None = None
    resets: GroupName | None = None


GROUPS = (
    Group("Performance", performance_group.draw, None, "performance"),
    Group("View and modes", view_group.draw, view_group.reset, "viewing"),
    Group("Sampling", sampling_group.draw, sampling_group.reset, "sampling"),
    Group("Camera and path", camera_group.draw, camera_group.reset, "flying"),
    Group("Scene", scene_group.draw, scene_group.reset),
)


class Panel:
    """The window on the left with all groups.

    right:  where it ended when it was drawn last
    """

    def __init__(self) -> None:
        self.widgets = Widgets()
        self.right = 0.0
        self._display = (0.0, 0.0)

    def draw(self, session: Session, scenery: Scenery) -> list[Action]:
        """Draw it; settings go to the session, what is left to do is returned."""
        em, display = imgui.get_font_size(), imgui.get_io().display_size
        # Wherever it was moved to: in a window of another size it might be out of reach.
        if self._display != (display.x, display.y):
            self._display = (display.x, display.y)
            imgui.set_next_window_pos(imgui.ImVec2(MARGIN, MARGIN))
        width = min(WIDTH_EMS * em, max(display.x - 2 * MARGIN, 1))
        # As high as what it holds; more than the window can show is scrolled.
        bounds = imgui.ImVec2(width, 0), imgui.ImVec2(width, max(display.y - 2 * MARGIN, 1))
        imgui.set_next_window_size_constraints(*bounds)
        asked: list[Action] = []
        flags = imgui.WindowFlags_.always_auto_resize.value
        shows, stays_open = imgui.begin("Settings (Tab)", True, flags)
        if shows:
            for group in GROUPS:
                asked += self._draw_group(group, session, scenery)
        self.right = imgui.get_window_pos().x + imgui.get_window_width()
        imgui.end()
        return asked if stays_open else [*asked, Action.PANEL]

    def _draw_group(self, group: Group, session: Session, scenery: Scenery) -> list[Action]:
        panel = session.preferences.panel
        was_open = group.title in panel.open_groups
        is_open = self.widgets.begin_group(group.title, was_open)
        if is_open != was_open:
            titles = [g.title for g in GROUPS if g.title in panel.open_groups]
            titles = [*titles, group.title] if is_open else [t for t in titles if t != group.title]
            session.prefer(session.preferences.changed("panel", open_groups=tuple(titles)))
        if not is_open:
            return []
        asked = group.draw(self.widgets, session, scenery)
        if self.widgets.button(
            "reset", f"Set everything under “{group.title}” back to how it came."
        ):
            if group.resets is not None:
                session.prefer(session.preferences.reset(group.resets))
            if group.reset is not None:
                group.reset(session, scenery.bench)
        self.widgets.end_group()
        return asked
