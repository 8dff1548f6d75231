"""Which device and which precision of matrix products to use; measured, not guessed."""

from __future__ import annotations

import math
import platform
import time
from functools import cache
from typing import Literal, get_args

import torch
from torch import nn

Precision = Literal["fp32", "bf16", "fp16", "fp8"]
DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
"""Of whole networks; fp8 is for some layers alone, see `donerf.backends.cuda.eight_bits`."""
_TRIED: tuple[Precision, ...] = ("fp32", "bf16")
"""By 'auto'; numbers of any size fit both."""

_TILE = {"cpu": 4096, "cuda": 1 << 18}
"""Rows; enough on a GPU that not the launch is timed."""
_TRIALS = 12


def choose_device(device: str) -> torch.device:
    """'auto' takes a CUDA GPU when there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device 'cuda' needs an NVIDIA GPU and a torch built for it, and none was found; "
            "use --device cpu"
        )
    if device not in ("cpu", "cuda"):
        raise ValueError(f"a device must be 'auto', 'cpu' or 'cuda', got '{device}'")
    return torch.device(device)


def device_name(device: torch.device) -> str:
    """What the hardware calls itself."""
    is_cuda = device.type == "cuda"
    return torch.cuda.get_device_name(device) if is_cuda else platform.machine()


def choose_precision(precision: str, device: torch.device, width: int) -> Precision:
    """'auto' times one tile of a hidden layer in each precision and takes the faster."""
    if precision == "auto":
        return _fastest_precision(device, width)
    if precision in ("fp16", "fp8") and device.type == "cpu":
        raise ValueError(
            f"precision '{precision}' is a GPU's; a CPU multiplies in fp32 or bf16, so leave it to "
            "'auto'"
        )
    if precision == "fp8":
        raise ValueError("precision 'fp8' is that of the CUDA kernels, which do not serve this")
    for known in DTYPES:
        if precision == known:
            return known
    known = ", ".join(get_args(Precision))
    raise ValueError(f"a precision must be one of auto, {known}, got '{precision}'")


@cache
def _fastest_precision(device: torch.device, width: int) -> Precision:
    """bf16 is about 4 times faster with AVX512-BF16 and 4 times slower with AVX2 alone."""
    layers: dict[Precision, nn.Linear] = {
        name: nn.Linear(width, width, device=device, dtype=DTYPES[name]) for name in _TRIED
    }
    best: dict[Precision, float] = dict.fromkeys(layers, math.inf)
    # In turn, so that a machine that is busy for a moment disturbs both alike.
    for _ in range(_TRIALS):
        for name, layer in layers.items():
            best[name] = min(best[name], _time_layer(layer))
    return min(best, key=lambda name: best[name])


@torch.inference_mode()
def _time_layer(layer: nn.Linear) -> float:
    """Seconds of one hidden layer over a tile of rows."""
    weight = layer.weight
    size = (_TILE[weight.device.type], layer.in_features)
    rows = torch.zeros(size, dtype=weight.dtype, device=weight.device)
    start = time.perf_counter()
    layer(rows)
    if rows.is_cuda:
        torch.cuda.synchronize(rows.device)
    return time.perf_counter() - start
