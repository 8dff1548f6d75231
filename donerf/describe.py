"""What a scene file holds, in words: `donerf info`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from torch import nn

from donerf.model.nerf import NerfNetworks
from donerf.model.pipeline import Networks
from donerf.model.shading import ShadingNetwork
from donerf.scene_file import Scene, SceneCell


def describe(scene: Scene) -> list[tuple[str, str]]:
    """A label and its text for each line of the table; what the file does not say is left out."""
    metadata = scene.metadata
    lines = [
        ("scene", scene.name),
        ("file", _file(scene)),
        ("license", metadata.license),
        ("credits", metadata.credits),
        ("world up", _numbers(metadata.world_up)),
        ("test poses", str(len(metadata.test_poses) or "")),
    ]
    for index, cell in enumerate(scene.cells):
        prefix = f"cell {index}: " if len(scene.cells) > 1 else ""
        lines += [(prefix + label, text) for label, text in _describe_cell(cell)]
    # Before the many settings of the trainings, which few look for.
    lines += [("quality: " + label, text) for label, text in _flatten(metadata.quality)]
    lines += [("trained: " + label, text) for label, text in _flatten(metadata.provenance)]
    return [(label, text) for label, text in lines if text]


def _file(scene: Scene) -> str:
    if scene.path is None:
        return ""
    megabytes = scene.path.stat().st_size / 1e6
    return f"{scene.path} ({megabytes:.2f} MB, format {scene.metadata.format})"


def _describe_cell(scene_cell: SceneCell) -> list[tuple[str, str]]:
    cell = scene_cell.cell
    yaw, pitch = cell.view_rotation_deg
    return [
        ("center", _numbers(cell.center)),
        ("size", _numbers(cell.size)),
        ("depth", f"{_numbers(cell.depth_range)} from the camera, scene units"),
        ("view", f"yaw {yaw:g}°, pitch {pitch:g}°, field {math.degrees(cell.fov_x):.1f}°"),
        *_describe_model(scene_cell.model),
    ]


def _describe_model(model: Networks | NerfNetworks) -> list[tuple[str, str]]:
    if isinstance(model, NerfNetworks):
        kind = model.settings
        samples = f"{kind.coarse_samples} + {kind.fine_samples} samples"
        return [("NeRF", f"2 networks of {kind.layers} x {kind.width}, {samples}, {_size(model)}")]
    shading = "not trained yet; the oracle's depth can be shown"
    if model.shading is not None:
        kind = model.shading.settings
        shading = f"{kind.layers} x {kind.width}, {kind.shape}, {_size(model.shading)}"
        if model.shading.grid is not None:
            shading += f", {_count(model.shading.grid):,} of them in the hash grid"
    kind = model.oracle.settings
    return [
        ("oracle", f"{kind.layers} x {kind.width}, {kind.bins} bins, {_size(model.oracle)}"),
        ("shading", shading),
        *_describe_grid(model.shading),
        ("compositing", _compositing(model)),
    ]


def _describe_grid(shading: ShadingNetwork | None) -> list[tuple[str, str]]:
    """A hash grid, if points go through one; what it costs is read, no arithmetic."""
    if shading is None or shading.grid is None:
        return []
    grid = shading.grid
    stored = 2e-6 * sum(table.numel() for table in grid.tables)
    rows = max(len(table) for table in grid.tables)
    return [
        (
            "hash grid",
            f"{len(grid.cells)} levels of {grid.cells[0]} to {grid.cells[-1]} cells across, "
            f"{shading.settings.grid_features} features, tables of {rows:,} rows at most: "
            f"{stored:.2f} MB of the file; a sample reads {grid.bytes_per_point} bytes of them, "
            "which MFLOP a pixel do not count",
        )
    ]


def _compositing(networks: Networks) -> str:
    if networks.has_usual_combs:
        return networks.compositing
    return f"{networks.compositing}, up to {networks.longest_comb} samples in one comb"


def _size(network: nn.Module) -> str:
    return f"{_count(network):,} parameters"


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _flatten(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested notes as lines such as ("oracle steps", "12000")."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += _flatten(value, f"{prefix}{key} ")
        else:
            text = f"{value:.4g}" if isinstance(value, float) else value
            lines.append((prefix + key, text if isinstance(text, str) else json.dumps(text)))
    return lines
