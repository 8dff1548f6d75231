import numpy as np
import pytest
from viewer_scene import CELL

from viewer.controls import Action
from viewer.gamepad import BUTTONS, DEAD_ZONE, Gamepad, PadInput, PadState
from viewer.pilot import Pilot

RESTING = (0.0, 0.0, 0.0, 0.0, -1.0, -1.0)


def state(axes: tuple[float, ...] = RESTING, *down: int) -> PadState:
    return PadState(tuple(i in down for i in range(15)), axes)


def test_a_pad_that_rests_asks_for_nothing():
    noise = (0.05, -DEAD_ZONE, 0.1, -0.1, -1.0, -0.95)

    assert Gamepad().read(state(noise), 0.02) == PadInput()
    assert not Gamepad().read(state(noise), 0.02).is_active


@pytest.mark.parametrize(
    ("axis", "value", "move"),
    [
        (0, 1.0, (1, 0, 0)),
        (0, -1.0, (-1, 0, 0)),
        (1, -1.0, (0, 0, 1)),
        (1, 1.0, (0, 0, -1)),
        (5, 1.0, (0, 1, 0)),
        (4, 1.0, (0, -1, 0)),
    ],
)
def test_a_full_stick_flies_at_full_speed_its_way(axis: int, value: float, move: tuple):
    axes = tuple(value if i == axis else rest for i, rest in enumerate(RESTING))
    asked = Gamepad().read(state(axes), 0.02)

    assert asked.move == pytest.approx(move)
    assert asked.is_active


def test_the_right_stick_turns_the_view_its_way():
    asked = Gamepad().read(state((0, 0, 1.0, -1.0, -1.0, -1.0)), seconds=0.5)

    assert asked.look == pytest.approx((-0.5, 0.5)), "to the right, and up"


def test_speed_grows_with_the_push_without_a_jump():
    pushes = np.linspace(0, 1, 101)
    speeds = [Gamepad().read(state((x, 0, 0, 0, -1, -1)), 0.02).move[0] for x in pushes]

    assert np.all(np.diff(speeds) >= 0)
    assert np.diff(speeds).max() < 0.03
    assert speeds[-1] == 1


def test_a_button_acts_once_while_it_is_held():
    pad = Gamepad()

    assert pad.read(state(RESTING, 0), 0.02).pressed == (Action.KEY_FRAME,)
    assert pad.read(state(RESTING, 0), 0.02).pressed == ()
    assert pad.read(state(RESTING), 0.02).pressed == ()
    assert pad.read(state(RESTING, 0, 5), 0.02).pressed == (
        Action.KEY_FRAME,
        Action.MORE_SAMPLES,
    )


def test_no_button_does_two_things():
    assert len(set(BUTTONS.values())) == len(BUTTONS)


def test_a_pad_that_is_pulled_out_lets_everything_go():
    pad = Gamepad()
    pad.read(state((1.0, 0, 0, 0, -1, -1), 0), 0.02)

    assert pad.read(None, 0.02) == PadInput()
    assert pad.read(state(RESTING, 0), 0.02).pressed == (Action.KEY_FRAME,)


def test_half_a_stick_flies_at_half_the_speed_and_a_key_adds_to_it():
    def fly(*keys: Action, stick: tuple[float, float, float]) -> np.ndarray:
        pilot = Pilot(CELL, is_free=True, now=0.0)
        for key in keys:
            pilot.press(key, 0.0)
        pilot.push_stick(stick, 0.0)
        pilot.advance(0.2)
        return pilot.pose.position - CELL.center

    half, full = fly(stick=(0.5, 0, 0)), fly(stick=(1.0, 0, 0))
    assert np.linalg.norm(half) == pytest.approx(np.linalg.norm(full) / 2)
    both = fly(Action.RIGHT, stick=(1.0, 0, 0))
    assert both == pytest.approx(full), "together they are not faster than one"


def test_a_stick_that_is_let_go_stops_and_a_pushed_one_ends_a_flight():
    pilot = Pilot(CELL, is_free=False, now=0.0)
    pilot.press(Action.FLIGHT, 0.0)
    pilot.push_stick((0, 0, 0), 0.1)
    assert pilot.is_on_flight
    pilot.push_stick((0, 0, 1.0), 0.2)
    assert pilot.is_moving and not pilot.is_on_flight
    pilot.push_stick((0, 0, 0), 0.3)
    assert not pilot.is_moving
