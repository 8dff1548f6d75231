"""The Renderer interface: what every backend and baseline offers, and the choice of one.

The viewer, the benchmark and the film export know nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from donerf.config import Placement
from donerf.geometry.camera import Camera
from donerf.precision import Precision, choose_device
from donerf.scene_file import Scene

PLACEMENTS: tuple[Placement, ...] = get_args(Placement)


class Output(StrEnum):
    """What a frame can hold beside its image."""

    COLOR = "color"
    DEPTH = "depth"
    ORACLE_DEPTH = "oracle_depth"
    OPACITY = "opacity"
    SAMPLE_COUNT = "sample_count"
    ENTROPY = "entropy"
    SAMPLE_PLACES = "sample_places"
    DENSITY_OPACITY = "density_opacity"


@dataclass(frozen=True)
class RenderOptions:
    """How to render one frame.

    samples:          per ray
    placement:        who says where they go; 'true-depth' needs true_distance
    outputs:          what to make beside the image
    subpixel_offset:  (right, down) in pixels, for anti-aliasing over several frames
    cell_index:       which view cell of the scene
    true_distance:    (H, W) along the rays, inf for the background
    adaptive:         rays may get fewer or more samples, by how sure the oracle is; a backend that
                      cannot gives every ray as many
    shared_oracle:    neighboring pixels may share an answer of the oracle where they see the same
                      surface; a backend that cannot asks for each
    """

    samples: int = 4
    placement: Placement = "oracle"
    outputs: frozenset[Output] = frozenset()
    subpixel_offset: tuple[float, float] = (0.0, 0.0)
    cell_index: int = 0
    true_distance: Tensor | None = None
    adaptive: bool = False
    shared_oracle: bool = True

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"a ray needs at least 1 sample, got {self.samples}")
        if (self.placement == "true-depth") != (self.true_distance is not None):
            raise ValueError(
                "placement 'true-depth' and a true_distance map come together; got placement "
                f"'{self.placement}' and {'no' if self.true_distance is None else 'a'} map"
            )


@dataclass(frozen=True)
class StageTimes:
    """Milliseconds that a frame's stages took, all tiles together."""

    oracle_ms: float = 0.0
    placement_ms: float = 0.0
    shading_ms: float = 0.0
    composite_ms: float = 0.0
    total_ms: float = 0.0


@dataclass(frozen=True)
class Frame:
    """A rendered picture, row 0 on top, on the device that it was made on.

    image:            (H, W, 4) uint8 sRGB
    color:            (H, W, 3) float16 sRGB
    depth:            (H, W) distance along the ray, by compositing weight
    oracle_depth:     (H, W) distance at the median of the oracle's distribution
    opacity:          (H, W) in [0, 1]
    sample_count:     (H, W) samples that were shaded
    entropy:          (H, W) of the oracle's distribution, 0 certain, 1 uniform
    sample_places:    (H, W, 2) mean and extent of the samples' normalized depth, in [0, 1]
    density_opacity:  (H, W) opacity before the last sample, which ends every ray by rule
    mean_samples:     shaded per ray
    oracle_share:     questions to the oracle per ray
    ready:            event after which the image may be read; None when it is ready
    """

    image: Tensor
    times: StageTimes
    mean_samples: float
    oracle_share: float = 1.0
    color: Tensor | None = None
    depth: Tensor | None = None
    oracle_depth: Tensor | None = None
    opacity: Tensor | None = None
    sample_count: Tensor | None = None
    entropy: Tensor | None = None
    sample_places: Tensor | None = None
    density_opacity: Tensor | None = None
    ready: torch.cuda.Event | None = None


@dataclass(frozen=True)
class RayProbe:
    """All there is to know about one ray.

    bin_probs:  (B,);  bin_edges: (B + 1,) distance along the ray from the camera
    t:          (S,) distance of the samples from the camera
    rgb:        (S, 3) in [0, 1];  density, weights: (S,)
    color:      (3,);  opacity in [0, 1]
    """

    bin_probs: Tensor
    bin_edges: Tensor
    t: Tensor
    rgb: Tensor
    density: Tensor
    weights: Tensor
    color: Tensor
    opacity: float


@dataclass(frozen=True)
class RendererInfo:
    """What a renderer is and can do.

    sample_counts:  the only counts it serves, or None for any
    thread:         which thread must call it: any one worker, or the one that owns OpenGL
    can_adapt:      some rays can get fewer or more samples than others
    """

    backend: str
    device: str
    device_name: str
    precision: Precision
    outputs: frozenset[Output]
    sample_counts: tuple[int, ...] | None
    placements: tuple[Placement, ...]
    thread: Literal["worker", "gl"] = "worker"
    can_adapt: bool = False


class Renderer(Protocol):
    """Renders frames of a scene."""

    @property
    def info(self) -> RendererInfo:
        """What this renderer is and can do."""
        ...

    def render(
        self,
        camera: Camera,
        options: RenderOptions,
        cancelled: Callable[[], bool] | None = None,
    ) -> Frame | None:
        """Render one frame; None when `cancelled` said so between two tiles."""
        ...

    def probe(
        self, camera: Camera, pixel: tuple[int, int], options: RenderOptions
    ) -> RayProbe | None:
        """Look at the ray of one pixel (column, row); None where a backend cannot."""
        ...

    def load(self, scene: Scene) -> None:
        """Show another scene, or newer weights of the same one."""
        ...

    def close(self) -> None:
        """Free what the renderer holds."""
        ...


BACKENDS = ("auto", "cuda", "cpu", "eager")


def make_renderer(
    scene: Scene, device: str = "auto", precision: str = "auto", backend: str = "auto"
) -> Renderer:
    """The best renderer for a scene on this machine.

    device:     'auto' takes a CUDA GPU when there is one; 'cpu', 'cuda'
    precision:  'auto' measures which is faster; 'fp32', 'bf16'
    backend:    'auto'; 'cuda' (fused kernels); 'cpu' (compiled loops and oneDNN); 'eager' (plain
                PyTorch, the reference)
    """
    # Backends and baselines stand on this module, and each brings what it is made with: imported
    # when taken.
    from donerf.backends.eager import EagerRenderer
    from donerf.baselines.nerf import NerfRenderer

    if backend not in BACKENDS:
        raise ValueError(f"a backend must be one of {', '.join(BACKENDS)}, got '{backend}'")
    if scene.metadata.kind == "nerf":
        return NerfRenderer(scene, device, precision)
    kind = choose_device("cpu" if (backend, device) == ("cpu", "auto") else device).type
    if backend == "cpu" and kind != "cpu":
        raise ValueError(f"backend 'cpu' must run on the CPU, got device '{kind}'; use 'auto'")
    if backend == "cuda" and kind != "cuda":
        raise ValueError(
            f"backend 'cuda' must run on an NVIDIA GPU, got device '{kind}'; use 'auto'"
        )
    if kind == "cuda" and backend in ("auto", "cuda"):
        from donerf.backends.cuda.renderer import CudaRenderer

        return CudaRenderer(scene, device, precision)
    if kind == "cpu" and backend in ("auto", "cpu"):
        from donerf.backends.cpu.renderer import CpuRenderer

        return CpuRenderer(scene, precision)
    return EagerRenderer(scene, device, precision)
