"""Group Performance: the time budget, the resolution that follows it, and why it does."""

from __future__ import annotations

import numpy as np
from imgui_bundle import imgui

from viewer.controls import Action
from viewer.gui.widgets import Widgets
from viewer.hud import Facts, size_of_moving
from viewer.overlay import Scenery
from viewer.preferences import Performance
from viewer.resolution import RUNGS
from viewer.session import Session

_TIPS = {name: field.description or "" for name, field in Performance.model_fields.items()}


def draw(ui: Widgets, session: Session, scenery: Scenery) -> list[Action]:
    """Draw the group."""
    performance = session.preferences.performance
    changes: dict[str, object] = {}
    ms = ui.slider("budget", session.budget_ms, (4, 500), _TIPS["budget_ms"], "%.0f ms", True)
    if ms is not None:
        changes["budget_ms"] = ms
    on = ui.checkbox("choose samples, too", performance.chooses_samples, _TIPS["chooses_samples"])
    if on is not None:
        changes["chooses_samples"] = on
    if performance.chooses_samples and session.dial is not None:
        ui.muted(session.dial.sentence)
    rung = performance.locked_rung
    index = ui.choice(
        "moving size", _sizes(session), 0 if rung is None else rung + 1, _TIPS["locked_rung"]
    )
    if index is not None:
        changes["locked_rung"] = index - 1 if index > 0 else None
    # Lines of their own, always there: nothing below moves while numbers change.
    ui.line(size_of_moving(session))
    ui.line(session.resolution.reason)
    for label, name in (("refine at rest", "refines"), ("vertical sync", "has_vsync")):
        on = ui.checkbox(label, getattr(performance, name), _TIPS[name])
        if on is not None:
            changes[name] = on
    _plot_ms(scenery.facts)
    if changes:
        session.prefer(session.preferences.changed("performance", **changes))
    return []


def _sizes(session: Session) -> list[str]:
    resolution, names = session.resolution, ["follows the budget"]
    for rung in range(RUNGS):
        width, height = resolution.size_at(rung)
        names.append(f"{width}x{height} ({round(100 * resolution.ladder[rung])} %)")
    return names


def _plot_ms(facts: Facts) -> None:
    """The last frame times, the newest on the right."""
    ms = facts.clock.frame_ms
    size = imgui.ImVec2(-1, 3 * imgui.get_font_size())
    top = 1.2 * float(np.max(ms, initial=1.0))
    imgui.plot_lines("##ms", ms, overlay_text="ms", scale_min=0, scale_max=top, graph_size=size)
