from pathlib import Path

import pytest

from viewer.controls import BINDINGS, Action, Input, actions_of, find_binding, help_text


def action_of(place: str, letter: str | None = None, is_control: bool = False) -> Action | None:
    binding = find_binding(Input(place, letter, is_control))
    return binding.action if binding is not None else None


def test_flying_goes_by_the_places_of_keys():
    # On a French keyboard the key left of S prints Q, and the one above it prints Z.
    assert action_of("A", letter="Q") is Action.LEFT
    assert action_of("W", letter="Z") is Action.FORWARD


def test_shortcuts_go_by_the_letters_on_keys():
    # The French key that prints Q lies where the US keyboard has A.
    assert action_of("A", letter="Q", is_control=True) is Action.QUIT
    assert action_of("Q", letter="A", is_control=True) is None


def test_a_keyboard_without_latin_letters_is_read_by_place():
    assert action_of("Q", letter="Й", is_control=True) is Action.QUIT


def test_control_never_flies():
    assert action_of("W", is_control=True) is None


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda binding: binding.label)
def test_no_two_lines_of_the_table_collide(binding):
    for place in binding.inputs:
        pressed = Input(place, place, binding.needs_control)
        assert [other for other in BINDINGS if other.matches(pressed)] == [binding]


def test_every_action_has_a_key_and_every_key_a_line_of_help():
    assert {binding.action for binding in BINDINGS} == set(Action)
    assert all(f"{b.label} " in help_text() and b.meaning in help_text() for b in BINDINGS)


def test_the_docs_page_shows_the_same_table():
    page = Path(__file__).resolve().parent.parent / "docs/viewer.md"

    assert help_text() in page.read_text(encoding="utf-8"), "copy `view.py --help-keys` into it"


def test_letting_go_ends_what_is_held_whatever_else_is_down():
    assert actions_of("W") == {Action.FORWARD}
    assert actions_of("P") == frozenset()
