"""What this machine does bare, measured: matrix products, copies, seconds, memory."""

from __future__ import annotations

import ctypes
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from donerf.precision import DTYPES, Precision

_ROWS = {"cpu": (1024, 4096, 16_384), "cuda": (1 << 16, 1 << 18)}
"""Rows of one bare product; the fastest of these sizes counts."""
_SECONDS = 0.03
"""How long each is repeated."""
Result = TypeVar("Result")
_COPIED_BYTES = {"cpu": 1 << 27, "cuda": 1 << 32}


@dataclass(frozen=True)
class ProductRate:
    """How fast the bare product of one layer's shape is: (rows, inputs) x (inputs, outputs)."""

    precision: Precision
    inputs: int
    outputs: int
    tflops: float


@dataclass(frozen=True)
class BareSpeed:
    """What no backend can beat: products of the networks' shapes, and copying memory."""

    products: list[ProductRate]
    copy_gb_per_second: float

    def products_ms(
        self, layers: Iterable[tuple[tuple[int, int], float]], precision: Precision
    ) -> float:
        """What the products of a frame take by themselves.

        layers:  (inputs, outputs) and rows of each
        """
        rates = {(p.inputs, p.outputs): p.tflops for p in self.products if p.precision == precision}
        return sum(2e-9 * rows * a * b / rates[a, b] for (a, b), rows in layers)

    def or_faster(self, other: BareSpeed) -> BareSpeed:
        """The faster of two measurements of the same, each by itself: a disturbance only slows."""
        pairs = zip(self.products, other.products, strict=True)
        products = [max(pair, key=lambda product: product.tflops) for pair in pairs]
        return BareSpeed(products, max(self.copy_gb_per_second, other.copy_gb_per_second))


def measure_bare_speed(
    shapes: set[tuple[int, int]], precisions: Iterable[Precision], device: torch.device
) -> BareSpeed:
    """Time the product of every shape in every precision, and one large copy."""
    products = [
        ProductRate(precision, *shape, _product_tflops(*shape, DTYPES[precision], device))
        for precision in sorted(precisions)
        for shape in sorted(shapes)
    ]
    return BareSpeed(products, _copy_rate(device))


@torch.inference_mode()
def _product_tflops(inputs: int, outputs: int, dtype: torch.dtype, device: torch.device) -> float:
    """The fastest of torch's ways to multiply, and of some numbers of rows."""
    weight = torch.randn(outputs, inputs, device=device).to(dtype)
    best = 0.0
    for rows in _ROWS[device.type]:
        x = torch.randn(rows, inputs, device=device).to(dtype)
        for product in _products(x, weight):
            seconds = _median_seconds(product, device)
            best = max(best, 2e-12 * rows * inputs * outputs / seconds)
    return best


def _products(x: Tensor, weight: Tensor) -> list[Callable[[], Tensor]]:
    """x weight^T by torch's own choice of library, and on a CPU by oneDNN too.

    The library that torch takes for fp32 on a CPU is not the faster one everywhere. oneDNN gets
    the weights in its own order, as a network that is used again has them.
    """
    out = x.new_empty(len(x), len(weight))
    products: list[Callable[[], Tensor]] = [lambda: torch.mm(x, weight.T, out=out)]
    if x.device.type == "cpu":
        by_onednn = torch.ops.mkldnn._linear_pointwise
        try:
            in_order = torch.ops.mkldnn._reorder_linear_weight(weight, None)
            by_onednn(x, in_order, None, "none", [], "")
        except (AttributeError, RuntimeError):  # No oneDNN, or none for bf16 on this machine.
            return products
        products.append(lambda: by_onednn(x, in_order, None, "none", [], ""))
    return products


@torch.inference_mode()
def _copy_rate(device: torch.device) -> float:
    """GB read plus GB written, a second."""
    source = torch.zeros(_COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2e-9 * source.numel() / _median_seconds(lambda: target.copy_(source), device)


def _median_seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    work()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < _SECONDS:
        times.append(timed(work, device)[1])
    return statistics.median(times)


def timed(work: Callable[[], Result], device: torch.device) -> tuple[Result, float]:
    """What a piece of work makes, and the seconds until it is there."""
    synchronize(device)
    began = time.perf_counter()
    result = work()
    synchronize(device)
    return result, time.perf_counter() - began


def synchronize(device: torch.device) -> None:
    """Wait for the GPU; a CPU leaves nothing to wait for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_mb(work: Callable[[], object], device: torch.device) -> float | None:
    """How much memory a piece of work takes at most, beyond what was in use before it.

    On CUDA what torch allocated, on a CPU what the process had resident; None where the system
    does not say.
    """
    if device.type == "cuda":
        synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    if not _forget_peak():
        return None
    before = _resident_mb("VmRSS")
    work()
    return max(_resident_mb("VmHWM") - before, 0.0)


def _forget_peak() -> bool:
    """Let Linux count the peak anew; False where that cannot be."""
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)  # Freed memory that the process keeps would hide what the work needs.
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(name + ":"))
    return int(kilobytes) * 1024 / 1e6
