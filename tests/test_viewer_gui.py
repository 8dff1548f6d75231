"""The whole interface off the screen: every widget clicked, every key pressed, what is drawn."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from golden import check_picture
from viewer_cockpit import ALL_OPEN, Flight, flight, scene_with_data

from viewer.controls import BINDINGS, Action
from viewer.gui.panel import GROUPS
from viewer.gui.widgets import Place
from viewer.preferences import Preferences, Saving
from viewer.render_modes import RenderMode

# Moving pictures are small whatever the window: a test of widgets need not wait for large ones.
QUICK = ALL_OPEN.changed("performance", refines=False)
TALL = (760, 1800)
# Nothing but the picture, and little to refine.
BARE = (
    Preferences()
    .changed("panel", is_open=False)
    .changed("viewing", has_hud=False, has_map=False)
    .changed("sampling", settled_samples=4, passes=2)
)
# Alone among widgets they have nothing to change as the viewer starts.
IDLE = (
    *("View and modes/1 color", "Sampling/4##samples", "Sampling/oracle"),
    *("Camera and path/home", "Camera and path/remove", "Camera and path/undo"),
    *("Camera and path/redo", "Camera and path/save", "Camera and path/paste pose##PASTE_POSE"),
    *("Camera and path/next of 0##NEXT_BOOKMARK", "Performance/choose samples, too"),
    # It takes a moment.
    "Scene/save picture",
)
COMBOS = ("moving size", "at rest", "precision", "film size", "film kind", "picture size")


@pytest.fixture
def tall(tmp_path: Path) -> Iterator[Flight]:
    """A window in which every widget has room."""
    scene, truth = scene_with_data(tmp_path)
    with flight(tmp_path, scene, truth, TALL, QUICK) as started:
        started.step(3)
        started.wait_for(lambda: started.session.shown is not None)
        yield started


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Flight]:
    """A window without a panel, that settles at once."""
    scene, truth = scene_with_data(tmp_path)
    with flight(tmp_path, scene, truth, (320, 240), BARE) as started:
        started.settle()
        yield started


def state_of(flying: Flight) -> tuple[object, ...]:
    """All that a widget or a key may change."""
    session, bench = flying.session, flying.bench
    pose = session.pilot.pose
    return (
        session.preferences,
        (session.mode, session.placement, session.message, session.view_index),
        (tuple(pose.position), pose.yaw, pose.pitch),
        (session.pilot.is_free, session.pilot.is_on_flight, session.pilot.speed_now),
        (bench.paths.timeline.path, bench.film.choice, bench.film.is_busy),
        (bench.comparison.kind, bench.comparison.divider, bench.capture_size, bench.wants_depth),
        (flying.window.is_full_screen, flying.window.text, len(bench.places.bookmarks)),
        flying.cockpit.loop.has_help,
    )


def use(flying: Flight, label: str) -> None:
    """Click a widget so that it should change something."""
    place = flying.places[label]
    if label.endswith("position"):
        flying.drag(place, 0.1, 0.2)
        return
    flying.click(place, 0.2)
    if label.rpartition("/")[2] in COMBOS:
        # Its list has opened below; the second line is another value.
        row = place.bottom - place.top
        line = Place(place.left, place.bottom + row, place.left + 60, place.bottom + 2.2 * row)
        flying.click(line)
    if label.endswith("background"):
        # A click beside it closes the list of colors.
        flying.click(Place(TALL[0] - 20, 300, TALL[0] - 10, 310))


def test_every_widget_does_something(tall: Flight):
    labels = list(tall.places)
    idle = []
    for label in labels:
        if label not in tall.places or label.endswith("/header"):
            continue
        before = state_of(tall)
        use(tall, label)
        if state_of(tall) == before and tall.bench.film.is_busy is False:
            idle.append(label)
        assert tall.session.error is None, label
        if tall.bench.film.is_busy:
            tall.key("ESCAPE")
            tall.wait_for(lambda: not tall.bench.film.is_busy)

    assert len(labels) > 55
    assert set(idle) - {"View and modes/background"} <= set(IDLE)
    tall.wait_for(lambda: "saved" in tall.session.message)
    assert tall.window.context.error == "GL_NO_ERROR"


# Their effect is not a state, or there is nothing for them to do at first.
QUIET_KEYS = (
    *(Action.RELEASE, Action.REMOVE_KEY_FRAME, Action.UNDO, Action.REDO, Action.SAVE_PATH),
    *(Action.SHOW_COLOR, Action.HOME, Action.LOOK, Action.LOOK_CAPTURED, Action.SCREENSHOT),
    *(Action.PROBE, Action.PASTE_POSE, Action.NEXT_BOOKMARK),
)


def test_every_key_of_the_table_does_something(small: Flight):
    bindings = [binding for binding in BINDINGS if binding.action is not Action.QUIT]
    small.hover(160, 120)
    busy = set()
    for binding in bindings:
        for place in binding.inputs:
            before = state_of(small)
            small.window.press(place, is_control=binding.needs_control)
            small.step()
            small.window.wait(0.02)
            small.step(2)
            if state_of(small) != before:
                busy.add(binding.action)
            small.window.release(place)
            small.step(2)
            if small.bench.film.is_busy:
                small.key("ESCAPE")
                small.wait_for(lambda: not small.bench.film.is_busy)
            assert small.session.error is None, binding.label
    small.key("Q", is_control=True)

    assert small.window.is_closing
    assert {binding.action for binding in bindings} - busy <= set(QUIET_KEYS)
    assert small.window.context.error == "GL_NO_ERROR"


def test_the_panel_keeps_its_clicks_and_the_picture_its_own(tall: Flight):
    yaw = tall.session.pilot.pose.yaw
    tall.drag(tall.places["Performance/budget"], 0.1, 0.5)
    assert tall.session.pilot.pose.yaw == yaw

    budget = tall.session.budget_ms
    tall.drag(Place(400, 800, 700, 900), 0.1, 0.9)
    assert tall.session.pilot.pose.yaw != yaw
    assert tall.session.budget_ms == budget


def test_a_drag_that_began_on_the_picture_ends_over_the_panel(tall: Flight):
    tall.hover(600, 800)
    tall.window.press("MOUSE_LEFT")
    tall.step(2)
    tall.hover(100, 100)
    tall.window.release("MOUSE_LEFT")
    tall.step(2)
    yaw = tall.session.pilot.pose.yaw
    tall.hover(600, 800)

    assert tall.session.pilot.pose.yaw == yaw


def test_keys_are_ignored_while_a_number_is_typed(tall: Flight):
    place = tall.places["Performance/budget"]
    tall.hover(place.left + 20, (place.top + place.bottom) / 2)
    tall.window.press("LEFT_CONTROL", is_control=True)
    tall.step(2)
    tall.click(place, 0.2)
    tall.window.release("LEFT_CONTROL")
    tall.step(2)
    assert tall.overlay.owns_keys

    for digit in "123":
        tall.window.press(digit)
        tall.window.type_text(digit)
        tall.step(2)
        tall.window.release(digit)
    tall.key("P")
    assert tall.session.mode is RenderMode.COLOR, "3 shows the oracle's depth at other times"
    tall.key("ENTER")
    tall.step(2)

    assert not tall.overlay.owns_keys
    assert tall.session.budget_ms == pytest.approx(123)


def test_letting_go_of_a_flying_key_over_the_panel_stops(tall: Flight):
    tall.hover(600, 800)
    tall.window.press("D")
    tall.step(2)
    assert tall.session.pilot.is_moving
    tall.hover(100, 100)
    tall.window.release("D")
    tall.step()

    assert not tall.session.pilot.is_moving


def test_a_tooltip_comes_after_a_while_and_the_window_then_rests(tall: Flight):
    place = tall.places["Performance/budget"]
    before = tall.pixels()
    tall.hover(place.left + 20, (place.top + place.bottom) / 2)
    tall.wait_for(lambda: not tall.overlay.is_lively(time.monotonic()))
    below = np.abs(tall.pixels().astype(int) - before)[round(place.bottom) :]
    assert below.max() > 50

    tall.rest()
    drawn = tall.window.presented
    for _ in range(20):
        tall.step()
    assert tall.window.presented == drawn, "nothing is drawn while nothing happens"


def test_a_message_has_its_full_size_when_the_window_rests(small: Flight):
    small.session.note("short", time.monotonic())
    small.rest()
    small.session.note("something that takes far more room than that", time.monotonic())
    small.rest()
    shown = small.window.pixels()

    assert np.array_equal(small.pixels(), shown)


def test_tab_hides_the_panel_and_all_is_picture(tmp_path: Path):
    bare = BARE.changed("panel", is_open=True)
    with flight(tmp_path, size=(320, 240), preferences=bare) as flying:
        flying.wait_for(lambda: flying.session.shown is not None)
        with_panel = flying.pixels()
        flying.key("TAB")
        without = flying.pixels()

    assert not flying.session.preferences.panel.is_open
    assert np.abs(with_panel.astype(int) - without).max() > 100
    # What is left is the noise of untrained networks: no text, no edges.
    assert np.abs(np.diff(without.astype(int), axis=1)).max() < 30


def test_the_cross_of_the_panel_hides_it_too(tall: Flight):
    header = tall.places["Performance/header"]
    tall.click(Place(header.right - 6, 12, header.right + 4, 24))

    assert not tall.session.preferences.panel.is_open


def test_closing_a_group_is_remembered(tall: Flight):
    tall.click(tall.places["Sampling/header"])

    assert "Sampling" not in tall.session.preferences.panel.open_groups
    assert len(tall.session.preferences.panel.open_groups) == len(GROUPS) - 1
    tall.click(tall.places["Sampling/header"])
    assert "Sampling" in tall.session.preferences.panel.open_groups


def test_reset_sets_a_group_back_and_no_other(tall: Flight):
    use(tall, "View and modes/exposure")
    use(tall, "View and modes/view cell")
    use(tall, "Performance/budget")
    tall.key("2")
    assert tall.session.mode is RenderMode.DEPTH
    # With its first picture this mode has two widgets more, and what is below them moves.
    tall.wait_for(lambda: "View and modes/far" in tall.places)
    tall.click(tall.places["View and modes/reset"])

    assert tall.session.preferences.viewing == Preferences().viewing
    assert tall.session.mode is RenderMode.COLOR
    assert tall.session.preferences.performance.budget_ms is not None


def test_films_and_pictures_are_set_back_with_their_groups(tall: Flight):
    use(tall, "Camera and path/film kind")
    use(tall, "Scene/raw depth")
    chosen = tall.bench.saving
    assert (chosen.film_kind, chosen.wants_depth) == (".gif", True)
    tall.click(tall.places["Camera and path/reset"])
    tall.click(tall.places["Scene/reset"])

    assert tall.bench.saving == Saving()


def test_the_precision_is_switched_while_flying(tall: Flight):
    assert tall.bench.info.precision == "fp32"
    generation = tall.session.shown.request.generation if tall.session.shown else 0
    tall.session.prefer(tall.session.preferences.changed("sampling", precision="bf16"))
    tall.wait_for(lambda: tall.bench.info.precision == "bf16")
    tall.wait_for(
        lambda: (
            tall.session.shown is not None and tall.session.shown.request.generation > generation
        )
    )

    assert tall.cockpit.worker.info.precision == "bf16"


def test_help_lies_over_the_picture_until_esc(small: Flight):
    before = small.pixels()
    small.key("H")
    shown = small.pixels()
    small.key("ESCAPE")

    assert np.abs(shown.astype(int) - before).mean() > 10
    assert np.abs(small.pixels().astype(int) - before).mean() < 1


def test_ctrl_over_a_pixel_probes_its_ray(small: Flight):
    before = small.pixels()
    small.hover(200, 100)
    small.window.press("LEFT_CONTROL", is_control=True)
    small.wait_for(lambda: small.cockpit.loop.ray is not None)
    ray = small.cockpit.loop.ray
    assert ray is not None
    color = before[100, 200] / 255
    plotted = small.pixels()
    small.window.release("LEFT_CONTROL")
    small.step(2)

    assert ray.color == pytest.approx(color, abs=0.06)
    assert np.abs(plotted.astype(int) - before).max() > 100
    assert small.cockpit.loop.ray is None


def test_the_probe_follows_the_pointer_and_the_newest_place_wins(small: Flight):
    small.window.press("LEFT_CONTROL", is_control=True)
    for x in range(100, 220, 10):
        small.hover(x, 50, turns=1)
    small.wait_for(
        lambda: (
            small.cockpit.loop.ray is not None
            and small.cockpit.loop.ray.place == pytest.approx((210 / 320, 50 / 240))
        )
    )


def test_key_8_goes_to_a_view_and_shows_its_error(small: Flight):
    small.key("8")
    small.settle()
    shown = small.session.shown

    assert small.session.view_index is not None
    assert shown is not None and shown.psnr is not None
    assert shown.request.mode is RenderMode.ERROR

    small.key("W")
    small.wait_for(lambda: small.session.shown_mode is RenderMode.COLOR)
    assert small.session.mode is RenderMode.ERROR, "the error comes back at the next view"
    small.key("RIGHT_BRACKET")
    small.settle()
    assert small.session.shown_mode is RenderMode.ERROR


def test_the_oracles_worth_is_told_at_a_view_of_the_data_set(small: Flight):
    small.key("RIGHT_BRACKET")
    small.settle()
    small.key("O")
    small.wait_for(lambda: "the oracle gains" in small.session.message)

    assert small.session.placement == "uniform"
    assert "at equal cost" in small.session.message


def test_preferences_survive_the_window(tmp_path: Path):
    from viewer.preferences import load_preferences, preferences_path, save_changes

    with flight(tmp_path, size=(320, 240), preferences=QUICK) as flying:
        flying.step(3)
        flying.key("EQUAL")
        save_changes(preferences_path(), QUICK, flying.session.preferences)
    again, note = load_preferences(preferences_path())

    assert note == ""
    assert again.sampling.samples == 8
    assert again.performance.refines, "what the start had is not remembered"
    assert json.loads(preferences_path().read_text())["sampling"]["samples"] == 8


def test_the_window_looks_as_it_did(tmp_path: Path):
    still = QUICK.changed("viewing", has_hud=False, has_box=True, has_cone=True)
    with flight(tmp_path, size=(480, 720), preferences=still) as flying:
        # Of the picture nothing but a color: what is compared is what lies over it.
        flying.wait_for(lambda: flying.session.shown is not None)
        flying.session.prefer(flying.session.preferences.changed("viewing", exposure_ev=-4.0))
        flying.step(3)
        check_picture("window", flying.pixels(), mean=2.0)
