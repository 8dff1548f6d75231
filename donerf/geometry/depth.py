"""Distances along rays, planar depth, and the logarithmic transform between t and s."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from donerf.geometry.camera import Intrinsics

BACKGROUND = math.inf
"""The distance of a ray that hits nothing."""


def distance_from_planar(planar: Tensor, intrinsics: Intrinsics) -> Tensor:
    """Distance along each pixel's ray from its depth along the camera's -z; (H, W) both."""
    return planar / _cosine(intrinsics)


def planar_from_distance(distance: Tensor, intrinsics: Intrinsics) -> Tensor:
    """Inverse of `distance_from_planar`."""
    return distance * _cosine(intrinsics)


def _cosine(intrinsics: Intrinsics) -> Tensor:
    """|z| of each pixel's unit ray, (H, W)."""
    return -intrinsics.directions()[:, 2].reshape(intrinsics.height, intrinsics.width)


def s_from_t(t: Tensor, depth_range: tuple[float, float], log_scale: float | None) -> Tensor:
    """Normalized depth: 0 at the near end, 1 at the far end, logarithmic between.

    s = ln(1 + (t-N)/a) / ln(1 + (F-N)/a). The scale a tells where it turns from linear to
    logarithmic; a = 1 scene unit in the published files. None keeps it linear throughout.

    t:        any shape, clamped to the range first: below N - a the logarithm is NaN
    returns:  the same shape, in [0, 1]
    """
    near, far = depth_range
    t = t.clamp(near, far)
    if log_scale is None:
        return (t - near) / (far - near)
    return torch.log1p((t - near) / log_scale) / math.log1p((far - near) / log_scale)


def t_from_s(s: Tensor, depth_range: tuple[float, float], log_scale: float | None) -> Tensor:
    """Inverse of `s_from_t`."""
    near, far = depth_range
    if log_scale is None:
        return near + s * (far - near)
    return near + log_scale * torch.expm1(s * math.log1p((far - near) / log_scale))
