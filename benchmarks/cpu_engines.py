"""Which engine multiplies the networks' matrices fastest on a CPU? Compared once, to choose one.

    python -m venv engines && . engines/bin/activate
    pip install -c constraints.txt '.[onnx]' onnxruntime openvino
    python benchmarks/cpu_engines.py --out benchmarks/results/cpu_engines.json

onnxruntime and OpenVINO are installed for this alone; the program never needs them. Each engine
runs both networks on as many rows as one 400x400 frame with two samples a ray has, in tiles of its
own best size, all engines in turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingImports]
import openvino  # pyright: ignore[reportMissingImports]
import torch
from torch import Tensor, nn

from donerf.config import OracleSettings, ShadingSettings
from donerf.evaluation.cost import linear_layers
from donerf.evaluation.onnx_networks import export_layers
from donerf.evaluation.quality import machine, write_report
from donerf.model.oracle import DepthOracle
from donerf.model.shading import ShadingNetwork

RAYS, SAMPLES = 400 * 400, 2
TILES = (1024, 4096, 16_384)
ROUNDS = 9
PACKAGES = ("torch", "onnxruntime", "openvino")

Run = Callable[[Tensor], Tensor]
"""A whole network over a tile of rows; fp32 in and out."""


@dataclass(frozen=True)
class Network:
    """Linear layers with ReLU between, over so many rows a frame; the last layer may see more.

    joined:  how many of the input's last numbers join only at the last layer
    """

    layers: list[nn.Linear]
    joined: int
    rows: int

    @property
    def inputs(self) -> int:
        """Numbers in a row."""
        return self.layers[0].in_features + self.joined

    @property
    def flop(self) -> float:
        """Of a frame's rows."""
        return 2 * self.rows * sum(a.in_features * a.out_features for a in self.layers)


def networks(layers: int, width: int, is_published: bool) -> list[Network]:
    """Oracle and shading network of a shape, as published or as trained by default."""
    oracle = OracleSettings(
        layers=layers, width=width, input="points" if is_published else "encoded"
    )
    frequencies = 14 if is_published else 10
    shading = ShadingNetwork(
        ShadingSettings(layers=layers, width=width, position_frequencies=frequencies)
    )
    joined = shading.output.in_features - width
    return [
        Network(linear_layers(DepthOracle(oracle)), 0, RAYS),
        Network(linear_layers(shading), joined, RAYS * SAMPLES),
    ]


SHAPES = {"8x256": networks(8, 256, True), "4x128": networks(4, 128, False)}


def torch_layers(network: Network, tile: int, dtype: torch.dtype) -> Run:
    """Plain torch: a linear layer, then ReLU in place."""
    return chain(network, dtype, lambda layer: layer, lambda layer, x: torch.relu_(layer(x)))


def torch_prepacked(network: Network, tile: int, dtype: torch.dtype) -> Run:
    """oneDNN's layer with its ReLU, weights in the order that oneDNN prefers for the tile."""
    ops = torch.ops.mkldnn

    def pack(layer: nn.Linear) -> tuple[Tensor, Tensor]:
        return ops._reorder_linear_weight(layer.weight, tile), layer.bias

    def apply(packed: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        return ops._linear_pointwise(x, *packed, "relu", [], "")

    return chain(network, dtype, pack, apply)


def chain(
    network: Network, dtype: torch.dtype, pack: Callable[[nn.Linear], Any], apply: Callable
) -> Run:
    """The hidden layers by `apply`, the last one by torch."""
    *hidden, last = [layer_in(layer, dtype) for layer in network.layers]
    packed = [pack(layer) for layer in hidden]

    def run(rows: Tensor) -> Tensor:
        rows = rows.to(dtype)
        x, late = (
            rows[:, : rows.shape[1] - network.joined],
            rows[:, rows.shape[1] - network.joined :],
        )
        for layer in packed:
            x = apply(layer, x)
        x = torch.cat((x, late), dim=1) if network.joined else x
        return last(x).float()

    return run


def layer_in(layer: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    """A copy in another precision."""
    copy = nn.Linear(layer.in_features, layer.out_features, dtype=dtype)
    copy.load_state_dict(layer.state_dict())
    return copy.requires_grad_(False)


def in_onnxruntime(network: Network, tile: int, dtype: torch.dtype) -> Run:
    """onnxruntime on the exported network; it has no bf16 products on these CPUs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    model = export_layers(network.layers, network.joined).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    return lambda rows: torch.from_numpy(session.run(None, {"input": rows.numpy()})[0])


def in_openvino(network: Network, tile: int, dtype: torch.dtype) -> Run:
    """OpenVINO on the exported network, its rows fixed to the tile, told the precision."""
    core = openvino.Core()
    model = core.read_model(export_layers(network.layers, network.joined).SerializeToString())
    model.reshape([tile, network.inputs])
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if dtype is torch.bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run(rows: Tensor) -> Tensor:
        found = request.infer([rows.numpy()], share_inputs=True, share_outputs=True)
        return torch.from_numpy(found[0])

    return run


ENGINES = {
    "torch fp32": (torch_layers, torch.float32),
    "torch bf16": (torch_layers, torch.bfloat16),
    "torch fp32, oneDNN prepacked": (torch_prepacked, torch.float32),
    "torch bf16, oneDNN prepacked": (torch_prepacked, torch.bfloat16),
    "onnxruntime fp32": (in_onnxruntime, torch.float32),
    "OpenVINO fp32": (in_openvino, torch.float32),
    "OpenVINO bf16": (in_openvino, torch.bfloat16),
}


@dataclass
class Entry:
    """One engine with both networks of a shape, each in tiles of its best size."""

    engine: str
    shape: str
    runs: list[Run] = field(default_factory=list)
    tiles: list[Tensor] = field(default_factory=list)
    seconds: list[list[float]] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def prepare(self) -> None:
        """Build the engine for each network and tile size, and keep the fastest."""
        make, dtype = ENGINES[self.engine]
        for network in SHAPES[self.shape]:
            tiles = [torch.randn(tile, network.inputs) for tile in TILES]
            runs = [make(network, len(tile), dtype) for tile in tiles]
            pace = [
                seconds_of(run, tile, 3 * TILES[-1]) for run, tile in zip(runs, tiles, strict=True)
            ]
            best = int(np.argmin(pace))
            self.runs.append(runs[best])
            self.tiles.append(tiles[best])
            self.seconds.append([])
            exact = torch_layers(network, 0, torch.float32)(tiles[best])
            error = (runs[best](tiles[best]) - exact).square().mean() / exact.square().mean()
            self.errors.append(float(error.sqrt()))

    def measure(self) -> None:
        """One frame's rows through both networks."""
        for i, network in enumerate(SHAPES[self.shape]):
            self.seconds[i].append(seconds_of(self.runs[i], self.tiles[i], network.rows))

    def result(self) -> dict[str, Any]:
        """For the report."""
        ms = [1000 * sum(parts) for parts in zip(*self.seconds, strict=True)]
        oracle_ms, shading_ms = (1000 * statistics.median(part) for part in self.seconds)
        median = statistics.median(ms)
        low, high = np.percentile(ms, [5, 95]).tolist()
        return {
            "engine": self.engine,
            "shape": self.shape,
            "ms": median,
            "ms_p5": low,
            "ms_p95": high,
            "oracle_ms": oracle_ms,
            "shading_ms": shading_ms,
            "tflops": sum(network.flop for network in SHAPES[self.shape]) / median / 1e9,
            "tiles": [len(tile) for tile in self.tiles],
            "relative_errors": self.errors,
        }


def seconds_of(run: Run, tile: Tensor, rows: int) -> float:
    """Time as many tiles as these rows are, after one that is not timed."""
    run(tile)
    count = max(round(rows / len(tile)), 1)
    began = time.perf_counter()
    for _ in range(count):
        run(tile)
    return (time.perf_counter() - began) * rows / (count * len(tile))


@torch.inference_mode()
def main() -> None:
    """Prepare, measure in turn, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    entries = [Entry(engine, shape) for shape in SHAPES for engine in ENGINES]
    for entry in entries:
        entry.prepare()
    for _ in range(arguments.rounds):
        for entry in entries:
            entry.measure()
    results = [entry.result() for entry in entries]
    for row in results:
        times = f"{row['ms']:7.0f} ms ({row['ms_p5']:.0f}-{row['ms_p95']:.0f})"
        error = max(row["relative_errors"])
        print(
            f"{row['shape']}  {row['engine']:<30} {times}  {row['tflops']:.3f} TFLOP/s  "
            f"error {error:.0e}"
        )
    report = {
        "machine": machine(),
        "load": load,
        "packages": {name: version(name) for name in PACKAGES},
        "rays": RAYS,
        "samples": SAMPLES,
        "rounds": arguments.rounds,
        "rows": results,
    }
    if arguments.out is not None:
        write_report(report, arguments.out)


if __name__ == "__main__":
    main()
