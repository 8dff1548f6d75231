"""What lies over the picture, whoever draws it: with ImGui, or plainly where there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import moderngl

from viewer.controls import Action
from viewer.hud import Facts
from viewer.ray_probe import ProbedRay
from viewer.session import Session
from viewer.workbench import Workbench


@dataclass(frozen=True)
class Scenery:
    """What an overlay shows beside the session.

    bench:     the tools around the session
    ray:       that is probed, and where it is in the window, framebuffer pixels from the top left
    has_help:  whether the table of keys is open
    """

    facts: Facts
    bench: Workbench
    ray: ProbedRay | None = None
    ray_place: tuple[float, float] = (0.0, 0.0)
    has_help: bool = False


class Overlay(Protocol):
    """Numbers, help, messages and, if it can, the panel."""

    def begin(self, size: tuple[int, int], now: float) -> None:
        """Start a frame of the window, before its input is handled; size in pixels."""
        ...

    def lay_out(self, session: Session, scenery: Scenery, now: float) -> list[Action]:
        """Finish the frame: what is to be drawn, and what was asked for with the mouse."""
        ...

    def draw(self, target: moderngl.Framebuffer, size: tuple[int, int]) -> None:
        """Draw the finished frame over what is in the target."""
        ...

    def stir(self, now: float) -> None:
        """There was input."""
        ...

    def is_lively(self, now: float) -> bool:
        """Whether frames should follow each other although nothing happens."""
        ...

    @property
    def owns_pointer(self) -> bool:
        """Whether the mouse is busy with the overlay."""
        ...

    @property
    def owns_keys(self) -> bool:
        """Whether keys are being typed into the overlay."""
        ...

    @property
    def is_late(self) -> bool:
        """Whether what is new has its right size only one frame later."""
        ...

    @property
    def has_panel(self) -> bool:
        """Whether it can show the panel."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...
