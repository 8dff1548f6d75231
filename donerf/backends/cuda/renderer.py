"""The renderer of the fused kernels: a frame is one CUDA graph."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from importlib.util import find_spec

import torch

from donerf.backends.cuda.eight_bits import choose_scales
from donerf.backends.cuda.frames import (
    EagerFrame,
    FrameProgram,
    FusedCell,
    FusedFrame,
    PictureKind,
    Recording,
    SparingFrame,
)
from donerf.backends.cuda.half import choose_half
from donerf.backends.cuda.packing import overwrite, pack_oracle, pack_shading, why_not
from donerf.backends.eager import EagerRenderer
from donerf.geometry.camera import Camera
from donerf.precision import DTYPES, Precision, choose_device, choose_precision
from donerf.renderer import (
    PLACEMENTS,
    Frame,
    Output,
    RayProbe,
    Renderer,
    RendererInfo,
    RenderOptions,
    make_renderer,
)
from donerf.scene_file import Scene, SceneCell

_KEPT_FRAMES = 16
"""Kinds of pictures whose buffers and graphs stay; the viewer's ladder has eight sizes."""
_LARGEST_TILE = 1 << 23
_SMALLEST_TILE = 1 << 12
"""Rays."""
_NAMES: dict[torch.dtype, Precision] = {
    torch.float8_e4m3fn: "fp8",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
}


class CudaRenderer:
    """Renders colors with the two kernels, everything else with the eager pipeline.

    Where Triton is missing, a kernel does not compile or the networks are of another kind, colors
    come from the eager pipeline too, recorded as a CUDA graph. When the GPU fails, from the CPU.
    """

    def __init__(self, scene: Scene, device: str = "auto", precision: str = "auto") -> None:
        """precision: 'auto' is fp16 where the networks fit it, else bf16; 'bf16', 'fp16', 'fp32';
        'fp8' is auto with the shading network's hidden layers in 8 bits"""
        self._device = choose_device(device)
        self._is_fp8 = precision == "fp8"
        precision = "auto" if self._is_fp8 else precision
        width = scene.cells[0].networks.oracle.settings.width
        self._precision: Precision = choose_precision(precision, self._device, width)
        self._is_free = precision == "auto"
        self._eager = EagerRenderer(scene, device, self._precision)
        self._rescue: Renderer | None = None
        self._fault: str | None = None
        self._said: set[str] = set()
        self._tile = _LARGEST_TILE
        self._cells: list[FusedCell] = []
        self._frames: OrderedDict[PictureKind, Recording] = OrderedDict()
        self.load(scene)

    @property
    def info(self) -> RendererInfo:
        """What this renderer is and can do."""
        if self._rescue is not None:
            return self._rescue.info
        if not self._cells:
            return self._eager.info
        # Not what was asked for: networks without hidden layers have none of 8 bits.
        precision = _NAMES[self._cells[0].shading.hidden.dtype]
        is_cuda = self._device.type == "cuda"
        return RendererInfo(
            backend="cuda",
            device=self._device.type,
            device_name=torch.cuda.get_device_name(self._device) if is_cuda else "interpreter",
            precision=precision,
            outputs=frozenset(Output),
            sample_counts=None,
            placements=PLACEMENTS,
            can_adapt=True,
        )

    def load(self, scene: Scene) -> None:
        """Show another scene, or newer weights of the same one: those go where the old ones lie."""
        self._scene = scene
        if self._rescue is not None:
            return self._rescue.load(scene)
        self._eager.load(scene)
        reason = self._fault or self._why_not(scene)
        if reason is not None:
            self._say(
                f"the CUDA kernels do not serve this scene, since {reason}: it is rendered eagerly"
            )
        cells = [] if reason is not None else [self._packed(cell) for cell in scene.cells]
        if (
            len(cells) != len(self._cells)
            or not all(map(_replace, self._cells, cells))
            or not cells
        ):
            self._cells = cells
            self._frames.clear()

    def close(self) -> None:
        """Free networks, buffers and graphs."""
        self._frames.clear()
        self._cells = []
        self._eager.close()

    @torch.inference_mode()
    def render(
        self,
        camera: Camera,
        options: RenderOptions,
        cancelled: Callable[[], bool] | None = None,
    ) -> Frame | None:
        """Render one frame; None when `cancelled` said so before it began."""
        if cancelled is not None and cancelled():
            return None
        if self._rescue is None:
            try:
                return self._render(camera, options, cancelled)
            except torch.AcceleratorError as error:
                self._go_to_cpu(error)
        assert self._rescue is not None
        return self._rescue.render(camera, options, cancelled)

    def probe(
        self, camera: Camera, pixel: tuple[int, int], options: RenderOptions
    ) -> RayProbe | None:
        """Look at the ray of one pixel (column, row), in the eager pipeline."""
        return (self._rescue or self._eager).probe(camera, pixel, options)

    def _render(
        self, camera: Camera, options: RenderOptions, cancelled: Callable[[], bool] | None
    ) -> Frame | None:
        others = sorted(options.outputs - {Output.COLOR})
        if others or options.placement != "oracle":
            what = ", ".join(others) or f"placement '{options.placement}'"
            self._say(f"{what}: rendered eagerly, since the CUDA kernels give colors alone")
            return self._eager.render(camera, options, cancelled)
        recording = self._recording(camera, options)
        recording.program.look(camera, options.subpixel_offset)
        times = recording.play()
        work = recording.program.work()
        shape = (camera.intrinsics.height, camera.intrinsics.width, -1)
        # Copies, since the next frame is drawn on the same memory.
        color = recording.program.color
        return Frame(
            image=recording.program.image.clone().view(shape),
            times=times,
            mean_samples=work.mean_samples,
            oracle_share=work.oracle_share,
            color=None if color is None else color.clone().view(shape),
        )

    def _recording(self, camera: Camera, options: RenderOptions) -> Recording:
        """The recorded work for pictures of this kind; made when there is none."""
        while True:
            kind = self._kind(camera, options)
            if kind in self._frames:
                self._frames.move_to_end(kind)
                return self._frames[kind]
            try:
                program = self._program(kind)
                program.look(camera, options.subpixel_offset)
                self._frames[kind] = Recording(program, self._device, self._say)
                if len(self._frames) > _KEPT_FRAMES:
                    self._frames.popitem(last=False)
                continue
            except torch.OutOfMemoryError:
                if min(kind.tile, kind.pixels) <= _SMALLEST_TILE:
                    raise
                self._tile = min(kind.tile, kind.pixels) // 2
            except torch.AcceleratorError:
                raise
            except _kernel_errors() as error:
                if not self._cells:
                    raise
                self._fault = f"they do not run here ({str(error).splitlines()[0]})"
            self._after_failure()

    def _after_failure(self) -> None:
        """Free what recorded frames hold; leave the kernels for good if they were at fault."""
        self._frames.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if self._fault is not None:
            self.load(self._scene)

    def _kind(self, camera: Camera, options: RenderOptions) -> PictureKind:
        k = camera.intrinsics
        # What does not fit at once is rendered exactly, and so is what the eager pipeline draws.
        is_whole = bool(self._cells) and k.width * k.height <= self._tile
        return PictureKind(
            k.width,
            k.height,
            options.samples,
            options.cell_index,
            Output.COLOR in options.outputs,
            options.adaptive and is_whole,
            options.shared_oracle and is_whole,
            self._tile,
        )

    def _program(self, kind: PictureKind) -> FrameProgram:
        if self._cells:
            frame = SparingFrame if kind.is_adaptive or kind.is_shared else FusedFrame
            return frame(kind, self._cells[kind.cell_index], self._device)
        cell = self._scene.cells[kind.cell_index]
        networks = cell.networks.copied_to(self._device, DTYPES[self._precision])
        return EagerFrame(kind, cell.cell, networks, self._device)

    def _packed(self, scene_cell: SceneCell) -> FusedCell:
        cell = scene_cell.cell
        networks = scene_cell.networks.copied_to(self._device, torch.float32)
        assert networks.shading is not None
        dtype = choose_half(cell, networks) if self._is_free else DTYPES[self._precision]
        scales = choose_scales(cell, networks) if self._is_fp8 else None
        return FusedCell(
            cell,
            pack_oracle(networks.oracle, cell, dtype),
            pack_shading(networks.shading, networks.compositing, dtype, scales),
        )

    def _why_not(self, scene: Scene) -> str | None:
        """Why the kernels cannot render a scene, as the end of a sentence; None when they can."""
        if find_spec("triton") is None:
            return "Triton is not installed"
        networks = [cell.networks for cell in scene.cells]
        reasons = [why_not(each.oracle, each.shading) for each in networks]
        reasons += [
            f"its combs have up to {each.longest_comb} samples"
            for each in networks
            if not each.has_usual_combs
        ]
        left_out = [cell.cell.left_out for cell in scene.cells]
        reasons += [step and f"it leaves out {step}" for step in left_out]
        if self._precision == "fp32" and not self._is_free:
            reasons.append("they have 16-bit products and fp32 was asked for")
        return next((reason for reason in reasons if reason is not None), None)

    def _go_to_cpu(self, error: RuntimeError) -> None:
        """After a CUDA error nothing runs on the GPU any more in this process."""
        self._say(f"the GPU failed, the CPU takes over: {str(error).splitlines()[0]}")
        self._rescue = make_renderer(self._scene, "cpu")

    def _say(self, message: str) -> None:
        """Print a message the first time."""
        if message not in self._said:
            self._said.add(message)
            print(f"note: {message}", file=sys.stderr)


def _replace(old: FusedCell, new: FusedCell) -> bool:
    """Put a cell's numbers where the old one's lie; False when they do not fit."""
    if old.cell != new.cell:
        return False
    return overwrite(old.oracle, new.oracle) and overwrite(old.shading, new.shading)


def _kernel_errors() -> tuple[type[Exception], ...]:
    """What a kernel that does not compile, or does not start, raises."""
    try:
        from triton.errors import TritonError
    except ImportError:
        return (RuntimeError, OSError)
    return (TritonError, RuntimeError, OSError)
