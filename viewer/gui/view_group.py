"""Group View and modes: what the picture shows, how bright, and what lies over it."""

from __future__ import annotations

from viewer.coloring import ends_in_look
from viewer.controls import BINDINGS, Action
from viewer.gui.widgets import Widgets
from viewer.overlay import Scenery
from viewer.preferences import Viewing
from viewer.render_modes import RenderMode
from viewer.session import MODE_ACTIONS, Session
from viewer.workbench import Workbench

_TIPS = {name: field.description or "" for name, field in Viewing.model_fields.items()}
_OVERLAYS = (
    ("numbers", "has_hud"),
    ("map", "has_map"),
    ("view cell", "has_box"),
    ("trained cone", "has_cone"),
)


def draw(ui: Widgets, session: Session, scenery: Scenery) -> list[Action]:
    """Draw the group."""
    asked = [
        action
        for number, (action, mode) in enumerate(MODE_ACTIONS.items(), 1)
        if _draw_mode(ui, session, number, action, mode)
    ]
    if session.mode is not session.shown_mode:
        ui.warning("There is no picture to compare with here; [ and ] go to one.")
    viewing = session.preferences.viewing
    changes: dict[str, object] = {}
    stops = ui.slider("exposure", viewing.exposure_ev, (-4, 4), _TIPS["exposure_ev"], "%+.1f EV")
    if stops is not None:
        changes["exposure_ev"] = stops
    if session.shown_mode.is_distance:
        changes |= _draw_depth_range(ui, session)
    color = ui.color("background", viewing.background, _TIPS["background"])
    if color is not None:
        changes["background"] = color
    for label, name in _OVERLAYS:
        on = ui.checkbox(label, getattr(viewing, name), _TIPS[name])
        if on is not None:
            changes[name] = on
    if changes:
        session.prefer(session.preferences.changed("viewing", **changes))
    return asked


def reset(session: Session, _: Workbench) -> None:
    """Show colors again."""
    session.mode = RenderMode.COLOR


def _draw_mode(
    ui: Widgets, session: Session, number: int, action: Action, mode: RenderMode
) -> bool:
    """One of the modes; True when it was chosen."""
    meaning = next(binding.meaning for binding in BINDINGS if binding.action is action)
    if number % 2 == 0:
        ui.same_line_at(0.5)
    is_offered = mode in session.settings.modes
    tip = f"Key {number}: {meaning}." + ("" if is_offered else " There is no data for it.")
    return ui.radio(f"{number} {mode.replace('-', ' ')}", session.mode is mode, tip, is_offered)


def _draw_depth_range(ui: Widgets, session: Session) -> dict[str, object]:
    """The ends of the ramp of distances; returns what has changed."""
    near, far = session.cell.depth_range
    bounds = (max(near, far / 1000) / 4, far * 2)
    shown = session.shown
    ends = ends_in_look(shown.ends, session.look) if shown is not None else None
    if ends is None or not ends.is_logarithmic:
        return {}
    changes: dict[str, object] = {}
    for name, value in (("near", ends.low), ("far", ends.high)):
        distance = ui.slider(name, value, bounds, _TIPS[name], "%.2f", True)
        if distance is not None:
            changes[name] = distance
    return changes
