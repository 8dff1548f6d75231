"""Input for ImGui from a window that does not tell it by itself."""

from __future__ import annotations

from imgui_bundle import imgui

_BUTTONS = {"MOUSE_LEFT": 0, "MOUSE_RIGHT": 1, "MOUSE_MIDDLE": 2}
_MODIFIERS = {
    "LEFT_CONTROL": imgui.Key.mod_ctrl,
    "RIGHT_CONTROL": imgui.Key.mod_ctrl,
    "LEFT_SHIFT": imgui.Key.mod_shift,
    "RIGHT_SHIFT": imgui.Key.mod_shift,
    "LEFT_ALT": imgui.Key.mod_alt,
    "RIGHT_ALT": imgui.Key.mod_alt,
}
_OTHER_NAMES = {
    "LEFT": "left_arrow",
    "RIGHT": "right_arrow",
    "UP": "up_arrow",
    "DOWN": "down_arrow",
    "LEFT_CONTROL": "left_ctrl",
    "RIGHT_CONTROL": "right_ctrl",
    "KP_SUBTRACT": "keypad_subtract",
    "KP_ADD": "keypad_add",
}


class ImguiInput:
    """Passes input on to the current ImGui context, keys by their glfw names."""

    def hear_pointer(self, x: float, y: float) -> None:
        """The mouse is at a pixel from the top left."""
        imgui.get_io().add_mouse_pos_event(x, y)

    def hear_button(self, place: str, is_down: bool) -> None:
        """A mouse button went down or up."""
        imgui.get_io().add_mouse_button_event(_BUTTONS[place], is_down)

    def hear_wheel(self, notches: float) -> None:
        """The wheel turned, up is positive."""
        imgui.get_io().add_mouse_wheel_event(0.0, notches)

    def hear_key(self, place: str, is_down: bool) -> None:
        """A key went down or up; one that ImGui does not know is ignored."""
        io = imgui.get_io()
        if place in _MODIFIERS:
            io.add_key_event(_MODIFIERS[place], is_down)
        key = _key(place)
        if key is not None:
            io.add_key_event(key, is_down)

    def hear_text(self, text: str) -> None:
        """Characters were typed."""
        imgui.get_io().add_input_characters_utf8(text)


def _key(place: str) -> imgui.Key | None:
    name = _OTHER_NAMES.get(place, place.lower())
    if place.isdigit():
        name = f"_{place}"
    elif place.startswith("KP_") and place not in _OTHER_NAMES:
        name = "keypad" + place.removeprefix("KP_").lower()
    return getattr(imgui.Key, name, None)
