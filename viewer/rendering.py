"""A wanted picture, and how a renderer fulfills it; on whatever thread may use the renderer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from donerf import Camera, Frame, Renderer, ViewCell
from donerf.evaluation.metrics import psnr
from donerf.renderer import Output, Placement, RenderOptions, StageTimes
from viewer.coloring import PLAIN, UNIT, Look, RampRange, colors_of, ramp_ends
from viewer.ground_truth import GroundTruth, error_of
from viewer.render_modes import RenderMode, options_for, values_of
from viewer.settling import subpixel_offset
from viewer.transfer import Values, fetch_plain, in_main_memory


@dataclass(frozen=True)
class Rival:
    """What a picture is compared with: the same view, rendered the same but for this.

    label:     names it on the screen
    samples:   per ray; None: as many
    renderer:  None: the same one. It is used on the render thread alone
    is_truth:  the data set's picture, where one is stood at; nothing is rendered
    """

    label: str
    samples: int | None = None
    renderer: Renderer | None = None
    is_truth: bool = False


@dataclass(frozen=True, eq=False)
class RenderRequest:
    """A picture that is wanted. No two are equal: a camera holds an array.

    rung:       of the resolution ladder, a note for whoever asked
    is_moving:  part of a movement: always finished, so that there is something to see; a still
                picture gives way to a newer request
    is_capture: to be saved; not for the screen
    placement:  who says where the samples go
    passes:     rendered with rays moved within their pixels, and averaged; colors only
    look:       of a picture that is saved; the window has its own
    view:       of the data set, that the camera is the same as; None where it is no such
    rival:      to be rendered, too
    wants_depth: of a picture that is saved: its distances are to be saved, too
    generation: of the renderer and its weights, a note for whoever asked
    adaptive:   rays get fewer or more samples by how sure the oracle is
    """

    camera: Camera
    samples: int
    mode: RenderMode
    rung: int = 0
    is_moving: bool = False
    is_capture: bool = False
    placement: Placement = "oracle"
    passes: int = 1
    look: Look = PLAIN
    view: int | None = None
    rival: Rival | None = None
    wants_depth: bool = False
    generation: int = 0
    adaptive: bool = False


@dataclass(frozen=True, eq=False)
class Picture:
    """A request fulfilled.

    values:  (H, W, 4) uint8 with row 0 on top, or (H, W) float32 that get their colors when shown
    ms:      from the start of the work to the values where the window takes them over
    ends:    of the ramp of colors that values get
    psnr:    against the data set's picture, dB; None where there is none of this size
    rival:   the other picture of a comparison
    depth:   (H, W) float32 distance along the rays, where it was asked for
    """

    request: RenderRequest
    values: Values
    ms: float
    mean_samples: float
    times: StageTimes
    ends: RampRange = UNIT
    psnr: float | None = None
    rival: Picture | None = None
    depth: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.values.shape[1], self.values.shape[0]

    @cached_property
    def pixels(self) -> np.ndarray:
        """(H, W, 4) uint8, row 0 on top: the values in the request's look."""
        return colors_of(
            in_main_memory(self.values), self.request.mode, self.request.look, self.ends
        )


class Accumulator:
    """The sum of a view's passes, kept between requests so that each adds only one.

    passes:  that are in the sum
    """

    def __init__(self) -> None:
        self.passes = 0
        self._key: object = None
        self._sum: Tensor | None = None

    def begin(self, request: RenderRequest) -> None:
        """Forget the sum unless it belongs to the same view and has not too many passes."""
        camera = request.camera
        key = (camera.world_from_camera.tobytes(), camera.intrinsics, request.samples)
        key = (*key, request.placement, request.adaptive)
        if key != self._key or self.passes >= request.passes:
            self._key, self._sum, self.passes = key, None, 0

    def add(self, frame: Frame) -> None:
        """One more pass."""
        color = frame.image[..., :3].float() / 255 if frame.color is None else frame.color.float()
        self._sum = color if self._sum is None else self._sum + color
        self.passes += 1

    def image(self) -> Tensor:
        """The mean, (H, W, 4) uint8 sRGB."""
        assert self._sum is not None, "there is no pass yet"
        mean = self._sum / self.passes
        opaque = torch.ones_like(mean[..., :1])
        return (torch.cat((mean, opaque), dim=-1) * 255).round().clamp(0, 255).to(torch.uint8)


def render_picture(
    renderer: Renderer,
    request: RenderRequest,
    cell: ViewCell,
    cancelled: Callable[[], bool] | None = None,
    truth: GroundTruth | None = None,
    accumulator: Accumulator | None = None,
    fetch: Callable[[Tensor], Values] = fetch_plain,
) -> Picture | None:
    """Render a request on this thread; None when cancelled between tiles.

    truth:        what `request.view` is compared with
    accumulator:  with the passes of earlier requests, which are not rendered again
    fetch:        sends the values on their way to the window
    """
    start = time.perf_counter()
    if request.mode is RenderMode.ERROR and (truth is None or request.view is None):
        raise ValueError("the error needs a picture to compare with; name a data set with --data")
    frame = _render_passes(renderer, request, cancelled, accumulator or Accumulator())
    if frame is None:
        return None
    if frame.ready is not None:
        torch.cuda.current_stream(frame.image.device).wait_event(frame.ready)
    far = cell.depth_range[1]
    shown = values_of(frame, request.mode, request.camera, far)
    quality = None
    if truth is not None and request.view is not None:
        values, quality = _compare(fetch_plain(shown), request, truth.picture(request.view))
    else:
        values = fetch(shown)
    return Picture(
        request=request,
        values=values,
        ms=(time.perf_counter() - start) * 1000,
        mean_samples=frame.mean_samples,
        times=frame.times,
        ends=ramp_ends(request.mode, cell.depth_range, request.samples),
        psnr=quality,
    )


def render_comparison(
    renderer: Renderer,
    request: RenderRequest,
    cell: ViewCell,
    cancelled: Callable[[], bool] | None = None,
    truth: GroundTruth | None = None,
    accumulator: Accumulator | None = None,
    fetch: Callable[[Tensor], Values] = fetch_plain,
) -> Picture | None:
    """As `render_picture`, and the rival's picture with it, if there is a rival.

    Both are whole, so that moving the divider between them costs nothing.
    """
    picture = render_picture(renderer, request, cell, cancelled, truth, accumulator, fetch)
    rival = request.rival
    if picture is None or rival is None:
        return picture
    if rival.is_truth:
        return replace(picture, rival=_true_picture(picture, truth))
    asked = replace(request, samples=rival.samples or request.samples, rival=None)
    other = render_picture(rival.renderer or renderer, asked, cell, cancelled, truth, None, fetch)
    if other is None:
        return None
    return replace(picture, rival=other, ms=picture.ms + other.ms)


def render_capture(
    renderer: Renderer,
    request: RenderRequest,
    cell: ViewCell,
    cancelled: Callable[[], bool] | None = None,
    truth: GroundTruth | None = None,
) -> Picture | None:
    """A picture to be saved, with its distances if they are asked for.

    The passes of the picture on the screen are left alone.
    """
    picture = render_picture(renderer, request, cell, cancelled, truth)
    if picture is None or not request.wants_depth:
        return picture
    asked = replace(request, mode=RenderMode.DEPTH, passes=1, view=None)
    depth = render_picture(renderer, asked, cell, cancelled)
    return None if depth is None else replace(picture, depth=in_main_memory(depth.values))


def _true_picture(picture: Picture, truth: GroundTruth | None) -> Picture | None:
    """The data set's own picture of the view that a picture shows; None where there is none."""
    view = picture.request.view
    if truth is None or view is None:
        return None
    colors = truth.picture(view)
    opaque = np.full_like(colors[..., :1], 255)
    values = np.ascontiguousarray(np.concatenate((colors, opaque), axis=-1))
    request = replace(picture.request, mode=RenderMode.COLOR, rival=None)
    return replace(picture, request=request, values=values, ends=UNIT, psnr=None)


def _render_passes(
    renderer: Renderer,
    request: RenderRequest,
    cancelled: Callable[[], bool] | None,
    passes: Accumulator,
) -> Frame | None:
    """The last pass, its image the mean of all of them."""
    if request.mode is not RenderMode.COLOR or request.is_moving:
        return renderer.render(request.camera, _options(renderer, request, 0), cancelled)
    passes.begin(request)
    frame = None
    while passes.passes < request.passes:
        options = _options(renderer, request, passes.passes)
        frame = renderer.render(request.camera, options, cancelled)
        if frame is None:
            return None
        passes.add(frame)
    assert frame is not None, "at least one pass was missing"
    return frame if passes.passes == 1 else replace(frame, image=passes.image())


def _options(renderer: Renderer, request: RenderRequest, index: int) -> RenderOptions:
    info = renderer.info
    options = options_for(
        request.mode,
        request.samples,
        info,
        request.placement,
        subpixel_offset(index),
        request.adaptive,
    )
    # Eight bits are too few to add up.
    if request.mode is RenderMode.COLOR and not request.is_moving and Output.COLOR in info.outputs:
        return replace(options, outputs=frozenset({Output.COLOR}))
    return options


def _compare(
    values: np.ndarray, request: RenderRequest, truth: np.ndarray
) -> tuple[np.ndarray, float | None]:
    """The values, or their error in that mode; and the PSNR of colors in full size."""
    has_colors = request.mode in (RenderMode.COLOR, RenderMode.ERROR)
    quality = None
    if has_colors and values.shape[:2] == truth.shape[:2]:
        quality = psnr(values[..., :3], truth)
    return (error_of(values, truth) if request.mode is RenderMode.ERROR else values), quality
