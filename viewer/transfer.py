"""How a picture gets from where it was rendered to the window, and what happens when a way fails.

Three ways, best first: `interop` leaves it on the GPU (interop.py), `pinned` copies it to locked
main memory, `plain` to any. Each failure steps down for good; `plain` needs nothing. Knows no GL.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from viewer.handover import one_line


class Transfer(StrEnum):
    """A way for pictures, from the GPU to the window."""

    INTEROP = "interop"
    PINNED = "pinned"
    PLAIN = "plain"


class Event(Protocol):
    """A moment on the GPU, as `torch.cuda.Event` has it."""

    @property
    def cuda_event(self) -> int:
        """Its handle for the driver."""
        ...

    def synchronize(self) -> None:
        """Wait for it."""
        ...


@dataclass(frozen=True)
class DeviceValues:
    """A picture that is still on the GPU, for the window's thread to take over.

    tensor:  (H, W, 4) uint8 or (H, W) float32, contiguous; nobody writes to it any more
    ready:   after which it may be read
    """

    tensor: Tensor
    ready: Event

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the picture."""
        return tuple(self.tensor.shape)

    def numpy(self) -> np.ndarray:
        """In main memory, the plain way."""
        self.ready.synchronize()  # sync: the picture has to be complete before it is copied.
        return self.tensor.cpu().numpy()


Values = np.ndarray | DeviceValues


def in_main_memory(values: Values) -> np.ndarray:
    """A picture to be saved or measured, wherever it is."""
    return values if isinstance(values, np.ndarray) else values.numpy()


class TransferLadder:
    """The way that pictures go now. Any thread may use it.

    way:     the present one
    reason:  why it is not a better one; empty for the best
    """

    def __init__(self, ways: tuple[Transfer, ...], reason: str = "") -> None:
        """ways:  that may be tried, best first; the last one is `plain`"""
        assert ways[-1] is Transfer.PLAIN, "the last way has to be the one that always works"
        self.way = ways[0]
        self.reason = reason
        self._below = list(ways[1:])
        self._lock = threading.Lock()

    def step_down(self, failed: Transfer, error: Exception | str) -> None:
        """A way has failed: never try it again. One that is left already changes nothing."""
        with self._lock:
            if failed is self.way and self._below:
                message = error if isinstance(error, str) else one_line(error)
                self.way = self._below.pop(0)
                self.reason = f"'{failed}' failed: {message}"

    def fetch(self, tensor: Tensor) -> Values:
        """Send a picture on its way; called on the thread that rendered it.

        tensor:   (H, W, 4) uint8 or (H, W) float32, on any device
        returns:  the picture in main memory, or where it is for the interop
        """
        if tensor.device.type == "cpu":
            return np.ascontiguousarray(tensor.numpy())
        while (way := self.way) is not Transfer.PLAIN:
            try:
                return _FETCH[way](tensor)
            # Whatever it is, there is another way.
            except Exception as error:
                self.step_down(way, error)
        return fetch_plain(tensor)


def fetch_plain(tensor: Tensor) -> np.ndarray:
    """To main memory, wherever there is room."""
    # sync: the copy waits for the picture.
    return tensor.contiguous().cpu().numpy()


def fetch_pinned(tensor: Tensor) -> np.ndarray:
    """To locked main memory, which the GPU writes to by itself and without a detour."""
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()  # sync: the copy has to be complete.
    return host.numpy()


def leave_on_device(tensor: Tensor) -> DeviceValues:
    """Keep a copy on the GPU: the renderer may use the memory of its frame again."""
    copy = tensor.contiguous().clone()
    ready = torch.cuda.Event()
    ready.record(torch.cuda.current_stream(tensor.device))
    return DeviceValues(copy, ready)


_FETCH: dict[Transfer, Callable[[Tensor], Values]] = {
    Transfer.INTEROP: leave_on_device,
    Transfer.PINNED: fetch_pinned,
    Transfer.PLAIN: fetch_plain,
}


def check_transfer(device: str, wanted: str) -> None:
    """Raise ValueError when a way is asked for that a renderer on this device cannot go."""
    if device == "cpu" and wanted not in ("auto", Transfer.PLAIN):
        raise ValueError(
            f"the transfer '{wanted}' needs a CUDA GPU, the renderer runs on the CPU; leave "
            "--transfer away"
        )


def make_ladder(
    device: str, wanted: str, interop_fault: Callable[[], str | None]
) -> TransferLadder:
    """The ways for pictures of a renderer on this device.

    wanted:         'auto' begins with the best; the name of a way begins there
    interop_fault:  opens the interop on the window's thread, and says why that cannot be
    """
    check_transfer(device, wanted)
    if device == "cpu":
        return TransferLadder((Transfer.PLAIN,))
    ways = tuple(Transfer)
    ladder = TransferLadder(ways if wanted == "auto" else ways[ways.index(Transfer(wanted)) :])
    if ladder.way is Transfer.INTEROP and (fault := interop_fault()) is not None:
        ladder.step_down(Transfer.INTEROP, fault)
    return ladder
