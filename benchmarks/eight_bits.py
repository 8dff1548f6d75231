"""What hidden layers in 8 bits (e4m3) cost a picture: dB to the plain pipeline in fp32.

    python benchmarks/eight_bits.py FILE [--size 200] [--samples 2,4] [--layers] [--json OUT]

Renders three of the scene's test views on the CPU with the plain twin of the CUDA kernels' `fp8`:
its arithmetic, nothing about its speed. And with the oracle's hidden layers in 8 bits instead,
which the kernels keep in 16 for what this says. With --layers also each layer alone.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from donerf.backends.cuda.eight_bits import (
    RoundedLinear,
    choose_scales,
    rounded_networks,
    scale_for,
)
from donerf.backends.cuda.half import largest_outputs
from donerf.evaluation.cost import center_camera
from donerf.evaluation.quality import machine
from donerf.files import write_text
from donerf.geometry.camera import Camera
from donerf.model.pipeline import Networks, render_rays
from donerf.model.placement import quantiles
from donerf.scene_file import Scene, SceneCell, load_scene

VIEWS = 3
ROWS = 8192
CPU = torch.device("cpu")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--size", type=int, default=200, help="pixels a side")
    parser.add_argument("--samples", default="2,4")
    parser.add_argument("--layers", action="store_true", help="each layer alone, too")
    parser.add_argument("--json", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    scene = load_scene(arguments.file)
    cell = scene.cells[0]
    cameras = views(scene, arguments.size)
    rows = []
    for samples in map(int, arguments.samples.split(",")):
        expected = pictures(cell, cell.networks, cameras, samples)
        for name, networks in variants(cell, arguments.layers):
            db = psnr(pictures(cell, networks, cameras, samples), expected)
            rows.append({"samples": samples, "in_8_bits": name, "psnr_reference": db})
            print(f"{samples} samples, {name}: {db:.2f} dB", flush=True)
    if arguments.json is not None:
        report = {
            "file": arguments.file.name,
            "sha256": scene.metadata.sha256,
            "size": [arguments.size, arguments.size],
            "views": len(cameras),
            "machine": machine(),
            "rows": rows,
        }
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def variants(cell: SceneCell, is_by_layer: bool) -> list[tuple[str, Networks]]:
    """Networks some of whose layers are in 8 bits, each with its name."""
    networks = cell.networks
    assert networks.shading is not None, "what has no shading network makes no picture"
    oracle = range(1, len(networks.oracle.layers) - 1)
    found = [
        ("shading", rounded_networks(networks, choose_scales(cell.cell, networks))),
        ("oracle", alone(cell, "oracle", [*oracle])),
    ]
    if not is_by_layer:
        return found
    found += [(f"oracle layer {i + 1}", alone(cell, "oracle", [i])) for i in oracle]
    shading = range(1, len(networks.shading.trunk))
    return found + [(f"shading layer {i + 1}", alone(cell, "shading", [i])) for i in shading]


@torch.inference_mode()
def alone(cell: SceneCell, network: str, indices: list[int]) -> Networks:
    """Weights and outputs of these layers rounded, nothing else."""
    networks = cell.networks.copied_to(CPU, torch.float32)
    assert networks.shading is not None
    layers = networks.oracle.layers if network == "oracle" else networks.shading.trunk
    largest = largest_outputs(cell.cell, networks)
    for i in indices:
        layer = layers[i]
        assert isinstance(layer, nn.Linear)
        layers[i] = RoundedLinear(layer, scale_for(float(largest[layer])), is_hidden=True)
    return networks


def views(scene: Scene, side: int) -> list[Camera]:
    """Test views, evenly spread; without any, three directions from the cell's center."""
    camera = center_camera(scene.cells[0].cell, side, side)
    poses = [np.array(pose) for pose in scene.metadata.test_poses]
    if not poses:
        poses = [turned(camera.world_from_camera, 2 * math.pi * i / VIEWS) for i in range(VIEWS)]
    chosen = [poses[i * len(poses) // VIEWS] for i in range(VIEWS)]
    return [Camera(pose, camera.intrinsics) for pose in chosen]


def turned(pose: np.ndarray, angle: float) -> np.ndarray:
    """A pose about the world's vertical axis."""
    turn = np.eye(4)
    turn[:2, :2] = [
        [math.cos(angle), -math.sin(angle)],
        [math.sin(angle), math.cos(angle)],
    ]
    result = pose.copy()
    result[:3, :3] = turn[:3, :3] @ pose[:3, :3]
    return result


@torch.inference_mode()
def pictures(cell: SceneCell, networks: Networks, cameras: list[Camera], samples: int) -> Tensor:
    """Colors of all views' pixels, in [0, 1]."""
    parts = []
    combs = networks.combs_of(samples)
    for camera in cameras:
        rays = camera.rays(CPU)
        for start in range(0, len(rays), ROWS):
            part = rays[start : start + ROWS]
            u = quantiles(len(part), samples, CPU, combs)
            parts.append(render_rays(part, cell.cell, networks, u).composite.color.clamp(0, 1))
    return torch.cat(parts)


def psnr(one: Tensor, other: Tensor) -> float:
    """dB, over all views."""
    return float(-10 * (one.double() - other.double()).square().mean().log10())


if __name__ == "__main__":
    main()
