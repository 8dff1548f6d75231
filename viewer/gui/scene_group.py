"""Group Scene: what is shown, where it comes from, and what renders it."""

from __future__ import annotations

from viewer.controls import Action
from viewer.gui.widgets import Widgets
from viewer.overlay import Scenery
from viewer.session import Session
from viewer.workbench import Workbench

_SIZES: tuple[tuple[int, int] | None, ...] = (None, (800, 600), (1920, 1080), (3840, 2160))
_PICTURE_TIP = "Key P: the picture as PNG, and beside it its pose and settings as JSON."
_COMPARE_TIP = (
    "Key C: split the picture and render the right part otherwise: with other samples, in the "
    "other precision, or as the data set has it. Drop a scene file on the right part to compare "
    "with it."
)


def draw(ui: Widgets, session: Session, scenery: Scenery) -> list[Action]:
    """Draw the group."""
    facts, bench = scenery.facts, scenery.bench
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
    if bench.training:
        ui.text(bench.training)
        if ui.button("stop watching", "Keep what is shown, whatever the training writes."):
            bench.stop_watching()
    return _draw_comparison(ui, bench) + _draw_picture(ui, bench)


def reset(_: Session, bench: Workbench) -> None:
    """One picture, in the window's size."""
    bench.reset_pictures()


def _draw_comparison(ui: Widgets, bench: Workbench) -> list[Action]:
    """Which two pictures stand side by side."""
    comparison = bench.comparison
    asked = []
    if ui.button("compare", _COMPARE_TIP):
        asked.append(Action.COMPARE)
    ui.same_line()
    ui.text(f"with {comparison.kind}" if comparison.kind is not None else "off")
    if comparison.is_on:
        place = ui.slider("divider", comparison.divider, (0.02, 0.98), "Or drag the line itself.")
        if place is not None:
            comparison.drag_to(place)
    return asked


def _draw_picture(ui: Widgets, bench: Workbench) -> list[Action]:
    """How pictures are saved."""
    size = bench.capture_size
    sizes = list(_SIZES) if size in _SIZES else [*_SIZES, size]
    names = ["as the window" if one is None else f"{one[0]}x{one[1]}" for one in sizes]
    index = ui.choice("picture size", names, sizes.index(size), "Pixels of pictures to save.")
    if index is not None:
        bench.capture_size = sizes[index]
    on = ui.checkbox("raw depth", bench.wants_depth, "Save the distances beside the picture, too.")
    if on is not None:
        bench.wants_depth = on
    return [Action.SCREENSHOT] if ui.button("save picture", _PICTURE_TIP) else []
