"""The ray under the pointer: asked for on the render thread, one at a time, the newest wins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from donerf import Renderer, RenderOptions
from donerf.renderer import RayProbe
from viewer.rendering import Picture
from viewer.worker import Task, TaskEnd


@dataclass(frozen=True)
class ProbedRay:
    """All there is to know about one ray, on the CPU; as in `RayProbe`, float32.

    place:  in the picture, shares of its width and height
    """

    place: tuple[float, float]
    bin_probs: np.ndarray
    bin_edges: np.ndarray
    t: np.ndarray
    rgb: np.ndarray
    weights: np.ndarray
    density: np.ndarray
    color: np.ndarray
    opacity: float

    @property
    def depth(self) -> float:
        """Distance by compositing weight, scene units."""
        return float((self.weights * self.t).sum())

    @property
    def sentence(self) -> str:
        """In words, for a window without a plot."""
        rgb = ", ".join(f"{channel:.2f}" for channel in self.color)
        places = ", ".join(f"{t:.2f}" for t in self.t)
        return f"ray: distance {self.depth:.2f}, color {rgb}, samples at {places}"


_Aim = tuple[Picture, tuple[float, float]]


class RayProber:
    """Keeps one question on its way, and the last answer.

    ray:  None while nothing is probed
    """

    def __init__(self, submit: Callable[[Task], None]) -> None:
        """submit:  gives a task to the render thread"""
        self._submit = submit
        self._asked: Task | None = None
        self._wanted: _Aim | None = None
        self._answered: _Aim | None = None
        self.ray: ProbedRay | None = None

    def aim(self, picture: Picture, place: tuple[float, float]) -> None:
        """Probe the ray of a picture at shares of its width and height, from the top left."""
        if not (0 <= place[0] < 1 and 0 <= place[1] < 1):
            return
        self._wanted = (picture, place)
        self._ask()

    def stop(self) -> None:
        """Nothing is probed any more."""
        self._wanted = self._answered = self.ray = None

    def take(self, end: TaskEnd) -> bool:
        """Note an answer; True when it was one of ours and is still wanted."""
        if end.task is not self._asked:
            return False
        self._asked = None
        if self._wanted is None:
            return False
        if isinstance(end.value, ProbedRay):
            self.ray = end.value
        self._ask()
        return True

    def _ask(self) -> None:
        aim = self._wanted
        if self._asked is not None or aim is None or aim == self._answered:
            return
        self._answered = aim
        self._asked = Task("probe", lambda renderer, _: probe(renderer, *aim))
        self._submit(self._asked)


def probe(renderer: Renderer, picture: Picture, place: tuple[float, float]) -> ProbedRay | None:
    """Ask a renderer about the ray at a place; None where it cannot tell."""
    request, k = picture.request, picture.request.camera.intrinsics
    pixel = int(place[0] * k.width), int(place[1] * k.height)
    options = RenderOptions(samples=request.samples, placement=request.placement)
    ray = renderer.probe(request.camera, pixel, options)
    return _on_cpu(ray, place) if ray is not None else None


def interesting_range(ray: ProbedRay) -> tuple[float, float]:
    """The distances between which something is expected or shaded, and a few bins around them."""
    bins = len(ray.bin_probs)
    expected = np.flatnonzero(ray.bin_probs > 0.05 * ray.bin_probs.max())
    shaded = np.searchsorted(ray.bin_edges, ray.t).clip(1, bins) - 1
    margin = max(bins // 24, 1)
    first = max(min(expected.min(), shaded.min()) - margin, 0)
    last = min(max(expected.max(), shaded.max()) + margin, bins - 1)
    return float(ray.bin_edges[first]), float(ray.bin_edges[last + 1])


def _on_cpu(ray: RayProbe, place: tuple[float, float]) -> ProbedRay:
    names = ("bin_probs", "bin_edges", "t", "rgb", "weights", "density", "color")
    # sync: a few hundred numbers.
    arrays = {name: getattr(ray, name).float().cpu().numpy() for name in names}
    return ProbedRay(place, opacity=float(ray.opacity), **arrays)
