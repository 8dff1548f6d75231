"""Group Camera and path: where the camera stands and looks, how it flies, where it goes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from viewer.controls import Action
from viewer.fly_camera import MAX_PITCH
from viewer.gui.path_group import draw_film, draw_path
from viewer.gui.widgets import Widgets
from viewer.overlay import Scenery
from viewer.places import Places
from viewer.preferences import Flying
from viewer.session import Session
from viewer.workbench import Workbench

_TIPS = {name: field.description or "" for name, field in Flying.model_fields.items()}
_FREE_TIP = (
    "Leave the view cell and look anywhere. The networks were trained for neither: the picture is "
    "extrapolated."
)


def draw(ui: Widgets, session: Session, scenery: Scenery) -> list[Action]:
    """Draw the group."""
    _draw_pose(ui, session)
    asked = [
        action
        for label, action, tip in (
            ("home", Action.HOME, "Back to the start: place, direction and speed."),
            ("fly", Action.FLIGHT, "Start or stop the flight."),
        )
        if _button_in_row(ui, label, tip)
    ]
    if ui.checkbox("free", session.pilot.is_free, _FREE_TIP) is not None:
        asked.append(Action.FREE)
    _draw_speed(ui, session)
    if session.truth is not None:
        _draw_views(ui, session)
    _draw_places(ui, scenery.bench.places, asked)
    ui.separator("path")
    asked += draw_path(ui, scenery.bench.paths)
    ui.separator("film")
    return asked + draw_film(ui, scenery.bench.film)


def reset(session: Session, bench: Workbench) -> None:
    """Back into the cell; films as they come."""
    bench.reset_films()
    if session.pilot.is_free:
        session.pilot.set_free(False)


def _draw_places(ui: Widgets, places: Places, asked: list[Action]) -> None:
    """Bookmarks and copied poses."""
    for label, action, tip in (
        ("bookmark", Action.BOOKMARK, "Key B: remember this place."),
        (f"next of {len(places.bookmarks)}", Action.NEXT_BOOKMARK, "Key N: go to it."),
        ("copy pose", Action.COPY_POSE, "Ctrl+C: as JSON, for Ctrl+V here or elsewhere."),
        ("paste pose", Action.PASTE_POSE, "Ctrl+V: go to a pose that was copied."),
    ):
        if ui.button(f"{label}##{action.name}", tip):
            asked.append(action)
        if action is not Action.PASTE_POSE:
            ui.same_line()


def _button_in_row(ui: Widgets, label: str, tip: str) -> bool:
    is_pressed = ui.button(label, tip)
    ui.same_line()
    return is_pressed


def _draw_pose(ui: Widgets, session: Session) -> None:
    pilot, frame = session.pilot, session.pilot.frame
    step = session.cell.diagonal / 300
    position = ui.vector(
        "position", pilot.pose.position.tolist(), step, "In the world, scene units: x, y, z."
    )
    if position is not None:
        place = np.array(position)
        place = place if pilot.is_free else session.cell.clamp(place)
        pilot.stand(replace(pilot.pose, position=place))
    for name, middle, half, limit in (
        ("yaw", 0.0, frame.cone[0], math.pi),
        ("pitch", frame.base_pitch, frame.cone[1], MAX_PITCH),
    ):
        low, high = (-limit, limit) if pilot.is_free else (middle - half, middle + half)
        bounds = math.degrees(max(low, -limit)), math.degrees(min(high, limit))
        tip = "Degrees, to the left of straight ahead." if name == "yaw" else "Degrees, upwards."
        angle = ui.slider(name, math.degrees(getattr(pilot.pose, name)), bounds, tip, "%.1f°")
        if angle is not None:
            pilot.stand(replace(pilot.pose, **{name: math.radians(angle)}))


def _draw_speed(ui: Widgets, session: Session) -> None:
    flying = session.preferences.flying
    factor = ui.slider(
        "speed", flying.speed_factor, (0.1, 10), _TIPS["speed_factor"], "x %.2f", True
    )
    if factor is not None:
        session.prefer(session.preferences.changed("flying", speed_factor=factor))
    factor = ui.slider("mouse", flying.look_factor, (0.1, 5), _TIPS["look_factor"], "x %.2f", True)
    if factor is not None:
        session.prefer(session.preferences.changed("flying", look_factor=factor))
    ui.muted(f"{session.pilot.speed_now:.2g} scene units a second")


def _draw_views(ui: Widgets, session: Session) -> None:
    """Steps through the views of the data set."""
    assert session.truth is not None, "there is a data set"
    index, count = session.view_index, len(session.truth)
    shown = 0 if index is None else index
    chosen = ui.whole(
        "view", shown, (0, count - 1), "Stand where a picture of the data set was taken."
    )
    if chosen is not None:
        session.stand_at(chosen)
    if index is not None:
        ui.muted(session.truth.names[index])
