"""The window library, found in the one order in which ImGui shares it.

`imgui_bundle` brings its own copy of glfw and must be imported first, so that both talk to the same
one. Without it the window works as well, without the panel.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

HAS_GUI = find_spec("imgui_bundle") is not None
if HAS_GUI:
    import_module("imgui_bundle")

import glfw  # noqa: E402

__all__ = ["HAS_GUI", "glfw"]
