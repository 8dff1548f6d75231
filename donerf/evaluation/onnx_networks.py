"""The two networks of a scene in onnxruntime: another engine, to compare with.

It runs the networks alone, on as many rows as a frame has. Rays, encodings, placement and
compositing are not its work and take no time here, so its rows are a floor of what it could do.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from donerf.model.pipeline import Networks

if TYPE_CHECKING:
    import onnx

_TILE_ROWS = 8192
"""As the published viewer does."""
_OPSET = 17
_IR_VERSION = 8
"""Old enough for every onnxruntime of the last years."""


class OnnxNetworks:
    """Oracle and shading network in onnxruntime, fp32."""

    def __init__(self, networks: Networks, device: str) -> None:
        """Raises ValueError where onnxruntime or its device is missing, or it cannot serve them."""
        if networks.shading is None or networks.shading.settings.shape != "reference":
            raise ValueError("only networks of the reference shape are exported")
        for package in ("onnx", "onnxruntime"):
            if find_spec(package) is None:
                raise ValueError(f"'{package}' is not installed")
        oracle = [layer for layer in networks.oracle.layers if isinstance(layer, nn.Linear)]
        trunk = [layer for layer in networks.shading.trunk if isinstance(layer, nn.Linear)]
        output = networks.shading.output
        self._oracle = _session(export_layers(oracle, 0), device)
        joined = output.in_features - trunk[-1].out_features
        self._shading = _session(export_layers([*trunk, output], joined), device)
        self._oracle_row = _random_rows(oracle[0].in_features)
        self._shading_row = _random_rows(trunk[0].in_features + joined)

    def run(self, rays: int, samples: int) -> None:
        """Both networks, as often as a frame of so many rays needs them."""
        _run(self._oracle, self._oracle_row, rays)
        _run(self._shading, self._shading_row, rays * samples)


def export_layers(layers: list[nn.Linear], joined: int) -> onnx.ModelProto:
    """Linear layers with ReLU between as one ONNX model, `input` to `output`.

    joined:  how many of the input's last numbers join only at the last layer
    """
    from onnx import TensorProto, helper, numpy_helper

    def values(name: str, tensor: Tensor) -> onnx.TensorProto:
        return numpy_helper.from_array(tensor.detach().float().cpu().numpy(), name)

    size = layers[0].in_features
    constants = [numpy_helper.from_array(np.array([size, joined]), "sizes")]
    nodes = [helper.make_node("Split", ["input", "sizes"], ["x0", "late"], axis=1)]
    if not joined:
        constants, nodes = [], [helper.make_node("Identity", ["input"], ["x0"])]
    for i, layer in enumerate(layers):
        constants += [values(f"weight{i}", layer.weight), values(f"bias{i}", layer.bias)]
        is_last = i == len(layers) - 1
        x, y = f"x{i}", "output" if is_last else f"y{i}"
        if is_last and joined:
            nodes.append(helper.make_node("Concat", [x, "late"], ["both"], axis=1))
            x = "both"
        nodes.append(helper.make_node("Gemm", [x, f"weight{i}", f"bias{i}"], [y], transB=1))
        if not is_last:
            nodes.append(helper.make_node("Relu", [y], [f"x{i + 1}"]))
    inputs = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["rows", size + joined])
    outputs = helper.make_tensor_value_info(
        "output", TensorProto.FLOAT, ["rows", layers[-1].out_features]
    )
    graph = helper.make_graph(nodes, "network", [inputs], [outputs], constants)
    opset = helper.make_opsetid("", _OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)


def _session(model: onnx.ModelProto, device: str) -> Any:
    import onnxruntime  # pyright: ignore[reportMissingImports]  # Nothing here depends on it.

    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[device]
    if provider not in onnxruntime.get_available_providers():
        raise ValueError(f"this onnxruntime has no {provider}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(model.SerializeToString(), options, [provider])


def _random_rows(inputs: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((_TILE_ROWS, inputs), dtype=np.float32)


def _run(session: Any, tile: np.ndarray, rows: int) -> None:
    for start in range(0, rows, _TILE_ROWS):
        session.run(None, {"input": tile[: rows - start]})
