"""Group Scene: what is shown, where it comes from, and what renders it."""

from __future__ import annotations

from viewer.controls import Action
from viewer.gui.widgets import Widgets
from viewer.hud import Facts
from viewer.session import Session


def draw(ui: Widgets, session: Session, facts: Facts) -> list[Action]:
    """Draw the group."""
    metadata, info, cell = facts.scene.metadata, facts.info, session.cell
    ui.text(facts.scene.name, str(facts.scene.path or "never saved"))
    if metadata.credits:
        ui.muted(metadata.credits)
    if metadata.license:
        ui.muted(f"license: {metadata.license}")
    size = " x ".join(f"{edge:g}" for edge in cell.size)
    yaw, pitch = cell.view_rotation_deg
    ui.text(
        f"view cell {size}, directions {yaw:.0f}° x {pitch:.0f}°",
        "The box that the camera stays in, scene units, and the widths of the trained cone.",
    )
    if session.settings.psnr:
        decibels = ", ".join(f"{count}: {db:.1f}" for count, db in session.settings.psnr.items())
        ui.text(f"PSNR by samples: {decibels} dB", "On the test views, as the file states it.")
    ui.text(f"{info.backend} on {info.device_name} ({info.device}), {info.precision}")
    ui.text(f"to the window: {facts.transfer.way} transfer", facts.transfer.reason)
    if session.truth is not None:
        ui.text(f"data set: {session.truth.path}, {len(session.truth)} views")
    return (
        [Action.SCREENSHOT] if ui.button("save picture", "Key P: and beside it its pose.") else []
    )
