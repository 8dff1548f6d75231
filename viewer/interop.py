"""Pictures from CUDA to OpenGL without a detour over main memory.

A GL buffer is registered with CUDA. For each picture it is mapped, written on the GPU, unmapped,
and taken over by the texture. All of this happens on the thread of the GL context.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Protocol

import moderngl
import numpy as np
import torch

from donerf.assets import install_line
from viewer.transfer import DeviceValues, Transfer, TransferLadder, Values

_WRITE_DISCARD = 2
_ALL_DEVICES = 1
_MOST_DEVICES = 16
# In this one the interop calls are broken.
_BROKEN_BINDINGS = "13.0.2"


class InteropError(RuntimeError):
    """The interop cannot be used, and why, in one sentence."""


class Cuda(Protocol):
    """What the interop needs from CUDA.

    driver:  the driver's functions, as in `cuda.bindings.driver`
    stream:  handle of the stream that copies
    """

    driver: Any
    stream: int

    def keep(self, values: DeviceValues) -> None:
        """Do not reuse the picture's memory before the stream is done with it."""
        ...

    def sample(self) -> DeviceValues:
        """A small picture of known bytes, (4, 4, 4) uint8, to try the way."""
        ...

    def device(self) -> int:
        """The driver's handle of the device that renders."""
        ...


class TorchCuda:
    """CUDA as torch has it open: its device, a stream of ours."""

    def __init__(self) -> None:
        """Make torch's context the current one of this thread."""
        self.driver = _import_driver()
        self._device = torch.device("cuda", torch.cuda.current_device())
        # The driver's functions work in whatever context the thread has; this gives it torch's.
        torch.zeros(1, device=self._device)
        self._stream = torch.cuda.Stream(self._device)
        self.stream = self._stream.cuda_stream

    def keep(self, values: DeviceValues) -> None:
        values.tensor.record_stream(self._stream)

    def sample(self) -> DeviceValues:
        tensor = torch.arange(64, dtype=torch.uint8, device=self._device).reshape(4, 4, 4)
        ready = torch.cuda.Event()
        ready.record(torch.cuda.current_stream(self._device))
        return DeviceValues(tensor, ready)

    def device(self) -> int:
        return int(_checked(self.driver.cuCtxGetDevice(), "cuCtxGetDevice"))


class Interop:
    """Copies pictures from CUDA into textures. Belongs to the thread of the GL context."""

    def __init__(
        self, context: moderngl.Context, open_cuda: Callable[[], Cuda] = TorchCuda
    ) -> None:
        """Try the whole way with a small picture; raises InteropError where it does not work."""
        self._context = context
        self._buffer: moderngl.Buffer | None = None
        self._resource: Any = None
        renderer = context.info["GL_RENDERER"]
        if "nvidia" not in f"{context.info['GL_VENDOR']} {renderer}".lower():
            raise InteropError(f"OpenGL runs on {renderer}, not on the GPU that CUDA uses")
        try:
            self._cuda = open_cuda()
            self._check_device()
            self._check_round_trip()
        except InteropError:
            self.release()
            raise
        # Drivers and bindings of other versions fail in their own ways.
        except Exception as error:
            self.release()
            raise InteropError(f"{type(error).__name__}: {error}") from error

    def write(self, texture: moderngl.Texture, values: DeviceValues) -> None:
        """Take over a picture of the texture's size and type; raises InteropError.

        After an error the interop is of no use any more.
        """
        size = values.tensor.numel() * values.tensor.element_size()
        try:
            if self._buffer is None or self._buffer.size != size:
                self._register(size)
            self._copy(values, size)
            assert self._buffer is not None, "a buffer was registered"
            texture.write(self._buffer)
        except InteropError:
            self.release()
            raise
        except Exception as error:
            self.release()
            raise InteropError(f"{type(error).__name__}: {error}") from error

    def release(self) -> None:
        """Give the buffer back; CUDA lets go of it first."""
        if self._resource is not None:
            with suppress(Exception):
                self._cuda.driver.cuGraphicsUnregisterResource(self._resource)
            self._resource = None
        if self._buffer is not None:
            self._buffer.release()
            self._buffer = None

    def _register(self, size: int) -> None:
        self.release()
        self._buffer = self._context.buffer(reserve=size, dynamic=True)
        self._resource = _checked(
            self._cuda.driver.cuGraphicsGLRegisterBuffer(self._buffer.glo, _WRITE_DISCARD),
            "cuGraphicsGLRegisterBuffer",
        )

    def _copy(self, values: DeviceValues, size: int) -> None:
        driver, stream = self._cuda.driver, self._cuda.stream
        _checked(driver.cuStreamWaitEvent(stream, values.ready.cuda_event, 0), "cuStreamWaitEvent")
        _checked(driver.cuGraphicsMapResources(1, self._resource, stream), "cuGraphicsMapResources")
        try:
            pointer, room = _checked(
                driver.cuGraphicsResourceGetMappedPointer(self._resource),
                "cuGraphicsResourceGetMappedPointer",
            )
            if room < size:
                raise InteropError(f"the GL buffer has {room} bytes, the picture {size}")
            source = values.tensor.data_ptr()
            _checked(driver.cuMemcpyDtoDAsync(pointer, source, size, stream), "cuMemcpyDtoDAsync")
            self._cuda.keep(values)
        finally:
            # GL work that follows waits for the copy: unmapping sees to that.
            unmapped = driver.cuGraphicsUnmapResources(1, self._resource, stream)
        _checked(unmapped, "cuGraphicsUnmapResources")

    def _check_device(self) -> None:
        count, devices = _checked(
            self._cuda.driver.cuGLGetDevices(_MOST_DEVICES, self._device_list()), "cuGLGetDevices"
        )
        if self._cuda.device() not in [int(device) for device in devices[:count]]:
            raise InteropError("OpenGL runs on another GPU than CUDA")

    def _device_list(self) -> Any:
        return self._cuda.driver.CUGLDeviceList(_ALL_DEVICES)

    def _check_round_trip(self) -> None:
        sample = self._cuda.sample()
        texture = self._context.texture((4, 4), 4)
        try:
            self.write(texture, sample)
            if texture.read() != sample.numpy().tobytes():
                raise InteropError("a picture arrives altered")
        finally:
            texture.release()


class Receiver:
    """Takes pictures over on the window's thread, on the way that they came."""

    def __init__(
        self,
        context: moderngl.Context,
        ladder: TransferLadder,
        open_interop: Callable[[moderngl.Context], Interop] = Interop,
    ) -> None:
        """ladder:  is told when the interop fails, so that no more pictures come that way"""
        self._context = context
        self._ladder = ladder
        self._open = open_interop
        self._interop: Interop | None = None

    def write(self, texture: moderngl.Texture, values: Values) -> None:
        """Put a picture into a texture of its size and type."""
        if isinstance(values, np.ndarray):
            texture.write(values)
            return
        try:
            if self._ladder.way is Transfer.INTEROP:
                self._interop = self._interop or self._open(self._context)
                self._interop.write(texture, values)
                return
        except InteropError as error:
            self._ladder.step_down(Transfer.INTEROP, error)
            self._interop = None
        # What is still on its way when the interop has failed is not lost.
        texture.write(values.numpy())

    def release(self) -> None:
        """Let go of the buffer, before the context ends."""
        if self._interop is not None:
            self._interop.release()
            self._interop = None


def interop_fault(context: moderngl.Context) -> str | None:
    """Why the interop cannot be used here; None when it can. Leaves nothing behind."""
    try:
        Interop(context).release()
    except InteropError as error:
        return str(error)
    return None


def _import_driver() -> Any:
    try:
        bindings = import_module("cuda.bindings")
        driver = import_module("cuda.bindings.driver")
    except ImportError as error:
        raise InteropError(f"cuda-bindings is missing ({error}); {install_line('gpu')}") from None
    if bindings.__version__ == _BROKEN_BINDINGS:
        raise InteropError(
            f"cuda-bindings {_BROKEN_BINDINGS} is broken; pip install --upgrade cuda-bindings"
        )
    return driver


def _checked(result: tuple[Any, ...], name: str) -> Any:
    """What a driver's function returned beside its error code: nothing, a value, or several."""
    code, *values = result
    if int(code) != 0:
        raise InteropError(f"{name} failed with {getattr(code, 'name', code)}")
    return values[0] if len(values) == 1 else values
