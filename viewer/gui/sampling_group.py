"""Group Sampling: how many samples a ray gets, who places them, and how exact the products are."""

from __future__ import annotations

from viewer.controls import Action
from viewer.gui.widgets import Widgets
from viewer.overlay import Scenery
from viewer.preferences import Sampling
from viewer.session import Session
from viewer.workbench import Workbench

_TIPS = {name: field.description or "" for name, field in Sampling.model_fields.items()}
_PRECISIONS = ("auto", "fp32", "bf16")
_ORACLE_TIP = (
    "Off, the samples lie evenly along the ray, and there are as many more as cost the same. "
    "At a view of the data set (--data) both are compared with its picture."
)


def draw(ui: Widgets, session: Session, scenery: Scenery) -> list[Action]:
    """Draw the group."""
    changes: dict[str, object] = {}
    sampling = session.preferences.sampling
    for count in session.settings.sample_counts:
        if ui.radio(f"{count}##samples", session.chosen_samples == count, _TIPS["samples"]):
            session.choose_samples(count)
        ui.same_line()
    ui.text("samples")
    asked = []
    if ui.checkbox("oracle", session.placement == "oracle", _ORACLE_TIP) is not None:
        asked.append(Action.ORACLE)
    if session.settings.can_adapt:
        on = ui.checkbox("adaptive", sampling.adaptive, _TIPS["adaptive"])
        if on is not None:
            changes["adaptive"] = on
    if session.oracle_gap.sentence:
        ui.muted(session.oracle_gap.sentence)
    changes |= _draw_rest(ui, session)
    index = ui.choice(
        "precision", _PRECISIONS, _PRECISIONS.index(sampling.precision), _TIPS["precision"]
    )
    if index is not None:
        changes["precision"] = _PRECISIONS[index]
    ui.muted(f"renders in {scenery.facts.info.precision}")
    if changes:
        session.prefer(session.preferences.changed("sampling", **changes))
    return asked


def reset(session: Session, _: Workbench) -> None:
    """Ask the oracle again."""
    session.placement = "oracle"


def _draw_rest(ui: Widgets, session: Session) -> dict[str, object]:
    """How a picture at rest gets better; returns what has changed."""
    sampling, changes = session.preferences.sampling, {}
    counts = session.settings.sample_counts
    settled = sampling.settled_samples
    names = [f"what looks best ({session.settled_samples})", *map(str, counts)]
    current = counts.index(settled) + 1 if settled in counts else 0
    index = ui.choice("at rest", names, current, _TIPS["settled_samples"])
    if index is not None:
        changes["settled_samples"] = counts[index - 1] if index > 0 else None
    passes = ui.whole("smooth edges", sampling.passes, (1, 32), _TIPS["passes"])
    if passes is not None:
        changes["passes"] = passes
    return changes
