"""What OpenGL can do here, tried in a process of its own, so that a driver may crash.

    python -m viewer.gl_probe

prints one JSON object. `donerf doctor` reads it.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def probe() -> dict[str, Any]:
    """Open a window, or else a context without one; say what it is.

    returns:  'window': why there is none, or None; 'egl': likewise without a display, not tried
              where there is a window; 'vendor', 'renderer', 'version' of the context; 'interop':
              why it cannot be used, or None; 'gamepads': names
    """
    found: dict[str, Any] = {"window": None, "egl": None, "gamepads": []}
    try:
        context = _open_window(found)
    except Exception as error:
        found["window"] = str(error) or type(error).__name__
        try:
            context = _open_egl()
        except Exception as egl_error:
            found["egl"] = str(egl_error) or type(egl_error).__name__
            return found
    info = context.info
    found |= {name: info[f"GL_{name.upper()}"] for name in ("vendor", "renderer", "version")}
    found["interop"] = _interop(context)
    return found


def _open_window(found: dict[str, Any]) -> Any:
    from viewer.window import Window
    from viewer.windowing import glfw

    window = Window("donerf doctor", 64, 48)
    for joystick in range(glfw.JOYSTICK_1, glfw.JOYSTICK_LAST + 1):
        if glfw.joystick_present(joystick) and glfw.joystick_is_gamepad(joystick):
            found["gamepads"].append(str(glfw.get_gamepad_name(joystick)))
    return window.context


def _open_egl() -> Any:
    import moderngl

    options: dict[str, Any] = {"backend": "egl"}
    return moderngl.create_context(standalone=True, require=330, **options)


def _interop(context: Any) -> str | None:
    import torch

    from viewer.interop import interop_fault

    if not torch.cuda.is_available():
        return "torch sees no CUDA GPU"
    return interop_fault(context)


if __name__ == "__main__":
    print(json.dumps(probe()))
    sys.stdout.flush()
