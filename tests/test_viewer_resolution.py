"""The resolution controller on made-up machines: what a frame costs is a function of its pixels."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from viewer.resolution import PATIENCE, RUNGS, TOLERANCE, ResolutionController, make_ladder

BUDGET = 50.0


def play(
    controller: ResolutionController, ms_per_pixel: Callable[[int], float], frames: int
) -> list[int]:
    """Render frames while moving; the rung after each."""
    rungs = []
    for frame in range(frames):
        width, height = controller.size
        controller.moving_frame(ms_per_pixel(frame) * width * height, (width, height))
        rungs.append(controller.rung)
    return rungs


def predicted_ms(controller: ResolutionController) -> float:
    ms = controller.predict_ms(controller.rung)
    assert ms is not None
    return ms


@pytest.fixture
def controller() -> ResolutionController:
    return ResolutionController(BUDGET, 800, 600)


def test_the_ladder_leads_from_full_size_to_a_tiny_picture():
    ladder = make_ladder(800, 600)

    assert len(ladder) == RUNGS
    assert ladder[0] == 1
    assert 800 * 600 * ladder[-1] ** 2 == pytest.approx(10_000)
    assert all(a > b for a, b in pairwise(ladder))


def test_a_tiny_window_is_never_made_smaller():
    assert set(make_ladder(80, 60)) == {1.0}


def test_a_fast_machine_ends_at_full_size(controller: ResolutionController):
    assert play(controller, lambda _: 1e-6, 20)[-1] == 0


def test_a_hopeless_machine_gets_the_tiny_picture(controller: ResolutionController):
    assert play(controller, lambda _: 1.0, 5)[-1] == RUNGS - 1


def test_it_finds_the_finest_rung_within_the_budget(controller: ResolutionController):
    play(controller, lambda _: 1e-3, 30)
    width, height = controller.size

    assert 0.5 * BUDGET < width * height * 1e-3 <= BUDGET


def test_it_drops_at_once_when_the_machine_gets_slower(controller: ResolutionController):
    rungs = play(controller, lambda frame: 2e-4 if frame < 30 else 1e-3, 31)
    width, height = controller.size

    assert rungs[-1] > rungs[-2]
    assert width * height * 1e-3 <= BUDGET


def test_it_rises_with_patience_when_the_machine_gets_faster(controller: ResolutionController):
    rungs = play(controller, lambda frame: 1e-3 if frame < 20 else 1e-4, 40)

    assert rungs[20 + PATIENCE - 2] == rungs[19]
    assert rungs[20 + PATIENCE] < rungs[19]


def test_noise_does_not_make_it_swing(controller: ResolutionController, rng):
    noise = rng.uniform(0.9, 1.1, 200)
    rungs = play(controller, lambda frame: 1e-3 * noise[frame], 200)

    assert len(set(rungs[50:])) == 1


def test_it_recovers_from_a_single_slow_frame(controller: ResolutionController):
    rungs = play(controller, lambda frame: 1e-2 if frame == 40 else 1e-3, 80)

    assert rungs[40] > rungs[39]
    assert rungs[-1] == rungs[39]


def test_a_wrong_prediction_does_not_make_it_swing_for_ever(controller: ResolutionController):
    # Above 100,000 pixels this machine runs out of cache and is three times slower.
    rungs = []
    for _ in range(400):
        width, height = controller.size
        cost = 3e-4 if width * height < 100_000 else 9e-4
        controller.moving_frame(cost * width * height, (width, height))
        rungs.append(controller.rung)

    changes = np.count_nonzero(np.diff(rungs[200:]))
    assert changes <= 4


def test_the_first_frame_after_a_change_is_ignored(controller: ResolutionController):
    play(controller, lambda _: 1e-3, 30)
    rung = controller.rung
    controller.resize(801, 600)
    controller.moving_frame(10_000.0, controller.size)

    assert controller.rung == rung


def test_more_samples_cost_resolution_before_a_frame_is_late(controller: ResolutionController):
    play(controller, lambda _: 1e-3, 30)
    width, height = controller.size
    controller.cost_changed(2.0)

    assert controller.size[0] * controller.size[1] <= 0.5 * width * height * 1.3
    assert predicted_ms(controller) <= BUDGET


def test_a_larger_window_keeps_the_budget(controller: ResolutionController):
    play(controller, lambda _: 1e-3, 30)
    controller.resize(1600, 1200)

    assert predicted_ms(controller) <= BUDGET


def test_a_still_picture_tells_what_the_first_movement_can_have(controller: ResolutionController):
    controller.moving_frame(900.0, controller.size)  # Warm-up, ignored.
    controller.still_frame(1e-5 * 800 * 600, (800, 600))

    assert controller.rung == 0


def test_settling_ends_at_full_size_in_few_steps(controller: ResolutionController):
    rung, steps = RUNGS - 1, 0
    while (finer := controller.next_settling_rung(rung)) is not None:
        assert finer < rung
        rung, steps = finer, steps + 1

    assert rung == 0
    assert steps <= 4


def test_a_slow_wave_of_cost_is_followed_and_a_fast_one_is_not(controller: ResolutionController):
    slow = play(controller, lambda frame: 1e-3 * (1 + 0.8 * np.sin(frame / 60)), 760)
    assert len(set(slow[100:])) > 1

    fast = play(controller, lambda frame: 1e-3 * (1 + 0.1 * (-1) ** frame), 200)
    assert len(set(fast[60:])) == 1


def test_an_oscillation_wider_than_the_dead_band_settles_on_the_safe_side(
    controller: ResolutionController,
):
    # Every other frame takes three times as long: dropping is right, rising again is not.
    rungs = play(controller, lambda frame: 3e-3 if frame % 2 else 1e-3, 400)

    assert np.count_nonzero(np.diff(rungs[100:])) == 0
    width, height = controller.size
    assert 3e-3 * width * height <= BUDGET * (1 + TOLERANCE)


def test_a_locked_size_stays_whatever_frames_take(controller: ResolutionController):
    play(controller, lambda _: 1e-3, 30)
    controller.lock(3)
    rungs = play(controller, lambda frame: 1e-5 if frame < 20 else 1.0, 40)
    controller.resize(1600, 1200)
    controller.cost_changed(10.0)

    assert set(rungs) == {3}
    assert controller.rung == 3
    assert controller.reason == "locked"


def test_unlocked_it_follows_the_budget_again(controller: ResolutionController):
    play(controller, lambda _: 1e-3, 30)
    controller.lock(0)
    play(controller, lambda _: 1e-3, 5)
    controller.unlock()

    assert predicted_ms(controller) <= BUDGET


def test_another_budget_is_followed_at_once(controller: ResolutionController):
    play(controller, lambda _: 1e-3, 30)
    before = controller.rung
    controller.set_budget(BUDGET / 4)
    assert controller.rung > before
    assert predicted_ms(controller) <= BUDGET / 4
    assert "budget" in controller.reason

    controller.set_budget(BUDGET)
    assert controller.rung == before


def test_a_change_always_has_a_reason(controller: ResolutionController):
    seen: dict[int, str] = {}
    for frame in range(60):
        width, height = controller.size
        cost = 1e-3 if frame < 20 else 1e-4 if frame < 40 else 2e-3
        controller.moving_frame(cost * width * height, (width, height))
        seen[controller.rung] = controller.reason

    assert len(seen) > 2
    assert {"room to spare"} <= set(seen.values())
    assert any("over the budget" in reason for reason in seen.values())
