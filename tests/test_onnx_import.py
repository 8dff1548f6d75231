"""Exported scenes: the same answers as the published networks, and every kind of damage."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor
from torch.testing import assert_close

from donerf import onnx_import
from donerf.cli import run
from donerf.evaluation.metrics import psnr
from donerf.geometry.camera import Camera, Intrinsics
from donerf.geometry.rays import Rays
from donerf.model.oracle import bin_centers
from donerf.onnx_import import import_onnx
from donerf.renderer import RenderOptions, make_renderer
from donerf.scene_file import load_scene

BINS, WIDTH, LAYERS = 16, 12, 4
POSITION, DIRECTION = 5, 2
PUBLISHED = Path(__file__).parent.parent / "data" / "official_pavillon"

CONFIG = f"""\
posEncArgs = [4-0, {POSITION}-{DIRECTION}]
posEnc = [none, nerf]
inFeatures = [SpherePosDir, RayMarchFromPoses]
outFeatures = [ClassifiedDepth, RGBARayMarch]

rayMarchSampler = [FromClassifiedDepth, FromClassifiedDepth]
rayMarchNormalization = [InverseSqrtDistCentered, InverseSqrtDistCentered]
numRaymarchSamples = [2, 2]
raySampleInput = [{BINS}, {BINS}]
depthTransform = log
"""
INFO = """\
view_cell_center = [-17.5, -9.5, 2.4]
view_cell_size = [1, 2, 1.0]
depth_range = [0.25, 60.5]
fov = 0.9
max_depth = 61.0
"""


def slice_of_input(name: str, start: int, end: int) -> onnx.NodeProto:
    return helper.make_node("Slice", ["input"], [name], axes=[1], starts=[start], ends=[end])


def export_network(sizes: list[int], joined: int, rng: np.random.Generator) -> onnx.ModelProto:
    """A network as the authors' program exports it; the last layer also sees `joined` inputs."""
    nodes, tensors, last = [slice_of_input("bounds", 0, sizes[0])], [], len(sizes) - 2
    x = "bounds"
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        if joined and i == last:
            nodes.append(slice_of_input("rest", sizes[0], sizes[0] + joined))
            nodes.append(helper.make_node("Concat", [x, "rest"], ["both"], axis=-1))
            x, inputs = "both", inputs + joined
        weight = rng.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32)
        bias = rng.normal(0, 0.1, outputs).astype(np.float32)
        tensors.append(numpy_helper.from_array(weight, f"w{i}"))
        tensors.append(numpy_helper.from_array(bias, f"b{i}"))
        y = "output" if i == last else f"y{i}"
        product = {"alpha": 1.0, "beta": 1.0, "transB": 1}
        nodes.append(helper.make_node("Gemm", [x, f"w{i}", f"b{i}"], [y], **product))
        if i != last:
            x = f"x{i + 1}"
            nodes.append(helper.make_node("Relu", [y], [x]))
    shape = [None, sizes[0] + joined]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, sizes[-1]])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=6)


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    (tmp_path / "config.ini").write_text(CONFIG)
    (tmp_path / "dataset_info.txt").write_text(INFO)
    hidden = [WIDTH] * (LAYERS - 1)
    oracle = export_network([6 + 3 * BINS, *hidden, BINS], 0, rng)
    shading = export_network([3 + 6 * POSITION, *hidden, 4], 3 + 6 * DIRECTION, rng)
    onnx.save(oracle, tmp_path / "model0.onnx")
    onnx.save(shading, tmp_path / "model1.onnx")
    return tmp_path


def answer(path: Path, numbers: Tensor) -> Tensor:
    """What the exported network says, by ONNX's own evaluation."""
    (output,) = ReferenceEvaluator(onnx.load(path)).run(None, {"input": numbers.numpy()})
    return torch.from_numpy(output)


def encode_as_published(v: Tensor, frequencies: int) -> Tensor:
    """The vector, then sine and cosine of each octave in turn."""
    octaves = [wave(v * 2**k) for k in range(frequencies) for wave in (torch.sin, torch.cos)]
    return torch.cat([v, *octaves], dim=-1)


def some_directions(count: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 3), dim=-1)


def test_the_cell_is_the_published_one(folder: Path):
    cell = import_onnx(folder).cells[0].cell

    assert cell.radius == 2.0  # the longest edge
    assert (cell.center, cell.size) == ((-17.5, -9.5, 2.4), (1.0, 2.0, 1.0))
    assert cell.unified_range == (0.25, 60.5)
    assert cell.depth_range == (pytest.approx(0.25 + 2 - math.sqrt(6) / 2), 61.0)
    assert (cell.log_scale, cell.fov_x) == (1.0, 0.9)


def test_the_cell_looks_where_it_is_told(folder: Path):
    def forward(yaw_deg: float) -> np.ndarray:
        return -np.array(import_onnx(folder, yaw_deg).cells[0].cell.base_orientation)[:, 2]

    np.testing.assert_allclose(forward(0), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(forward(90), [0, 1, 0], atol=1e-12)


def test_the_oracle_answers_as_the_exported_one_does(folder: Path):
    cell, networks = import_onnx(folder).cells[0].cell, import_onnx(folder).cells[0].networks
    directions = some_directions(50)
    rays = Rays(torch.tensor(cell.center) + cell.radius * directions, directions)
    points = rays.at(bin_centers(BINS, cell, torch.device("cpu")).expand(50, -1))
    published = torch.cat((rays.directions, rays.origins, points.flatten(1)), dim=-1)

    expected = answer(folder / "model0.onnx", published)
    # World coordinates of 60 units in fp32, times weights of 1/7: about 1e-5.
    assert_close(networks.oracle(rays, cell), expected, atol=1e-4, rtol=1e-4)


def test_the_shading_answers_as_the_exported_one_does(folder: Path):
    shading = import_onnx(folder).cells[0].networks.shading
    assert shading is not None
    points, directions = torch.rand(40, 1, 3) * 2 - 1, some_directions(40)
    published = torch.cat(
        (encode_as_published(points[:, 0], POSITION), encode_as_published(directions, DIRECTION)),
        dim=-1,
    )

    rgb, density = shading(points, directions)

    expected = answer(folder / "model1.onnx", published)
    assert_close(torch.cat((rgb[:, 0], density), dim=-1), expected, atol=1e-4, rtol=1e-4)


def test_the_command_writes_a_file_that_names_its_license_and_rule(folder: Path, capsys):
    out = folder / "out.donerf"

    run(["import-onnx", str(folder), "-o", str(out)])

    scene = load_scene(out)
    assert scene.metadata.license == "CC-BY-NC-4.0"
    assert scene.cells[0].networks.compositing == "published"
    assert scene.metadata.provenance["import"]["samples"] == 2
    assert "CC-BY-NC-4.0" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["config.ini", "dataset_info.txt", "model0.onnx", "model1.onnx"])
def test_each_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()

    with pytest.raises(FileNotFoundError, match=name):
        import_onnx(folder)


@pytest.mark.parametrize("name", ["model0.onnx", "model1.onnx"])
def test_a_network_cut_short_is_refused_at_any_length(folder: Path, name: str):
    whole = (folder / name).read_bytes()
    for length in (0, 1, 50, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        (folder / name).write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"{name}.*(damaged|cut short)"):
            import_onnx(folder)


def change_network(folder: Path, name: str, change: Callable[[onnx.GraphProto], object]) -> None:
    model = onnx.load(folder / name)
    change(model.graph)
    onnx.save(model, folder / name)


def test_weights_that_are_not_finite_are_refused(folder: Path):
    def spoil(graph: onnx.GraphProto) -> None:
        values = numpy_helper.to_array(graph.initializer[2]).copy()
        values[0, 0] = np.nan
        graph.initializer[2].CopyFrom(numpy_helper.from_array(values, "w1"))

    change_network(folder, "model0.onnx", spoil)

    with pytest.raises(ValueError, match="'w1' is not finite"):
        import_onnx(folder)


def test_a_network_of_other_operations_is_refused(folder: Path):
    change_network(folder, "model0.onnx", lambda graph: setattr(graph.node[2], "op_type", "Tanh"))

    with pytest.raises(ValueError, match="Tanh"):
        import_onnx(folder)


def test_a_product_that_is_not_transposed_is_refused(folder: Path):
    def transpose(graph: onnx.GraphProto) -> None:
        (b,) = [a for a in graph.node[3].attribute if a.name == "transB"]
        b.i = 0

    change_network(folder, "model0.onnx", transpose)

    with pytest.raises(ValueError, match="linear layers"):
        import_onnx(folder)


@pytest.mark.parametrize(
    ("sizes", "joined", "message"),
    [
        ([3 + 6 * POSITION, WIDTH, WIDTH + 1, 4], 3 + 6 * DIRECTION, r"shape \(12, 12\), got"),
        ([3 + 6 * POSITION, WIDTH, WIDTH, 5], 3 + 6 * DIRECTION, r"shape \(4, 27\), got \(5, 27\)"),
        ([30, WIDTH, WIDTH, 4], 3 + 6 * DIRECTION, r"shape \(12, 33\), got \(12, 30\)"),
    ],
)
def test_networks_of_wrong_shapes_are_refused(
    folder: Path, rng: np.random.Generator, sizes: list[int], joined: int, message: str
):
    onnx.save(export_network(sizes, joined, rng), folder / "model1.onnx")

    with pytest.raises(ValueError, match=message):
        import_onnx(folder)


@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        ("config.ini", "depthTransform = log", "depthTransform = linear", "got 'linear'"),
        ("config.ini", "posEncArgs = [4-0, 5-2]", "posEncArgs = [4-0]", "such as"),
        ("config.ini", "posEncArgs = [4-0, 5-2]", "posEncArgs = [4-0, 99-2]", "position_freq"),
        ("config.ini", "raySampleInput = [16, 16]", "raySampleInput = [128, 128]", "got 128"),
        ("config.ini", "posEnc = ", "positions = ", "'posEnc' is missing"),
        ("config.ini", CONFIG, "no settings\n", "must hold lines"),
        ("dataset_info.txt", "[0.25, 60.5]", "[0.25, far]", "2 finite numbers"),
        ("dataset_info.txt", "[0.25, 60.5]", "[60.5, 0.25]", "near < far"),
        ("dataset_info.txt", "[1, 2, 1.0]", "[1, 2]", "3 finite numbers"),
        ("dataset_info.txt", "fov = 0.9", "", "'fov' is missing"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_read_are_named(
    folder: Path, name: str, before: str, after: str, message: str
):
    text = (folder / name).read_text()
    assert before in text
    (folder / name).write_text(text.replace(before, after))

    with pytest.raises(ValueError, match=message):
        import_onnx(folder)


def test_without_onnx_the_line_that_installs_it_is_named(folder: Path, monkeypatch):
    monkeypatch.setattr(onnx_import, "find_spec", lambda name: None)

    with pytest.raises(ValueError, match=r"pip install .*\[onnx\]"):
        import_onnx(folder)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="data/official_pavillon is not here")
def test_the_published_scene_looks_as_it_must():
    pose = json.loads((PUBLISHED / "reference_pose.json").read_text())
    reference = iio.imread(PUBLISHED / "reference.png")[..., :3]
    height, width = reference.shape[:2]
    intrinsics = Intrinsics.from_fov(width, height, pose["camera_angle_x"])
    camera = Camera(np.array(pose["transform_matrix"]), intrinsics)

    renderer = make_renderer(import_onnx(PUBLISHED), "cpu", "fp32", "eager")
    frame = renderer.render(camera, RenderOptions(samples=2))

    assert frame is not None
    # The reference was made in float64: only where it rounds the other way is a value 1/255 off.
    assert psnr(frame.image[..., :3].numpy(), reference) > 60
