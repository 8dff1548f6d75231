"""What a picture can show, and the colors that make depth, entropy and counts visible."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from donerf import Frame, Output, Renderer, RenderOptions, ViewCell


class RenderMode(StrEnum):
    """What a picture shows."""

    COLOR = "color"
    DEPTH = "depth"
    ORACLE_DEPTH = "oracle-depth"
    ENTROPY = "entropy"
    SAMPLE_COUNT = "sample-count"
    OPACITY = "opacity"


_OUTPUTS = {
    RenderMode.DEPTH: Output.DEPTH,
    RenderMode.ORACLE_DEPTH: Output.ORACLE_DEPTH,
    RenderMode.ENTROPY: Output.ENTROPY,
    RenderMode.SAMPLE_COUNT: Output.SAMPLE_COUNT,
    RenderMode.OPACITY: Output.OPACITY,
}

# From near and little to far and much: equal steps look equal, also in gray and to the color-blind.
_RAMP = (
    (0.99, 0.96, 0.75),
    (0.99, 0.71, 0.44),
    (0.93, 0.39, 0.36),
    (0.69, 0.20, 0.48),
    (0.39, 0.09, 0.50),
    (0.13, 0.07, 0.31),
    (0.01, 0.01, 0.06),
)


def offered_modes(renderer: Renderer) -> tuple[RenderMode, ...]:
    """The modes that this renderer has data for."""
    outputs = renderer.info.outputs
    return tuple(mode for mode in RenderMode if mode not in _OUTPUTS or _OUTPUTS[mode] in outputs)


def options_for(mode: RenderMode, samples: int) -> RenderOptions:
    """What to ask a renderer for."""
    outputs = frozenset({_OUTPUTS[mode]}) if mode in _OUTPUTS else frozenset()
    return RenderOptions(samples=samples, outputs=outputs)


def paint(frame: Frame, mode: RenderMode, cell: ViewCell, samples: int) -> np.ndarray:
    """A frame as pixels on the CPU.

    returns:  (H, W, 4) uint8, row 0 on top, contiguous
    """
    if mode is RenderMode.COLOR:
        # sync: the picture has to be complete before it is copied.
        return np.ascontiguousarray(frame.image.cpu().numpy())
    values = _values(frame, mode, cell, samples).float().clamp(0, 1).nan_to_num(1.0)
    ramp = torch.tensor(_RAMP, device=values.device)
    place = values * (len(_RAMP) - 1)
    below = place.long().clamp_max(len(_RAMP) - 2)
    rgb = torch.lerp(ramp[below], ramp[below + 1], (place - below)[..., None])
    alpha = torch.ones_like(rgb[..., :1])
    pixels = (torch.cat((rgb, alpha), dim=-1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.cpu().numpy())


def _values(frame: Frame, mode: RenderMode, cell: ViewCell, samples: int) -> Tensor:
    """(H, W), 0 near or little, 1 far or much."""
    if mode is RenderMode.DEPTH:
        return _normalized_depth(_given(frame.depth, mode), cell)
    if mode is RenderMode.ORACLE_DEPTH:
        return _normalized_depth(_given(frame.oracle_depth, mode), cell)
    if mode is RenderMode.ENTROPY:
        return _given(frame.entropy, mode)
    if mode is RenderMode.SAMPLE_COUNT:
        return _given(frame.sample_count, mode) / samples
    return 1 - _given(frame.opacity, mode)


def _normalized_depth(depth: Tensor, cell: ViewCell) -> Tensor:
    """Logarithmic, so that near things keep their detail; the background is far."""
    far = cell.depth_range[1]
    near = min(max(cell.depth_range[0], far / 1000), far / 2)
    return torch.log(depth.float().clamp(near, far) / near) / math.log(far / near)


def _given(values: Tensor | None, mode: RenderMode) -> Tensor:
    if values is None:
        raise ValueError(f"this renderer gives no '{mode}'; choose another mode")
    return values
