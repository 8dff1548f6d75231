"""The eager renderer: frames of any size, every output, tiles that do not show, precision."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from donerf import Camera, Intrinsics, Output, RenderOptions, ViewCell, make_renderer
from donerf.backends import eager
from donerf.config import OracleSettings, ShadingSettings
from donerf.geometry.depth import s_from_t
from donerf.geometry.rays import Rays
from donerf.model.compositing import composite
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks, RenderedRays
from donerf.model.placement import Samples
from donerf.model.shading import ShadingNetwork
from donerf.scene_file import Scene, SceneCell

CELL = ViewCell((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.9, (0.5, 20.0), (-0.1, 19.0))


@pytest.fixture
def scene() -> Scene:
    torch.manual_seed(0)
    oracle = DepthOracle(OracleSettings(width=16))
    shading = ShadingNetwork(ShadingSettings(width=16))
    with torch.no_grad():
        for parameter in (*oracle.parameters(), *shading.parameters()):
            parameter.mul_(2)  # far enough from gray that mistakes show
    return Scene([SceneCell(CELL, Networks(oracle, shading))])


def camera(width: int = 37, height: int = 23) -> Camera:
    return Camera(np.eye(4), Intrinsics.from_fov(width, height, 1.2))


@pytest.mark.parametrize("samples", [1, 3, 16])
@pytest.mark.parametrize("size", [(1, 1), (37, 23)])
def test_every_output_has_the_pictures_size(scene: Scene, device, samples: int, size):
    renderer = make_renderer(scene, str(device), "fp32", "eager")

    options = RenderOptions(samples=samples, outputs=frozenset(Output))
    frame = renderer.render(camera(*size), options)

    assert frame is not None
    assert frame.image.shape == (size[1], size[0], 4)
    assert frame.image.dtype == torch.uint8
    assert (frame.image[..., 3] == 255).all()
    for output in Output:
        values = getattr(frame, output.value)
        assert values.shape[:2] == (size[1], size[0])
        assert torch.isfinite(values.float()).all()
    assert frame.mean_samples == samples
    assert frame.times.total_ms >= frame.times.shading_ms > 0


def test_tiles_do_not_show(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    renderer = make_renderer(scene, "cpu", "fp32", "eager")
    whole = renderer.render(camera(), RenderOptions())
    monkeypatch.setattr(eager, "_CPU_TILE_SAMPLES", 4 * 50)

    tiled = renderer.render(camera(), RenderOptions())

    assert whole is not None
    assert tiled is not None
    # A product over other rows may round a value to the neighboring one of 256.
    assert (whole.image.int() - tiled.image.int()).abs().max() <= 1


def test_a_cancelled_frame_is_none_and_stops_between_tiles(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(eager, "_CPU_TILE_SAMPLES", 4 * 50)
    renderer = make_renderer(scene, "cpu", "fp32", "eager")
    asked: list[bool] = []

    def after_three_tiles() -> bool:
        asked.append(True)
        return len(asked) > 3

    assert renderer.render(camera(), RenderOptions(), after_three_tiles) is None
    assert len(asked) == 4


def test_bf16_is_close_to_fp32(scene: Scene):
    frames = [
        make_renderer(scene, "cpu", precision).render(camera(), RenderOptions())
        for precision in ("fp32", "bf16")
    ]

    exact, rounded = (frame.image.float() for frame in frames if frame is not None)
    # 8 bits of mantissa through a few layers of random weights: a few steps of 256.
    assert (exact - rounded).abs().mean() < 4


def test_the_probe_agrees_with_the_frame(scene: Scene):
    renderer = make_renderer(scene, "cpu", "fp32", "eager")
    options = RenderOptions(samples=8)
    frame = renderer.render(camera(), options)

    probe = renderer.probe(camera(), (5, 7), options)

    assert frame is not None
    assert probe is not None
    assert_close((probe.color * 255).round().to(torch.uint8), frame.image[7, 5, :3], atol=1, rtol=0)
    assert_close((probe.weights[:, None] * probe.rgb).sum(0), probe.color)
    assert (probe.bin_edges.diff() > 0).all()
    assert probe.bin_probs.shape[0] + 1 == probe.bin_edges.shape[0]


def test_where_the_samples_went_is_what_the_probe_says(scene: Scene):
    renderer = make_renderer(scene, "cpu", "fp32")
    outputs = frozenset({Output.SAMPLE_PLACES, Output.DENSITY_OPACITY})
    frame = renderer.render(camera(), RenderOptions(samples=8, outputs=outputs))
    probe = renderer.probe(camera(), (5, 7), RenderOptions(samples=8))

    assert frame is not None and frame.sample_places is not None
    assert frame.density_opacity is not None and probe is not None
    ray = camera().pixel_ray(5, 7)
    s = s_from_t(probe.t - CELL.exit_distance(ray), CELL.unified_range, CELL.log_scale)
    assert_close(frame.sample_places[7, 5], torch.stack((s.mean(), s[-1] - s[0])))
    assert float(frame.density_opacity[7, 5]) == pytest.approx(float(probe.weights[:-1].sum()))


def test_places_of_samples_that_were_left_out_do_not_count():
    t = torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]])
    is_used = torch.tensor([[False, True, True, False], [False, False, False, False]])
    rays = Rays(torch.zeros(2, 3), torch.tensor([[0.0, 0.0, -1.0]] * 2))
    density = torch.zeros(2, 4)
    samples = Samples(t, t / 10, is_used)
    colors = composite(torch.zeros(2, 4, 3), density, samples)
    rendered = RenderedRays(colors, torch.ones(2, 8), samples, torch.zeros(2, 4, 3), density)

    places = eager._OUTPUTS[Output.SAMPLE_PLACES](rendered, rays, CELL)

    assert_close(places, torch.tensor([[0.25, 0.1], [0.0, 0.0]]))


def test_true_depth_places_samples_around_it(scene: Scene):
    renderer = make_renderer(scene, "cpu", "fp32", "eager")
    distance = torch.full((23, 37), 5.0)
    distance[0, 0] = torch.inf

    options = RenderOptions(samples=1, placement="true-depth", true_distance=distance)
    probe = renderer.probe(camera(), (20, 10), options)
    sky = renderer.probe(camera(), (0, 0), options)

    assert probe is not None
    assert sky is not None
    assert float(probe.t[0]) == pytest.approx(5.0, rel=0.02)
    assert float(sky.t[0]) > 18


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "at least 1 sample"),
        ({"placement": "true-depth"}, "come together"),
    ],
)
def test_impossible_options_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        RenderOptions(**options)


def test_a_depth_map_of_another_size_is_refused(scene: Scene):
    options = RenderOptions(placement="true-depth", true_distance=torch.ones(5, 5))

    with pytest.raises(ValueError, match="37x23"):
        make_renderer(scene, "cpu", "fp32", "eager").render(camera(), options)


def test_a_scene_without_shading_shows_the_depth_that_its_oracle_expects(scene: Scene):
    half = Scene([SceneCell(CELL, Networks(scene.cells[0].networks.oracle))])

    options = RenderOptions(samples=1, outputs=frozenset({Output.ORACLE_DEPTH}))
    frame = make_renderer(half, "cpu", "fp32").render(camera(), options)

    assert frame is not None
    assert frame.oracle_depth is not None
    gray = frame.image[..., 0].flatten().float()
    assert (frame.image[..., 0] == frame.image[..., 2]).all()
    # Brighter is nearer; the cell's center and the camera are not the same point, so about.
    together = torch.corrcoef(torch.stack((gray, frame.oracle_depth.flatten().log())))
    assert together[0, 1] < -0.9


@pytest.mark.parametrize(("device", "backend"), [("tpu", "auto"), ("cpu", "magic")])
def test_unknown_devices_and_backends_are_named(scene: Scene, device: str, backend: str):
    with pytest.raises(ValueError, match="must be"):
        make_renderer(scene, device, "fp32", backend)
