"""Positional encoding: sines and cosines, so that a small network can draw fine detail."""

from __future__ import annotations

import torch
from torch import Tensor


def encode(v: Tensor, frequencies: int) -> Tensor:
    """[v, sin 2^k v, cos 2^k v] for k = 0..L-1, without pi, as published.

    Not differentiable: rays and points are data here.

    v:        (..., C), about unit size
    returns:  (..., C * (1 + 2 * frequencies)) in the dtype of v; the angles want fp32
    """
    with torch.no_grad():
        channels = v.shape[-1]
        out = v.new_empty(*v.shape[:-1], encoded_size(channels, frequencies))
        out[..., :channels] = v
        angles = out[..., channels:].unflatten(-1, (2, frequencies, channels))
        scaled = v[..., None, :] * (2.0 ** torch.arange(frequencies, device=v.device))[:, None]
        torch.sin(scaled, out=angles[..., 0, :, :])
        torch.cos(scaled, out=angles[..., 1, :, :])
    return out


def encoded_size(channels: int, frequencies: int) -> int:
    """Numbers per encoded vector."""
    return channels * (1 + 2 * frequencies)
