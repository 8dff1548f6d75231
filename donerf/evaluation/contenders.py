"""Who is timed against whom: every backend, precision and option, and engines of others."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Protocol, get_args

import torch

from donerf.backends.eager import EagerRenderer
from donerf.evaluation.onnx_networks import OnnxNetworks
from donerf.geometry.camera import Camera
from donerf.geometry.rays import Rays
from donerf.model.pipeline import RenderedRays, render_rays
from donerf.precision import Precision
from donerf.renderer import BACKENDS, Frame, RenderOptions, make_renderer
from donerf.scene_file import Scene

COMPILE, ONNXRUNTIME = "compile", "onnxruntime"
ENTRANTS = ("eager", *(b for b in BACKENDS if b not in ("auto", "eager")), COMPILE, ONNXRUNTIME)
"""What --backends can name."""
SWITCHES = tuple(f.name for f in fields(RenderOptions) if isinstance(f.default, bool))
"""The options that are on or off; a new one is timed as soon as it exists."""
PRECISIONS: dict[str, tuple[Precision, ...]] = {
    ONNXRUNTIME: ("fp32",),
    "cuda": ("fp16", "bf16", "fp8"),
}
"""Of backends that do not offer the usual two."""
PLAIN = ("eager", COMPILE, ONNXRUNTIME)
"""They do all the work: no option leaves any out, and nothing is folded."""


class Entrant(Protocol):
    """Makes frames; those of an engine that only runs the networks are no pictures."""

    def render(self, camera: Camera, options: RenderOptions) -> Frame | None:
        """One frame."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


@dataclass(frozen=True)
class Contender:
    """One way to make a frame.

    switches:  the options that are on; all others are off
    """

    backend: str
    precision: Precision
    switches: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For tables and plots, such as 'cpu bf16 +adaptive'."""
        return " ".join([self.backend, self.precision, *(f"+{s}" for s in self.switches)])

    @property
    def is_plain(self) -> bool:
        """Whether it does all the work that the published networks state."""
        return self.backend in PLAIN

    def options(self, samples: int) -> RenderOptions:
        """With its switches on and all others off."""
        states = {name: name in self.switches for name in SWITCHES}
        return replace(RenderOptions(samples=samples), **states)  # type: ignore[arg-type]


REFERENCE = Contender("eager", "fp32")
"""As published: all inputs, nothing folded, single precision. The others' pictures must be its."""


def contenders(
    backends: tuple[str, ...],
    switches: tuple[str, ...] = SWITCHES,
    precisions: tuple[str, ...] = ("all",),
) -> list[Contender]:
    """Every precision of the backends, each option alone and all together; the reference first.

    precisions:  only these
    """
    unknown = [name for name in backends if name not in ENTRANTS]
    if unknown or not backends:
        raise ValueError(
            f"--backends must be all, or some of {', '.join(ENTRANTS)} with commas between them, "
            f"got '{','.join(backends)}'"
        )
    known: tuple[str, ...] = get_args(Precision)
    if precisions != ("all",) and not {*precisions} <= {*known}:
        raise ValueError(
            f"--precisions must be all, or some of {', '.join(known)} with commas between them, "
            f"got '{','.join(precisions)}'"
        )
    found = [REFERENCE]
    for backend in backends:
        offered: tuple[Precision, ...] = PRECISIONS.get(backend, ("fp32", "bf16"))
        chosen: list[Precision] = [p for p in offered if {"all", p} & {*precisions}]
        sets = [()] if backend in PLAIN else combinations(switches)
        found += [Contender(backend, p, on) for p in chosen for on in sets]
    return list(dict.fromkeys(found))


def combinations(switches: tuple[str, ...]) -> list[tuple[str, ...]]:
    """None, each alone, all."""
    return list(dict.fromkeys([(), *((name,) for name in switches), switches]))


def make_entrant(contender: Contender, scene: Scene, device: str) -> Entrant:
    """Raises ValueError where this machine or this scene does not allow it."""
    backend, precision = contender.backend, contender.precision
    if backend == "cuda" and device != "cuda":
        raise ValueError("this machine has no NVIDIA GPU, or this run was not to use it")
    if backend == COMPILE:
        return CompiledRenderer(scene, device, precision)
    if backend == ONNXRUNTIME:
        return OnnxFrames(OnnxNetworks(scene.cells[0].networks, device))
    renderer = make_renderer(scene, device, precision, backend)
    found = renderer.info
    if (found.backend, found.precision) != (backend, precision):
        raise ValueError(f"the scene is rendered by {found.backend} {found.precision} instead")
    return renderer


class CompiledRenderer(EagerRenderer):
    """The plain pipeline as torch.compile makes it: all steps of a tile as one function."""

    def __init__(self, scene: Scene, device: str, precision: str) -> None:
        super().__init__(scene, device, precision)
        # Tiles differ in their number of rays, and each would be compiled anew.
        self._render_rays = torch.compile(render_rays, dynamic=True, fullgraph=True)

    def _render_tile(
        self,
        rays: Rays,
        part: slice,
        shape: tuple[int, int],
        options: RenderOptions,
        clock: object,
    ) -> RenderedRays:
        """A compiled tile has no stages that could be timed."""
        cell, networks = self._cells[options.cell_index]
        return self._render_rays(rays, cell, networks, self._quantiles(len(rays), options))


@dataclass(frozen=True)
class OnnxFrames:
    """onnxruntime as an entrant."""

    networks: OnnxNetworks

    def render(self, camera: Camera, options: RenderOptions) -> None:
        """The networks' part of a frame."""
        k = camera.intrinsics
        self.networks.run(k.width * k.height, options.samples)

    def close(self) -> None:
        """The sessions end with the last reference to them."""
