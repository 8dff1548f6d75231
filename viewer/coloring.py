"""Colors on the screen: exposure, background, and the ramp that makes plain values visible.

The window does this in `shaders/`; here is the same for pictures that are saved. Nothing is
rendered anew when a look changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from viewer.render_modes import RenderMode

# From near and little to far and much: equal steps look equal, also in gray and to the color-blind.
RAMP = (
    (0.99, 0.96, 0.75),
    (0.99, 0.71, 0.44),
    (0.93, 0.39, 0.36),
    (0.69, 0.20, 0.48),
    (0.39, 0.09, 0.50),
    (0.13, 0.07, 0.31),
    (0.01, 0.01, 0.06),
)
# An error is dark where there is none, and reaches the end of the ramp at this mean difference.
ERROR_LIMIT = 0.25


@dataclass(frozen=True)
class Look:
    """How a picture is shown, whatever it holds.

    exposure_ev:  stops; 1 doubles the light
    near, far:    distances at the ends of the ramp, scene units; None: as the cell has them
    """

    exposure_ev: float = 0.0
    near: float | None = None
    far: float | None = None


@dataclass(frozen=True)
class RampRange:
    """Which values the ramp goes from and to; logarithmic for distances."""

    low: float
    high: float
    is_logarithmic: bool = False


PLAIN = Look()
UNIT = RampRange(0.0, 1.0)


def ramp_ends(mode: RenderMode, depth_range: tuple[float, float], samples: int) -> RampRange:
    """What a mode's ramp goes from and to.

    Distances are logarithmic, so that near things keep their detail. An error, and what is
    transparent, are the exception: they are bright on dark, and dark on bright.

    depth_range:  near, far distance of the cell, scene units
    samples:      per ray that were asked for; the least sure rays get twice as many
    """
    if mode.is_distance:
        near, far = depth_range
        return RampRange(min(max(near, far / 1000), far / 2), far, is_logarithmic=True)
    if mode is RenderMode.SAMPLE_PLACES:
        return RampRange(0.0, 2.0 * samples)
    if mode is RenderMode.OPACITY:
        return RampRange(1.0, 0.0)
    if mode is RenderMode.ERROR:
        return RampRange(ERROR_LIMIT, 0.0)
    return UNIT


def ends_in_look(ends: RampRange, look: Look) -> RampRange:
    """The ends of the ramp as the user has moved them; only those of distances can be moved."""
    if not ends.is_logarithmic:
        return ends
    near = look.near or ends.low
    return RampRange(near, max(look.far or ends.high, near * 1.001), is_logarithmic=True)


def colors_of(values: np.ndarray, mode: RenderMode, look: Look, ends: RampRange) -> np.ndarray:
    """What the window would show, as pixels.

    values:   (H, W, 4) uint8, or (H, W) float32
    ends:     of the ramp, before the look moves them
    returns:  (H, W, 4) uint8, contiguous
    """
    if values.ndim == 2:
        return _along_ramp(values, ends_in_look(ends, look))
    if mode is RenderMode.COLOR and look.exposure_ev != 0:
        return exposed(values, look.exposure_ev)
    return values


def exposed(pixels: np.ndarray, stops: float) -> np.ndarray:
    """More or less light, (H, W, 4) uint8 sRGB; 256 colors in, so a table does."""
    table = _srgb_from_linear(_linear_from_srgb(np.arange(256) / 255) * 2**stops)
    return np.concatenate(
        (_as_bytes(table)[pixels[..., :3]], pixels[..., 3:]), axis=-1, dtype=np.uint8
    )


def ramp_place(values: np.ndarray, ends: RampRange) -> np.ndarray:
    """Where values lie between the ends of the ramp, in [0, 1]."""
    low, high = ends.low, ends.high
    if ends.is_logarithmic:
        values = np.log(np.maximum(values, 1e-6))
        low, high = math.log(low), math.log(high)
    return np.clip((values - low) / (high - low), 0, 1)


def value_at(place: float, ends: RampRange) -> float:
    """The value at a place on the ramp, 0 its first and 1 its last color."""
    if ends.is_logarithmic:
        return ends.low * (ends.high / ends.low) ** place
    return ends.low + place * (ends.high - ends.low)


def _along_ramp(values: np.ndarray, ends: RampRange) -> np.ndarray:
    place = ramp_place(values, ends) * (len(RAMP) - 1)
    steps = np.arange(len(RAMP))
    channels = [np.interp(place, steps, channel) for channel in zip(*RAMP, strict=True)]
    return _as_bytes(np.stack((*channels, np.ones_like(place)), axis=-1))


def _linear_from_srgb(value: np.ndarray) -> np.ndarray:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _srgb_from_linear(value: np.ndarray) -> np.ndarray:
    value = np.clip(value, 0, 1)
    return np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)


def _as_bytes(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((values * 255 + 0.5).astype(np.uint8))
