"""The ways of a picture to the window, each made to fail; the interop against a stand-in for CUDA.

OpenGL is real (EGL, llvmpipe will do). There is no GPU in most places that run this, so the driver
is played by one that keeps to the same calls and copies main memory; a test with a GPU runs the
same round trip for real.
"""

import ctypes
from dataclasses import dataclass, field
from typing import Any

import moderngl
import numpy as np
import pytest
import torch

from viewer.interop import Interop, InteropError, Receiver, interop_fault
from viewer.transfer import (
    DeviceValues,
    Transfer,
    TransferLadder,
    in_main_memory,
    make_ladder,
)

DEVICE = 7


class NvidiaContext:
    """The real context, which says that it runs on an NVIDIA GPU."""

    def __init__(self, context: moderngl.Context) -> None:
        self._context = context
        self.info = {"GL_VENDOR": "NVIDIA Corporation", "GL_RENDERER": "NVIDIA H200"}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


@dataclass
class FakeEvent:
    cuda_event: int = 11
    was_waited_for: bool = False

    def synchronize(self) -> None:
        self.was_waited_for = True


@dataclass
class FakeDriver:
    """The driver's calls, over main memory. Checks that they come in a lawful order.

    faults:  name of a call -> error code that it returns
    """

    context: moderngl.Context
    faults: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    registered: dict[int, tuple[int, Any]] = field(default_factory=dict)
    mapped: set[int] = field(default_factory=set)
    devices: tuple[int, ...] = (3, DEVICE)
    alters: bool = False

    def _code(self, name: str) -> int:
        self.calls.append(name)
        return self.faults.get(name, 0)

    def CUGLDeviceList(self, value: int) -> int:
        return value

    def cuGLGetDevices(self, most: int, which: int) -> tuple:
        assert which == 1
        return self._code("cuGLGetDevices"), len(self.devices), [*self.devices, 0, 0][:most]

    def cuGraphicsGLRegisterBuffer(self, glo: int, flags: int) -> tuple:
        assert flags == 2, "write-discard"
        if code := self._code("cuGraphicsGLRegisterBuffer"):
            return code, None
        self.registered[glo] = (0, None)
        return 0, glo

    def cuGraphicsMapResources(self, count: int, resource: int, stream: int) -> tuple:
        assert count == 1 and resource in self.registered and resource not in self.mapped
        if not (code := self._code("cuGraphicsMapResources")):
            self.mapped.add(resource)
        return (code,)

    def cuGraphicsResourceGetMappedPointer(self, resource: int) -> tuple:
        assert resource in self.mapped
        memory = ctypes.create_string_buffer(1 << 20)
        self.registered[resource] = (0, memory)
        code = self._code("cuGraphicsResourceGetMappedPointer")
        return code, ctypes.addressof(memory), len(memory)

    def cuMemcpyDtoDAsync(self, target: int, source: int, size: int, stream: int) -> tuple:
        if not (code := self._code("cuMemcpyDtoDAsync")):
            ctypes.memmove(target, source, size)
            (resource,) = self.mapped
            self.registered[resource] = (size, self.registered[resource][1])
        return (code,)

    def cuStreamWaitEvent(self, stream: int, event: int, flags: int) -> tuple:
        assert event == 11
        return (self._code("cuStreamWaitEvent"),)

    def cuGraphicsUnmapResources(self, count: int, resource: int, stream: int) -> tuple:
        self.mapped.remove(resource)
        size, memory = self.registered[resource]
        if size:
            data = bytes(memory[:size])
            buffer = self.context.external_buffer(resource, size)
            buffer.write(data[::-1] if self.alters else data)
        return (self._code("cuGraphicsUnmapResources"),)

    def cuGraphicsUnregisterResource(self, resource: int) -> tuple:
        assert resource not in self.mapped, "a mapped buffer must not be unregistered"
        del self.registered[resource]
        return (self._code("cuGraphicsUnregisterResource"),)


class FakeCuda:
    """CUDA with pictures in main memory."""

    stream = 5

    def __init__(self, driver: FakeDriver) -> None:
        self.driver = driver
        self.kept: list[DeviceValues] = []

    def keep(self, values: DeviceValues) -> None:
        self.kept.append(values)

    def sample(self) -> DeviceValues:
        return values_of(np.arange(64, dtype=np.uint8).reshape(4, 4, 4))

    def device(self) -> int:
        return DEVICE


def values_of(pixels: np.ndarray) -> DeviceValues:
    return DeviceValues(torch.from_numpy(pixels), FakeEvent())


def open_interop(context: moderngl.Context, driver: FakeDriver) -> Interop:
    nvidia: Any = NvidiaContext(context)
    return Interop(nvidia, lambda: FakeCuda(driver))


def test_a_picture_goes_through_the_buffer_into_the_texture(context, rng):
    driver = FakeDriver(context)
    interop = open_interop(context, driver)
    for width, height in ((16, 12), (17, 9), (16, 12)):
        pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
        texture = context.texture((width, height), 4)
        interop.write(texture, values_of(pixels))
        assert texture.read() == pixels.tobytes()
        texture.release()
    interop.release()

    assert not driver.registered, "everything was given back"
    assert context.error == "GL_NO_ERROR"


def test_values_of_one_number_a_pixel_go_the_same_way(context, rng):
    interop = open_interop(context, FakeDriver(context))
    values = rng.random((9, 13), dtype=np.float32)
    texture = context.texture((13, 9), 1, dtype="f4")
    interop.write(texture, values_of(values))

    assert texture.read() == values.tobytes()
    interop.release()


def test_a_buffer_is_registered_once_for_each_size(context, rng):
    driver = FakeDriver(context)
    interop = open_interop(context, driver)
    texture = context.texture((8, 8), 4)
    driver.calls.clear()
    for _ in range(5):
        interop.write(texture, values_of(rng.integers(0, 256, (8, 8, 4), dtype=np.uint8)))
    interop.release()

    assert driver.calls.count("cuGraphicsGLRegisterBuffer") == 1
    assert driver.calls.count("cuGraphicsUnregisterResource") == 2, "the sample's buffer, and ours"
    order = [call for call in driver.calls if call.startswith(("cuStream", "cuMem", "cuGraphics"))]
    at = order.index("cuMemcpyDtoDAsync")
    assert order[at - 3 : at + 2] == [
        "cuStreamWaitEvent",
        "cuGraphicsMapResources",
        "cuGraphicsResourceGetMappedPointer",
        "cuMemcpyDtoDAsync",
        "cuGraphicsUnmapResources",
    ]


CALLS = [
    "cuGLGetDevices",
    "cuGraphicsGLRegisterBuffer",
    "cuStreamWaitEvent",
    "cuGraphicsMapResources",
    "cuGraphicsResourceGetMappedPointer",
    "cuMemcpyDtoDAsync",
    "cuGraphicsUnmapResources",
]


@pytest.mark.parametrize("call", CALLS)
def test_whatever_fails_when_it_is_opened_is_named_and_nothing_is_left(context, call: str):
    driver = FakeDriver(context, faults={call: 999})

    with pytest.raises(InteropError, match=f"{call} failed with 999"):
        open_interop(context, driver)
    assert not driver.registered
    assert not driver.mapped


@pytest.mark.parametrize("call", CALLS[2:])
def test_whatever_fails_later_is_named_and_nothing_is_left(context, rng, call: str):
    driver = FakeDriver(context)
    interop = open_interop(context, driver)
    driver.faults[call] = 700
    texture = context.texture((8, 8), 4)

    with pytest.raises(InteropError, match=f"{call} failed with 700"):
        interop.write(texture, values_of(rng.integers(0, 256, (8, 8, 4), dtype=np.uint8)))
    assert not driver.registered
    assert not driver.mapped
    assert context.error == "GL_NO_ERROR"


def test_a_picture_that_arrives_altered_is_found_out(context):
    with pytest.raises(InteropError, match="arrives altered"):
        open_interop(context, FakeDriver(context, alters=True))


def test_opengl_on_another_gpu_is_found_out(context):
    with pytest.raises(InteropError, match="on another GPU"):
        open_interop(context, FakeDriver(context, devices=(3,)))


def test_opengl_that_is_not_nvidias_is_named(context):
    if "nvidia" in context.info["GL_VENDOR"].lower():
        pytest.skip("OpenGL runs on an NVIDIA GPU here")
    fault = interop_fault(context)

    assert fault is not None
    assert context.info["GL_RENDERER"] in fault


def test_cuda_that_cannot_be_opened_is_told(context):
    def fail() -> Any:
        raise RuntimeError("no kernel image")

    nvidia: Any = NvidiaContext(context)
    with pytest.raises(InteropError, match="RuntimeError: no kernel image"):
        Interop(nvidia, fail)


class Window:
    """A texture, and what takes pictures over into it."""

    def __init__(self, context: moderngl.Context, driver: FakeDriver) -> None:
        self.ladder = TransferLadder(tuple(Transfer))
        self.receiver = Receiver(context, self.ladder, lambda _: open_interop(context, driver))
        self.texture = context.texture((8, 8), 4)

    def shows(self, pixels: np.ndarray) -> bool:
        self.receiver.write(self.texture, values_of(pixels))
        return self.texture.read() == pixels.tobytes()


@pytest.mark.parametrize("call", CALLS)
def test_a_window_shows_every_picture_whichever_call_fails_and_when(context, rng, call: str):
    pictures = rng.integers(0, 256, (4, 8, 8, 4), dtype=np.uint8)
    for healthy in range(3):
        driver = FakeDriver(context)
        window = Window(context, driver)
        for index, pixels in enumerate(pictures):
            driver.faults = {call: 999} if index >= healthy else {}
            assert window.shows(pixels), "no picture is lost"
        # The buffer is registered, and the device asked for, only once.
        once = call in ("cuGLGetDevices", "cuGraphicsGLRegisterBuffer")
        if healthy == 0 or not once:
            assert window.ladder.way is Transfer.PINNED
            assert call in window.ladder.reason
            assert not driver.registered, "nothing is left behind"
        else:
            assert window.ladder.way is Transfer.INTEROP
        window.receiver.release()
        assert not driver.registered


def test_pictures_in_main_memory_need_no_cuda(context, rng):
    receiver = Receiver(context, TransferLadder((Transfer.PLAIN,)), lambda _: pytest.fail("opened"))
    pixels = rng.integers(0, 256, (8, 8, 4), dtype=np.uint8)
    texture = context.texture((8, 8), 4)
    receiver.write(texture, pixels)

    assert texture.read() == pixels.tobytes()


@pytest.mark.gpu
def test_the_real_interop_carries_pictures_of_every_size(context, rng):
    if (fault := interop_fault(context)) is not None:
        pytest.skip(fault)
    interop = Interop(context)
    for width, height in ((640, 480), (17, 9)):
        pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
        ladder = TransferLadder(tuple(Transfer))
        values = ladder.fetch(torch.from_numpy(pixels).cuda())
        assert isinstance(values, DeviceValues)
        texture = context.texture((width, height), 4)
        interop.write(texture, values)
        assert texture.read() == pixels.tobytes()
    interop.release()


@pytest.mark.gpu
@pytest.mark.parametrize("way", Transfer)
def test_every_way_brings_the_same_picture(rng, way: Transfer):
    pixels = rng.integers(0, 256, (33, 17, 4), dtype=np.uint8)
    ways = tuple(Transfer)
    values = TransferLadder(ways[ways.index(way) :]).fetch(torch.from_numpy(pixels).cuda())

    assert np.array_equal(in_main_memory(values), pixels)


def works() -> None:
    return None


def test_the_best_way_is_taken_and_a_cpu_has_only_one():
    assert make_ladder("cuda", "auto", works).way is Transfer.INTEROP
    assert make_ladder("cuda", "pinned", pytest.fail).way is Transfer.PINNED
    assert make_ladder("cuda", "plain", pytest.fail).way is Transfer.PLAIN
    assert make_ladder("cpu", "auto", pytest.fail).way is Transfer.PLAIN
    assert make_ladder("cpu", "auto", pytest.fail).reason == ""


@pytest.mark.parametrize("wanted", ["interop", "pinned"])
def test_a_way_that_needs_a_gpu_cannot_be_forced_without_one(wanted: str):
    with pytest.raises(ValueError, match=f"'{wanted}' needs a CUDA GPU"):
        make_ladder("cpu", wanted, works)


@pytest.mark.parametrize("wanted", ["auto", "interop"])
def test_an_interop_that_cannot_be_opened_gives_way_and_says_why(wanted: str):
    ladder = make_ladder("cuda", wanted, lambda: "OpenGL runs on llvmpipe")

    assert ladder.way is Transfer.PINNED
    assert ladder.reason == "'interop' failed: OpenGL runs on llvmpipe"


def test_each_failure_steps_down_once_and_the_last_way_stays():
    ladder = TransferLadder(tuple(Transfer))
    ladder.step_down(Transfer.INTEROP, RuntimeError("lost"))
    ladder.step_down(Transfer.INTEROP, RuntimeError("told twice"))
    assert ladder.way is Transfer.PINNED
    assert "lost" in ladder.reason
    ladder.step_down(Transfer.PINNED, RuntimeError("no memory"))
    ladder.step_down(Transfer.PLAIN, RuntimeError("cannot be"))
    assert ladder.way is Transfer.PLAIN
    assert "no memory" in ladder.reason


class FarTensor:
    """A tensor that says it lies on a GPU, so that the ways meant for one are tried and fail."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor
        self.device = torch.device("cuda", 0)
        self.shape, self.dtype = tensor.shape, tensor.dtype

    def contiguous(self) -> torch.Tensor:
        return self._tensor


@pytest.mark.skipif(torch.cuda.is_available(), reason="here the ways to a GPU do not fail")
def test_without_a_gpu_every_way_but_the_plain_one_fails_and_the_picture_arrives(rng):
    pixels = rng.integers(0, 256, (5, 4, 4), dtype=np.uint8)
    ladder = TransferLadder(tuple(Transfer))
    far: Any = FarTensor(torch.from_numpy(pixels))

    assert np.array_equal(in_main_memory(ladder.fetch(far)), pixels)
    assert ladder.way is Transfer.PLAIN
    assert ladder.reason.startswith("'pinned' failed: ")


def test_a_picture_that_the_window_cannot_take_over_is_fetched_the_plain_way(rng):
    pixels = rng.integers(0, 256, (5, 4, 4), dtype=np.uint8)
    values = values_of(pixels)

    assert np.array_equal(values.numpy(), pixels)
    assert isinstance(values.ready, FakeEvent) and values.ready.was_waited_for


def test_the_driver_has_the_calls_that_are_made():
    driver = pytest.importorskip("cuda.bindings.driver", reason="pip install 'donerf[gpu]'")
    calls = [*CALLS, "cuGraphicsUnregisterResource", "cuCtxGetDevice"]

    assert all(callable(getattr(driver, name, None)) for name in calls)
    assert driver.CUGLDeviceList(1).name == "CU_GL_DEVICE_LIST_ALL"
    flags = driver.CUgraphicsRegisterFlags
    assert flags.CU_GRAPHICS_REGISTER_FLAGS_WRITE_DISCARD.value == 2
