"""What is remembered of a user: written whole, read carefully, never in the way."""

from pathlib import Path

import pytest

from viewer.preferences import (
    Preferences,
    Viewing,
    load_preferences,
    preferences_path,
    save_changes,
)


@pytest.fixture
def path() -> Path:
    return preferences_path()


def test_without_a_file_everything_is_as_it_came(path: Path):
    assert load_preferences(path) == (Preferences(), "")


def test_what_was_changed_is_found_again(path: Path):
    after = Preferences().changed("viewing", exposure_ev=1.5, background=(0.1, 0.2, 0.3))
    save_changes(path, Preferences(), after)

    assert load_preferences(path) == (after, "")


def test_nothing_changed_writes_nothing(path: Path):
    save_changes(path, Preferences(), Preferences())

    assert not path.exists()


def test_an_option_of_one_command_line_is_not_remembered(path: Path):
    started = Preferences().changed("sampling", samples=2)
    save_changes(path, started, started.changed("viewing", has_box=True))
    again, _ = load_preferences(path)

    assert again.viewing.has_box
    assert again.sampling.samples == Preferences().sampling.samples


def test_two_windows_keep_each_others_changes(path: Path):
    save_changes(path, Preferences(), Preferences().changed("viewing", has_box=True))
    save_changes(path, Preferences(), Preferences().changed("sampling", passes=4))
    again, _ = load_preferences(path)

    assert again.viewing.has_box and again.sampling.passes == 4


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "JSON"),
        ("[]", "it: "),
        ('{"sampling": {"samples": "many"}}', "sampling.samples"),
        ('{"viewing": {"exposure_ev": 1e9}}', "viewing.exposure_ev"),
        ('{"viewing": {"exposure_ev": NaN}}', "viewing.exposure_ev"),
        ('{"performance": {"locked_rung": 99}}', "performance.locked_rung"),
        ('{"viewing": {"background": [0, 0, 9]}}', "viewing.background"),
    ],
)
def test_a_bad_file_is_ignored_with_a_note(path: Path, text: str, part: str):
    path.parent.mkdir(parents=True)
    path.write_text(text)
    preferences, note = load_preferences(path)

    assert preferences == Preferences()
    assert str(path) in note and part in note
    assert "\n" not in note


def test_a_folder_in_the_files_place_is_ignored_with_a_note(path: Path):
    path.mkdir(parents=True)
    preferences, note = load_preferences(path)

    assert preferences == Preferences()
    assert "were not used" in note


def test_a_key_of_a_newer_version_is_no_reason_to_forget_the_others(path: Path):
    path.parent.mkdir(parents=True)
    path.write_text('{"viewing": {"has_box": true, "has_holograms": true}, "holograms": {}}')
    preferences, note = load_preferences(path)

    assert preferences.viewing.has_box
    assert note == ""


def test_a_bad_file_is_replaced_when_something_is_set(path: Path):
    path.parent.mkdir(parents=True)
    path.write_text("{")
    save_changes(path, Preferences(), Preferences().changed("viewing", has_box=True))

    assert load_preferences(path)[1] == ""


def test_reset_concerns_one_group():
    changed = Preferences().changed("viewing", has_box=True).changed("sampling", samples=8)

    assert changed.reset("viewing").viewing == Viewing()
    assert changed.reset("viewing").sampling.samples == 8


def test_every_setting_explains_itself():
    for group in ("performance", "viewing", "sampling", "flying"):
        fields = type(getattr(Preferences(), group)).model_fields
        assert all(field.description for field in fields.values()), group


def test_what_films_and_pictures_are_like_is_found_again(path: Path):
    after = Preferences().changed("saving", film_size=(640, 480), film_kind=".gif", film_fps=12)
    save_changes(path, Preferences(), after)

    assert load_preferences(path) == (after, "")
