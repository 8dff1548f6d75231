"""A session on a made-up clock, with a machine that renders in no time."""

from pathlib import Path

import numpy as np
import pytest
from viewer_scene import CELL, make_scene

from donerf.renderer import RendererInfo, StageTimes
from donerf.scene_file import with_metadata
from viewer.controls import Action
from viewer.preferences import Preferences
from viewer.render_modes import RenderMode
from viewer.rendering import Picture, RenderRequest
from viewer.session import (
    MESSAGE_SECONDS,
    SETTLE_SECONDS,
    Session,
    SessionSettings,
    session_settings,
)
from viewer.worker import Cancelled, Failure, Saved

WINDOW = (800, 600)


@pytest.fixture
def session() -> Session:
    settings = SessionSettings(modes=(RenderMode.COLOR, RenderMode.DEPTH))
    return Session(CELL, settings, WINDOW, now=0.0)


def picture_of(request: RenderRequest, ms: float = 10.0) -> Picture:
    times = StageTimes(oracle_ms=0.2 * ms, shading_ms=0.8 * ms, total_ms=ms)
    k = request.camera.intrinsics
    return Picture(request, np.zeros((k.height, k.width, 4), np.uint8), ms, request.samples, times)


def show(session: Session, now: float) -> RenderRequest:
    """Ask for the next picture, which must be wanted, and deliver it."""
    request = session.next_request(now)
    assert request is not None
    assert session.take_result(picture_of(request), now)
    return request


def settle(session: Session, now: float) -> None:
    while session.state != "settled":
        now += SETTLE_SECONDS
        show(session, now)


def test_the_first_picture_is_wanted_at_once_and_small(session: Session):
    request = session.next_request(0.0)

    assert request is not None
    assert request.is_moving
    assert request.camera.intrinsics.width < 200


def test_a_still_view_settles_to_full_size_and_then_rests(session: Session):
    show(session, 0.0)
    assert session.state == "settling"
    assert session.next_request(SETTLE_SECONDS / 2) is None
    assert session.seconds_to_wait(0.0) == pytest.approx(SETTLE_SECONDS)
    settle(session, 0.0)

    assert session.shown is not None
    assert session.shown.request.camera.intrinsics.width == WINDOW[0]
    assert session.next_request(99.0) is None
    assert session.seconds_to_wait(99.0) is None, "an idle viewer sleeps until something happens"


def test_input_while_settling_asks_for_a_moving_picture_at_once(session: Session):
    show(session, 0.0)
    refinement = session.next_request(1.0)
    assert refinement is not None
    assert not refinement.is_moving
    session.pilot.look(0.1, 0.0, 1.1)
    request = session.next_request(1.1)

    assert request is not None
    assert request.is_moving


def test_a_refinement_that_gave_way_to_a_capture_is_asked_for_again(session: Session):
    show(session, 0.0)
    refinement = session.next_request(1.0)
    assert refinement is not None
    session.take_result(Cancelled(refinement), 1.1)
    again = session.next_request(1.2)

    assert again is not None
    assert again.rung == refinement.rung


def test_a_held_key_keeps_the_pictures_coming(session: Session):
    settle(session, 0.0)
    session.press(Action.FORWARD, 10.0)
    assert session.seconds_to_wait(10.0) == pytest.approx(1 / 60)
    first = show(session, 10.1)
    second = show(session, 10.2)

    assert first.is_moving
    assert second.is_moving
    assert second.camera.position[1] > first.camera.position[1]


def test_a_key_held_against_a_wall_settles(session: Session):
    session.press(Action.FORWARD, 0.0)
    for now in np.arange(0.0, 10.0, 0.1):
        if (request := session.next_request(now)) is not None:
            session.take_result(picture_of(request), now)

    assert session.shown is not None
    assert session.shown.request.rung == 0


def test_samples_step_through_powers_of_two(session: Session):
    for _ in range(9):
        session.press(Action.MORE_SAMPLES, 0.0)
    assert session.samples == 16
    session.press(Action.FEWER_SAMPLES, 0.0)
    assert session.samples == 8


def test_more_samples_make_moving_pictures_smaller(session: Session):
    settle(session, 0.0)
    for now in np.arange(10.0, 12.0, 0.1):
        session.pilot.look(0.001, 0.0, now)
        if (request := session.next_request(now)) is not None:
            pixels = request.camera.intrinsics.width * request.camera.intrinsics.height
            session.take_result(picture_of(request, ms=1e-3 * pixels), now)
    before = session.resolution.size
    session.press(Action.MORE_SAMPLES, 13.0)

    assert session.resolution.size < before


def test_a_mode_that_the_renderer_lacks_is_refused_in_words(session: Session):
    session.press(Action.SHOW_DEPTH, 0.0)
    assert session.mode is RenderMode.DEPTH
    session.press(Action.SHOW_ENTROPY, 0.0)

    assert session.mode is RenderMode.DEPTH
    assert "entropy" in session.message


def test_a_message_is_forgotten_in_time(session: Session):
    session.note("hello", 0.0)
    session.forget_message(MESSAGE_SECONDS / 2)
    assert session.message
    session.forget_message(MESSAGE_SECONDS)
    assert not session.message


def test_a_failure_becomes_a_message_over_the_last_good_picture(session: Session):
    show(session, 0.0)
    good = session.shown
    request = session.next_request(1.0)
    assert request is not None
    session.take_result(Failure(request, "out of memory"), 1.0)

    assert session.shown is good
    assert session.error == "rendering failed: out of memory"
    assert session.next_request(2.0) is None, "what has failed is not tried again and again"

    session.pilot.look(0.1, 0.0, 3.0)
    show(session, 3.0)
    assert session.error is None


def test_a_failure_of_an_older_request_does_not_stop_the_settling(session: Session):
    show(session, 0.0)
    session.pilot.look(0.1, 0.0, 1.0)
    older = session.next_request(1.0)
    assert older is not None
    session.pilot.look(0.1, 0.0, 1.1)
    newer = session.next_request(1.1)
    assert newer is not None
    session.take_result(Failure(older, "out of memory"), 1.2)
    session.take_result(picture_of(newer), 1.3)

    assert session.state == "settling"
    settle(session, 1.3)
    assert session.shown is not None
    assert session.shown.request.camera.intrinsics.width == WINDOW[0]


def test_a_minimized_window_renders_nothing(session: Session):
    session.resize(0, 0)

    assert session.state == "minimized"
    assert session.next_request(0.0) is None
    assert session.seconds_to_wait(0.0) is None


def test_a_window_of_another_shape_gets_a_new_picture(session: Session):
    settle(session, 0.0)
    session.resize(300, 600)
    request = session.next_request(10.0)

    assert request is not None
    intrinsics = request.camera.intrinsics
    assert intrinsics.width / intrinsics.height == pytest.approx(0.5, rel=0.05)


def test_a_capture_has_the_full_size_whatever_is_moving(session: Session):
    session.press(Action.FORWARD, 0.0)
    show(session, 0.1)
    request = session.capture()

    assert (request.camera.intrinsics.width, request.camera.intrinsics.height) == WINDOW
    assert not session.take_result(Saved(request, Path("a.png")), 0.2), "not for the screen"
    assert session.message == "saved a.png"


@pytest.mark.parametrize("is_full_while_moving", [False, True])
def test_the_oracles_worth_is_told_once_it_was_switched_off(is_full_while_moving: bool):
    settings = SessionSettings(
        (RenderMode.COLOR,), placements=("oracle", "uniform"), oracle_cost=1.4
    )
    rung = 0 if is_full_while_moving else None
    preferences = Preferences().changed("performance", locked_rung=rung)
    session = Session(CELL, settings, (80, 60), now=0.0, preferences=preferences)
    settle(session, 0.0)
    session.press(Action.ORACLE, 10.0)
    assert session.samples == 5, "what the oracle costs goes into samples"
    settle(session, 10.0)

    assert "S = 4 with the oracle and S = 5 without" in session.message


def test_adaptive_counts_are_rendered_at_once_and_not_without_the_oracle():
    settings = SessionSettings(
        (RenderMode.COLOR,), placements=("oracle", "uniform"), can_adapt=True
    )
    session = Session(CELL, settings, WINDOW, now=0.0)
    settle(session, 0.0)
    session.prefer(session.preferences.changed("sampling", adaptive=True))
    assert show(session, 10.0).adaptive
    settle(session, 10.0)
    assert session.capture().adaptive
    session.press(Action.ORACLE, 20.0)

    assert not show(session, 20.0).adaptive


def test_a_renderer_that_cannot_adapt_is_not_asked_to(session: Session):
    session.prefer(session.preferences.changed("sampling", adaptive=True))

    assert not show(session, 0.0).adaptive


def test_a_scene_that_was_measured_with_other_counts_has_no_dial():
    scene = with_metadata(make_scene(), quality={"psnr": {"3": 25.0}})
    info = RendererInfo("test", "cpu", "test", "fp32", frozenset(), None, ("oracle",))

    assert session_settings(info, scene, has_truth=False).quality is None
