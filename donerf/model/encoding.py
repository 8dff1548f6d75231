"""Positional encoding: sines and cosines, so that a small network can draw fine detail."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_DOUBLINGS = 5
"""Octaves from one computed sine; the error grows up to fourfold with each."""


def encode(v: Tensor, frequencies: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """[v, sin 2^k v, cos 2^k v] for k = 0..L-1, without pi, as published.

    Differentiable where v asks for it, as points do that the oracle may still move. Every fifth
    sine and cosine is computed, the others follow by doubling the angle: sin 2a = 2 sin a cos a,
    cos 2a = 1 - 2 sin^2 a (2 cos^2 a - 1 would lose all digits of small angles). Features are made
    row by row and transposed at the end, because short strided rows are five times slower on a CPU.

    v:        (..., C) float32, about unit size
    returns:  (..., C * (1 + 2 * frequencies)) in `dtype`, that of the product that follows
    """
    if v.requires_grad and torch.is_grad_enabled():
        encoded = _Encode.apply(v, frequencies, dtype)
        assert isinstance(encoded, Tensor)
        return encoded
    return _encode(v, frequencies, dtype)


def _encode(v: Tensor, frequencies: int, dtype: torch.dtype) -> Tensor:
    with torch.no_grad():
        channels = v.shape[-1]
        rows = v.reshape(-1, channels).T.contiguous()
        out = torch.empty(
            encoded_size(channels, frequencies), rows.shape[1], dtype=dtype, device=v.device
        )
        values, sines, cosines = out.split((channels, *[channels * frequencies] * 2))
        values.copy_(rows)
        sine = cosine = rows
        for k in range(frequencies):
            if k % _DOUBLINGS == 0:
                sine, cosine = (rows * 2.0**k).sin(), (rows * 2.0**k).cos()
            else:
                sine, cosine = 2 * sine * cosine, 1 - 2 * sine * sine
            octave = slice(k * channels, (k + 1) * channels)
            sines[octave], cosines[octave] = sine, cosine
        return out.T.contiguous().view(*v.shape[:-1], out.shape[0])


class _Encode(torch.autograd.Function):
    """The encoding with its derivative, which is made of the same sines and cosines."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, frequencies: int, dtype: torch.dtype) -> Tensor:
        """As `encode`."""
        encoded = _encode(v, frequencies, dtype)
        ctx.save_for_backward(encoded)
        ctx.channels = v.shape[-1]
        return encoded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """d sin 2^k v = 2^k cos 2^k v, d cos 2^k v = -2^k sin 2^k v."""
        gradient, (encoded,), channels = gradients[0].float(), ctx.saved_tensors, ctx.channels
        octaves = (encoded.shape[-1] // channels - 1) // 2
        sizes = (channels, *[channels * octaves] * 2)
        _, sines, cosines = encoded.float().split(sizes, dim=-1)
        of_values, of_sines, of_cosines = gradient.split(sizes, dim=-1)
        scale = 2.0 ** torch.arange(octaves, device=encoded.device)
        by_octave = (cosines * of_sines - sines * of_cosines).unflatten(-1, (octaves, channels))
        return of_values + (scale[:, None] * by_octave).sum(-2), None, None


def encoded_size(channels: int, frequencies: int) -> int:
    """Numbers per encoded vector."""
    return channels * (1 + 2 * frequencies)
