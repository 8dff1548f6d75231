"""The renderer of the fused kernels: pictures, new weights, and every way to fall back."""

import copy

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from donerf import (
    Camera,
    Intrinsics,
    Output,
    RenderOptions,
    ViewCell,
    load_scene,
    make_renderer,
)
from donerf.assets import default_scene
from donerf.backends.cuda import frames, renderer
from donerf.backends.cuda.eight_bits import choose_scales, rounded_networks
from donerf.backends.cuda.half import choose_half
from donerf.backends.cuda.renderer import CudaRenderer
from donerf.config import OracleSettings, ShadingSettings
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.renderer import Frame
from donerf.scene_file import Scene, SceneCell

CELL = ViewCell((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.9, (0.5, 20.0), (-0.1, 19.0))
OTHER_CELL = ViewCell((2.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.9, (0.5, 30.0), (-0.1, 29.0))


def make_scene(
    seed: int = 0, shape: str = "reference", layers: int = 3, factor: float = 2
) -> Scene:
    torch.manual_seed(seed)
    cells = []
    for cell in (CELL, OTHER_CELL):
        networks = Networks(
            DepthOracle(OracleSettings(width=32, layers=layers)),
            ShadingNetwork(ShadingSettings(width=32, layers=layers, shape=shape)),  # type: ignore[arg-type]
        )
        assert networks.shading is not None
        with torch.no_grad():
            for parameter in (*networks.oracle.parameters(), *networks.shading.parameters()):
                parameter.mul_(factor)
                parameter.requires_grad_(False)
        cells.append(SceneCell(cell, networks))
    return Scene(cells)


def camera(width: int = 21, height: int = 5) -> Camera:
    return Camera(np.eye(4), Intrinsics.from_fov(width, height, 1.2))


def picture(a_renderer, options: RenderOptions | None = None, seen: Camera | None = None) -> Frame:
    frame = a_renderer.render(
        seen or camera(), options or RenderOptions(samples=2, shared_oracle=False)
    )
    assert frame is not None
    return frame


def fused_picture(
    fused: CudaRenderer, options: RenderOptions | None = None, seen: Camera | None = None
) -> Frame:
    frame = picture(fused, options, seen)
    assert fused.info.backend == "cuda", "it fell back"
    return frame


def assert_same_picture(frame: Frame, expected: Frame) -> None:
    # The products have 11 bits, a byte has 8: it may fall to the neighboring value.
    difference = (frame.image.cpu().int() - expected.image.cpu().int()).abs()
    assert difference.max() <= 2
    assert expected.image[..., :3].float().std() > 5, "a gray picture would hide mistakes"


def exact(scene: Scene) -> object:
    return make_renderer(scene, "cpu", "fp32", "eager")


def test_the_picture_is_the_eager_one(kernel_device):
    scene = make_scene()
    fused = CudaRenderer(scene, str(kernel_device))

    frame = fused_picture(fused)

    assert_same_picture(frame, picture(exact(scene)))
    assert frame.image.shape == (5, 21, 4)
    assert frame.mean_samples == 2
    assert frame.times.total_ms >= frame.times.shading_ms > 0
    assert fused.info.backend == "cuda"
    assert fused.info.precision == "fp16"


@pytest.mark.parametrize("seen", [(1, 1), (13, 9)])
def test_sizes_counts_cells_and_offsets(kernel_device, seen: tuple[int, int]):
    scene = make_scene()
    options = RenderOptions(
        samples=3, subpixel_offset=(0.3, -0.2), cell_index=1, shared_oracle=False
    )
    moved = Camera(
        np.array([[1, 0, 0, 2.2], [0, 1, 0, 0.1], [0, 0, 1, -0.3], [0, 0, 0, 1.0]]),
        camera(*seen).intrinsics,
    )

    frame = fused_picture(CudaRenderer(scene, str(kernel_device)), options, moved)

    expected = picture(exact(scene), options, moved)
    assert (frame.image.cpu().int() - expected.image.int()).abs().max() <= 2


def test_a_frame_is_not_overwritten_by_the_next(kernel_device):
    fused = CudaRenderer(make_scene(), str(kernel_device))
    options = RenderOptions(samples=1, outputs=frozenset({Output.COLOR}))
    frame = fused_picture(fused, options)
    before = frame.image.clone(), frame.color.clone() if frame.color is not None else None
    turned = camera().world_from_camera @ np.diag([-1.0, 1.0, -1.0, 1.0])

    fused_picture(fused, options, Camera(turned, camera().intrinsics))

    assert (frame.image == before[0]).all()
    assert frame.color is not None and before[1] is not None
    assert_close(frame.color, before[1], atol=0, rtol=0)
    assert_close((frame.color * 255).round().byte(), frame.image[..., :3], atol=1, rtol=0)


def test_hidden_layers_of_8_bits_are_asked_for_as_a_precision(kernel_device):
    scene = load_scene(default_scene())
    seen = Camera(np.array(scene.metadata.test_poses[0]), Intrinsics.from_fov(31, 17, 1.2))
    options = RenderOptions(samples=2, shared_oracle=False)
    fused = CudaRenderer(scene, str(kernel_device), "fp8")

    frame = fused_picture(fused, options, seen)

    assert fused.info.precision == "fp8"
    cell = scene.cells[0]
    twin = rounded_networks(cell.networks, choose_scales(cell.cell, cell.networks))
    expected = picture(exact(Scene([SceneCell(cell.cell, twin)])), options, seen)
    assert psnr(frame, expected) > psnr(frame, picture(exact(scene), options, seen)) + 3


def test_new_weights_of_8_bits_go_into_the_recorded_frame(kernel_device):
    scenes = [make_scene(seed) for seed in (0, 1)]
    fused = CudaRenderer(scenes[0], str(kernel_device), "fp8")
    fused_picture(fused)
    recorded = list(fused._frames.values())

    fused.load(scenes[1])

    assert list(fused._frames.values()) == recorded
    anew = CudaRenderer(scenes[1], str(kernel_device), "fp8")
    assert (fused_picture(fused).image == fused_picture(anew).image).all()


def test_new_weights_go_into_the_recorded_frame(kernel_device):
    old, new = make_scene(0), make_scene(1)
    fused = CudaRenderer(old, str(kernel_device))
    fused_picture(fused)
    recorded = list(fused._frames.values())

    fused.load(new)

    assert list(fused._frames.values()) == recorded
    assert_same_picture(fused_picture(fused), picture(exact(new)))


def test_networks_of_another_shape_are_recorded_anew(kernel_device):
    fused = CudaRenderer(make_scene(0), str(kernel_device))
    fused_picture(fused)
    other = make_scene(1, layers=4)

    fused.load(other)

    assert_same_picture(fused_picture(fused), picture(exact(other)))


def test_other_outputs_come_from_the_eager_pipeline_and_that_is_said_once(kernel_device, capsys):
    fused = CudaRenderer(make_scene(), str(kernel_device))
    options = RenderOptions(samples=2, outputs=frozenset({Output.DEPTH, Output.ENTROPY}))

    frames = [picture(fused, options) for _ in range(2)]

    assert all(frame.depth is not None and frame.entropy is not None for frame in frames)
    assert capsys.readouterr().err.count("rendered eagerly") == 1


def test_a_network_of_another_kind_is_rendered_eagerly(kernel_device, capsys):
    scene = make_scene(shape="nerf")

    fused = CudaRenderer(scene, str(kernel_device), "fp32")

    assert_same_picture(picture(fused), picture(exact(scene)))
    assert fused.info.backend == "eager"
    assert "shape 'nerf'" in capsys.readouterr().err


def test_color_is_there_without_the_kernels_too(kernel_device):
    scene = make_scene(shape="nerf")
    options = RenderOptions(samples=2, outputs=frozenset({Output.COLOR}))

    frame = picture(CudaRenderer(scene, str(kernel_device), "fp32"), options)

    expected = picture(exact(scene), options)
    assert frame.color is not None and expected.color is not None
    assert_close(frame.color.cpu(), expected.color, atol=2e-3, rtol=0)


def test_fp32_is_rendered_eagerly(kernel_device, capsys):
    fused = CudaRenderer(make_scene(), str(kernel_device), "fp32")

    assert_same_picture(picture(fused), picture(exact(make_scene())))
    assert fused.info.precision == "fp32"
    assert "fp32 was asked for" in capsys.readouterr().err


def test_without_triton_it_is_rendered_eagerly(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(renderer, "find_spec", lambda name: None)

    fused = CudaRenderer(make_scene(), "cpu")

    assert_same_picture(
        picture(fused), picture(make_renderer(make_scene(), "cpu", "bf16", "eager"))
    )
    assert "Triton is not installed" in capsys.readouterr().err


def test_a_kernel_that_does_not_compile_is_given_up(kernel_device, monkeypatch, capsys):
    from triton.errors import TritonError

    def fail(*arguments: object) -> None:
        raise TritonError("no such instruction\nat line 7")

    monkeypatch.setattr(frames, "launch_shade", fail)
    fused = CudaRenderer(make_scene(), str(kernel_device))

    first, second = picture(fused), picture(fused)

    assert (first.image == second.image).all()
    assert fused.info.backend == "eager"
    message = capsys.readouterr().err
    assert message.count("they do not run here (no such instruction)") == 1


def test_a_tile_that_does_not_fit_is_halved(kernel_device, monkeypatch):
    launched: list[int] = []
    launch = frames.launch_place

    def launch_few(oracle, view, pixels, depths, tiling) -> None:
        if len(pixels.range) > 30:
            raise torch.OutOfMemoryError("out of memory")
        launched.append(len(pixels.range))
        launch(oracle, view, pixels, depths, tiling)

    monkeypatch.setattr(frames, "launch_place", launch_few)
    monkeypatch.setattr(renderer, "_SMALLEST_TILE", 8)
    fused = CudaRenderer(make_scene(), str(kernel_device))

    frame = fused_picture(fused)

    assert_same_picture(frame, picture(exact(make_scene())))
    assert launched[:5] == [26, 26, 26, 26, 1]


def test_a_gpu_that_is_too_small_says_so(kernel_device, monkeypatch):
    def launch(*arguments: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(frames, "launch_place", launch)

    with pytest.raises(torch.OutOfMemoryError):
        picture(CudaRenderer(make_scene(), str(kernel_device)))


def test_the_cpu_takes_over_when_the_gpu_fails(kernel_device, monkeypatch, capsys):
    fused = CudaRenderer(make_scene(), str(kernel_device))
    fused_picture(fused)

    def fail(self: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access\nmore")

    monkeypatch.setattr(frames.Recording, "play", fail)
    frame = picture(fused)

    assert frame.image.device.type == "cpu"
    assert_same_picture(frame, picture(make_renderer(make_scene(), "cpu")))
    assert fused.info.device == "cpu"
    assert "the CPU takes over: CUDA error: an illegal memory access" in capsys.readouterr().err
    fused.load(make_scene(1))
    assert_same_picture(picture(fused), picture(make_renderer(make_scene(1), "cpu")))


def test_a_cancelled_frame_is_none(kernel_device):
    fused = CudaRenderer(make_scene(), str(kernel_device))

    assert fused.render(camera(), RenderOptions(), lambda: True) is None


def test_the_probe_is_the_eager_one(kernel_device):
    scene = make_scene()
    fused = CudaRenderer(scene, str(kernel_device))

    probe = fused.probe(camera(), (3, 2), RenderOptions(samples=2))

    assert probe is not None
    expected = picture(fused).image[2, 3, :3].cpu().float() / 255
    # The eager one has bf16 products where those are faster.
    assert_close(probe.color.cpu(), expected, atol=0.05, rtol=0)


def test_large_numbers_take_bfloat16():
    small, large = make_scene().cells[0], make_scene(factor=200).cells[0]

    assert choose_half(small.cell, small.networks) is torch.float16
    assert choose_half(large.cell, large.networks) is torch.bfloat16


def test_the_backend_needs_a_gpu():
    with pytest.raises(ValueError, match="must run on an NVIDIA GPU"):
        make_renderer(make_scene(), "cpu", "auto", "cuda")


@pytest.mark.gpu
def test_a_gpu_gets_the_kernels_by_itself():
    assert make_renderer(make_scene()).info.backend == "cuda"


@pytest.mark.gpu
@pytest.mark.parametrize("shape", ["reference", "nerf"])
def test_frames_are_recorded_and_take_no_more_memory(shape: str, capsys):
    fused = CudaRenderer(make_scene(shape=shape), "cuda")
    seen = camera(320, 200)
    picture(fused, None, seen)
    assert "not recorded" not in capsys.readouterr().err
    before = torch.cuda.memory_allocated()

    for _ in range(500):
        picture(fused, None, seen)

    assert torch.cuda.memory_allocated() == before
    assert all(recording._graph is not None for recording in fused._frames.values())


def test_scenes_are_not_changed(kernel_device):
    scene = make_scene()
    before = copy.deepcopy(scene.cells[0].networks.oracle.state_dict())

    picture(CudaRenderer(scene, str(kernel_device)))

    for name, tensor in scene.cells[0].networks.oracle.state_dict().items():
        assert_close(tensor, before[name], atol=0, rtol=0)


@pytest.mark.parametrize("samples", [1, 4])
def test_a_trained_scene_is_exact_to_45_db(kernel_device, samples: int):
    scene = load_scene(default_scene())
    seen = Camera(np.array(scene.metadata.test_poses[0]), Intrinsics.from_fov(31, 17, 1.2))
    options = RenderOptions(samples=samples, shared_oracle=False)

    frame = fused_picture(CudaRenderer(scene, str(kernel_device)), options, seen)

    assert psnr(frame, picture(exact(scene), options, seen)) > 45


def test_shared_answers_change_little_and_are_counted(kernel_device):
    scene = load_scene(default_scene())
    seen = Camera(np.array(scene.metadata.test_poses[8]), Intrinsics.from_fov(29, 21, 0.2))
    fused = CudaRenderer(scene, str(kernel_device))

    frame = fused_picture(fused, RenderOptions(samples=2, shared_oracle=True), seen)

    every = fused_picture(fused, RenderOptions(samples=2, shared_oracle=False), seen)
    assert every.oracle_share == 1
    assert 0.25 < frame.oracle_share < 0.95
    assert psnr(frame, every) > 40
    assert frame.mean_samples == 2


@pytest.mark.parametrize("is_shared", [False, True])
def test_adaptive_counts_are_those_of_the_cpu(kernel_device, is_shared: bool):
    scene = load_scene(default_scene())
    seen = Camera(np.array(scene.metadata.test_poses[0]), Intrinsics.from_fov(25, 17, 0.5))
    options = RenderOptions(samples=4, adaptive=True, shared_oracle=is_shared)

    frame = fused_picture(CudaRenderer(scene, str(kernel_device)), options, seen)

    expected = picture(make_renderer(scene, "cpu", "fp32", "cpu"), options, seen)
    assert frame.mean_samples == pytest.approx(expected.mean_samples, rel=0.02)
    # A ray whose spread lies at a threshold may get another count.
    assert psnr(frame, expected) > 38


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (2, 2), (29, 21)])
@pytest.mark.parametrize("samples", [1, 4])
def test_shared_answers_are_those_of_the_cpu(kernel_device, samples: int, size: tuple[int, int]):
    scene = load_scene(default_scene())
    seen = Camera(np.array(scene.metadata.test_poses[8]), Intrinsics.from_fov(*size, 0.2))
    options = RenderOptions(samples=samples)

    frame = fused_picture(CudaRenderer(scene, str(kernel_device)), options, seen)

    expected = picture(make_renderer(scene, "cpu", "fp32", "cpu"), options, seen)
    # Two blocks more are asked on each side, as they are around the only tile of the CPU's.
    blocks = [-(-length // 2) for length in size]
    pixels = size[0] * size[1]
    ring = (blocks[0] + 4) * (blocks[1] + 4)
    assert frame.oracle_share >= ring / pixels
    assert frame.oracle_share == pytest.approx(expected.oracle_share, abs=0.02)
    assert psnr(frame, expected) > 45


def psnr(one: Frame, other: Frame) -> float:
    error = (one.image.cpu().double() - other.image.cpu().double())[..., :3].div(255)
    return float(-10 * error.square().mean().log10())
