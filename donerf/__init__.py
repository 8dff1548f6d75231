"""Neural scenes with depth-oracle sampling (DONeRF): train them, render them, measure them."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from donerf.data.view_reader import ViewReader
    from donerf.geometry.camera import Camera, Intrinsics
    from donerf.geometry.rays import Rays
    from donerf.geometry.view_cell import ViewCell
    from donerf.renderer import Frame, Output, Renderer, RenderOptions, make_renderer
    from donerf.scene_file import Scene, load_scene

__all__ = [
    "Camera",
    "Frame",
    "Intrinsics",
    "Output",
    "Rays",
    "RenderOptions",
    "Renderer",
    "Scene",
    "ViewCell",
    "ViewReader",
    "load_scene",
    "make_renderer",
]

_HOMES = {
    "donerf.data.view_reader": ("ViewReader",),
    "donerf.geometry.camera": ("Camera", "Intrinsics"),
    "donerf.geometry.rays": ("Rays",),
    "donerf.geometry.view_cell": ("ViewCell",),
    "donerf.renderer": ("Frame", "Output", "RenderOptions", "Renderer", "make_renderer"),
    "donerf.scene_file": ("Scene", "load_scene"),
}


def __getattr__(name: str) -> object:
    # Importing torch takes seconds: `donerf --help` and a mistyped option must not wait for it.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'donerf' has no attribute '{name}'")
