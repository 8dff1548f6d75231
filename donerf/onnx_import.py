"""Scenes as the DONeRF authors' program exported them, read into one of ours.

A folder holds `config.ini`, `dataset_info.txt` and two networks, `model0.onnx` (oracle) and
`model1.onnx` (shading). The published networks see the same numbers as ours in other units and
in another order; their first layers are rewritten for ours, which changes no answer.
"""

from __future__ import annotations

import configparser
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from donerf.assets import install_line
from donerf.config import OracleSettings, ShadingSettings, explain
from donerf.geometry.view_cell import Vector, ViewCell
from donerf.model.oracle import DepthOracle
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.scene_file import Metadata, Scene, SceneCell, save_scene

if TYPE_CHECKING:
    import onnx

LICENSE = "CC-BY-NC-4.0"
CREDITS = "networks by the authors of DONeRF (Neff et al., 2021)"

_UNDERSTOOD = {
    "posEnc": "[none, nerf]",
    "inFeatures": "[SpherePosDir, RayMarchFromPoses]",
    "outFeatures": "[ClassifiedDepth, RGBARayMarch]",
    "rayMarchSampler": "[FromClassifiedDepth, FromClassifiedDepth]",
    "rayMarchNormalization": "[InverseSqrtDistCentered, InverseSqrtDistCentered]",
    "depthTransform": "log",
}
"""What config.ini must say for the networks to mean what this module takes them for."""

_Layer = tuple[Tensor, Tensor]
"""Weight (outputs, inputs) and bias (outputs,), float64."""


def import_onnx_command(folder: Path, out: Path, yaw_deg: float) -> None:
    """Read an exported folder, write a scene file, say what was read."""
    scene = import_onnx(folder, yaw_deg)
    save_scene(scene, out)
    networks = scene.cells[0].networks
    assert networks.shading is not None
    oracle, shading = networks.oracle.settings, networks.shading.settings
    samples = scene.metadata.provenance["import"]["samples"]
    print(
        f"wrote {out}: oracle {oracle.layers} x {oracle.width}, shading {shading.layers} x "
        f"{shading.width}, trained for {samples} samples per ray, license {scene.metadata.license}"
    )


def import_onnx(folder: Path, yaw_deg: float = 0.0) -> Scene:
    """Read the four files of an exported scene.

    yaw_deg:  where the middle of the trained views looks, from +x towards +y; no file says it

    Raises FileNotFoundError or ValueError, naming the file and the cure, when one is missing,
    damaged, or says something that this program does not know.
    """
    folder = Path(folder)
    _require_onnx()
    settings = _read_settings(folder / "config.ini")
    for key, understood in _UNDERSTOOD.items():
        settings.must_be(key, understood)
    cell = _view_cell(_read_settings(folder / "dataset_info.txt"), yaw_deg)
    try:
        oracle = _import_oracle(folder / "model0.onnx", settings, cell)
        shading = _import_shading(folder / "model1.onnx", settings)
    except ValidationError as error:
        raise ValueError(explain(error, str(folder))) from None
    metadata = Metadata(
        name=folder.resolve().name,
        license=LICENSE,
        credits=CREDITS,
        provenance={"import": {"samples": int(settings.numbers("numRaymarchSamples", 2)[1])}},
    )
    return Scene([SceneCell(cell, Networks(oracle, shading, "published"))], metadata)


@dataclass(frozen=True)
class _Settings:
    """What a published text file of `key = value` lines says; lists stand in brackets."""

    path: Path
    values: Mapping[str, str]

    def text(self, key: str) -> str:
        """What a key is set to."""
        if key not in self.values:
            raise ValueError(f"'{key}' is missing in {self.path}; export the scene again")
        return self.values[key]

    def must_be(self, key: str, understood: str) -> None:
        """Refuse what would give the networks another meaning."""
        if (text := self.text(key)) != understood:
            raise ValueError(
                f"'{key}' must be '{understood}', got '{text}' in {self.path}; scenes exported "
                "with other settings cannot be read"
            )

    def words(self, key: str) -> list[str]:
        """The parts of a list."""
        return [word.strip() for word in self.text(key).strip("[]").split(",")]

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """A list of so many finite numbers."""
        try:
            values = tuple(float(word) for word in self.words(key))
        except ValueError:
            values = ()
        if len(values) != count or not all(map(math.isfinite, values)):
            numbers = "a finite number" if count == 1 else f"{count} finite numbers"
            raise ValueError(f"'{key}' must be {numbers}, got '{self.text(key)}' in {self.path}")
        return values


def _read_settings(path: Path) -> _Settings:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # Keys keep their case.
    try:
        # These files have no sections, which the parser insists on.
        parser.read_string("[all]\n" + path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no file {path}; an exported scene has config.ini, dataset_info.txt, model0.onnx and "
            "model1.onnx"
        ) from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} must hold lines such as 'key = value' ({type(error).__name__}); it is "
            "damaged: copy it again"
        ) from None
    return _Settings(path, parser["all"])


def _view_cell(settings: _Settings, yaw_deg: float) -> ViewCell:
    """The cell, its sphere and its ranges.

    The exported files do not give the sphere's radius: in the program that made them it is the
    longest edge. Nor do they give the cameras' near distance: a camera in the box stands at least
    the sphere's margin before the place where the unified range begins to count.
    """
    size = _vector(settings, "view_cell_size")
    near, far = settings.numbers("depth_range", 2)
    radius = max(size)
    margin = radius - math.hypot(*size) / 2
    x, y = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    try:
        return ViewCell(
            center=_vector(settings, "view_cell_center"),
            size=size,
            radius=radius,
            depth_range=(near + margin, settings.numbers("max_depth", 1)[0]),
            unified_range=(near, far),
            log_scale=1.0,
            base_orientation=((y, 0.0, -x), (-x, 0.0, -y), (0.0, 1.0, 0.0)),
            fov_x=settings.numbers("fov", 1)[0],
        )
    except ValueError as error:
        raise ValueError(f"{settings.path} cannot be used: {error}") from None


def _vector(settings: _Settings, key: str) -> Vector:
    x, y, z = settings.numbers(key, 3)
    return x, y, z


def _import_oracle(path: Path, settings: _Settings, cell: ViewCell) -> DepthOracle:
    layers = _read_layers(path, joins_direction=False)
    (weight, bias), *others = layers
    bins = len(layers[-1][1])
    points = int(settings.numbers("raySampleInput", 2)[0])
    if points != bins:
        raise ValueError(
            f"a ray must show the oracle one point a bin, got {points} in {settings.path} and "
            f"{bins} bins in {path}"
        )
    oracle = DepthOracle(
        OracleSettings(input="points", layers=len(layers), width=len(bias), bins=bins)
    )
    first = _for_centered_input(weight, bias, cell, bins, path)
    _fill(
        [layer for layer in oracle.layers if isinstance(layer, nn.Linear)], [first, *others], path
    )
    return oracle


def _for_centered_input(
    weight: Tensor, bias: Tensor, cell: ViewCell, bins: int, path: Path
) -> _Layer:
    """The oracle's first layer for input in our units.

    Both see direction, origin and bin centers in this order. The published numbers are world
    coordinates; ours are measured from the cell's center, in radii and far distances
    (`oracle_input`): published = scale * ours + shift, so W published + b is
    (W scale) ours + (b + W shift).
    """
    if weight.shape[1] != 6 + 3 * bins:
        raise ValueError(
            f"the first layer must take {6 + 3 * bins} numbers (a ray and {bins} points on it), "
            f"got {weight.shape[1]} in {path}"
        )
    center = torch.tensor(cell.center, dtype=torch.float64)
    scale = torch.full((6 + 3 * bins,), cell.unified_range[1], dtype=torch.float64)
    scale[:3], scale[3:6] = 1, cell.radius
    shift = center.repeat(2 + bins)
    shift[:3] = 0
    return weight * scale, bias + weight @ shift


def _import_shading(path: Path, settings: _Settings) -> ShadingNetwork:
    (weight, bias), *others, (last_weight, last_bias) = _read_layers(path, joins_direction=True)
    try:
        position, direction = map(int, settings.words("posEncArgs")[1].split("-"))
    except (ValueError, IndexError):
        raise ValueError(
            f"'posEncArgs' must be such as '[4-0, 10-4]', frequencies of position and direction, "
            f"got '{settings.text('posEncArgs')}' in {settings.path}"
        ) from None
    shading = ShadingNetwork(
        ShadingSettings(
            shape="reference",
            layers=len(others) + 2,
            width=len(bias),
            position_frequencies=position,
            direction_frequencies=direction,
        )
    )
    linears = [layer for layer in shading.trunk if isinstance(layer, nn.Linear)] + [shading.output]
    _check_shapes(linears, [(weight, bias), *others, (last_weight, last_bias)], path)
    by_sample, by_ray = last_weight[:, : len(bias)], last_weight[:, len(bias) :]
    first = (weight[:, _published_columns(position)], bias)
    last = (torch.cat((by_sample, by_ray[:, _published_columns(direction)]), dim=1), last_bias)
    _fill(linears, [first, *others, last], path)
    return shading


def _published_columns(frequencies: int) -> Tensor:
    """Where each number of `encode` stands in the published encoding.

    Ours is the vector, all sines, all cosines; theirs the vector, then sine and cosine by octave.
    """
    sines = 3 + 6 * torch.arange(frequencies)[:, None] + torch.arange(3)
    return torch.cat((torch.arange(3), sines.flatten(), sines.flatten() + 3))


def _fill(linears: list[nn.Linear], layers: list[_Layer], path: Path) -> None:
    _check_shapes(linears, layers, path)
    for linear, (weight, bias) in zip(linears, layers, strict=True):
        linear.weight.data.copy_(weight)
        linear.bias.data.copy_(bias)
        linear.requires_grad_(False)


def _check_shapes(linears: list[nn.Linear], layers: list[_Layer], path: Path) -> None:
    for i, (linear, (weight, bias)) in enumerate(zip(linears, layers, strict=True)):
        if weight.shape != linear.weight.shape or bias.shape != linear.bias.shape:
            raise ValueError(
                f"layer {i} must have the shape {tuple(linear.weight.shape)}, got "
                f"{tuple(weight.shape)} in {path}; only networks of one width can be read"
            )


def _read_layers(path: Path, joins_direction: bool) -> list[_Layer]:
    """The linear layers of an exported network, first to last.

    joins_direction:  whether a second part of the input is concatenated before the last layer
    """
    graph = _read_graph(path)
    layers = [node for node in graph.node if node.op_type == "Gemm"]
    operations = ["Slice", *["Gemm", "Relu"] * (len(layers) - 1)]
    operations += ["Slice", "Concat", "Gemm"] if joins_direction else ["Gemm"]
    found = [node.op_type for node in graph.node]
    if len(layers) < 2 or found != operations or not all(map(_is_linear, layers)):
        raise ValueError(
            f"a network must be linear layers with ReLU between, got {', '.join(found) or 'none'} "
            f"in {path}; it is no exported DONeRF network, or it is damaged"
        )
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    try:
        return [(_values(tensors[n.input[1]]), _values(tensors[n.input[2]])) for n in layers]
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"the layers in {path} must have whole weights and biases of finite numbers "
            f"({error}); it is damaged: copy it again"
        ) from None


def _read_graph(path: Path) -> onnx.GraphProto:
    import onnx
    from google.protobuf.message import DecodeError  # What onnx itself stands on.

    try:
        # Weights lie in the file itself; a path to others could name any file of the machine.
        return onnx.load(path, load_external_data=False).graph
    except FileNotFoundError:
        raise FileNotFoundError(f"no network {path}; copy the whole folder again") from None
    except DecodeError as error:
        raise ValueError(
            f"{path} is not a whole ONNX file ({error}); it may be cut short: copy it again"
        ) from None


def _is_linear(node: onnx.NodeProto) -> bool:
    """Whether a product is x W^T + b, as torch exports its linear layers."""
    said = {attribute.name: attribute.i or attribute.f for attribute in node.attribute}
    return {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0} | said == {
        "alpha": 1.0,
        "beta": 1.0,
        "transA": 0,
        "transB": 1,
    }


def _values(tensor: onnx.TensorProto) -> Tensor:
    from onnx import numpy_helper

    values = torch.from_numpy(np.array(numpy_helper.to_array(tensor), dtype=np.float64))
    if not values.isfinite().all():
        raise ValueError(f"'{tensor.name}' is not finite")
    return values


def _require_onnx() -> None:
    if find_spec("onnx") is None:
        raise ValueError(
            f"reading exported networks needs the 'onnx' extra; run: {install_line('onnx')}"
        )
